"""DEBOUNCE_MS: a burst of chat messages is one turn, and nothing of it is lost, doubled or out of order."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_planner.errors import Conflict
from llm_planner.llm.base import ChatRequest
from llm_planner.messages import Decision, InboundMessage, Route, SessionKey
from llm_planner.turn.joining import LONGEST, MOST_WINDOWS, Joining
from llm_planner.turn.verbs import parse

from .providers.kit import SECRET, mac
from .tools import Echo, plan
from .turn_kit import always, eventually, move_back, there_are

Serve = Any
KEY = SessionKey("generic", "", "+598", "")
ROUTE = Route("+598")


def chat(message_id: str, text: str, **more: Any) -> InboundMessage:
    """One message of a webhook's user."""
    return InboundMessage(KEY, message_id, text, "en", **{"route": ROUTE, "chat": True, **more})


async def served(serve: Serve, **more: Any) -> Any:
    """A server whose bursts last until the test says so."""
    asked: list[str] = []

    def answer(request: ChatRequest) -> str:
        asked.append(request.messages[-1].content)
        return plan(reply="fine")

    settings = {"debounce_ms": 60000, "workers_inline": False, "provider_hmac_secret": SECRET, **more}
    client = await serve(tools=[Echo], model=always(answer), **settings)
    client.asked = asked
    return client


async def accept(client: Any, *messages: InboundMessage) -> list[Any]:
    return [await client.parts.inbox.accept(item, take=False) for item in messages]


async def texts(client: Any) -> list[str]:
    found = await client.rows("SELECT inbound FROM turns ORDER BY seq")
    return [json.loads(row.inbound)["text"] for row in found]


async def over(client: Any) -> None:
    """The burst is over, and everything is worked on."""
    await move_back(client, "sessions", "hold_until")
    session = (await client.rows("SELECT id FROM sessions"))[0].id
    while await client.parts.worker.run_next(session, None):
        pass


@pytest.mark.covers("rule.9")
async def test_a_burst_is_one_turn_whose_messages_are_each_known_again(serve: Serve) -> None:
    client = await served(serve)
    burst = [chat("m1", "hi"), chat("m2", "one question"), chat("m3", "where is A-17?")]
    first, *others = await accept(client, *burst)
    assert {item.turn_id for item in others} == {first.turn_id}
    assert not any(item.duplicate for item in (first, *others))
    assert await texts(client) == ["hi\none question\nwhere is A-17?"]
    again = await accept(client, *burst)
    assert [(item.duplicate, item.turn_id) for item in again] == [(True, first.turn_id)] * 3
    with pytest.raises(Conflict):
        await accept(client, chat("m2", "other words"))
    await over(client)
    assert len(client.asked) == 1
    assert client.asked[0].endswith("hi\none question\nwhere is A-17?")
    assert [row.state for row in await client.rows("SELECT state FROM turns")] == ["answered"]
    assert len(await client.rows("SELECT * FROM outbox")) == 1
    event = (await client.rows("SELECT payload FROM audit_events WHERE kind = 'received'"))[0]
    assert json.loads(event.payload)["joined"] == ["m2", "m3"]
    assert [(item.duplicate, item.turn_id) for item in await accept(client, *burst)] == [
        (True, first.turn_id)
    ] * 3


DECISION = Decision("none", "reject", "anne", ("operator",))
APART = [
    chat("m2", "cancel"), chat("m2", "confirm K7QF2M9X"), chat("m2", "pending"), chat("m2", "yes", chat=False),
    chat("m2", "passed on", verbs=False), chat("m2", "in a thread", route=Route("+598", "t1")),
    chat("m2", "", decision=DECISION, chat=False), chat("m2", "x" * LONGEST),
]  # fmt: skip


@pytest.mark.parametrize("other", APART, ids=range(len(APART)))
async def test_what_is_no_chat_like_the_one_before_is_a_turn_of_its_own_and_keeps_its_place(
    serve: Serve, other: InboundMessage
) -> None:
    client = await served(serve)
    await accept(client, chat("m1", "before"), other, chat("m3", "after"))
    assert await texts(client) == ["before", other.text, "after"]
    found = await client.rows("SELECT message_id FROM turns ORDER BY seq")
    assert [row.message_id for row in found] == ["m1", "m2", "m3"]


