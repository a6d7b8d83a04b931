"""What the database servers themselves count: isolation, statements, index use, deadlocks."""

import asyncio
from pathlib import Path

from .counters import deadlocks, waiting_for_locks
from .harness import rows
from .tools import Echo
from .turn_kit import always, eventually, message, process


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
                await conn.run_sync(lambda inner: parts.inbox._accept(inner, inbound, False))
                begun.set()
                await undo.wait()
                await conn.rollback()

        first = asyncio.create_task(undone())
        await begun.wait()
        repeats = [asyncio.create_task(parts.inbox.accept(inbound, take=False)) for _ in range(2)]
        await eventually(lambda: _are_waiting(parts.database, 2))
        undo.set()
        await first
        accepted = await asyncio.gather(*repeats)
        assert sorted(one.duplicate for one in accepted) == [False, True]
        assert len({one.turn_id for one in accepted}) == 1
        assert len(await rows(parts.database, "SELECT id FROM turns")) == 2
        assert await deadlocks(parts.database) == before


async def _are_waiting(database: object, number: int) -> bool:
    return await waiting_for_locks(database) >= number  # type: ignore[arg-type]
