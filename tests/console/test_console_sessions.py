"""The sessions: finding one, a person's conversation, answering in the agent's place, exporting, erasing."""

import json
from typing import Any

from llm_planner.llm.scripted import ScriptedModel
from llm_planner.storage.repositories import audit, sessions

from ..harness import INTERNAL_KEY, Client
from ..tools import plan
from .conftest import Page, People, Person, ServeConsole


async def wa(client: Client, text: str, user: str = "+59899000111") -> dict[str, Any]:
    status, data = await client.post(
        "/wa/agent", {"message": text, "user": user, "session_id": "wa"}, {"x-api-key": INTERNAL_KEY}
    )
    assert status == 200, data
    found: dict[str, Any] = data
    return found


async def session_of(client: Client, principal: str) -> str:
    found: str = (await client.rows("SELECT id FROM sessions WHERE principal = :p", p=principal))[0].id
    return found


async def intact(client: Client, session_id: str) -> bool:
    def verified(conn: Any) -> Any:
        row = sessions.by_id(conn, session_id)
        assert row is not None
        return client.parts.audit.verify(audit.chain(conn, session_id), (row.audit_seq, row.audit_head))

    return await client.parts.database.read(verified) is None


async def test_a_session_is_found_by_person_label_or_id(serve_console: ServeConsole, person: People) -> None:
    client = await serve_console()
    await client.say("hola", session="demo")
    data = await wa(client, "hola")
    vera = await person(client, "vera", "viewer")
    for wanted, shown in (("dem", "anon:demo"), ("anon:d", "anon:demo"), ("+5989", "backend/+59899000111")):
        page = await vera.get("/console/sessions?" + f"q={wanted.replace('+', '%2B')}")
        assert page.has(shown), wanted
    assert (await vera.get("/console/sessions?q=wa")).has("backend/+59899000111")
    assert (await vera.get("/console/sessions?q=nobody%00%25_")).has("There is nothing here.")
    name = await session_of(client, "anon:demo")
    assert (await vera.get(f"/console/sessions?q={name}")).path == f"/console/sessions/{name}"
    assert (
        await vera.get(f"/console/sessions?q={data['turn_id']}")
    ).path == f"/console/turns/{data['turn_id']}"


async def test_lists_of_sessions_are_paged_by_key(
    serve_console: ServeConsole, person: People, monkeypatch: Any
) -> None:
    monkeypatch.setattr("llm_planner.console.sessions.PAGE", 2)
    client = await serve_console()
    for number in range(5):
        await client.say("hola", session=f"s{number}")
    vera = await person(client, "vera", "viewer")
    for start in ("/console/sessions", "/console/sessions?q=s"):
        page, seen = await vera.get(start), list[str]()
        while True:
            seen += [f"anon:s{n}" for n in range(5) if page.has(f"anon:s{n}")]
            following = page.link("after=")
            if following is None:
                break
            page = await vera.get(following)
        assert sorted(seen) == [f"anon:s{n}" for n in range(5)]
    assert (await vera.get("/console/sessions?q=s&after=x")).status == 422


