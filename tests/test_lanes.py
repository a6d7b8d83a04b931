"""Rules 9 to 11 and 16: a message is taken once, turns run in order, who lost the lane writes nothing."""

import asyncio
import shutil
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from llm_planner.clock import SystemClock
from llm_planner.engine import EmbeddedEngine
from llm_planner.errors import StartError
from llm_planner.llm.base import ChatRequest
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.storage.database import now
from llm_planner.storage.repositories import sessions, turns, usage
from llm_planner.turn.progress import Silent

from .harness import open_database, rows, serving, settings_for
from .tools import Echo, IdempotentLedger, Ledger, ReconcilingLedger, plan
from .turn_kit import (
    LONG_AGO,
    Stopped,
    always,
    bury,
    effects,
    eventually,
    kinds,
    ledger,
    live_token,
    message,
    move_back,
    parked,
    process,
    run_in,
    states,
    there_are,
    token,
    with_ledger,
)

Serve = Any
TOOLS = [Ledger, IdempotentLedger, ReconcilingLedger, Echo]


def echoing(request: ChatRequest) -> str:
    return plan(("echo", {"text": request.messages[-1].content.rsplit("\n", 1)[-1]}))


async def test_the_same_message_again_gives_the_same_turn(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing))
    first = await client.say("hello", message_id="m1")
    again = await client.say("hello", message_id="m1")
    assert (first["duplicate"], again["duplicate"]) == (False, True)
    assert {**again, "duplicate": False} == first
    assert len(client.parts.model.requests) == 1
    assert len(await client.rows("SELECT * FROM turns")) == 1


async def test_twenty_deliveries_at_once_are_one_turn_with_one_set_of_effects(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger())))
    all_of_them = await asyncio.gather(*(client.say("please", message_id="m1") for _ in range(20)))
    assert len({turn["turn_id"] for turn in all_of_them}) == 1
    assert sorted(turn["duplicate"] for turn in all_of_them) == [False] + [True] * 19
    assert len(client.parts.model.requests) == 1
    assert len(await client.rows("SELECT * FROM pending_confirmations")) == 1
    assert len(await client.rows("SELECT * FROM messages")) == 2
    assert len(await client.rows("SELECT * FROM dedupe_messages")) == 1


async def test_a_repeat_waits_for_the_turn_in_progress(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=ScriptedModel([plan(reply="done")], latency_s=0.4))
    first = asyncio.create_task(client.say("hello", message_id="m1"))
    await asyncio.sleep(0.15)
    again = await client.say("hello", message_id="m1")
    assert again["duplicate"]
    assert again["reply"] == (await first)["reply"] == "done"


async def test_the_same_id_with_another_body_is_a_conflict_and_audited(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing))
    await client.say("hello", message_id="m1")
    body = {"message": "something else", "session_id": "demo", "message_id": "m1"}
    status, problem = await client.post("/agent", body)
    assert (status, problem["code"]) == (409, "message_id_conflict")
    assert (await kinds(client)).count("message_conflict") == 1
    assert len(await client.rows("SELECT * FROM turns")) == 1
    assert (await client.say("hello", message_id="m1"))["duplicate"]


@pytest.mark.covers("rule.10")
async def test_turns_of_a_session_run_one_at_a_time_and_in_order(serve: Serve) -> None:
    running = 0
    most = 0

    class Slow(Echo):
        async def run(self, args: Any, ctx: Any) -> dict[str, object]:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0.01)
            running -= 1
            return {"text": args.text}

    client = await serve(tools=[Slow], model=always(echoing))
    await asyncio.gather(*(client.say(f"number {number}") for number in range(12)))
    assert most == 1
    rows = await client.rows("SELECT t.seq, t.finished_at, t.epoch FROM turns t ORDER BY t.seq")
    assert [row.seq for row in rows] == list(range(1, 13))
    assert [row.finished_at for row in rows] == sorted(row.finished_at for row in rows)
    assert [row.epoch for row in rows] == sorted({row.epoch for row in rows})
    assert (await client.rows("SELECT open_turns, lease_until, next_seq FROM sessions"))[0] == (0, None, 13)


