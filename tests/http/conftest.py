"""Fixtures of the HTTP tests: a served application on SQLite, for what does not depend on the database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from llm_planner.llm.scripted import ScriptedModel

from ..harness import Client, sqlite_servers
from ..tools import Echo, Ledger, plan

ServeSqlite = Callable[..., Awaitable[Client]]
GREETING = plan(reply="hola")


@pytest.fixture
async def serve_sqlite(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[ServeSqlite]:
    """Like `serve`, on SQLite alone. The model greets for ever, unless there is another."""
    async with sqlite_servers(sqlite_template, tmp_path) as start:

        async def with_defaults(*, tools: Any = (Echo, Ledger), model: Any = None, **settings: Any) -> Client:
            return await start(tools=tools, model=model or ScriptedModel(repeat(GREETING)), **settings)

        yield with_defaults


@pytest.fixture
async def client(serve_sqlite: ServeSqlite) -> Client:
    return await serve_sqlite()
