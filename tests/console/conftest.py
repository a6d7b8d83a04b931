"""Fixtures of the console's tests: a served application, operators in its table, and browsers without JavaScript."""

import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from sqlalchemy import Connection

from llm_planner import Tool
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.storage.repositories import operators
from llm_planner.storage.repositories.operators import OperatorRow

from ..harness import Client, sqlite_servers
from ..tools import LEDGER, Echo, Ledger, plan

PASSWORD = "a password of the tests"
PHC = Argon2id(salt=b"salt of the tests", length=32, iterations=1, lanes=1, memory_cost=8).derive_phc_encoded(
    PASSWORD.encode()
)
"""The same kind of hash at a thousandth of its price."""
FORWARDED = {"X-Forwarded-For": "203.0.113.9"}


class Refund(Ledger):
    """A write that the role billing decides."""

    name = "refund"
    title = "Refund"
    approver = "billing"


TOOLS: list[type[Tool]] = [Echo, Ledger, Refund]


@dataclass(frozen=True, slots=True)
class Page:
    """One answer."""

    status: int
    text: str
    headers: Any
    path: str

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.text)
        assert found is not None, self.text
        return found[1]

    def value(self, name: str) -> str:
        """What an input of this name holds."""
        found = re.search(rf'name="{re.escape(name)}"[^>]*? value="([^"]*)"', self.text)
        assert found is not None, (name, self.text)
        return html.unescape(found[1])

    def link(self, part: str) -> str | None:
        """The first link with this in its address."""
        found = re.search(rf'href="([^"]*{re.escape(part)}[^"]*)"', self.text)
        return html.unescape(found[1]) if found is not None else None

    def has(self, *texts: str) -> bool:
        """Whether all of these stand on the page as a person reads it."""
        shown = html.unescape(re.sub(r"<[^>]+>", "", self.text))
        return all(text in shown for text in texts)


@dataclass(slots=True)
class Person:
    """A browser without JavaScript: cookies, pages, forms."""

    client: Client
    http: aiohttp.ClientSession
    headers: dict[str, str] = field(default_factory=dict)

    async def get(self, path: str, *, follow: bool = True, **headers: str) -> Page:
        async with self.http.get(
            self.client.url + path, headers={**self.headers, **headers}, allow_redirects=follow
        ) as answer:
            return Page(answer.status, await answer.text(), answer.headers, answer.url.path_qs)

    async def post(
        self,
        path: str,
        fields: dict[str, str] | None = None,
        *,
        csrf: str | None = None,
        follow: bool = True,
        **headers: str,
    ) -> Page:
        """Send a form, with the token that this browser's pages carry unless there is another."""
        token = csrf if csrf is not None else (await self.get("/console/login")).csrf
        async with self.http.post(
            self.client.url + path,
            data={**(fields or {}), "csrf": token},
            headers={**self.headers, **headers},
            allow_redirects=follow,
        ) as answer:
            return Page(answer.status, await answer.text(), answer.headers, answer.url.path_qs)

    async def log_in(self, name: str, password: str = PASSWORD, **more: str) -> Page:
        return await self.post("/console/login", {"name": name, "password": password, **more})


async def add_operator(client: Client, name: str, role: str, person: str | None = None) -> None:
    row = OperatorRow(name, person or name, role, PHC, datetime.now(UTC), "test")

    def transaction(conn: Connection) -> None:
        operators.add(conn, row)

    await client.parts.database.run(transaction)


People = Callable[..., Awaitable[Person]]
ServeConsole = Callable[..., Awaitable[Client]]


@pytest.fixture
async def serve_console(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[ServeConsole]:
    """`client = await serve_console(model=…, **settings)`, with a ledger to write into."""
    async with sqlite_servers(sqlite_template, tmp_path) as start:

        async def make(*, tools: Any = TOOLS, model: Any = None, **settings: Any) -> Client:
            model = model if model is not None else ScriptedModel([plan(reply="hola")] * 20)
            client = await start(tools=tools, model=model, **settings)
            await client.rows(LEDGER)
            return client

        yield make


@pytest.fixture
async def person() -> AsyncIterator[People]:
    """`anne = await person(client, "anne", "operator")`: logged in; without a name somebody unknown."""
    async with AsyncExitStack() as stack:

        async def make(
            client: Client, name: str | None = None, role: str = "admin", who: str | None = None
        ) -> Person:
            jar = aiohttp.CookieJar(unsafe=True)
            http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=jar))
            made = Person(client, http, {"Accept-Language": "en"})
            if name is not None:
                await add_operator(client, name, role, who)
                page = await made.log_in(name)
                assert page.status == 200, page.text
            return made

        yield make