async def test_two_processes_share_a_session_without_losing_or_doubling_a_turn(
    serve: Serve, db_url: str, tmp_path: Path
) -> None:
    if db_url.startswith("sqlite"):
        await serve(tools=TOOLS, model=always(echoing))
        with pytest.raises(StartError, match="another process"):
            async with process(db_url, tmp_path, TOOLS, always(echoing)):
                pass
        return
    one, two = await _two(serve)
    await with_ledger(one)
    word = token(await parked(one, message="ask"))
    said = [(client, f"n{number}") for number in range(10) for client in (one, two)]
    await asyncio.gather(*(client.say("hello", message_id=name) for client, name in said))
    await asyncio.gather(*(client.say(f"confirm {word}") for client in (one, two, one, two)))
    assert await effects(one) == [("tea", 1)]
    rows = await one.rows("SELECT seq, finished_at, attempts FROM turns ORDER BY seq")
    assert len(rows) == 15
    assert [row.finished_at for row in rows] == sorted(row.finished_at for row in rows)
    assert {row.attempts for row in rows} == {1}


async def _two(serve: Serve) -> tuple[Any, Any]:
    def either(request: ChatRequest) -> str:
        return ledger() if request.messages[-1].content.endswith("ask") else plan(reply="hi")

    return tuple([await serve(tools=TOOLS, model=always(either)) for _ in range(2)])  # type: ignore[return-value]


@pytest.mark.covers("rule.10")
async def test_a_lane_lost_while_a_model_thinks_writes_nothing(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger())))
    await client.say("please", session="demo")
    took: list[str] = []

    async def thinking(request: Any) -> Any:
        """Another process claims the lane after this one's lease has run out."""
        await client.rows("UPDATE sessions SET lease_until = :t", t=LONG_AGO)
        claimed = await client.parts.inbox.claim((await client.rows("SELECT id FROM sessions"))[0].id)
        took.append(claimed.lane.turn_id)
        return await answer(request)

    model = client.parts.model
    answer, model.complete = model.complete, thinking
    inbound = message("demo", "m2", "again")
    accepted = await client.parts.inbox.accept(inbound, take=True)
    before = [tuple(row) for row in await client.rows("SELECT * FROM pending_confirmations")]
    lines = len(await client.rows("SELECT * FROM messages"))
    assert not await client.parts.worker.run_next(accepted.session_id, accepted.claimed)
    model.complete = answer
    assert took == [accepted.turn_id]
    assert [tuple(row) for row in await client.rows("SELECT * FROM pending_confirmations")] == before
    assert len(await client.rows("SELECT * FROM messages")) == lines
    turn = (await client.rows("SELECT state, reply, rounds FROM turns WHERE message_id = 'm2'"))[0]
    assert tuple(turn) == ("running", None, "[]")


@pytest.mark.parametrize("verb", ["confirm", "cancel"])
async def test_a_verb_under_a_stale_epoch_decides_nothing(serve: Serve, verb: str) -> None:
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger())))
    word = token(await parked(client))
    accepted = await client.parts.inbox.accept(message("demo", "m2", f"{verb} {word}"), take=True)
    await client.rows("UPDATE sessions SET epoch = epoch + 1")
    assert not await client.parts.worker.run_next(accepted.session_id, accepted.claimed)
    assert await states(client) == ["pending"]
    assert await effects(client) == []
    assert await client.rows("SELECT * FROM tool_runs") == []
    assert (await client.rows("SELECT token_tries FROM sessions"))[0].token_tries == 0


async def test_a_stale_holder_does_not_settle_a_call_that_another_makes(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger("hang-after"))))
    word = token(await parked(client))
    accepted = await client.parts.inbox.accept(message("demo", "m2", f"confirm {word}"), take=True)
    stale = accepted.claimed
    await client.rows("UPDATE sessions SET lease_until = :t", t=LONG_AGO)
    mine = asyncio.create_task(client.parts.worker.run_next(accepted.session_id, None))
    await eventually(lambda: there_are(client, 1, "SELECT id FROM tool_runs"))
    handle = client.parts.worker._orchestrator.handle
    with pytest.raises(Exception, match="taken over"):
        await handle(stale, Silent())
    assert [row.state for row in await client.rows("SELECT state FROM tool_runs")] == ["intent"]
    await mine
    assert await states(client) == ["unknown"]
    assert len(await effects(client)) == 1


async def test_a_claim_that_read_before_the_last_holder_closed_takes_nothing(serve: Serve) -> None:
    """The holder's lease had run out, it closes between our read and our compare-and-set."""
    client = await serve(tools=TOOLS, model=always(echoing))
    accepted = await client.parts.inbox.accept(message("demo", "m1", "one"), take=True)
    await client.parts.inbox.accept(message("demo", "m2", "two"), take=False)
    seen = await client.parts.database.read(lambda conn: sessions.by_id(conn, accepted.session_id))
    assert await client.parts.worker.run_next(accepted.session_id, accepted.claimed) in (True, False)

    def late(conn: Any) -> bool:
        return sessions.take(conn, seen, now(conn) + timedelta(seconds=30))

    assert not await client.parts.database.run(late)
    again = await client.parts.inbox.claim(accepted.session_id)
    assert again.turn.message_id == "m2"


