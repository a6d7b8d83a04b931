"""Fixtures: every database that this run has, and a server over each."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, make_url, text

from llm_planner.storage.migrate import Migrations, core_migrations

from .harness import Client, open_database, serving, settings_for

SERVERS = [url for url in os.environ.get("TEST_DB_URLS", "").split(",") if url.strip()]
APP_MIGRATIONS = Migrations(Path(__file__).parent.parent / "app" / "migrations", "alembic_version_app")
Serve = Callable[..., "Any"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `db_url` runs on SQLite and on every server of TEST_DB_URLS; `server_url` on those."""
    if "db_url" in metafunc.fixturenames:
        names = [
            "sqlite",
            *(f"{make_url(url).get_backend_name()}{number}" for number, url in enumerate(SERVERS, 1)),
        ]
        metafunc.parametrize("db_url", ["sqlite", *SERVERS], ids=names, indirect=True)
    if "server_url" in metafunc.fixturenames:
        metafunc.parametrize("server_url", SERVERS, indirect=True)


async def _migrate(url: str) -> None:
    database = open_database(url)
    try:
        for item in (core_migrations(), APP_MIGRATIONS):
            await database.run(item.upgrade)
    finally:
        await database.close()


async def _execute(url: str, *statements: str) -> None:
    database = open_database(url)
    try:
        await database.run(lambda conn: [conn.execute(text(statement)) for statement in statements])
    finally:
        await database.close()


async def _empty(url: str) -> None:
    def clean(conn: Any) -> None:
        for name in inspect(conn).get_table_names():
            if not name.startswith("alembic_version"):
                conn.execute(text(f"DELETE FROM {name}"))

    database = open_database(url)
    try:
        await database.run(clean)
    finally:
        await database.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "migrated.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def server_databases() -> Iterator[Callable[[str], str]]:
    """For each server one migrated database of this run's own."""
    made: dict[str, str] = {}
    name = f"llm_planner_test_{secrets.token_hex(4)}"

    def database_on(server: str) -> str:
        if server not in made:
            asyncio.run(_execute(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
            made[server] = make_url(server).set(database=name).render_as_string(hide_password=False)
            asyncio.run(_migrate(made[server]))
        return made[server]

    yield database_on
    for server in made:
        asyncio.run(_execute(server, f"DROP DATABASE {name}"))


@pytest.fixture
def db_url(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    sqlite_template: Path,
    server_databases: Callable[[str], str],
) -> str:
    """The URL of a migrated, empty database."""
    return empty_database(request.param, tmp_path, sqlite_template, server_databases)


def empty_database(where: str, folder: Path, template: Path, databases: Callable[[str], str]) -> str:
    """The same of `sqlite`, or of a server's URL."""
    if where == "sqlite":
        path = folder / "test.db"
        shutil.copy(template, path)
        return f"sqlite:///{path}"
    url = databases(where)
    asyncio.run(_empty(url))
    return url


@pytest.fixture
def server_url(request: pytest.FixtureRequest, server_databases: Callable[[str], str]) -> str:
    """The same on a server, for what SQLite does not have."""
    url = server_databases(request.param)
    asyncio.run(_empty(url))
    return url


@pytest.fixture
async def serve(db_url: str, tmp_path: Path) -> AsyncIterator[Callable[..., "Any"]]:
    """`client = await serve(tools=[...], model=ScriptedModel([...]), confirm_ttl_sec=5)`: a served application
    over `db_url`; call it again for a second process' worth of application over the same database (not SQLite)."""
    async with AsyncExitStack() as stack:

        async def start(*, tools: Any, model: Any = None, clock: Any = None, **settings: Any) -> Client:
            made = settings_for(db_url, tmp_path, **settings)
            context: AbstractAsyncContextManager[Client] = serving(made, tools, model, clock)
            return await stack.enter_async_context(context)

        yield start
