"""Both engines: one Temporal development server for the run, and applications over each engine and database."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ..conftest import SERVERS, empty_database
from ..harness import Client, serving, settings_for
from .kit import LEASE_S, SWEEP_S, Engine
from .server import development_server

LONG_HISTORY = 100
"""Events after which a workflow begins anew; Temporal's own limit is 4,096."""

Start = Callable[..., Any]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`store` is SQLite and one server: what an engine does is the same on all of them."""
    if "store" in metafunc.fixturenames:
        urls = ["sqlite", *SERVERS[:1]]
        metafunc.parametrize("store", urls, ids=["sqlite", "server"][: len(urls)], indirect=True)
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", ["embedded", "temporal"], indirect=True)


@pytest.fixture
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    sqlite_template: Path,
    server_databases: Callable[[str], str],
) -> str:
    """The URL of a migrated, empty database."""
    return empty_database(request.param, tmp_path, sqlite_template, server_databases)


@pytest.fixture(scope="session")
def temporal_address() -> Iterator[str]:
    """Of a development server, whose workflows begin anew early."""
    limit = f"limit.historyCount.suggestContinueAsNew={LONG_HISTORY}"
    with development_server("--dynamic-config-value", limit) as address:
        yield address


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine, in an installation of its own."""
    if request.param == "embedded":
        return Engine("embedded")
    return Engine("temporal", request.getfixturevalue("temporal_address"))


@pytest.fixture
def temporal(temporal_address: str) -> Engine:
    """Temporal alone, in an installation of its own."""
    return Engine("temporal", temporal_address)


@pytest.fixture
async def start(store: str, tmp_path: Path) -> AsyncIterator[Start]:
    """`client = await start(engine, tools=…, model=…, workers_inline=…)`: a process of the installation."""
    async with AsyncExitStack() as stack:

        async def begin(
            engine: Engine, *, tools: Any, model: Any, sweep_s: float = SWEEP_S, **settings: Any
        ) -> Client:
            made = settings_for(store, tmp_path, **engine.settings, **settings)
            context = serving(made, tools, model, lease_s=LEASE_S, sweep_s=sweep_s)
            return await stack.enter_async_context(context)

        yield begin
