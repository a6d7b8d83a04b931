"""Backpressure: what a process works on at once is bounded and fair; above it nothing that was said is lost."""

import asyncio
import itertools
import json
import time
from typing import Any

from llm_planner.clock import SystemClock
from llm_planner.engine import EmbeddedEngine
from llm_planner.llm.base import ChatReply, ChatRequest
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.storage.database import now
from llm_planner.storage.repositories import sessions

from .harness import operator
from .providers.kit import SECRET, mac
from .tools import Echo, plan
from .turn_kit import always, eventually, message, there_are

Serve = Any


class Queue:
    """Handlers whose sessions have so many turns each; notes the order in which they ran."""

    def __init__(self, turns: dict[str, int]) -> None:
        self.left = turns
        self.ran: list[str] = []
        self.at_once = self.most = 0

    async def run_next(self, session_id: str, claimed: Any) -> bool:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.ran.append(session_id)
        self.left[session_id] -= 1
        self.at_once -= 1
        return self.left[session_id] > 0

    async def renew(self) -> None:
        await asyncio.sleep(0)

    async def posted(self) -> frozenset[str]:
        await asyncio.Event().wait()
        return frozenset()


async def test_a_session_with_many_turns_does_not_hold_up_the_others() -> None:
    engine, handlers = EmbeddedEngine(SystemClock(), 60, 60, 2), Queue({"a": 20, "b": 1, "c": 2, "d": 1})
    await engine.start(handlers, background=False)  # type: ignore[arg-type]
    for name in handlers.left:
        engine.notify(name)
    assert engine.load.sessions == 4
    assert engine.load.full
    while engine.load.sessions:  # noqa: ASYNC110 - what is waited for happens in the engine
        await asyncio.sleep(0)
    await engine.drain(1)
    assert handlers.most == 2
    assert sorted(handlers.ran[:8]) == ["a", "a", "a", "a", "b", "c", "c", "d"]
    assert handlers.left == dict.fromkeys("abcd", 0)


class Patient(ScriptedModel):
    """A model that thinks until it is told to go on."""

    def __init__(self) -> None:
        super().__init__(itertools.repeat(plan(reply="done")))
        self.go = asyncio.Event()

    async def complete(self, request: ChatRequest) -> ChatReply:
        async with asyncio.timeout(10):
            await self.go.wait()
        return await super().complete(request)


async def full(serve: Serve) -> tuple[Any, Any, asyncio.Event]:
    """A server with one place, and a turn that keeps it until the event is set."""
    model = Patient()
    client = await serve(tools=[Echo], model=model, turn_slots=1, provider_hmac_secret=SECRET)
    first = asyncio.create_task(client.say("hello", session="first", message_id="m1"))
    await eventually(lambda: there_are(client, 1, "SELECT id FROM turns WHERE state = 'running'"))
    return client, first, model.go


async def test_above_the_bound_a_caller_that_waits_is_told_to_come_back_and_nothing_is_stored(
    serve: Serve,
) -> None:
    client, first, go = await full(serve)
    body = {"message": "me too", "session_id": "second", "message_id": "m1"}
    async with client.http.post(client.url + "/agent", json=body) as answer:
        assert (answer.status, answer.content_type) == (503, "application/problem+json")
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await answer.json(content_type=None))["code"] == "overloaded"
    for table in ("sessions", "turns", "dedupe_messages"):
        assert len(await client.rows(f"SELECT * FROM {table}")) == 1, table
    async with client.http.get(client.url + "/metrics", headers=operator("viewer")) as answer:
        lines = (await answer.text()).splitlines()
    for line in ("sessions_in_flight 1", "turn_slots 1", "messages_refused_total 1"):
        assert f"llm_planner_{line}" in lines
    repeated = asyncio.create_task(client.say("hello", session="first", message_id="m1"))
    go.set()
    assert [(await first)["duplicate"], (await repeated)["duplicate"]] == [False, True]
    assert (await client.say("me too", session="second", message_id="m1"))["reply"] == "done"


async def test_above_the_bound_a_webhook_is_stored_and_handled_later(serve: Serve) -> None:
    client, first, go = await full(serve)
    body = json.dumps({"message_id": "m1", "from": "+598", "text": "hello"}).encode()
    stamp = str(int(time.time()))
    headers = {
        "X-Provider-Timestamp": stamp,
        "X-Provider-Signature": f"sha256={mac(stamp.encode() + b'.' + body).hex()}",
        "Content-Type": "application/json",
    }
    async with client.http.post(client.url + "/provider/inbound", data=body, headers=headers) as answer:
        assert answer.status == 202
    assert [row.state for row in await client.rows("SELECT state FROM turns ORDER BY id")] == [
        "running",
        "queued",
    ]
    go.set()
    await first
    await eventually(lambda: there_are(client, 2, "SELECT id FROM turns WHERE state = 'answered'"))


async def test_the_sweep_brings_first_who_waits_longest(serve: Serve) -> None:
    client = await serve(tools=[Echo], model=always(plan(reply="done")), workers_inline=False)
    for label, number in (("old", 3), ("middle", 1), ("new", 1)):
        for count in range(number):
            await client.parts.inbox.accept(message(label, f"m{count}", "x"), take=False)
    found = await client.parts.database.read(lambda conn: sessions.waiting(conn, now(conn), 2))
    named = {row.id: row.label for row in await client.rows("SELECT id, label FROM sessions")}
    assert [named[name] for name in found] == ["old", "middle"]