async def test_a_conversation_shows_what_was_said_and_no_live_token(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(model=ScriptedModel([plan(("ledger_add", {"what": "a"}))]))
    data = await client.say("do it")
    vera = await person(client, "vera", "viewer")
    page = await vera.get(f"/console/sessions/{await session_of(client, 'anon:demo')}")
    assert page.has("do it", "████████", "needs confirmation")
    turn = await vera.get(f"/console/turns/{data['turn_id']}")
    assert turn.has("Add to the ledger", "proposed by the plan", "confirmation_requested", "Exact prompt")
    token = data["confirmations"][0]["token"]
    assert token not in page.text + turn.text
    assert "<svg" in turn.text


async def test_the_exact_prompt_of_a_call_can_be_looked_up_redacted(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(
        model=ScriptedModel([plan(("ledger_add", {"what": "a"})), plan(reply="hola")])
    )
    token = (await client.say("do it"))["confirmations"][0]["token"]
    data = await client.say(f"my code is {token}, thanks")
    vera = await person(client, "vera", "viewer")
    page = await vera.get(f"/console/turns/{data['turn_id']}")
    assert page.has("my code is ████", "script", "system")
    assert token not in page.text
    assert len(await client.rows("SELECT * FROM prompt_texts")) == 1
    assert len(await client.rows("SELECT * FROM model_prompts")) == 2


async def test_all_sessions_of_one_person_are_one_conversation(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    for label in ("a", "b"):
        body = {"message": f"hola {label}", "user": "u", "session_id": label}
        await client.post("/wa/agent", body, {"x-api-key": INTERNAL_KEY})
    vera = await person(client, "vera", "viewer")
    name = await session_of(client, "backend/u")
    assert not (await vera.get(f"/console/sessions/{name}")).has("hola a", "hola b")
    assert (await vera.get(f"/console/sessions/{name}?all=1")).has("hola a", "hola b")


async def taken(client: Client, person: People, name: str) -> tuple[Person, Page]:
    anne = await person(client, "anne", "operator")
    page = await anne.post(f"/console/sessions/{name}/take", {"seen": ""})
    assert page.has("You answer now.")
    return anne, page


async def test_the_agent_is_quiet_while_a_person_answers(serve_console: ServeConsole, person: People) -> None:
    model = ScriptedModel([plan(reply="first"), plan(reply="again")])
    client = await serve_console(model=model)
    assert (await client.say("hola"))["reply"] == "first"
    name = await session_of(client, "anon:demo")
    anne, page = await taken(client, person, name)
    data = await client.say("are you there?", locale="en")
    assert (data["status"], data["code"]) == ("answered", "handed_over")
    assert data["reply"] == "A person has taken over this conversation and will answer here."
    assert len(model.requests) == 1
    page = await anne.get(f"/console/sessions/{name}")
    page = await anne.post(
        f"/console/sessions/{name}/say", {"words": "I am Anne", "once": page.value("once")}
    )
    assert page.has("Sent.", "Operator anne:", "I am Anne")
    assert (await client.say("good", locale="en"))["reply"] == "I am Anne"
    assert (await client.say("and?", locale="en"))["reply"].startswith("A person has taken over")
    assert (await anne.post(f"/console/sessions/{name}/give-back", {"seen": "anne"})).has(
        "The agent answers again."
    )
    assert (await client.say("hola"))["reply"] == "again"
    lines = [message.content for message in model.requests[1].messages]
    assert "I am Anne" in lines
    kinds = [
        row.kind
        for row in await client.rows("SELECT kind FROM audit_events WHERE actor = 'anne' ORDER BY seq")
    ]
    assert [kind for kind in kinds if kind != "logged_in"] == [
        "session_taken",
        "operator_said",
        "session_given_back",
    ]
    assert await intact(client, name)


async def test_a_write_is_still_its_owners_while_a_person_answers(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(model=ScriptedModel([plan(("ledger_add", {"what": "a"}))]))
    token = (await client.say("do it"))["confirmations"][0]["token"]
    await taken(client, person, await session_of(client, "anon:demo"))
    assert (await client.say(f"confirm {token}"))["status"] == "executed"


async def test_only_who_took_it_writes_and_a_form_sent_twice_is_one_message(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    await client.say("hola")
    name = await session_of(client, "anon:demo")
    bob = await person(client, "bob", "operator")
    assert (await bob.post(f"/console/sessions/{name}/say", {"words": "hi"})).status == 409
    anne, _ = await taken(client, person, name)
    assert (await bob.post(f"/console/sessions/{name}/take", {"seen": ""})).status == 409
    assert (await anne.post(f"/console/sessions/{name}/say", {"words": " "})).status == 422
    for _ in range(2):
        await anne.post(f"/console/sessions/{name}/say", {"words": "hi", "once": "x1"})
    assert len(await client.rows("SELECT * FROM messages WHERE role = 'operator'")) == 1


async def test_what_an_operator_writes_can_not_look_like_a_card(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    await client.say("hola")
    name = await session_of(client, "anon:demo")
    anne, _ = await taken(client, person, name)
    await anne.post(f"/console/sessions/{name}/say", {"words": "▣ confirm ABCD1234 <b>now</b>"})
    reply = (await client.say("yes?"))["reply"]
    assert "▣" not in reply
    assert "ABCD1234" not in reply


async def test_a_persons_data_is_exported_whole_without_tokens(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(model=ScriptedModel([plan(("ledger_add", {"what": "a"}))]))
    token = (await client.say("do it"))["confirmations"][0]["token"]
    anne = await person(client, "anne", "operator")
    page = await anne.post(f"/console/sessions/{await session_of(client, 'anon:demo')}/export")
    assert "attachment" in page.headers["content-disposition"]
    (session,) = json.loads(page.text)["sessions"]
    assert session["session"]["principal"] == "anon:demo"
    assert [
        len(session[part]) for part in ("turns", "messages", "confirmations", "model_calls", "prompts")
    ] == [1, 2, 1, 1, 1]
    assert "do it" in page.text
    assert token not in page.text
    assert (await client.rows("SELECT actor FROM audit_events WHERE kind = 'person_exported'"))[
        0
    ].actor == "anne"


async def test_erasing_leaves_no_word_of_a_person_and_a_chain_that_verifies(
    serve_console: ServeConsole, person: People
) -> None:
    model = ScriptedModel(
        [plan(("ledger_add", {"what": "secret-a"})), plan(reply="secret-b"), plan(reply="hola")]
    )
    client = await serve_console(model=model)
    await wa(client, "do secret-c")
    await wa(client, "secret-d")
    name = await session_of(client, "backend/+59899000111")
    admin = await person(client, "ada", "admin")
    path = f"/console/sessions/{name}/erase"
    assert (await admin.post(path, {"sure": "somebody else"})).status == 422
    assert (await admin.post(path, {"sure": "backend/+59899000111"})).has("Erased.")
    for table in (
        "sessions",
        "turns",
        "messages",
        "pending_confirmations",
        "model_prompts",
        "outbox",
        "audit_events",
        "dedupe_messages",
        "usage_counters",
    ):
        rows = str([tuple(row) for row in await client.rows(f"SELECT * FROM {table}")])
        assert "secret-" not in rows, table
        assert "+59899000111" not in rows, table
    assert await intact(client, name)
    assert (await client.rows("SELECT state FROM pending_confirmations"))[0].state == "cancelled"
    assert (await admin.get(f"/console/sessions/{name}")).has("erased:")
    await wa(client, "hola")
    assert len(await client.rows("SELECT * FROM sessions WHERE channel = 'wa'")) == 2


async def test_nobody_is_erased_while_a_write_of_theirs_is_in_doubt(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console(model=ScriptedModel([plan(("ledger_add", {"what": "raise"}))]))
    token = (await client.say("do it"))["confirmations"][0]["token"]
    await client.say(f"confirm {token}")
    admin = await person(client, "ada", "admin")
    page = await admin.post(
        f"/console/sessions/{await session_of(client, 'anon:demo')}/erase", {"sure": "anon:demo"}
    )
    assert page.status == 409
    assert len(await client.rows("SELECT * FROM messages")) == 4


async def test_operators_do_not_erase_and_viewers_do_not_hand_over(
    serve_console: ServeConsole, person: People
) -> None:
    client = await serve_console()
    await client.say("hola")
    name = await session_of(client, "anon:demo")
    anne, vera = await person(client, "anne", "approver"), await person(client, "vera", "viewer")
    assert (await anne.post(f"/console/sessions/{name}/erase", {"sure": "anon:demo"})).status == 403
    for what in ("take", "give-back", "say", "export"):
        assert (await vera.post(f"/console/sessions/{name}/{what}", {"words": "x", "seen": ""})).status == 403
