"""Script injection, stored and reflected: whatever anybody writes anywhere, a page shows it as text."""

import json
import re
from collections.abc import Awaitable, Callable
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from pydantic import BaseModel

from llm_planner import Tool, ToolContext
from llm_planner.console.access import DOORS
from llm_planner.llm.scripted import ScriptedModel

from ..harness import INTERNAL_KEY, ROOT, Client, operator
from ..tools import LEDGER, Ledger, plan
from .conftest import Page, People, Person, ServeConsole

EVIL = """'"></textarea></script><x-evil onfocus=hit() style=color:red><script>hit()</script><svg/onload=hit()>"""
NAME = """'"><x-evil/onfocus=hit()><script>hit()</script>"""
"""The same without a space, for ids."""
LINK = "javascript:hit()"
FIELDS = (
    "q", "after", "below", "status", "state", "kind", "actor", "session_id", "turn_id", "until", "next", "said",
    "session", "turn", "locale", "all", "done", "name", "password", "csrf", "label", "message", "once", "words", "seen",
    "sure", "outcome", "reason", "digest", "arg:text", "arg:what", "arg:amount", "kind:text",
)  # fmt: skip
TAGS = frozenset(
    re.findall(
        r"\w+",
        """html head meta title link script body a header nav ul li ol img span div p strong b form input label select
        option button main h1 h2 h3 h4 section article details summary table thead tbody tr th td caption dl dt dd code
        pre time small br em hr textarea svg g path rect text line polyline circle""",
    )
)
OURS = re.compile(r"/(console|page)/|/console$|/console\?|#|\?")


class Reader(HTMLParser):
    """Finds in a page what could run, or look like ours: every fault in words."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in TAGS:
            self.faults.append(f"<{tag}>")
        if tag == "script" and not (given.get("src") or "").startswith(("/console/static/", "/page/")):
            self.faults.append("a script that is not a file of ours")
        if tag == "meta" and "http-equiv" in given:
            self.faults.append("meta http-equiv")
        for name, value in attrs:
            if name.startswith(("on", "hx-on")) or name in ("style", "srcdoc", "background"):
                self.faults.append(f"{tag} {name}={value}")
            leads = (
                name in ("href", "src", "action", "formaction", "data", "poster", "hx-get", "hx-post")
                or "href" in name
            )
            if leads and not OURS.match(value or ""):
                self.faults.append(f"{tag} {name}={value}")


def assert_harmless(page: Page, where: str) -> None:
    assert page.status < 500, where
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy, where
    assert "default-src 'none'" in policy, where
    assert "frame-ancestors 'none'" in policy, where
    assert page.headers["x-content-type-options"] == "nosniff", where
    assert page.headers["cache-control"] == "no-store" or page.path.startswith("/console/static/"), where
    location = page.headers.get("location", "/")
    assert location.startswith("/"), where
    assert not location.startswith(("//", "/\\")), where
    if page.headers.get("content-type", "").startswith("text/html"):
        reader = Reader()
        reader.feed(page.text)
        assert reader.faults == [], where


class Words(BaseModel):
    text: str
    more: dict[str, str] = {}


class Evil(Tool):
    """Title, description, argument, result and fact: all of it foreign."""

    name = "evil"
    title = EVIL
    description = EVIL
    input_model = Words
    write = False

    async def run(self, args: Words, ctx: ToolContext) -> dict[str, object]:
        ctx.facts[EVIL] = EVIL
        return {EVIL: [EVIL, {LINK: LINK}]}


class EvilWrite(Ledger):
    """A write with a heading of its own."""

    name = "evil_write"
    title = EVIL

    def summary(self, args: Any, locale: str) -> str:
        return EVIL


PLAN = plan(
    ("evil", {"text": EVIL, "more": {EVIL: LINK}}), ("evil_write", {"what": EVIL}), ("ledger_add", {"what": "raise"})
)  # fmt: skip
STORED = (
    "UPDATE sessions SET account = :e, principal = :e, handed_to = :n",
    "UPDATE audit_events SET actor = :e, kind = :n",
    "UPDATE tool_runs SET error = :e, settled_by = :n, deadline_at = started_at",
    "UPDATE pending_confirmations SET summary = :e, reason = :e, edited_by = :n, decided_by = :n, approver = :n",
    "UPDATE model_calls SET model = :n",
    "UPDATE turns SET reply = :e",
    "UPDATE outbox SET destination = :n, error = :e",
)
"""What no honest way would store is written over what is there: no page may rely on it."""


async def stored(serve: Callable[..., Awaitable[Client]]) -> Client:
    """An application in which everybody has written what they could."""
    model = ScriptedModel([PLAN, plan(reply=EVIL), PLAN, plan(reply=EVIL), *[plan(reply=EVIL)] * 20])
    client = await serve(tools=[Evil, EvilWrite, Ledger], model=model)
    await client.rows(LEDGER)
    for session in (NAME, "demo"):
        said = await client.say(EVIL, session=session)
        for card in said["confirmations"]:
            if card["tool"] == "ledger_add":
                await client.say(f"confirm {card['token']}", session=session)
    body = {"message": EVIL, "user": NAME, "session_id": NAME}
    await client.post("/wa/agent", body, {"x-api-key": INTERNAL_KEY})
    parked = (await client.get("/approvals?status=pending", operator("admin")))[1]["items"][0]["id"]
    await client.post(
        f"/approvals/{parked}/resolve", {"decision": "reject", "reason": EVIL}, operator("admin")
    )
    (session,) = (await client.rows("SELECT id FROM sessions LIMIT 1"))[0]
    content = json.dumps({"to": EVIL, "subject": EVIL, "text": EVIL})
    await client.rows(
        "INSERT INTO outbox (session_id, id, kind, destination, body, idempotency_key, state, attempts, due_at, "
        "created_at) VALUES (:s, 'letter', 'mail', 'x', :b, 'k', 'dead', 1, :t, :t)",
        s=session, b=content, t="2026-01-01 00:00:00.000000",
    )  # fmt: skip
    return client


async def overwrite(client: Client) -> None:
    for statement in STORED:
        values = {name: value for name, value in (("e", EVIL), ("n", NAME)) if f":{name}" in statement}
        await client.rows(statement, **values)


async def addresses(client: Client, most: int = 100) -> list[tuple[str, str]]:
    """Every page and every form's address, with at most so many rows of each kind."""
    ids = {
        "approvals": "SELECT id FROM pending_confirmations",
        "sessions": "SELECT id FROM sessions",
        "turn": "SELECT id FROM turns",
        "deliveries": "SELECT id FROM outbox",
        "doubts": "SELECT id FROM tool_runs",
    }
    found = {name: [row.id for row in await client.rows(sql)] for name, sql in ids.items()}
    found["tools"] = ["evil", "evil_write", "ledger_add"]
    assert all(found.values()), found
    pages = []
    for door in DOORS:
        page, _, action = door.name.partition(".")
        names = found[action if action == "turn" else page] if "{id}" in door.path else [""]
        for name in names[:most]:
            pages.append((door.method, f"/console{door.path.format(id=name, file='console.css')}"))
    return pages


