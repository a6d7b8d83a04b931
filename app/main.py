"""The application: your tools and prompts, the core's machinery."""

from pathlib import Path

from llm_planner import create_app

from .tools import TOOLS

HERE = Path(__file__).parent

app = create_app(tools=TOOLS, prompts=HERE / "prompts", migrations=HERE / "migrations")