async def test_a_lease_is_renewed_but_never_shortened_and_never_revived(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing))
    accepted = await client.parts.inbox.accept(message("demo", "m1", "one"), take=True)
    lane, database = accepted.claimed.lane, client.parts.database

    async def lease() -> Any:
        return (await database.read(lambda conn: sessions.by_id(conn, lane.session_id))).lease_until

    first = await lease()
    await asyncio.sleep(0.01)
    await client.parts.worker._lanes.renew([accepted.claimed])
    renewed = await lease()
    assert renewed > first
    long = renewed + timedelta(hours=1)
    await database.run(lambda conn: sessions.hold(conn, lane.session_id, lane.epoch, long))
    await client.parts.worker._lanes.renew([accepted.claimed])
    assert await lease() == long
    await client.parts.worker.run_next(accepted.session_id, accepted.claimed)
    assert await lease() is None
    await client.parts.worker._lanes.renew([accepted.claimed])
    assert await lease() is None


async def test_a_write_is_called_only_under_a_lease_that_outlives_its_timeout(serve: Serve) -> None:
    seen: list[Any] = []

    class Long(Ledger):
        timeout_s = 300

        async def run(self, args: Any, ctx: Any) -> dict[str, object]:
            await client.parts.worker.renew()
            row = (await client.rows("SELECT lease_until FROM sessions"))[0]
            seen.extend(
                [row.lease_until, (await client.rows("SELECT deadline_at FROM tool_runs"))[0].deadline_at]
            )
            return {}

    client = await with_ledger(await serve(tools=[Long], model=always(ledger())))
    assert (await client.say(f"confirm {token(await parked(client))}"))["status"] == "executed"
    assert str(seen[0]) > str(seen[1])


async def test_a_turn_that_nobody_holds_is_found_by_the_sweep(serve: Serve, db_url: str) -> None:
    client = await serve(tools=TOOLS, model=always(echoing), workers_inline=False)
    accepted = await client.parts.inbox.accept(message("demo", "m1", "one"), take=True)
    assert await client.parts.worker.waiting() == []
    await move_back(client, "sessions", "lease_until")
    assert await client.parts.worker.waiting() == [accepted.session_id]
    await client.parts.engine._sweep()
    turn = await client.say("one", message_id="m1", locale="en")
    assert (turn["duplicate"], turn["status"]) == (True, "answered")
    assert (await client.rows("SELECT attempts FROM turns"))[0].attempts == 2


async def test_a_retry_of_an_unfinished_message_resumes_it_and_what_came_later_keeps_its_place(
    serve: Serve,
) -> None:
    client = await serve(tools=TOOLS, model=always(echoing), workers_inline=False)
    await client.parts.inbox.accept(message("demo", "m1", "one"), take=True)
    await move_back(client, "sessions", "lease_until")
    second = await client.say("two", message_id="m2", locale="en")
    first = await client.say("one", message_id="m1", locale="en")
    assert (first["duplicate"], second["duplicate"]) == (True, False)
    rows = await client.rows("SELECT message_id, finished_at FROM turns ORDER BY finished_at")
    assert [row.message_id for row in rows] == ["m1", "m2"]


@pytest.mark.covers("rule.11")
async def test_no_transaction_is_open_while_a_model_thinks_or_a_tool_runs(serve: Serve) -> None:
    client: Any = None

    class Writing(Echo):
        async def run(self, args: Any, ctx: Any) -> dict[str, object]:
            async with asyncio.timeout(2):
                await client.rows("UPDATE sessions SET locale = 'pt'")
            return {"text": args.text}

    client = await serve(tools=[Writing], model=ScriptedModel([echoing], latency_s=0.2))
    turn = asyncio.create_task(client.say("hello"))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(2):
        await client.rows("UPDATE sessions SET locale = 'en'")
    assert (await turn)["steps"][0]["status"] == "ok"


async def test_a_message_above_the_queues_limit_is_busy_and_can_be_sent_again(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing), budget_queued_messages=2, workers_inline=False)
    for number in range(2):
        await client.parts.inbox.accept(message("demo", f"m{number}", "x"), take=number == 0)
    body = {"message": "more", "session_id": "demo", "message_id": "m9"}
    status, problem = await client.post("/agent", body)
    assert (status, problem["code"]) == (503, "busy")
    assert len(await client.rows("SELECT * FROM dedupe_messages")) == 2
    await move_back(client, "sessions", "lease_until")
    await client.parts.engine._sweep()
    await client.say("x", message_id="m1", locale="en")
    assert not (await client.say("more", message_id="m9"))["duplicate"]


