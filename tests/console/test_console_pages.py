"""Chat, deliveries, writes in doubt, audit, tools, health: what they show and what their buttons do."""

import json
import re
from typing import Any

import pytest

from app.tools import TOOLS as SHOP
from llm_planner.console.access import DOORS, Role
from llm_planner.console.graph import Node, plan_graph, waves
from llm_planner.console.texts import CATALOGUE
from llm_planner.llm.scripted import ScriptedModel

from ..harness import ROOT, Client
from ..tools import Ledger, plan
from .conftest import Page, People, Person, ServeConsole

REGISTER = "registrame, soy Ana López, mi mail es ana@example.com"


async def say(somebody: Person, text: str, label: str = "c_1") -> Page:
    return await somebody.post("/console/chat/say", {"label": label, "message": text, "locale": "en"})


async def test_an_operator_talks_to_the_agent_and_confirms_their_own_write(
    serve_console: ServeConsole, person: People
) -> None:
    model = ScriptedModel([plan(("echo", {"text": "x"}), ("ledger_add", {"what": "a", "amount": 2}))])
    client = await serve_console(model=model)
    anne = await person(client, "anne", "operator")
    page = await say(anne, "do it")
    assert page.path.startswith("/console/chat?session=c_1")
    assert page.has("do it", "Needs your confirmation", "Echo", "proposed by the plan", "Audit of this turn")
    assert page.text.count('<svg class="graph"') == 1
    verb = re.search(r'value="(confirm [0-9A-Z]{8})"', page.text)
    assert verb is not None
    assert (await say(anne, verb[1])).has("Done: Add to the ledger")
    assert len(await client.rows("SELECT * FROM ledger")) == 1
    (session,) = await client.rows("SELECT channel, principal FROM sessions WHERE label = 'c_1'")
    assert tuple(session) == ("console", "operator:anne")
    assert (await anne.get("/console/chat?session=c_1")).has("do it")


