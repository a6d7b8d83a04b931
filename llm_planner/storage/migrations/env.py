"""Alembic's entry for the core's migrations."""

from llm_planner.storage.migrate import run_migrations

run_migrations()