async def test_above_the_budget_a_fixed_text_answers_and_no_model_is_called(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing), budget_session_calls=2)
    turns = [await client.say(f"hi {number}", locale="en") for number in range(4)]
    assert [turn["code"] for turn in turns] == [None, None, "over_budget", "over_budget"]
    assert "usage limit" in turns[3]["reply"]
    assert len(client.parts.model.requests) == 2
    assert (await client.say("hi", session="other"))["status"] == "answered"


async def test_a_budget_is_counted_right_by_many_at_once(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing))

    async def spend() -> bool:
        return await client.parts.database.run(
            lambda conn: usage.spend(conn, "account:x", "2999-01-01", 7, 0)
        )

    spent = await asyncio.gather(*(spend() for _ in range(25)))
    assert sum(spent) == 7
    assert [
        row.calls for row in await client.rows("SELECT calls FROM usage_counters WHERE scope = 'account:x'")
    ] == [7]


async def test_message_ids_are_forgotten_late_and_never_those_of_open_or_unknown_turns(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger("raise")), workers_inline=False))
    word = token(await parked(client, message_id="m1"))
    await client.say(f"confirm {word}", message_id="m2")
    await client.parts.inbox.accept(message("demo", "m3", "x"), take=False)
    await client.parts.worker.fire_timers()
    assert len(await client.rows("SELECT * FROM dedupe_messages")) == 3
    await move_back(client, "dedupe_messages", "received_at")
    await client.parts.worker.fire_timers()
    kept = await client.rows("SELECT message_id FROM dedupe_messages ORDER BY message_id")
    assert [row.message_id for row in kept] == ["m2", "m3"]


