"""`python -m llm_planner`: the command line."""

from .cli import main

main()