async def test_a_verb_ends_the_wait_of_the_burst_before_it(serve: Serve) -> None:
    client = await served(serve)
    (first,) = await accept(client, chat("m1", "hi"))
    assert first.wait_s > 0
    assert await client.parts.inbox.claim(first.session_id) is None
    (verb,) = await accept(client, chat("m2", "pending"))
    assert verb.wait_s == 0
    claimed = await client.parts.inbox.claim(first.session_id)
    assert claimed.turn.message_id == "m1"


async def test_messages_that_come_at_once_are_all_in_the_one_turn(serve: Serve) -> None:
    client = await served(serve)
    await accept(client, chat("m0", "line 0"))
    burst = [chat(f"m{number}", f"line {number}") for number in range(1, 9)]
    found = await asyncio.gather(*(client.parts.inbox.accept(item, take=False) for item in burst * 2))
    assert len({item.turn_id for item in found}) == 1
    assert sorted(item.duplicate for item in found) == [False] * 8 + [True] * 8
    (text,) = await texts(client)
    assert sorted(text.split("\n")) == [f"line {number}" for number in range(9)]
    assert text.startswith("line 0\n")


async def test_a_turn_that_was_begun_is_not_joined(serve: Serve) -> None:
    client = await served(serve)
    (first,) = await accept(client, chat("m1", "hi"))
    await move_back(client, "sessions", "hold_until")
    claimed = await client.parts.inbox.claim(first.session_id)
    await accept(client, chat("m2", "and"), chat("m3", "more"))
    assert await texts(client) == ["hi", "and\nmore"]
    await client.parts.worker.run_next(first.session_id, claimed)
    assert [row.state for row in await client.rows("SELECT state FROM turns ORDER BY seq")] == [
        "answered",
        "queued",
    ]


async def test_a_burst_whose_process_died_is_found_by_the_sweep_when_its_time_is_over(serve: Serve) -> None:
    client = await served(serve)
    (first, _) = await accept(client, chat("m1", "hi"), chat("m2", "there"))
    assert await client.parts.worker.waiting() == []
    await move_back(client, "sessions", "hold_until")
    assert await client.parts.worker.waiting() == [first.session_id]


async def test_who_waits_for_the_answer_is_never_held_back(serve: Serve) -> None:
    client = await served(serve)
    async with asyncio.timeout(10):
        await asyncio.gather(client.say("one"), client.say("two"))
    assert len(await client.rows("SELECT * FROM turns WHERE state = 'answered'")) == 2


async def test_two_webhooks_in_a_row_get_one_answer_when_the_window_is_over(serve: Serve) -> None:
    client = await served(serve, debounce_ms=300)
    for message_id, text in (("m1", "hi"), ("m2", "there")):
        body = json.dumps({"message_id": message_id, "from": "+598", "text": text}).encode()
        stamp = str(int(time.time()))
        headers = {
            "X-Provider-Timestamp": stamp,
            "X-Provider-Signature": f"sha256={mac(stamp.encode() + b'.' + body).hex()}",
            "Content-Type": "application/json",
        }
        async with client.http.post(client.url + "/provider/inbound", data=body, headers=headers) as answer:
            assert answer.status == 202
    await eventually(lambda: there_are(client, 1, "SELECT id FROM turns WHERE state = 'answered'"))
    assert await texts(client) == ["hi\nthere"]


def test_whoever_writes_on_and_on_is_answered_all_the_same() -> None:
    joining, first = Joining(timedelta(seconds=1)), datetime(2026, 11, 26, tzinfo=UTC)
    assert joining.until(first, first) == first + timedelta(seconds=1)
    late = first + timedelta(seconds=60)
    assert joining.until(first, late) == first + timedelta(seconds=MOST_WINDOWS)


WORDS = st.sampled_from(
    ["cancel", "confirm", "pending", "K7QF2M9X", "hola", "-", "\u200b", "“", "K7QF", "2M9X"]
)


@given(st.lists(WORDS, min_size=1, max_size=3), st.lists(WORDS, min_size=1, max_size=3))
def test_joining_never_makes_a_verb(first: list[str], second: list[str]) -> None:
    joining = Joining(timedelta(seconds=1))
    one, two = chat("m1", " ".join(first)), chat("m2", " ".join(second))
    if joining.may(one) and joining.may(two):
        whole = joining.joined(_queued(), one, two)
        assert whole is None or parse(whole.text) is None


def _queued() -> Any:
    class Turn:
        state = "queued"

    return Turn()
