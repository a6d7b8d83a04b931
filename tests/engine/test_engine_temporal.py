"""What is Temporal's own: it is away and comes back, its histories hold ids alone, and they can be replayed."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client as TemporalClient
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from llm_planner.errors import StartError
from llm_planner.keys import Keyring
from llm_planner.temporal.engine import SANDBOX, TemporalEngine, place
from llm_planner.temporal.workflow import RUN_NEXT, SessionWorkflow
from llm_planner.tools import Tool

from ..harness import serving, settings_for
from ..tools import Echo, EchoInput, Ledger, plan
from ..turn_kit import always, eventually, parked, there_are, token, with_ledger
from .conftest import LONG_HISTORY
from .kit import LEASE_S, SWEEP_S, Crowd, Engine, take, webhook

Start = Callable[..., Any]


class Line:
    """A way to the server that can be cut: what TEMPORAL_ADDRESS leads to."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._server: asyncio.Server | None = None
        self._pipes: set[asyncio.Task[None]] = set()
        self.port = 0

    async def connect(self) -> None:
        self._server = await asyncio.start_server(self._both_ways, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for pipe in list(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _both_ways(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(self._host, self._port)
        for source, target in ((reader, there[1]), (there[0], writer)):
            pipe = asyncio.create_task(_pipe(source, target))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)


async def _pipe(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        finally:
            target.close()


async def test_while_temporal_is_away_messages_are_stored_and_their_turns_run_when_it_is_back(
    store: str, tmp_path: Path, temporal_address: str
) -> None:
    line, model = Line(temporal_address), Crowd()
    await line.connect()
    engine = Engine("temporal", f"127.0.0.1:{line.port}")
    await line.cut()
    made = settings_for(store, tmp_path, **engine.settings)
    async with serving(made, [Echo], model, lease_s=LEASE_S, sweep_s=SWEEP_S) as client:
        accepted = await client.parts.inbox.accept(webhook("ana", 0), take=False)
        assert not await client.parts.engine._tell(accepted.session_id, RUN_NEXT)
        await line.connect()
        await eventually(lambda: there_are(client, 1, "SELECT id FROM turns WHERE state = 'answered'"))
        await line.cut()
        await take(client.parts, webhook("ana", 1))
        asked = asyncio.create_task(client.say("ana 2", session="ana"))
        await eventually(lambda: there_are(client, 3, "SELECT id FROM turns"))
        assert model.asked == ["ana 0"]
        await line.connect()
        assert (await asked)["reply"] == "heard ana 2"
        await eventually(lambda: there_are(client, 3, "SELECT id FROM turns WHERE state = 'answered'"))
    await line.cut()


MARK = "zanahoria"
"""Stands in whatever users, tools and models say; and nowhere else."""


class Breaks(Tool):
    name = "breaks"
    title = MARK
    description = MARK
    input_model = EchoInput
    write = False

    async def run(self, args: EchoInput, ctx: Any) -> dict[str, object]:
        raise RuntimeError(MARK)


async def histories(engine: Engine) -> list[WorkflowHistory]:
    """Of all workflows of this installation, once they have ended."""
    assert engine.address is not None
    client = await TemporalClient.connect(engine.address)
    queue = place(engine.address, Keyring(engine.key.encode())).queue
    ours = f"WorkflowId STARTS_WITH '{queue}/'"

    async def ended() -> bool:
        found = [workflow async for workflow in client.list_workflows(ours)]
        names = {workflow.status.name for workflow in found if workflow.status is not None}
        return bool(found) and names <= {"COMPLETED", "CONTINUED_AS_NEW"}

    await eventually(ended)
    return [history async for history in client.list_workflows(ours).map_histories()]


async def replayed(engine: Engine) -> list[WorkflowHistory]:
    """The same, after each was replayed: the workflow's code is deterministic."""
    found = await histories(engine)
    replayer = Replayer(workflows=[SessionWorkflow], workflow_runner=SANDBOX)
    for history in found:
        await replayer.replay_workflow(history)
    return found


async def test_a_history_holds_no_text_of_users_tools_or_models_and_can_be_replayed(
    start: Start, temporal: Engine
) -> None:
    answers = plan(("ledger_add", {"what": MARK}), ("breaks", {"text": MARK}), reply=MARK)
    client = await start(temporal, tools=[Ledger, Breaks], model=always(answers), confirm_ttl_sec=2)
    await with_ledger(client)
    for session in (f"{MARK}-1", f"{MARK}-2"):
        word = token(await parked(client, session=session, message=f"{MARK} 11-22-33"))
        await client.say(f"confirm {word}", session=session)
    await take(client.parts, webhook(MARK, 0))
    await eventually(lambda: there_are(client, 1, "SELECT id FROM outbox WHERE state = 'dead'"))
    found = await replayed(temporal)
    text = "".join(history.to_json() for history in found)
    sessions = [row.id for row in await client.rows("SELECT id FROM sessions")]
    assert len(sessions) == 3
    assert all(session in text for session in sessions)
    assert "EVENT_TYPE_TIMER_FIRED" in text
    payloads = [base64.b64decode(data).decode() for data in re.findall(r'"data": "([^"]+)"', text)]
    assert any(sessions[0] in payload for payload in payloads)
    for seen in (text, *payloads):
        assert MARK not in seen
        assert word not in seen
        assert "11-22-33" not in seen


class Handlers:
    """Handlers that count, and fail once each with a text that nobody may see."""

    def __init__(self, turns: int = 1, faulty: bool = False) -> None:
        self.left = turns
        self.fired: list[datetime] = []
        self.delivered = 0
        self._faults = {"run_next", "fire_timer"} if faulty else set[str]()
        self.nothing_left = asyncio.Event()

    async def run_next(self, session_id: str, claimed: Any) -> bool:
        self._fail("run_next")
        self.left -= 1
        if self.left == 0:
            self.nothing_left.set()
        return self.left > 0

    async def fire_timer(self, session_id: str) -> datetime | None:
        self._fail("fire_timer")
        self.fired.append(datetime.now(UTC))
        return None

    async def deliver(self, session_id: str | None = None) -> int:
        self.delivered += session_id is not None
        return 0

    async def posted(self) -> frozenset[str]:
        await asyncio.Event().wait()
        return frozenset()

    async def waiting(self) -> list[str]:
        return []

    async def fire_timers(self) -> None:
        await asyncio.sleep(0)

    renew = fire_timers

    def _fail(self, name: str) -> None:
        if name in self._faults:
            self._faults.discard(name)
            raise ZeroDivisionError(f"{MARK} divided by nothing")


@asynccontextmanager
async def driving(temporal: Engine, handlers: Handlers) -> AsyncIterator[TemporalEngine]:
    """An engine over these handlers."""
    assert temporal.address is not None
    where = place(temporal.address, Keyring(temporal.key.encode()))
    engine = TemporalEngine(where, 60, LEASE_S, 100)
    await engine.start(handlers, background=True)
    try:
        yield engine
    finally:
        await engine.drain(5)


async def test_a_long_history_is_left_behind_and_nothing_is_forgotten_on_the_way(temporal: Engine) -> None:
    handlers = Handlers(turns=60)
    async with driving(temporal, handlers) as engine:
        due = datetime.now(UTC) + timedelta(seconds=2)
        engine.arm_timer("s1", due)
        engine.notify("s1")
        async with asyncio.timeout(20):
            await handlers.nothing_left.wait()
        found = await replayed(temporal)
    assert len(found) > 2
    assert all(len(history.events) < 2 * LONG_HISTORY for history in found)
    assert len(handlers.fired) == 1
    assert handlers.fired[0] >= due


async def test_a_handler_s_fault_is_tried_again_and_of_it_the_history_holds_the_name(
    temporal: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    handlers = Handlers(faulty=True)
    async with driving(temporal, handlers) as engine:
        engine.arm_timer("s1", datetime.now(UTC))
        engine.notify("s1")
        async with asyncio.timeout(20):
            await handlers.nothing_left.wait()
        text = "".join(history.to_json() for history in await replayed(temporal))
    assert len(handlers.fired) == 1
    assert "ZeroDivisionError" in text
    assert MARK not in text


async def test_the_earliest_of_several_timers_counts(temporal: Engine) -> None:
    handlers = Handlers()
    async with driving(temporal, handlers) as engine:
        now = datetime.now(UTC)
        for seconds in (3600, 1, 2):
            engine.arm_timer("s1", now + timedelta(seconds=seconds))
        await replayed(temporal)
    assert [(at - now).total_seconds() // 1 for at in handlers.fired] == [1]


def test_two_installations_in_one_namespace_have_queues_of_their_own() -> None:
    queues = {place("localhost:7233", Keyring(key)).queue for key in (b"one" * 8, b"two" * 8, b"one" * 8)}
    assert len(queues) == 2


def test_what_temporal_s_own_variables_say_wrong_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_TLS_CLIENT_CERT_DATA", "x")
    monkeypatch.setenv("TEMPORAL_TLS_CLIENT_CERT_PATH", "/nowhere")
    with pytest.raises(StartError, match="TEMPORAL_"):
        place("localhost:7233", Keyring(b"key" * 8))
