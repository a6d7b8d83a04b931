"""A turn over server-sent events: AG-UI in its order, the turn of the contract at its end, and whoever goes away
finds the finished turn under the same message id."""

import asyncio
import itertools
import json
from typing import Any

import pytest

from llm_planner import ToolContext
from llm_planner.api import turns
from llm_planner.api.auth import Doorkeeper
from llm_planner.api.feed import Patience, Sources
from llm_planner.api.limits import RateLimits
from llm_planner.api.machine_keys import MachineKeys
from llm_planner.errors import DatabaseUnavailable
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.worker import Waiters

from ..agui import STREAM, Listening, listening, streamed
from ..harness import INTERNAL_KEY, Client
from ..tools import Echo, EchoInput, Ledger, plan
from ..turn_kit import always, effects, ledger, token, with_ledger
from .conftest import ServeSqlite

Serve = Any
HELLO = plan(reply="hola")


class Held(Echo):
    """A read that waits for its gate."""

    name = "held"

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.ran = 0

    async def run(self, args: EchoInput, ctx: ToolContext) -> dict[str, object]:
        self.ran += 1
        await self.gate.wait()
        return await super().run(args, ctx)


class HeldLedger(Ledger):
    """A write that waits for its gate."""

    name = "held_add"
    timeout_s = 20.0

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def run(self, args: Any, ctx: ToolContext) -> dict[str, object]:
        await self.gate.wait()
        return await super().run(args, ctx)


def mounted(client: Client, patience: Patience, waiters: Waiters | None = None) -> str:
    """The doors once more, under the path that is returned: in their own process if they have their own
    waiters, since nothing of the work is heard there then."""
    parts = client.parts
    sources = Sources(parts.engine, waiters or parts.worker.waiters, parts.views)
    doors = turns.Doors(
        turns.Desk(parts.inbox, sources, patience),
        Doorkeeper(parts.settings, parts.keys, None, MachineKeys(parts.database)),
        RateLimits({}),
    )
    client.app.include_router(turns.router(doors), prefix="/other")
    return "/other/agent"


@pytest.mark.covers("http.stream")
async def test_a_turn_streams_its_stages_calls_and_reply_and_ends_with_its_json(serve: Serve) -> None:
    model = ScriptedModel([plan(("echo", {"text": "a"}), ("echo", {"text": "b"}))])
    client = await serve(tools=[Echo], model=model)
    run = await streamed(client, "dos veces", message_id="m1")
    turn = run.turn
    assert run.events[0]["threadId"] == turn["session_id"] == "demo"
    assert run.events[0]["runId"] == turn["turn_id"]
    assert [event["stepName"] for event in run.all_of("STEP_STARTED")] == ["plan", "act", "answer"]
    assert [event["toolCallName"] for event in run.all_of("TOOL_CALL_START")] == ["echo", "echo"]
    assert sorted(run.calls.values()) == ['{"text": "a"}', '{"text": "b"}']
    assert list(run.results.values()) == [step["result"] for step in turn["steps"]]
    assert run.reply == turn["reply"]
    assert run.events[-1]["outcome"] == {"type": "success"}
    assert await client.say("dos veces", message_id="m1") == {**turn, "duplicate": True}


@pytest.mark.covers("http.stream")
async def test_a_parked_write_is_an_interrupt_that_expires_and_its_call_is_answered_in_the_next_run(
    serve: Serve,
) -> None:
    client = await with_ledger(await serve(tools=[Ledger], model=always(ledger())))
    run = await streamed(client, "anotá un té")
    (asked,) = run.turn["confirmations"]
    (call,) = run.calls
    assert run.events[-1]["outcome"] == {
        "type": "interrupt",
        "interrupts": [
            {
                "id": asked["id"], "reason": "tool_call", "message": asked["summary"], "toolCallId": call,
                "expiresAt": asked["expires_at"], "metadata": {"approver": "user"},
            }
        ],
    }  # fmt: skip
    assert json.loads(run.calls[call]) == asked["args"]
    assert f"confirmar {token(run.turn)}" in run.reply
    done = await streamed(client, f"confirm {token(run.turn)}")
    assert done.turn["status"] == "executed"
    assert done.calls == {}
    assert done.results == {call: {"written": "tea", "amount": 1}}
    assert await effects(client) == [("tea", 1)]