@pytest.mark.parametrize("over", [False, True], ids=["written", "overwritten"])
async def test_what_was_stored_is_shown_as_text_on_every_page(
    serve_console: ServeConsole, person: People, over: bool
) -> None:
    client = await stored(serve_console)
    admin = await person(client, "ada")
    if over:
        await overwrite(client)
    shown = set()
    for method, path in await addresses(client):
        if method == "GET":
            page = await admin.get(path, follow=False)
            assert_harmless(page, path)
            assert page.status in (200, 303), path
            if "x-evil" in page.text:
                shown.add(path.split("/")[2])
    for session in (NAME, "demo"):
        page = await admin.get(f"/console/sessions?q={quote(session)}")
        assert_harmless(page, session)
    assert shown >= {"approvals", "sessions", "turns", "deliveries", "doubts", "audit", "tools"}


async def test_what_is_asked_for_is_never_part_of_a_page(serve_console: ServeConsole, person: People) -> None:
    client = await stored(serve_console)
    admin, guest = await person(client, "ada"), await person(client)
    reflected = 0
    for word in (EVIL, LINK, "//evil.example", "/\\evil.example", "\u202e\u0000"):
        query = urlencode(dict.fromkeys(FIELDS, word))
        for method, path in await addresses(client, 1):
            if path.endswith("/logout"):
                continue
            for somebody in (admin, guest):
                page = await ask(somebody, method, path, query, word)
                assert_harmless(page, f"{method} {path} {word}")
                reflected += "x-evil" in page.text
        for path in (f"/console/{quote(word, safe='')}", f"/console/sessions/{quote(word, safe='')}"):
            assert_harmless(await admin.get(path, follow=False), path)
        one = await admin.get(
            "/console/sessions", follow=False, Referer=f"{client.url}/console/{quote(word)}"
        )
        assert_harmless(one, f"referer {word}")
    assert reflected > 20


async def ask(somebody: Person, method: str, path: str, query: str, word: str) -> Page:
    if method == "GET":
        return await somebody.get(f"{path}?{query}", follow=False)
    token = (await somebody.get("/console/login")).csrf
    return await somebody.post(path, dict.fromkeys(FIELDS, word), csrf=token, follow=False)


async def test_errors_and_json_over_http_are_no_pages(serve_console: ServeConsole) -> None:
    client = await stored(serve_console)
    answers = [
        ("GET", f"/{quote(EVIL)}", None), ("GET", f"/sessions/{quote(EVIL, safe='')}", None),
        ("GET", f"/approvals?status={quote(EVIL)}", None), ("GET", f"/audit?cursor={quote(EVIL)}", None),
        ("GET", "/sessions", None), ("GET", "/audit", None), ("GET", "/approvals", None),
        ("POST", "/agent", {"message": EVIL, EVIL: EVIL}), ("POST", "/agent", {"message": EVIL}),
        ("POST", f"/provider/{quote(EVIL, safe='')}/inbound", {}),
    ]  # fmt: skip
    for method, path, body in answers:
        async with client.http.request(
            method, client.url + path, json=body, headers=operator("admin")
        ) as answer:
            await answer.read()
            assert answer.status < 500, path
            assert answer.headers["content-type"].partition(";")[0] in (
                "application/json",
                "application/problem+json",
            )
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert (
                answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
            ), path


def test_no_template_holds_a_script_or_a_style_and_only_drawings_are_not_escaped() -> None:
    folder = ROOT / "llm_planner" / "console" / "templates"
    for path in [*sorted(folder.glob("*.html")), ROOT / "llm_planner" / "api" / "page" / "page.html"]:
        text = path.read_text("utf-8")
        assert not re.search(
            r"<style|\sstyle=|\son[a-z]+=|hx-on|hx-vals='js|javascript:|\|\s*tojson", text
        ), path
        assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text)), path
        assert "autoescape" not in text, path
        trusted = set(re.findall(r"\{\{\s*([\w.]+)\s*\|\s*safe", text))
        assert text.count("safe") == text.count("|safe") == len(re.findall(r"\|safe", text)), path
        assert trusted <= {"round.graph", "throughput", "latency.chart", "tokens.chart", "one.gauge"}, path
