"""What the database servers themselves count: isolation, statements, index use, deadlocks."""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, text

from llm_planner.ids import new_id
from llm_planner.storage.database import now
from llm_planner.storage.repositories import heartbeats, operators
from llm_planner.storage.repositories.operators import LoginRow

from .counters import ONE_PROCESS, deadlocks, waiting_for_locks
from .harness import rows
from .tools import LEDGER, Echo, Ledger, plan
from .turn_kit import always, eventually, live_token, message, process, run_in

pytestmark = ONE_PROCESS


async def test_deliveries_of_one_message_that_wait_for_one_that_is_undone_are_no_deadlock(
    server_url: str, tmp_path: Path
) -> None:
    """A webhook's process dies in its transaction while two repeats of the message wait behind it."""
    inbound, begun, undo = message("demo", "m2", "hello"), asyncio.Event(), asyncio.Event()
    async with process(server_url, tmp_path, [Echo], always("{}")) as parts:
        await parts.inbox.accept(message("demo", "m1", "hello"), take=False)
        before = await deadlocks(parts.database)

        async def undone() -> None:
            async with parts.database._engine.connect() as conn:  # type: ignore[attr-defined]
                await conn.run_sync(lambda inner: parts.inbox._accept(inner, inbound, new_id(), False, True))
                begun.set()
                await undo.wait()
                await conn.rollback()

        first = asyncio.create_task(undone())
        await asyncio.wait_for(begun.wait(), 30)
        repeats = [asyncio.create_task(parts.inbox.accept(inbound, take=False)) for _ in range(2)]
        await eventually(lambda: _are_waiting(parts.database, 2))
        undo.set()
        await first
        accepted = await asyncio.gather(*repeats)
        assert sorted(one.duplicate for one in accepted) == [False, True]
        assert len({one.turn_id for one in accepted}) == 1
        assert len(await rows(parts.database, "SELECT id FROM turns")) == 2
        assert await deadlocks(parts.database) == before


async def test_processes_that_renew_the_same_lanes_in_any_order_are_no_deadlock(
    server_url: str, tmp_path: Path
) -> None:
    async with process(server_url, tmp_path, [Echo], always("{}")) as parts:
        accepted = [await parts.inbox.accept(message(name, "m1", "hello"), take=True) for name in "abcdefgh"]
        claims = [one.claimed for one in accepted if one.claimed is not None]
        before, renew = await deadlocks(parts.database), parts.worker._lanes.renew
        await asyncio.gather(*(renew(random.sample(claims, len(claims))) for _ in range(60)))
        assert await deadlocks(parts.database) == before
        assert len(claims) == 8


async def test_processes_and_logins_that_begin_at_the_same_moment_are_no_deadlock(
    server_url: str, tmp_path: Path
) -> None:
    """Each writes its own row and takes away the old ones in one transaction."""
    async with process(server_url, tmp_path, [Echo], always("{}")) as parts:

        def begin(conn: Connection) -> None:
            moment, name = now(conn), new_id()
            heartbeats.beat(conn, name, moment, moment - timedelta(days=1))
            operators.log_in(conn, LoginRow(name, "ana", "first", moment, moment + timedelta(hours=8)))
            operators.forget_logins(conn, moment)

        before = await deadlocks(parts.database)
        for _ in range(5):
            await asyncio.gather(*(parts.database.run(begin) for _ in range(20)))
        assert await deadlocks(parts.database) == before
        assert (await rows(parts.database, "SELECT COUNT(*) FROM heartbeats"))[0][0] >= 100


async def _are_waiting(database: object, number: int) -> bool:
    return await waiting_for_locks(database) >= number  # type: ignore[arg-type]


TURN_STATEMENTS, TURN_TRANSACTIONS = 14, 4
"""What a turn with one read may cost."""


class Counters:
    """What one connection's own status says; asking costs something, which is taken off again."""

    def __init__(self, database: Any) -> None:
        self._database = database

    async def read(self) -> dict[str, int]:
        found = await rows(self._database, "SHOW SESSION STATUS")
        return {row[0]: int(row[1]) for row in found if str(row[1]).isdigit()}

    async def spent(self, work: Callable[[], Awaitable[Any]]) -> dict[str, int]:
        """How far each counter went during the work, on the one connection that a process without company uses."""
        zero, before = await self.read(), await self.read()
        await work()
        after = await self.read()
        return {name: after[name] - before[name] - (before[name] - zero[name]) for name in after}


async def busy(parts: Any) -> None:
    """Sessions with turns, so that an index is worth it."""
    for number in range(40):
        for turn in range(2):
            await run_in(parts, message(f"s{number}", f"m{turn}", "hello"))
    for table in (
        "sessions",
        "turns",
        "messages",
        "dedupe_messages",
        "audit_events",
        "model_calls",
        "outbox",
    ):
        await rows(parts.database, f"ANALYZE TABLE {table}")


