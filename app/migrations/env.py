"""Alembic's entry for the app's own tables."""

from llm_planner import run_migrations

run_migrations()