class Recorder:
    """Handlers that note what the engine asks of them."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, Any]] = []
        self.go = asyncio.Event()
        self.faults = 0
        self.delivered = asyncio.Event()
        self.faulted = asyncio.Event()

    async def run_next(self, session_id: str, claimed: Any) -> bool:
        self.ran.append((session_id, claimed))
        await self.go.wait()
        return False

    async def deliver(self) -> int:
        self.delivered.set()
        return 0

    async def posted(self) -> None:
        await asyncio.Event().wait()

    async def fire_timers(self) -> None:
        await asyncio.sleep(0)

    async def waiting(self) -> list[str]:
        self.faults += 1
        if self.faults == 3:
            self.faulted.set()
        raise ZeroDivisionError("a fault that nobody thought of")

    async def renew(self) -> None:
        await asyncio.sleep(0)


async def test_a_lane_claimed_while_its_last_turn_ends_is_worked_on_at_once() -> None:
    engine, handlers = EmbeddedEngine(SystemClock(), 60, 60, 10), Recorder()
    await engine.start(handlers, background=False)
    first, second = object(), object()
    engine.notify("s", first)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    engine.notify("s", second)  # type: ignore[arg-type]
    engine.notify("s")
    handlers.go.set()
    async with asyncio.timeout(2):
        await asyncio.gather(*engine._lanes.values())
        await asyncio.gather(*engine._lanes.values())
    await engine.drain(1)
    assert handlers.ran[:2] == [("s", first), ("s", second)]


async def test_a_fault_in_a_loop_does_not_end_it_and_does_not_hold_up_the_mail() -> None:
    engine, handlers = EmbeddedEngine(SystemClock(), 0.01, 60, 10), Recorder()
    await engine.start(handlers, background=True)
    async with asyncio.timeout(2):
        await handlers.delivered.wait()
        await handlers.faulted.wait()
    await engine.drain(1)


async def test_a_turn_is_finished_before_a_process_ends(serve: Serve, db_url: str, tmp_path: Any) -> None:
    model = ScriptedModel([echoing], latency_s=0.3)
    async with serving(settings_for(db_url, tmp_path), TOOLS, model) as client:
        accepted = await client.parts.inbox.accept(message("demo", "m1", "one"), take=True)
        client.parts.engine.notify(accepted.session_id, accepted.claimed)
        await asyncio.sleep(0.05)
    after = await serve(tools=TOOLS, model=always(echoing), workers_inline=False)
    assert [row.state for row in await after.rows("SELECT state FROM turns")] == ["answered"]


class Counter:
    """Statements and transactions of both engines of an SQLite database."""

    def __init__(self, database: Any) -> None:
        self.statements = self.transactions = 0
        self.lock = threading.Lock()
        for engine in (database._write_engine, database._read_engine):
            event.listen(engine, "before_cursor_execute", self._statement)
            event.listen(engine, "begin", self._begin)

    def _statement(self, conn: Any, cursor: Any, statement: str, *more: Any) -> None:
        with self.lock:
            self.statements += not statement.startswith(("BEGIN", "SAVEPOINT", "RELEASE", "COMMIT"))

    def _begin(self, conn: Any) -> None:
        with self.lock:
            self.transactions += 1

    def take(self) -> tuple[int, int]:
        found = self.transactions, self.statements
        self.transactions = self.statements = 0
        return found


async def test_a_one_tool_turn_takes_four_transactions_and_fourteen_statements_however_long_the_history(
    sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "cost.db")
    made = settings_for(f"sqlite:///{tmp_path}/cost.db", tmp_path, workers_inline=False)
    async with serving(made, TOOLS, always(echoing)) as client:
        await client.say("first")
        counter = Counter(client.parts.database)
        turn = await client.say("hello")
        assert turn["steps"][0]["status"] == "ok"
        short = counter.take()
        assert short[0] <= 4
        assert short[1] <= 14
        session = (await client.rows("SELECT id FROM sessions"))[0].id
        await client.parts.database.run(
            lambda conn: turns.say(conn, [_line(session, n) for n in range(1000)])
        )
        counter.take()
        await client.say("hello again")
        assert counter.take() == short
        assert len(client.parts.model.requests[-1].messages) == 22  # system, 20 lines, the question


def _line(session: str, number: int) -> dict[str, Any]:
    return {
        "session_id": session, "seq": -number, "role": "user", "turn_id": "old", "kind": "message",
        "text": f"line {number}", "from_tools": 0, "created_at": LONG_AGO,
    }  # fmt: skip


async def test_an_accepted_message_is_durable_before_anybody_is_told(serve: Serve) -> None:
    client = await serve(tools=TOOLS, model=always(echoing), workers_inline=False)
    accepted = await client.parts.inbox.accept(message("demo", "m1", "one"), take=False)
    row = (await client.rows("SELECT state, inbound FROM turns WHERE id = :i", i=accepted.turn_id))[0]
    assert row.state == "queued"
    assert '"one"' in row.inbound
    await run_in(client.parts, message("demo", "m2", "two"))
    assert (await client.rows("SELECT open_turns FROM sessions"))[0].open_turns in (0, 1, 2)


@pytest.mark.parametrize(
    ("after", "said", "asked"),
    [
        ("Models._reserved", "look", 0),
        ("Closing.store_plan", "look", 1),
        ("Confirmations.claim", "confirm", 0),
    ],
)
async def test_a_worker_that_was_stopped_past_its_lease_begins_no_call(
    db_url: str, tmp_path: Path, after: str, said: str, asked: int
) -> None:
    called: list[str] = []

    class Noted(Ledger):
        async def run(self, args: Any, ctx: Any) -> dict[str, object]:
            called.append(args.what)
            return {}

    class Seen(Echo):
        async def run(self, args: Any, ctx: Any) -> dict[str, object]:
            called.append(args.text)
            return {}

    def either(request: ChatRequest) -> str:
        return echoing(request) if request.messages[-1].content.endswith("look") else ledger()

    model, tools = always(either), [Noted, Seen]
    async with process(db_url, tmp_path, tools, model) as parts:
        await run_in(parts, message("demo", "m1", "write"))
        word = live_token(parts, (await rows(parts.database, "SELECT id FROM pending_confirmations"))[0].id)
    model.requests.clear()
    stopped = Stopped(open_database(db_url), after, seconds=1.1)
    async with process(
        db_url, tmp_path, tools, model, doubles={"database": stopped, "lease_s": 1.0}, budget_session_calls=9
    ) as parts:
        await run_in(parts, message("demo", "m2", f"confirm {word}" if said == "confirm" else said))
        assert (called, len(model.requests)) == ([], asked)
        assert [row.state for row in await rows(parts.database, "SELECT state FROM turns ORDER BY seq")] == [
            "needs_confirmation",
            "running",
        ]
        await bury(parts.database)
    async with process(db_url, tmp_path, tools, model) as parts:
        session = (await rows(parts.database, "SELECT id FROM sessions"))[0].id
        await parts.worker.run_next(session, None)
        ends = await rows(parts.database, "SELECT state, code FROM turns ORDER BY seq")
        assert tuple(ends[1]) == (("failed", "write_unknown") if said == "confirm" else ("answered", None))
        assert called == ([] if said == "confirm" else ["look"])
