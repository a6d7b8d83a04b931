"""Who may do what: every route and action of the application, tried by everybody (tests/authorisation.py)."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from llm_planner.console.access import DOORS
from llm_planner.console.doors import AWAY as NOWHERE

from .. import authorisation as rules
from ..authorisation import API, API_CALLERS, CONSOLE, CONSOLE_CALLERS, USERS_DOORS, Row, Way
from ..docs_tools import ROOT, authorisation
from ..harness import OPERATOR_KEYS, Client, operator, sqlite_servers
from .conftest import TOOLS, Page, People, Person, add_operator
from .matrix_kit import Seeded, greeting, machine_key, seeded_database

PARAMETERS = ("name", "confirmation_id", "write_id", "session_id", "turn_id", "provider")
PREFLIGHT = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
Start = Callable[..., Awaitable[Client]]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Seeded:
    """A database with something of its own for every action."""
    return seeded_database(tmp_path_factory.mktemp("seeded"), sqlite_template)


@pytest.fixture
async def start(tmp_path: Path, seeded: Seeded) -> AsyncIterator[Start]:
    async with sqlite_servers(seeded.path, tmp_path) as serve:

        async def make(**settings: Any) -> Client:
            return await serve(tools=TOOLS, model=greeting(), **settings)

        yield make


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[], dict[str, list[Any]]]:
    """All rows there are, as they are now, but for what a worker writes all the time to say that it lives."""

    def read() -> dict[str, list[Any]]:
        with sqlite3.connect(tmp_path / "test.db") as conn:
            names = [name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {
                name: conn.execute(f"SELECT * FROM {name}").fetchall()
                for name in names
                if name != "heartbeats"
            }

    return read


def outcome(status: int, location: str) -> str:
    """What an answer is in the words of the table; a status that is in no cell stays what it is."""
    if status == 303 and location.startswith("/console/login?next="):
        return rules.AWAY
    return rules.YES if status in (200, 303, 307) else str(status)


async def test_every_route_of_the_application_is_in_the_matrix(start: Start) -> None:
    client = await start()
    there = set()
    for route in iter_route_contexts(client.app.routes):
        assert route.path is not None
        there |= {(method, route.path) for method in route.methods or {"?"} if method != "HEAD"}
    console = {(door.method, f"/console{door.path}") for door in (*DOORS, NOWHERE)}
    known = {(way.method, way.path) for way in (*API, *USERS_DOORS)}
    assert there == known | console


async def test_no_other_method_does_anything(start: Start, rows: Any) -> None:
    client = await start()
    ways = [(way.path, operator("admin")) for way in API] + [(door.path, {}) for door in USERS_DOORS]
    known = {(way.method, way.path) for way in (*API, *USERS_DOORS)}
    before = rows()
    for path, headers in {path: (path, headers) for path, headers in ways}.values():
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            if (method, path) not in known:
                address = client.url + path.format_map(dict.fromkeys(PARAMETERS, "x"))
                async with client.http.request(method, address, headers={**headers, **PREFLIGHT}) as answer:
                    assert answer.status in (404, 405), (method, path)
                    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    assert rows() == before


def test_the_tables_in_the_documentation_are_current() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    assert authorisation(text) == text, "run: python -m tests.docs_tools"


@pytest.mark.parametrize("caller", API_CALLERS)
async def test_over_http(start: Start, person: People, seeded: Seeded, rows: Any, caller: str) -> None:
    client = await start()
    cookie = admins_cookie(await person(client, "ada")) if caller == "cookie" else {}
    for way in API:
        expected = rules.over_http(way, caller)
        headers = cookie or await api_headers(client, way, caller)
        before = rows()
        found = await over_http(client, seeded, way, headers)
        assert found == expected, (way.told, caller)
        assert (rows() == before) == (way.method == "GET" or expected != rules.YES), (way.told, caller)


def admins_cookie(admin: Person) -> dict[str, str]:
    cookies = {cookie.key: cookie.value for cookie in admin.http.cookie_jar}
    return {"Cookie": f"llm_planner_console={cookies['llm_planner_console']}"}


async def api_headers(client: Client, way: Way, caller: str) -> dict[str, str]:
    if caller == "nobody":
        return {}
    key = OPERATOR_KEYS.get(caller) or await machine_key(client, way.scope, caller)
    return {"Authorization": f"Bearer {key}"}


async def over_http(client: Client, seeded: Seeded, way: Way, headers: dict[str, str]) -> str:
    name = seeded.of.get(way.told, "")
    path = way.path.format(
        name="page.css", confirmation_id=name, write_id=name, session_id=seeded.session, turn_id=seeded.turn
    )
    async with client.http.request(
        way.method, client.url + path, json=seeded.body(way.act, name), headers=headers, allow_redirects=False
    ) as answer:
        await answer.read()
        return outcome(answer.status, answer.headers.get("location", ""))


@pytest.mark.parametrize("caller", CONSOLE_CALLERS)
async def test_in_the_console(start: Start, person: People, seeded: Seeded, rows: Any, caller: str) -> None:
    client = await start()
    await add_operator(client, "who-logs-in", "viewer")
    browsers = Browsers(client, person, caller)
    for row in sorted(CONSOLE, key=lambda row: LAST.index(row.door.name) if row.door.name in LAST else -1):
        expected = rules.in_the_console(row, caller)
        if expected == rules.NONE:
            continue
        browser = await browsers.of(rules.who_may(row) if caller in SPOILT else caller)
        if row.door.name == "sessions.say":
            await client.rows(
                "UPDATE sessions SET handed_to = :n WHERE id = :i", n=browser.name, i=seeded.of[row.told]
            )
        before = rows()
        page = await knock(browser, seeded, row, caller)
        assert outcome(page.status, page.headers.get("location", "")) == expected, (row.told, caller)
        changed = rows() != before or "llm_planner_locale" in page.headers.get("set-cookie", "")
        assert changed == (row.door.method == "POST" and expected == rules.YES), (row.told, caller)


LAST = ("entrance.leave", "entrance.enter")
"""After these a browser is somebody else."""
SPOILT = ("no csrf", "other csrf", "other origin")


@dataclass(frozen=True, slots=True)
class Browser:
    """A browser, the name it is logged in with, and the token that its forms carry."""

    person: Person
    name: str
    csrf: str


class Browsers:
    """Opens what a column of the table needs, once."""

    def __init__(self, client: Client, person: People, caller: str) -> None:
        self._client = client
        self._person = person
        self._caller = caller
        self._open: dict[str, Browser] = {}

    async def of(self, who: str) -> Browser:
        if who not in self._open:
            self._open[who] = await (self._role(who) if who in rules.ROLES else self._outside(who))
        return self._open[who]

    async def _role(self, role: str) -> Browser:
        name = f"{role}-bea"
        somebody = await self._person(self._client, name, role)
        token = (await somebody.get("/console/login")).csrf
        if self._caller == "other csrf":
            other = await self._person(self._client, f"{role}-cid", role)
            token = (await other.get("/console/login")).csrf
        return Browser(somebody, name, "" if self._caller == "no csrf" else token)

    async def _outside(self, kind: str) -> Browser:
        """An admin whom something keeps out."""
        somebody = await self._person(self._client, None if kind in ("nobody", "key") else "ada")
        if kind == "expired":
            await self._client.rows("UPDATE console_logins SET expires_at = created_at")
        if kind == "disabled":
            await self._client.rows("UPDATE operators SET disabled_at = created_at WHERE name = 'ada'")
        if kind == "key":
            somebody.headers["Authorization"] = f"Bearer {OPERATOR_KEYS['admin']}"
        if kind == "forged":
            value, _, mac = admins_cookie(somebody)["Cookie"].partition("=")[2].partition(".")
            somebody.http.cookie_jar.clear()
            somebody.headers["Cookie"] = f"llm_planner_console={value}.{mac[::-1]}"
        return Browser(somebody, "ada", (await somebody.get("/console/login")).csrf)


async def knock(browser: Browser, seeded: Seeded, row: Row, caller: str) -> Page:
    name = seeded.of[row.told] if "{id}" in row.door.path else ""
    path = f"/console{row.door.path.format(id=name, file='console.css')}"
    if row.door.method == "GET":
        return await browser.person.get(path, follow=False)
    foreign = {"Origin": "https://evil.example"} if caller == "other origin" else {}
    fields = dict(seeded.form(row))
    token = None if row.door.name == "entrance.enter" and caller not in SPOILT else browser.csrf
    return await browser.person.post(path, fields, csrf=token, follow=False, **foreign)