async def test_a_token_is_in_nothing_but_the_reply_and_the_turn(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=[Ledger], model=always(ledger())))
    run = await streamed(client, "anotá un té")
    secret = token(run.turn)
    for event in run.events:
        shown = event["type"] in ("RUN_FINISHED", "TEXT_MESSAGE_CONTENT")
        assert (secret in json.dumps(event)) == shown, event
    again = await streamed(client, "anotá otro", session="another")
    assert secret not in json.dumps(again.events)


@pytest.mark.covers("http.stream")
async def test_who_hangs_up_half_way_finds_the_finished_turn_under_the_same_message_id(serve: Serve) -> None:
    held = Held()
    client = await serve(tools=[held], model=always(plan(("held", {"text": "x"}))))
    async with listening(client, "hola", message_id="m1") as stream:
        await stream.until("TOOL_CALL_END")
    held.gate.set()
    turn = await client.say("hola", message_id="m1")
    assert (turn["duplicate"], turn["status"]) == (True, "answered")
    assert turn["steps"][0]["result"]["text"] == "x"
    again = await streamed(client, "hola", message_id="m1")
    assert again.turn == turn
    assert again.reply == turn["reply"]
    assert held.ran == 1
    assert client.parts.worker.waiters._watched == {}


async def test_a_write_goes_on_when_its_listener_hangs_up(serve: Serve) -> None:
    held = HeldLedger()
    client = await with_ledger(await serve(tools=[held], model=always(ledger(tool="held_add"))))
    parked = await client.say("anotá un té")
    async with listening(client, f"confirm {token(parked)}", message_id="m2") as stream:
        await stream.until("STEP_STARTED")
    held.gate.set()
    turn = await client.say(f"confirm {token(parked)}", message_id="m2")
    assert turn["status"] == "executed"
    assert await effects(client) == [("tea", 1)]


async def test_who_comes_back_while_it_runs_hears_it_all(serve: Serve) -> None:
    held = Held()
    client = await serve(tools=[held], model=always(plan(("held", {"text": "x"}))))
    async with listening(client, "hola", message_id="m1") as first:
        await first.until("TOOL_CALL_END")
        async with listening(client, "hola", message_id="m1") as second:
            await second.until("TOOL_CALL_END")
            assert second.run.events == first.run.events
            held.gate.set()
            await asyncio.gather(first.until("RUN_FINISHED"), second.until("RUN_FINISHED"))
    assert second.run.turn == {**first.run.turn, "duplicate": True}
    assert second.run.kinds == first.run.kinds


async def test_a_turn_that_another_process_works_on_is_told_from_its_rows(serve: Serve) -> None:
    held = Held()
    client = await serve(
        tools=[held, Echo], model=always(plan(("held", {"text": "x"}), ("echo", {"text": "y"})))
    )
    path = mounted(client, Patience(), Waiters())
    async with listening(client, "hola", path=path) as stream:
        await stream.until("TOOL_CALL_END")
        held.gate.set()
        run = await stream.until("RUN_FINISHED")
    assert [event["toolCallName"] for event in run.all_of("TOOL_CALL_START")] == ["held", "echo"]
    assert list(run.results.values()) == [step["result"] for step in run.turn["steps"]]
    assert run.reply == run.turn["reply"]


async def test_a_long_silence_is_filled_with_comments(serve_sqlite: ServeSqlite) -> None:
    held = Held()
    client = await serve_sqlite(tools=[held], model=always(plan(("held", {"text": "x"}))))
    path = mounted(client, Patience(silence=0.02))

    async def after_two(stream: Listening) -> None:
        while stream.comments < 2:  # noqa: ASYNC110 - what is waited for comes over the wire
            await asyncio.sleep(0.01)
        held.gate.set()

    async with listening(client, "hola", path=path) as stream:
        await asyncio.gather(after_two(stream), stream.until("RUN_FINISHED"))
    assert stream.run.turn["status"] == "answered"


