"""Rule 15 and the keys of rule 9: a session id is a label inside channel, account and principal."""

import asyncio
import json
import uuid
from typing import Any

from .harness import INTERNAL_KEY
from .tools import Echo, Ledger, plan
from .turn_kit import always, effects, ledger, parked, states, token, with_ledger

Serve = Any
TOOLS = [Ledger, Echo]
KEY = {"x-api-key": INTERNAL_KEY}


def echoing(request: Any) -> str:
    return plan(reply=request.messages[-1].content.rsplit("\n", 1)[-1])


async def test_strangers_may_use_the_same_message_id(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing))
    hers = await client.say("hers", session="hers", message_id="m1")
    his = await client.say("his", session="his", message_id="m1")
    assert (hers["duplicate"], his["duplicate"]) == (False, False)
    assert (hers["reply"], his["reply"]) == ("hers", "his")
    replayed = await client.say("hers", session="his2", message_id="m1")
    assert not replayed["duplicate"]
    assert replayed["turn_id"] != hers["turn_id"]


async def test_the_same_label_on_two_channels_is_two_sessions(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger())))
    web = await parked(client, "x", message_id="m1")
    status, wa = await client.post(
        "/wa/agent", {"message": "please", "session_id": "x", "message_id": "m1"}, KEY
    )
    assert (status, wa["duplicate"]) == (200, False)
    assert wa["turn_id"] != web["turn_id"]
    _, refused = await client.post("/wa/agent", {"message": f"confirm {token(web)}", "session_id": "x"}, KEY)
    assert refused["code"] == "token_unknown"
    assert (await client.say("cancel", session="x"))["status"] == "cancelled"
    assert sorted(await states(client)) == ["cancelled", "pending"]
    rows = await client.rows("SELECT channel, label FROM sessions ORDER BY channel")
    assert [tuple(row) for row in rows] == [("wa", "x"), ("web", "x")]


async def test_users_behind_one_key_do_not_share_a_session(serve: Serve) -> None:
    keys = "shop:key-of-the-shop-0123,bank:key-of-the-bank-0123"
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger()), internal_api_key=keys))
    shop = {"x-api-key": "key-of-the-shop-0123"}
    said = {"message": "please", "session_id": "x", "message_id": "m1"}
    answers = [
        await client.post("/wa/agent", {**said, "user": "ana"}, shop),
        await client.post("/wa/agent", {**said, "user": "eva"}, shop),
        await client.post("/wa/agent", {**said, "user": "ana"}, {"x-api-key": "key-of-the-bank-0123"}),
    ]
    assert [turn["duplicate"] for _, turn in answers] == [False] * 3
    assert len(await client.rows("SELECT * FROM sessions")) == 3
    confirm = {"message": f"confirm {answers[0][1]['confirmations'][0]['token']}", "session_id": "x"}
    assert (await client.post("/wa/agent", {**confirm, "user": "eva"}, shop))[1]["code"] == "token_unknown"
    assert (await client.post("/wa/agent", {**confirm, "user": "ana"}, shop))[1]["status"] == "executed"
    assert len(await effects(client)) == 1


async def test_a_minted_session_is_found_again_by_its_message_id(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing))
    first, name = await client.say("hello", session=None), str(uuid.uuid4())
    one = await client.say("hello", session=None, message_id=name)
    again = await client.say("hello", session=None, message_id=name)
    assert (one["duplicate"], again["duplicate"]) == (False, True)
    assert one["session_id"] == again["session_id"] != first["session_id"]
    assert one["turn_id"] == again["turn_id"]
    at_once = str(uuid.uuid4())
    turns = await asyncio.gather(*(client.say("hi", session=None, message_id=at_once) for _ in range(10)))
    assert len({turn["turn_id"] for turn in turns}) == 1
    assert sum(not turn["duplicate"] for turn in turns) == 1
    status, problem = await client.post("/agent", {"message": "hello", "message_id": "guessable"})
    assert (status, problem["code"]) == (422, "invalid_request")


async def test_a_guessed_session_token_is_a_404_and_makes_no_session(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing), web_auth="token")
    minted = await client.say("hello", session=None)
    label = minted["session_id"]
    assert (await client.say("again", session=label))["session_id"] == label
    for guess in ("demo", label[:-1] + ("A" if label[-1] != "A" else "B"), label.lower(), "st_" + "A" * 43):
        status, problem = await client.post("/agent", {"message": "hello", "session_id": guess})
        assert (status, problem["code"]) == (404, "session_not_found")
    assert len(await client.rows("SELECT * FROM sessions")) == 1
    for table in ("sessions", "turns", "messages", "audit_events", "dedupe_messages"):
        assert label not in str([list(row) for row in await client.rows(f"SELECT * FROM {table}")]), table


async def test_sessions_made_at_the_same_instant_are_one(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing))
    turns = await asyncio.gather(*(client.say(f"n{number}", session="new") for number in range(10)))
    assert sorted(turn["reply"] for turn in turns) == sorted(f"n{number}" for number in range(10))
    assert len(await client.rows("SELECT * FROM sessions")) == 1


async def test_labels_and_message_ids_are_compared_byte_by_byte(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing))
    for label, name in (("demo", "m"), ("DEMO", "m"), ("demo", "M")):
        turn = await client.say(f"{label}{name}", session=label, message_id=name)
        assert not turn["duplicate"]
    assert len(await client.rows("SELECT * FROM sessions")) == 2


async def test_facts_of_a_session_stay_in_it(serve: Serve) -> None:
    class Remember(Echo):
        name = "remember"

        async def run(self, args: Any, ctx: Any) -> dict[str, object]:
            ctx.facts["known"] = args.text
            return {"facts": dict(ctx.facts)}

    client = await serve(tools=[Remember], model=always(plan(("remember", {"text": "x"}))))
    await client.say("hello", session="hers")
    facts = {
        row.label: json.loads(row.facts) for row in await client.rows("SELECT label, facts FROM sessions")
    }
    assert facts["hers"]["known"]["value"] == "x"
    assert set(facts["hers"]["known"]) == {"value", "tool", "turn", "at"}
    await client.say("hello", session="his")
    seen = [request.messages[-1].content for request in client.parts.model.requests]
    assert '"known"' not in seen[1]
