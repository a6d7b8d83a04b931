"""`python dev.py torture [--seconds N] [DB_URL ...]`: real processes, killed with SIGKILL once a second.

Clients deliver messages (a fifth of them more than once, concurrently) into the inbox, as webhooks do;
worker processes run the turns over a model with latency; each message asks for a write and each write is
confirmed with its token. At the end only rows count: every message has one closed turn, every confirmed write
one ledger line at most and an outcome, turns of a session close in order, and no lease is left.
"""

import argparse
import asyncio
import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, make_url, text

from llm_planner.assembly import Parts, assemble
from llm_planner.clock import SystemClock
from llm_planner.errors import Unavailable
from llm_planner.messages import InboundMessage, SessionKey
from llm_planner.storage.database import Database, connect
from llm_planner.turn.tokens import Tokens

from .torture_worker import blueprint

ROOT = Path(__file__).parent.parent
CLIENTS = 16
DUPLICATED = 0.2
SETTLE_S = 120.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done to whom."""

    name: str
    url: str
    workers: int
    sessions: int
    messages: int
    kill_every_s: float
    seconds: float


@dataclass(slots=True)
class Tally:
    """What went in, and how often a worker was killed."""

    messages: int = 0
    deliveries: int = 0
    kills: int = 0


class Workers:
    """The processes, and the one who kills them."""

    def __init__(self, scenario: Scenario, environment: dict[str, str]) -> None:
        self._scenario = scenario
        self._environment = environment
        self._running = [self._start() for _ in range(scenario.workers)]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bench.torture_worker", "30"]
        return subprocess.Popen(command, env=self._environment, cwd=ROOT, stderr=subprocess.DEVNULL)

    async def kill_now_and_then(self, tally: Tally) -> None:
        ends = time.monotonic() + self._scenario.seconds
        while time.monotonic() < ends:
            await asyncio.sleep(self._scenario.kill_every_s)
            number = random.randrange(len(self._running))
            self._running[number].send_signal(signal.SIGKILL)
            self._running[number].wait()
            tally.kills += 1
            self._running[number] = self._start()

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()


class Client:
    """Delivers to a share of the sessions, one message after the other in each."""

    def __init__(self, parts: Parts, tokens: Tokens, tally: Tally) -> None:
        self._parts = parts
        self._tokens = tokens
        self._tally = tally

    async def talk(self, session: str, rounds: int) -> None:
        for number in range(rounds):
            turn = await self._deliver(session, f"w{number}", f"write {session}-{number}")
            await self._closed(turn)
            token = await self._token(turn)
            if token is not None:
                await self._closed(await self._deliver(session, f"c{number}", f"confirm {token}"))

    async def _deliver(self, session: str, message_id: str, said: str) -> str:
        """Accept one message, now and then several times at once; all get the same turn."""
        key = SessionKey("torture", "torture", session, session)
        message = InboundMessage(key, message_id, said)
        copies = random.choice([2, 3]) if random.random() < DUPLICATED else 1
        turns = set(await asyncio.gather(*(self._accept(message) for _ in range(copies))))
        if len(turns) != 1:
            raise SystemExit(f"one message became several turns: {turns}")
        self._tally.messages += 1
        self._tally.deliveries += copies
        return turns.pop()

    async def _accept(self, message: InboundMessage) -> str:
        """As a provider does: again, until somebody says that it is stored."""
        while True:
            try:
                return (await self._parts.inbox.accept(message, take=False)).turn_id
            except Unavailable:
                await asyncio.sleep(0.2)

    async def _closed(self, turn_id: str) -> None:
        while True:
            found = await rows(self._parts.database, "SELECT state FROM turns WHERE id = :id", id=turn_id)
            if found and found[0].state in ("answered", "needs_confirmation", "failed"):
                return
            await asyncio.sleep(0.05)

    async def _token(self, turn_id: str) -> str | None:
        sql = "SELECT id FROM pending_confirmations WHERE turn_id = :id AND state = 'pending'"
        found = await rows(self._parts.database, sql, id=turn_id)
        return self._tokens.of(found[0].id) if found else None


async def rows(database: Database, sql: str, **values: Any) -> Sequence[Any]:
    def query(conn: Connection) -> Sequence[Any]:
        result = conn.execute(text(sql), values)
        return result.all() if result.returns_rows else []

    return await database.run(query)


async def judged(database: Database, tally: Tally) -> dict[str, int]:
    """The verdict of the rows."""

    async def count(sql: str) -> int:
        return int((await rows(database, sql))[0][0])

    closed = "state IN ('answered', 'needs_confirmation', 'failed')"
    return {
        "messages": tally.messages,
        "deliveries": tally.deliveries,
        "kills": tally.kills,
        "lost": tally.messages
        - await count(f"SELECT COUNT(*) FROM turns WHERE {closed} AND reply IS NOT NULL"),
        "doubled": await count("SELECT COUNT(*) - COUNT(DISTINCT call_key) FROM torture_ledger")
        + await count("SELECT COUNT(*) - COUNT(DISTINCT line) FROM torture_ledger"),
        "unconfirmed": await count(
            "SELECT COUNT(*) FROM torture_ledger WHERE call_key NOT IN (SELECT idempotency_key FROM tool_runs)"
        ),
        "out of order": await count(
            "SELECT COUNT(*) FROM turns a JOIN turns b ON a.session_id = b.session_id AND b.seq = a.seq + 1 "
            "WHERE b.finished_at < a.finished_at"
        ),
        "executed, no line": await count(
            "SELECT COUNT(*) FROM tool_runs WHERE state = 'ok' "
            "AND idempotency_key NOT IN (SELECT call_key FROM torture_ledger)"
        ),
        "unknown": await count("SELECT COUNT(*) FROM tool_runs WHERE state = 'unknown'"),
        "unsettled": await count("SELECT COUNT(*) FROM tool_runs WHERE state = 'intent'"),
        "stuck leases": await count(
            "SELECT COUNT(*) FROM sessions WHERE lease_until IS NOT NULL OR open_turns > 0"
        ),
    }


async def played(scenario: Scenario) -> dict[str, int]:
    """Play one scenario and judge it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ, "DB_URL": scenario.url or f"sqlite:///{folder}/torture.db", "DATA_DIR": folder,
            "SECRET_KEY": "a-secret-key-for-the-torture-0123456789", "LOG_LEVEL": "error", "WORKERS_INLINE": "1",
            "BUDGET_SESSION_CALLS": "0", "BUDGET_ACCOUNT_CALLS": "0",
        }  # fmt: skip
        os.environ.update(environment)
        parts, tally = assemble(blueprint(0).ingredients), Tally()
        await parts.database.run(lambda conn: [item.upgrade(conn) for item in blueprint(0).migrations])
        await rows(
            parts.database,
            "CREATE TABLE torture_ledger (call_key VARCHAR(64) NOT NULL, line VARCHAR(200) NOT NULL)",
        )
        workers = Workers(scenario, environment)
        try:
            await _load(scenario, parts, workers, tally)
            return await judged(parts.database, tally)
        finally:
            workers.stop()
            await parts.close()


