"""Faults of the database: retried whole where nothing was done, told honestly where nobody knows."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, make_url

from llm_planner.errors import CommitUnknown, DatabaseUnavailable
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.storage.database import Database
from llm_planner.storage.queued import AT_ONCE, Queued

from .harness import open_database, rows, serving, settings_for
from .tools import LEDGER, Echo, Ledger, add_line, plan
from .turn_kit import (
    always,
    eventually,
    ledger,
    live_token,
    message,
    move_back,
    process,
    run_in,
    there_are,
)

Serve = Any


@pytest.fixture
async def database(db_url: str) -> AsyncIterator[Database]:
    opened = open_database(db_url)
    await rows(opened, LEDGER)
    await rows(opened, "DELETE FROM ledger")
    yield opened
    await opened.close()


def cut(conn: Connection) -> None:
    """Let the server end this connection; SQLite has none that could end."""
    if conn.dialect.name != "sqlite":
        mine = conn.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
        with conn.engine.connect() as other:
            other.exec_driver_sql(f"KILL {mine}")


async def test_a_connection_lost_in_a_statement_is_the_same_transaction_again(database: Database) -> None:
    tried = 0

    def transaction(conn: Connection) -> int:
        nonlocal tried
        tried += 1
        add_line(conn, "key", "tea", 1)
        if tried == 1:
            cut(conn)
        add_line(conn, "key", "cake", 1)
        return tried

    server = make_url(str(database.url)).get_backend_name() != "sqlite"
    assert await database.run(transaction) == (2 if server else 1)
    assert sorted(row.what for row in await rows(database, "SELECT what FROM ledger")) == ["cake", "tea"]


async def test_a_connection_lost_at_commit_is_not_taken_for_success_nor_tried_again(
    database: Database,
) -> None:
    tried = 0

    def transaction(conn: Connection) -> None:
        nonlocal tried
        tried += 1
        add_line(conn, "key", "tea", 1)
        cut(conn)

    if make_url(str(database.url)).get_backend_name() == "sqlite":
        await database.run(transaction)
    else:
        with pytest.raises(CommitUnknown):
            await database.run(transaction)
    assert tried == 1


async def test_a_connection_that_is_always_lost_is_given_up(database: Database) -> None:
    def transaction(conn: Connection) -> None:
        cut(conn)
        if conn.dialect.name == "sqlite":
            raise DatabaseUnavailable("nothing to cut")
        add_line(conn, "key", "tea", 1)

    with pytest.raises(DatabaseUnavailable):
        await database.run(transaction)
    assert await rows(database, "SELECT * FROM ledger") == []


async def test_connections_that_the_server_ended_meanwhile_are_noticed_by_nobody(server_url: str) -> None:
    """As after its restart, or when it has waited too long: nobody asks a connection first whether it lives."""
    opened, other = open_database(server_url), open_database(server_url)
    await rows(opened, LEDGER)
    await rows(opened, "DELETE FROM ledger")

    def mine(conn: Connection) -> int:
        conn.exec_driver_sql("SELECT SLEEP(0.05)")
        found: int = conn.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
        return found

    used = set(await asyncio.gather(*(opened.run(mine) for _ in range(8))))
    for number in used:
        await rows(other, f"KILL {number}")
    lines = [f"line {number}" for number in range(8)]
    await asyncio.gather(
        *(opened.run(lambda conn, line=line: add_line(conn, line, line, 1)) for line in lines)  # type: ignore[misc]
    )
    assert len(used) > 1
    assert sorted(row.what for row in await rows(opened, "SELECT what FROM ledger")) == lines
    await opened.close()
    await other.close()


async def test_work_waits_for_a_place_and_the_door_does_not(database: Database) -> None:
    begun, going, free = list[int](), asyncio.Event(), asyncio.Event()

    class Slow:
        """The same database, in which each transaction takes until it is told."""

        url, read, close = database.url, database.read, database.close

        async def run(self, fn: Any) -> Any:
            begun.append(1)
            if len(begun) == AT_ONCE:
                going.set()
            await free.wait()
            return await database.run(fn)

    queued = Queued(Slow(), wait_s=0.2)
    work = [asyncio.create_task(queued.run(lambda conn: None)) for _ in range(AT_ONCE)]
    await going.wait()
    with pytest.raises(DatabaseUnavailable, match="takes too long"):
        await queued.run(lambda conn: None)
    assert len(begun) == AT_ONCE
    assert await database.run(lambda conn: "at the door") == "at the door"
    free.set()
    assert await asyncio.gather(*work) == [None] * AT_ONCE
    assert await queued.run(lambda conn: "next") == "next"


class Lossy:
    """A database that does what it is asked and then loses the answer, or is away, for so many transactions
    whose function has this name."""

    def __init__(self, inner: Any, name: str, times: int, *, done: bool) -> None:
        self.url, self.read, self.close = inner.url, inner.read, inner.close
        self._inner, self._name, self._left, self._done = inner, name, times, done

    async def run(self, fn: Any) -> Any:
        if self._left == 0 or self._name not in fn.__qualname__:
            return await self._inner.run(fn)
        self._left -= 1
        if not self._done:
            raise DatabaseUnavailable("away")
        await self._inner.run(fn)
        raise CommitUnknown("the answer was lost")


@pytest.mark.covers("rule.9")
async def test_a_message_whose_commit_was_not_answered_is_accepted_once_and_is_no_duplicate(
    serve: Serve,
) -> None:
    client = await serve(tools=[Echo], model=always(plan(reply="hi")), workers_inline=False)
    inbox = client.parts.inbox
    inbox._database = Lossy(inbox._database, "_accepted", 1, done=True)
    accepted = await inbox.accept(message("demo", "m1", "hello"), take=False)
    assert not accepted.duplicate
    assert [row.id for row in await client.rows("SELECT id FROM turns")] == [accepted.turn_id]
    again = await inbox.accept(message("demo", "m1", "hello"), take=False)
    assert (again.duplicate, again.turn_id) == (True, accepted.turn_id)


async def test_a_claimed_message_whose_commit_was_not_answered_is_answered_after_its_lease(
    serve: Serve,
) -> None:
    client = await serve(tools=[Echo], model=always(plan(reply="hi")), workers_inline=False)
    inbox = client.parts.inbox
    inbox._database = Lossy(inbox._database, "_accepted", 1, done=True)
    accepted = await inbox.accept(message("demo", "m1", "hello"), take=True)
    assert (accepted.duplicate, accepted.claimed) == (False, None)
    await move_back(client, "sessions", "lease_until")
    assert (await client.say("hello", message_id="m1", locale="en"))["reply"] == "hi"


@pytest.mark.covers("rule.7")
@pytest.mark.parametrize("done", [True, False])
async def test_the_outcome_of_a_call_is_written_down_though_the_database_was_away(
    db_url: str, tmp_path: Path, done: bool
) -> None:
    async with process(db_url, tmp_path, [Ledger], always(ledger())) as parts:
        await rows(parts.database, LEDGER)
        await rows(parts.database, "DELETE FROM ledger")
        await run_in(parts, message("demo", "ask", "tea please"))
        waiting = (await rows(parts.database, "SELECT id FROM pending_confirmations"))[0].id
        journal = parts.worker._orchestrator._decisions._journal  # type: ignore[attr-defined]
        journal._database = Lossy(journal._database, "_settle", 1, done=done)
        await run_in(parts, message("demo", "go", f"confirm {live_token(parts, waiting)}"))
        found = await rows(parts.database, "SELECT state FROM tool_runs")
        assert [row.state for row in found] == ["ok"]
        assert len(await rows(parts.database, "SELECT * FROM ledger")) == 1
        await rows(parts.database, "UPDATE sessions SET lease_until = NULL")
        await parts.worker.run_next((await rows(parts.database, "SELECT id FROM sessions"))[0].id, None)
        closed = await rows(parts.database, "SELECT status FROM turns WHERE message_id = 'go'")
        assert [row.status for row in closed] == ["executed"]


@pytest.mark.covers("http.ready")
async def test_without_a_worker_a_web_process_says_so_and_with_one_it_is_ready(
    db_url: str, tmp_path: Path
) -> None:
    settings = settings_for(db_url, tmp_path, workers_inline=False)
    async with serving(settings, [Echo], ScriptedModel([])) as client:
        assert await client.get("/ready") == (503, {"status": "unready", "failing": "worker"})
        await client.parts.worker.fire_timers()
        assert await client.get("/ready") == (200, {"status": "ready"})
        await move_back(client, "heartbeats", "at")
        assert await client.get("/ready") == (503, {"status": "unready", "failing": "worker"})
    async with serving(settings_for(db_url, tmp_path), [Echo], ScriptedModel([])) as client:
        assert await client.get("/ready") == (200, {"status": "ready"})
        await eventually(lambda: there_are(client, 1, "SELECT process FROM heartbeats"))