async def test_a_turn_keeps_its_budget_and_reads_no_table_from_end_to_end(
    server_url: str, tmp_path: Path
) -> None:
    model = always(plan(("echo", {"text": "hi"})))
    async with process(
        server_url, tmp_path, [Echo], model, budget_session_calls=0, budget_account_calls=0
    ) as parts:
        await busy(parts)
        spent = await Counters(parts.database).spent(lambda: run_in(parts, message("s7", "m9", "hello")))
    statements = sum(spent[f"Com_{verb}"] for verb in ("select", "insert", "update", "delete", "replace"))
    assert 0 < spent["Com_commit"] <= TURN_TRANSACTIONS
    assert 0 < statements <= TURN_STATEMENTS
    scans = ("Select_scan", "Select_full_join", "Handler_read_first", "Handler_read_rnd_next")
    assert {name: spent[name] for name in scans} == dict.fromkeys(scans, 0)


async def test_a_transaction_reads_what_others_have_committed_meanwhile(
    server_url: str, tmp_path: Path
) -> None:
    """READ COMMITTED in effect, not only in a variable, on connections that are used at the same time."""
    async with process(server_url, tmp_path, [Echo], always("{}")) as parts:
        database, loop = parts.database, asyncio.get_running_loop()
        await parts.inbox.accept(message("demo", "m1", "hello"), take=False)

        async def seen_twice(number: int) -> list[str]:
            def read(conn: Connection) -> str:
                locale: str = conn.execute(text("SELECT locale FROM sessions")).scalar_one()
                return locale

            async with database._engine.connect() as conn:  # type: ignore[attr-defined]
                first = await conn.run_sync(read)
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(changed(number), loop))
                return [first, await conn.run_sync(read)]

        async def changed(number: int) -> None:
            await rows(database, "UPDATE sessions SET locale = :locale", locale=f"l{number}")

        for number in range(5):
            first, second = await seen_twice(number)
            assert first != second == f"l{number}"


async def test_a_turn_is_served_by_indexes_and_the_sweep_could_be(server_url: str, tmp_path: Path) -> None:
    """What purges goes over many rows, and the server may well read them in a row; it must have the choice.
    `heartbeats` has one row a process, and is read whole."""
    model = always(plan(("ledger_add", {"what": "tea"})))
    async with process(server_url, tmp_path, [Ledger], model) as parts:
        await rows(parts.database, LEDGER)
        await busy(parts)

        async def confirmed() -> None:
            await run_in(parts, message("s3", "m9", f"confirm {live_token(parts, card)}"))
            await parts.worker.deliver()

        async def sweeping() -> None:
            await parts.worker.waiting()
            await parts.worker.fire_timers()

        served = await explained(parts.database, lambda: run_in(parts, message("s3", "m8", "please")))
        card = (await rows(parts.database, "SELECT id FROM pending_confirmations"))[0].id
        served += await explained(parts.database, confirmed)
        swept = await explained(parts.database, sweeping)
    assert len(served) > 15
    assert len(swept) > 3
    scans = [(statement, tuple(row)) for statement, row in served if row.type == "ALL"]
    assert not scans, "\n\n".join(f"{statement}\n{row}" for statement, row in scans)
    blind = [
        (statement, tuple(row))
        for statement, row in swept
        if row.type and row.possible_keys is None and "heartbeats" not in statement
    ]
    assert not blind, "\n\n".join(f"{statement}\n{row}" for statement, row in blind)


async def explained(database: Any, work: Callable[[], Awaitable[Any]]) -> list[tuple[str, Any]]:
    """What the server plans for each statement that the work sends, a row a table."""
    sent: dict[str, Any] = {}

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        sent.setdefault(statement, parameters[0] if many else parameters)

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    await work()
    event.remove(engine, "before_cursor_execute", note)
    ours = [
        one
        for one in sent
        if re.match(r"SELECT .*\bFROM|UPDATE|DELETE", one, re.DOTALL) and "ledger" not in one
    ]
    return [
        (statement, row) for statement in ours for row in await explain(database, statement, sent[statement])
    ]


async def explain(database: Any, statement: str, parameters: Any) -> list[Any]:
    """The server's plan for a statement, a row a table."""

    def ask(conn: Connection) -> list[Any]:
        as_table = "" if getattr(conn.dialect, "is_mariadb", False) else "FORMAT=TRADITIONAL "
        return list(conn.exec_driver_sql(f"EXPLAIN {as_table}{statement}", parameters).all())

    found: list[Any] = await database.run(ask)
    return found
