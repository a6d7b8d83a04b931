"""Worker processes that are told to end, and that are killed: real ones, with real signals."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from llm_planner.assembly import Ingredients, Parts, assemble
from llm_planner.clock import SystemClock
from llm_planner.tools import ToolRegistry

from ..harness import PROMPTS, ROOT, rows, serving, settings_for
from ..tools import Echo, plan
from ..turn_kit import always
from .kit import LEASE_S, SWEEP_S, Engine, webhook


@contextmanager
def worker(engine: Engine, url: str, folder: Path, thinks_s: float) -> Iterator[subprocess.Popen[str]]:
    """A worker process whose model thinks for so long; killed at the end if it still runs."""
    values = {**engine.settings, "db_url": url, "data_dir": folder, "log_level": "error"}
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "SYSTEMROOT")},
        **{name.upper(): str(value) for name, value in values.items()},
        "TEST_THINKS_S": str(thinks_s),
    }
    command = [sys.executable, "-m", "llm_planner", "--app", "tests.engine.process:app", "worker"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def door(engine: Engine, url: str, folder: Path) -> AsyncIterator[Parts]:
    """What accepts messages, and runs nothing."""
    made = settings_for(url, folder, **engine.settings)
    parts = assemble(Ingredients(made, ToolRegistry([Echo]), PROMPTS, SystemClock()))
    try:
        yield parts
    finally:
        await parts.close()


async def turns(parts: Parts) -> list[tuple[str, str, int]]:
    found = await rows(parts.database, "SELECT message_id, state, attempts FROM turns ORDER BY seq")
    return [tuple(row) for row in found]  # type: ignore[misc]


async def become(parts: Parts, *expected: tuple[str, str, int]) -> None:
    async def are() -> bool:
        return await turns(parts) == list(expected)

    async with asyncio.timeout(20):
        while not await are():  # noqa: ASYNC110 - other processes write it
            await asyncio.sleep(0.05)


async def test_a_worker_that_is_told_to_end_finishes_its_turn_and_what_a_killed_one_had_begun_is_done_once(
    engine: Engine, store: str, tmp_path: Path
) -> None:
    async with door(engine, store, tmp_path) as parts:
        for number in range(2):
            await parts.inbox.accept(webhook("ana", number), take=False)
        with worker(engine, store, tmp_path, thinks_s=0.7) as told:
            await become(parts, ("m0", "running", 1), ("m1", "queued", 0))
            told.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(told.wait, 10) == 0
        assert await turns(parts) == [("m0", "answered", 1), ("m1", "queued", 0)]
        with worker(engine, store, tmp_path, thinks_s=60) as killed:
            await become(parts, ("m0", "answered", 1), ("m1", "running", 1))
            killed.send_signal(signal.SIGKILL)
        made = settings_for(store, tmp_path, **engine.settings)
        async with serving(made, [Echo], always(plan(reply="done")), lease_s=LEASE_S, sweep_s=SWEEP_S):
            await become(parts, ("m0", "answered", 1), ("m1", "answered", 2))
        assert len(await rows(parts.database, "SELECT role FROM messages")) == 4
        assert len(await rows(parts.database, "SELECT id FROM outbox")) == 2
        left = await rows(parts.database, "SELECT open_turns, lease_until FROM sessions")
        assert [tuple(row) for row in left] == [(0, None)]
