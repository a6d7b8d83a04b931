"""A server behind a provider's door, with the provider's double on the other side."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ..harness import Client, serving, settings_for, sqlite_servers
from .kit import BASE, OTHERS, PEOPLE, Person

Open = Callable[..., Awaitable[tuple[Client, Person]]]


@pytest.fixture
async def open_door(db_url: str, tmp_path: Path) -> AsyncIterator[Open]:
    """`client, person = await open_door("meta", tools, model, **settings)`."""
    async with AsyncExitStack() as stack:

        async def start(name: str, tools: Any, model: Any = None, **more: Any) -> tuple[Client, Person]:
            kind, make = (PEOPLE | OTHERS)[name]
            double = await stack.enter_async_context(make())
            person = kind(double)
            values = {"public_base_url": BASE, **person.settings(), **more}
            made = settings_for(db_url, tmp_path, **values)
            client = await stack.enter_async_context(serving(made, tools, model, apis={name: double.url}))
            return client, person

        yield start


@pytest.fixture
async def on_sqlite(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """A server on SQLite alone, for what does not depend on the database."""
    async with sqlite_servers(sqlite_template, tmp_path) as start:
        yield start