async def test_who_waited_long_enough_gets_an_error_with_a_code_and_the_turn_goes_on(
    serve_sqlite: ServeSqlite,
) -> None:
    held = Held()
    client = await serve_sqlite(tools=[held], model=always(plan(("held", {"text": "x"}))))
    path = mounted(client, Patience(listener=0.2))
    async with listening(client, "hola", path=path, message_id="m1") as stream:
        run = await stream.until("RUN_ERROR")
    assert (run.events[-1]["code"], "message id" in run.events[-1]["message"]) == ("busy", True)
    held.gate.set()
    assert (await streamed(client, "hola", message_id="m1")).turn["status"] == "answered"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (DatabaseUnavailable("it does not answer"), "database_unavailable"),
        (KeyError("secret"), "internal_error"),
    ],
)
async def test_a_fault_in_the_middle_is_an_error_with_a_code_and_tells_nothing(
    serve_sqlite: ServeSqlite, fault: Exception, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held()
    client = await serve_sqlite(tools=[held], model=always(plan(("held", {"text": "x"}))))
    path = mounted(client, Patience(), Waiters())

    async def broken(*_: Any, **__: Any) -> Any:
        raise fault

    async with listening(client, "hola", path=path) as stream:
        await stream.until("TOOL_CALL_END")
        client.parts.views.turn = broken  # type: ignore[method-assign]
        run = await stream.until("RUN_ERROR")
    assert run.events[-1]["code"] == code
    assert "secret" not in json.dumps(run.events)
    held.gate.set()


@pytest.mark.covers("http.stream")
async def test_what_goes_wrong_before_the_stream_is_a_problem(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(model=always(HELLO), budget_queued_messages=1)
    await client.say("hola", message_id="m1")
    for body, headers, status, code in [
        ({"message": "otra", "session_id": "demo", "message_id": "m1"}, {}, 409, "message_id_conflict"),
        ({"message": ""}, {}, 422, "invalid_request"),
        ({"message": "x", "session_id": "\x7f"}, {}, 422, "invalid_request"),
    ]:
        async with client.http.post(
            client.url + "/agent", json=body, headers={**STREAM, **headers}
        ) as answer:
            assert (answer.status, answer.content_type) == (status, "application/problem+json")
            assert (await answer.json(content_type=None))["code"] == code
    async with client.http.post(client.url + "/wa/agent", json={"message": "x"}, headers=STREAM) as answer:
        assert (answer.status, answer.content_type) == (401, "application/problem+json")


@pytest.mark.covers("http.stream")
async def test_the_relayed_door_streams_too(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(model=always(HELLO))
    run = await streamed(client, "hola", path="/wa/agent", headers={"x-api-key": INTERNAL_KEY})
    assert (run.turn["reply"], run.reply) == ("hola", "hola")


async def test_a_session_that_is_minted_is_named_in_the_first_event(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(model=always(HELLO))
    run = await streamed(client, "hola", session=None)
    assert run.events[0]["threadId"] == run.turn["session_id"]
    assert run.turn["session_id"].startswith("s_")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/event-stream", "text/event-stream"),
        ("application/json, text/event-stream", "text/event-stream"),
        ("TEXT/EVENT-STREAM; q=0.9, */*; q=0.1", "text/event-stream"),
        ("application/json, text/event-stream;q=0.5", "application/json"),
        ("text/event-stream;q=0", "application/json"),
        ("text/event-stream;q=x", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "application/json"),
        ("", "application/json"),
    ],
)
async def test_a_stream_is_only_for_those_who_ask_for_one(
    serve_sqlite: ServeSqlite, accept: str, kind: str
) -> None:
    client = await serve_sqlite(model=always(HELLO))
    body = {"message": "hola", "session_id": "demo"}
    async with client.http.post(client.url + "/agent", json=body, headers={"Accept": accept}) as answer:
        assert (answer.status, answer.content_type) == (200, kind)
        assert answer.headers["cache-control"] == "no-store"
        await answer.read()


async def test_a_slow_listener_holds_nobody_up_and_hears_the_end(serve_sqlite: ServeSqlite) -> None:
    """It reads nothing while more news come than any buffer takes; the turn closes meanwhile."""
    many = plan(*[("echo", {"text": "x" * 4000})] * 16)
    model = ScriptedModel(itertools.repeat(many))
    client = await serve_sqlite(tools=[Echo], model=model, budget_result_bytes=10_000)
    async with listening(client, "hola", message_id="m1") as stream:
        turn = await client.say("hola", message_id="m1")
        assert len(turn["steps"]) == 16
        run = await stream.until("RUN_FINISHED")
    assert {**run.turn, "duplicate": True} == turn
