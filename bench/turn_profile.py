"""`python dev.py bench turn_profile`: where the CPU of a one-tool turn goes, by cProfile, without HTTP and threads.

One process, a scripted model in memory, SQLite; transactions run where they are called, so that one profile sees
everything. What is left between this and `bench turn` is HTTP on both sides, thread hand-overs and the network.
"""

import asyncio
import cProfile
import itertools
import json
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_planner.assembly import Ingredients, Parts, assemble
from llm_planner.clock import SystemClock
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.messages import InboundMessage, SessionKey
from llm_planner.settings import load_settings
from llm_planner.storage.database import SqliteDatabase
from llm_planner.storage.migrate import core_migrations
from llm_planner.tools import ToolRegistry

from .turn_model import PLANS
from .turn_server import Lookup, Note

TURNS = 500
PROMPTS = Path(__file__).parent.parent / "app" / "prompts"
AREAS = {
    "commit: SQLite's own, on disk": ("~", "'commit' of 'sqlite3.Connection'"),
    "statements: SQLite's own": ("~", "of 'sqlite3.Cursor'"),
    "statements: SQLAlchemy Core, all in": ("elements.py", "_execute_on_connection"),
    "accept, statements in": ("inbox.py", "_accept"),
    "plan: prompt, reading, check": ("planner.py", "plan"),
    "execute": ("executor.py", "_step"),
    "answer": ("answerer.py", "answer"),
    "close, statements in": ("closing.py", "_close"),
}


class Inline(SqliteDatabase):
    """The same database with its transactions in the caller's thread."""

    async def run(self, fn: Callable[..., Any]) -> Any:
        with self._write_engine.begin() as conn:
            return fn(conn)


async def turns(parts: Parts, first: int, count: int) -> None:
    for number in range(first, first + count):
        message = InboundMessage(SessionKey("web", "web", "a", "a"), f"m{number}", "please read")
        accepted = await parts.inbox.accept(message, take=True)
        await parts.worker.run_next(accepted.session_id, accepted.claimed)


async def measured(folder: str) -> None:
    settings = load_settings(
        _env_file=None, db_url=f"sqlite:///{folder}/profile.db", data_dir=Path(folder), budget_session_calls=0
    )
    model = ScriptedModel(itertools.repeat(json.dumps(PLANS["read"])))
    registry = ToolRegistry([Lookup, Note])
    parts = assemble(Ingredients(settings, registry, PROMPTS, SystemClock(), model))
    await parts.database.run(core_migrations().upgrade)
    if isinstance(parts.database, SqliteDatabase):
        await asyncio.to_thread(parts.database._writer.stop)
        parts.database.__class__ = Inline
    await turns(parts, 0, 100)
    began = time.process_time()
    await turns(parts, 100, TURNS)
    print(
        f"one turn: {(time.process_time() - began) * 1000 / TURNS:.2f} ms of CPU, without HTTP and threads\n"
    )
    profile = cProfile.Profile()
    profile.enable()
    await turns(parts, 100 + TURNS, TURNS)
    profile.disable()
    show(pstats.Stats(profile))


def show(stats: pstats.Stats) -> None:
    """The share of each area in the profiled time; areas overlap where one calls another."""
    total = stats.total_tt  # type: ignore[attr-defined]
    print("| area | share |\n|---|---|")
    for area, (file, function) in AREAS.items():
        spent = sum(
            row[3]
            for (where, _, name), row in stats.stats.items()  # type: ignore[attr-defined]
            if Path(where).name == file and (name == function or (file == "~" and function in name))
        )
        print(f"| {area} | {100 * spent / total:.0f} % |")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measured(folder))


if __name__ == "__main__":
    main()