async def _load(scenario: Scenario, parts: Parts, workers: Workers, tally: Tally) -> None:
    killer = asyncio.create_task(workers.kill_now_and_then(tally))
    rounds = max(1, scenario.messages // scenario.sessions // 2)
    names = [f"s{number}-{secrets.token_hex(3)}" for number in range(scenario.sessions)]
    client, places = Client(parts, Tokens(parts.keys), tally), asyncio.Semaphore(CLIENTS * 4)

    async def one(name: str) -> None:
        async with places:
            await client.talk(name, rounds)

    talks = asyncio.gather(*(one(name) for name in names))
    while not talks.done():
        await asyncio.wait([talks], timeout=5)
        print(
            f"  {scenario.name}: {tally.messages} messages, {tally.kills} kills", file=sys.stderr, flush=True
        )
    await talks
    killer.cancel()


async def on_server(scenario: Scenario) -> dict[str, int]:
    """The same in a database of its own on a server."""
    if not scenario.url:
        return await played(scenario)
    name, clock = f"torture_{secrets.token_hex(4)}", SystemClock()
    server = connect(scenario.url, clock)
    try:
        await rows(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        url = make_url(scenario.url).set(database=name).render_as_string(hide_password=False)
        return await played(Scenario(**{**_fields(scenario), "url": url}))
    finally:
        await rows(server, f"DROP DATABASE IF EXISTS {name}")
        await server.close()


def _fields(scenario: Scenario) -> dict[str, Any]:
    return {name: getattr(scenario, name) for name in Scenario.__dataclass_fields__}


ZEROS = ("lost", "doubled", "unconfirmed", "out of order", "executed, no line", "unsettled", "stuck leases")


def main() -> None:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("urls", nargs="*", metavar="DB_URL")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long workers are killed")
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=200)
    chosen = parser.parse_args()
    urls = chosen.urls or ["", *filter(None, os.environ.get("TEST_DB_URLS", "").split(","))]
    bad, printed = False, False
    for url in urls:
        name = url.partition(":")[0] or "sqlite"
        scenario = Scenario(name, url, 3 if url else 1, chosen.sessions, chosen.messages, 1.0, chosen.seconds)
        verdict = asyncio.run(on_server(scenario))
        if not printed:
            print(f"| scenario | {' | '.join(verdict)} |\n|{'---|' * (len(verdict) + 1)}")
            printed = True
        print(
            f"| {name}, kill -9 a second | {' | '.join(str(value) for value in verdict.values())} |",
            flush=True,
        )
        bad = bad or any(verdict[zero] for zero in ZEROS)
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