async def test_another_operator_has_a_conversation_of_their_own_under_the_same_label(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(
        model=ScriptedModel([plan(("ledger_add", {"what": "a"})), plan(reply="hola")])
    )
    anne, bob = await person(client, "anne", "operator"), await person(client, "bob", "operator")
    page = await say(anne, "do it")
    verb = re.search(r'value="(confirm [0-9A-Z]{8})"', page.text)
    assert verb is not None
    assert not (await bob.get(page.path)).has("do it")
    assert (await say(bob, verb[1])).has("That code belongs to none of your pending operations")
    assert await client.rows("SELECT * FROM ledger") == []
    assert (await say(bob, "x", label="../..")).status == 422


async def test_the_chat_streams_to_whoever_asks_for_a_stream(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(model=ScriptedModel([plan(reply="hola")]))
    anne = await person(client, "anne", "operator")
    page = await anne.post(
        "/console/chat/say", {"label": "c_1", "message": "hi", "locale": "en"}, Accept="text/event-stream"
    )
    events = [json.loads(line[5:]) for line in page.text.splitlines() if line.startswith("data:")]
    assert (events[0]["type"], events[-1]["type"]) == ("RUN_STARTED", "RUN_FINISHED")
    assert events[-1]["result"]["session"] == "c_1"
    assert (await anne.get(f"/console/chat?session=c_1&turn={events[-1]['result']['turn']}")).has("hola")


async def with_letter(serve: ServeConsole, state: str = "queued", **settings: Any) -> tuple[Client, str]:
    client = await serve(
        tools=SHOP,
        model=ScriptedModel([plan(("register_customer", {"name": "Ana López", "email": "ana@example.com"}))]),
        **settings,
    )
    token = (await client.say(REGISTER))["confirmations"][0]["token"]
    await client.say(f"confirmar {token}")
    await client.rows("UPDATE outbox SET state = :s", s=state)
    return client, (await client.rows("SELECT id FROM outbox"))[0].id


async def test_the_local_mailbox_shows_letters_in_development(
    serve_console: ServeConsole, person: People
) -> None:
    client, name = await with_letter(serve_console)
    code = re.findall(r"\b\d{6}\b", (await client.rows("SELECT body FROM outbox"))[0].body)[0]
    vera = await person(client, "vera", "viewer")
    assert (await vera.get("/console/deliveries")).has("ana@example.com", "letter", "queued")
    assert (await vera.get(f"/console/deliveries/{name}")).has(code)


async def test_with_smtp_a_letters_text_is_nobodys_business(
    serve_console: ServeConsole, person: People
) -> None:
    client, name = await with_letter(serve_console, "dead", smtp_url="smtp://127.0.0.1:9")
    code = re.findall(r"\b\d{6}\b", (await client.rows("SELECT body FROM outbox"))[0].body)[0]
    admin = await person(client, "ada", "admin")
    page = await admin.get(f"/console/deliveries/{name}")
    assert page.has("The text of a letter is not shown")
    assert code not in page.text


@pytest.mark.parametrize(
    ("state", "what", "fields", "ends"),
    [
        ("dead", "retry", {}, "queued"),
        ("unknown", "retry", {}, "queued"),
        ("unknown", "settle", {"outcome": "arrived"}, "delivered"),
        ("unknown", "settle", {"outcome": "lost"}, "dead"),
        ("dead", "settle", {"outcome": "arrived"}, "delivered"),
        ("delivered", "retry", {}, None),
        ("queued", "settle", {"outcome": "arrived"}, None),
        ("unknown", "settle", {"outcome": "perhaps"}, None),
    ],
)
async def test_a_delivery_is_retried_or_settled_by_name(
    serve_console: ServeConsole,
    person: People,
    state: str,
    what: str,
    fields: dict[str, str],
    ends: str | None,
) -> None:
    client, name = await with_letter(serve_console, state)
    vera, anne = await person(client, "vera", "viewer"), await person(client, "anne", "operator")
    assert (await vera.post(f"/console/deliveries/{name}/{what}", fields)).status == 403
    page = await anne.post(f"/console/deliveries/{name}/{what}", fields)
    assert page.status == (200 if ends else 422 if fields.get("outcome") == "perhaps" else 409)
    assert (await client.rows("SELECT state FROM outbox"))[0].state == (ends or state)
    told = await client.rows("SELECT kind FROM audit_events WHERE actor = 'anne' AND kind LIKE 'delivery%'")
    assert len(told) == (1 if ends else 0)


async def test_a_reply_that_did_not_arrive_is_shown_without_its_tokens(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(model=ScriptedModel([plan(("ledger_add", {"what": "a"}))]))
    await client.say("do it")
    await client.rows(
        "INSERT INTO outbox (session_id, id, turn_id, kind, destination, body, idempotency_key, state, attempts, "
        "due_at, created_at, error) SELECT session_id, 'o1', id, 'reply', '+598', :b, 'k', 'dead', 8, created_at, "
        "created_at, '<b>no</b>' FROM turns",
        b=json.dumps({"text": "confirm \x02c1\x03", "cards": [], "provider": "twilio"}),
    )
    vera = await person(client, "vera", "viewer")
    page = await vera.get("/console/deliveries?state=dead")
    assert page.has("+598", "reply", "<b>no</b>")
    assert "<b>no</b>" not in page.text
    assert (await vera.get("/console/deliveries/o1")).has("confirm ████████")


async def in_doubt(serve: ServeConsole) -> tuple[Client, str]:
    client = await serve(model=ScriptedModel([plan(("ledger_add", {"what": "raise"}))]))
    token = (await client.say("do it"))["confirmations"][0]["token"]
    await client.say(f"confirm {token}")
    await client.rows("UPDATE tool_runs SET deadline_at = started_at")
    return client, (await client.rows("SELECT id FROM tool_runs"))[0].id


@pytest.mark.parametrize(("outcome", "state"), [("done", "ok"), ("not_done", "failed")])
async def test_a_write_in_doubt_is_settled_by_a_person(
    serve_console: ServeConsole, person: People, outcome: str, state: str
) -> None:
    client, name = await in_doubt(serve_console)
    vera, anne = await person(client, "vera", "viewer"), await person(client, "anne", "operator")
    assert (await vera.get("/console/doubts")).has("Add to the ledger", "in doubt")
    fields = {"outcome": outcome, "reason": "I looked"}
    assert (await vera.post(f"/console/doubts/{name}/settle", fields)).status == 403
    assert (await anne.post(f"/console/doubts/{name}/settle", {"outcome": "perhaps"})).status == 422
    page = await anne.post(f"/console/doubts/{name}/settle", fields)
    assert page.has("Written down; the user was told.", "Settled by anne", "I looked")
    assert (await client.rows("SELECT state, settled_by FROM tool_runs"))[0] == (state, "anne")
    assert (await anne.post(f"/console/doubts/{name}/settle", fields)).status == 409
    assert (await vera.get("/console/doubts")).has("There is nothing here.")
    assert (await vera.get("/console/doubts?all=1")).has("Add to the ledger")


async def test_the_audit_is_filtered_followed_and_paged_by_key(
    serve_console: ServeConsole, person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_planner.console.trail.PAGE", 3)
    client = await serve_console()
    for number in range(3):
        await client.say("hola", session=f"s{number}")
    vera = await person(client, "vera", "viewer")
    total = (await client.rows("SELECT COUNT(*) AS n FROM audit_events"))[0].n
    page, seen = await vera.get("/console/audit"), 0
    while True:
        seen += page.text.count('class="row"')
        following = page.link("after=")
        if following is None:
            break
        page = await vera.get(following)
    assert seen == total
    turn = (await client.rows("SELECT id FROM turns"))[0].id
    page = await vera.get(f"/console/audit?turn_id={turn}")
    assert page.text.count('class="row"') == 3
    assert (await vera.get("/console/audit?kind=logged_in")).has("vera")
    assert (await vera.get("/console/audit?actor=nobody")).has("There is nothing here.")
    assert (await vera.get("/console/audit?until=2020-01-01")).has("There is nothing here.")
    for wrong in ("until=x", "after=x"):
        assert (await vera.get(f"/console/audit?{wrong}")).status == 422


async def test_chains_are_verified_and_a_changed_row_is_named(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    await client.say("hola")
    anne = await person(client, "anne", "operator")
    name = (await client.rows("SELECT id FROM sessions WHERE label = 'demo'"))[0].id
    assert (await anne.post("/console/audit/verify")).has("2 chains verified: intact.")
    await client.rows("UPDATE audit_events SET actor = 'x' WHERE seq = 2 AND session_id = :s", s=name)
    for fields in ({}, {"session_id": name}):
        assert (await anne.post("/console/audit/verify", fields)).has(
            f"Broken chain in session {name}, row 2"
        )


async def test_a_long_verification_shows_how_far_it_has_come(
    serve_console: ServeConsole, person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve_console()
    for number in range(25):
        await client.rows(
            "INSERT INTO sessions (id, key_hash, channel, account, principal, label, locale, epoch, next_seq, "
            "open_turns, facts, audit_seq, audit_head, token_tries, created_at) VALUES (:i, :i, 'web', 'web', 'p', "
            "'l', 'es', 0, 1, 0, '{}', 0, '', 0, '2026-01-01 00:00:00.000000')",
            i=f"0{number:02}",
        )
    monkeypatch.setattr("llm_planner.console.trail.SOME_S", 1e-9)
    anne = await person(client, "anne", "operator")
    page = await anne.post("/console/audit/verify")
    assert page.has("20 chains verified, going on…")
    fields = {"after": page.value("after"), "done": page.value("done")}
    monkeypatch.setattr("llm_planner.console.trail.SOME_S", 5.0)
    assert (await anne.post("/console/audit/verify", fields)).has("26 chains verified: intact.")


async def test_the_audit_is_exported_as_json_lines(serve_console: ServeConsole, person: People) -> None:
    client = await serve_console()
    await client.say("hola")
    anne = await person(client, "anne", "operator")
    page = await anne.post("/console/audit/export", {"kind": "received"})
    (line,) = page.text.splitlines()
    assert json.loads(line)["kind"] == "received"
    assert (await client.rows("SELECT actor FROM audit_events WHERE kind = 'audit_exported'"))[
        0
    ].actor == "anne"


async def test_the_catalogue_shows_tools_and_prompts_and_tries_reads_only(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    vera, anne = await person(client, "vera", "viewer"), await person(client, "anne", "operator")
    page = await vera.get("/console/tools")
    assert page.has("Echo", "reads only", "Refund", "writes: asks first", "planner.md", "answerer.md")
    assert len(re.findall(r'class="hash">[0-9a-f]{64}', page.text)) == page.text.count(".md</h3>")
    assert (await vera.get("/console/tools/refund")).has("billing", "maxLength")
    assert (await vera.post("/console/tools/echo/try", {"arg:text": "x"})).status == 403
    tried = await anne.post("/console/tools/echo/try", {"arg:text": "<script>x</script>"})
    assert tried.has("ok", '"length": 18')
    assert "<script>x" not in tried.text
    Ledger.calls.clear()
    assert (await anne.post("/console/tools/ledger_add/try", {"arg:what": "x"})).status == 409
    assert Ledger.calls == []
    assert (await anne.post("/console/tools/nothing/try")).status == 404
    (event,) = await client.rows("SELECT actor, payload FROM audit_events WHERE kind = 'tool_tried'")
    assert (event.actor, json.loads(event.payload)["tool"]) == ("anne", "echo")


async def test_the_health_page_shows_what_the_rows_say(serve_console: ServeConsole, person: People) -> None:
    client = await serve_console(model=ScriptedModel([plan(("ledger_add", {"what": "a"})), plan(reply="x")]))
    await client.say("do it")
    await client.say("hola", session="b")
    await client.say("hola", session="c")
    await client.rows("UPDATE model_calls SET input_tokens = 100, output_tokens = 20, ms = 40")
    vera = await person(client, "vera", "viewer")
    for path in ("/console/health", "/console/health/live"):
        page = await vera.get(path)
        assert page.has("p50 40 ms", "web:web: 3 / 20000", "scripted/script", "model_unavailable: 1")
        assert "3 messages in the last 24 hours" in page.text
        assert "360 tokens in 14 days" in page.text


def test_every_text_is_there_in_three_languages_with_the_same_values() -> None:
    for key, said in CATALOGUE.items():
        assert len(said) == 3, key
        assert all(text.strip() for text in said), key
        assert len({frozenset(re.findall(r"\{(\w+)\}", text)) for text in said}) == 1, key


def test_every_text_that_a_page_names_exists_and_none_is_left_over() -> None:
    folder = ROOT / "llm_planner" / "console"
    source = "\n".join(
        path.read_text("utf-8") for path in [*folder.glob("*.py"), *folder.glob("templates/*.html")]
    )
    begun = tuple(re.findall(r"""["']([a-z.]+\.)["'] ~|f["']([a-z.]+\.)\{""", source))
    prefixes = tuple(one or other for one, other in begun)
    named = set(re.findall(r"""\b(?:t|text)\(\s*["']([a-z_.]+[a-z_])["'][,)]""", source))
    assert named <= set(CATALOGUE), named - set(CATALOGUE)
    quoted = set(re.findall(r"""["']([a-z_.]+)["']""", source))
    assert [key for key in CATALOGUE if key not in quoted and not key.startswith(prefixes)] == []


def test_every_route_stands_once_and_all_but_the_entrance_need_a_role() -> None:
    assert all(door.least > Role.ANYONE for door in DOORS if door.name.partition(".")[0] != "entrance")
    assert len({(door.method, door.path) for door in DOORS}) == len(DOORS)


def test_a_step_stands_behind_the_one_it_waits_for_in_whatever_order_they_are_listed() -> None:
    def node(name: str, *after: str) -> Node:
        return Node(name, f"<{name}>", "ok", "ok", frozenset(after))

    found = waves([node("c", "b"), node("b", "a"), node("a"), node("d")])
    assert [[one.id for one in wave] for wave in found] == [["a", "d"], ["b"], ["c"]]
    drawn = plan_graph([node("a"), node("b", "a")], 'a "plan"')
    assert drawn.count('class="edge"') == 1
    assert "<a>" not in drawn
    assert 'aria-label="a &quot;plan&quot;"' in drawn
