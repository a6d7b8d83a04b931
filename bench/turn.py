"""`python dev.py bench turn [--quick] [DB_URL ...]`: what one turn costs, in one server process.

Three processes: the server (measured), a scripted OpenAI-compatible model at 0 ms, and this client. Prints CPU
milliseconds of the server (user and system), SQL statements and transactions a turn, turns a second at 1, 16
and 64 clients, p50 and p95; then 500 sessions at once with two model calls of 1,000 ms each, and the flatness
in the length of the history. Without DB_URL: a throwaway SQLite file and every server of TEST_DB_URLS.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parent.parent
KINDS = ("plain", "read", "write+confirm")


@dataclass(frozen=True, slots=True)
class Used:
    """What the server has used so far."""

    cpu_s: float
    resident: float
    statements: float
    transactions: float


@dataclass(frozen=True, slots=True)
class Load:
    """How many clients, how many turns each."""

    clients: int
    turns: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Bench:
    """One server and one model, and a client session."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def used(self) -> Used:
        async with self.http.get(f"{self.url}/bench") as answer:
            return Used(**await answer.json())

    async def say(self, message: str, session: str) -> dict[str, Any]:
        body = {"message": message, "session_id": session}
        async with self.http.post(f"{self.url}/agent", json=body) as answer:
            data: dict[str, Any] = await answer.json(content_type=None)
            if answer.status != 200 or data["status"] == "failed":
                raise SystemExit(f"a turn failed: {answer.status} {data}")
            return data

    async def turn(self, kind: str, session: str) -> None:
        if kind != "write+confirm":
            await self.say(f"please {kind}", session)
            return
        asked = await self.say("please write", session)
        await self.say(f"confirm {asked['confirmations'][0]['token']}", session)


@asynccontextmanager
async def started(db_url: str, folder: str, model_ms: int, answerer: str) -> AsyncIterator[Bench]:
    port, model_port = free_port(), free_port()
    environment = {
        **os.environ, "DB_URL": db_url, "DATA_DIR": folder, "LOG_LEVEL": "error",
        "SECRET_KEY": secrets.token_urlsafe(32),
        "LLM_PROVIDER": "openai", "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1", "OPENAI_MODEL": "scripted",
        "ANSWERER": answerer, "DB_AUTO_MIGRATE": "1", "BUDGET_PENDING_WRITES": "100",
        "BUDGET_SESSION_CALLS": "1000000", "BUDGET_ACCOUNT_CALLS": "100000000",
        "RATE_LIMIT_SESSION": "0", "RATE_LIMIT_ADDRESS": "0",
    }  # fmt: skip
    commands = [
        [sys.executable, "-m", "bench.turn_model", str(model_port), str(model_ms)],
        [sys.executable, "-m", "bench.turn_server", str(port)],
    ]
    running = await asyncio.to_thread(_spawned, commands, environment)
    connector = aiohttp.TCPConnector(limit=0)
    try:
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=120)
        ) as http:
            bench = Bench(f"http://127.0.0.1:{port}", http)
            await _until_up(bench, running)
            yield bench
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(40)


def _spawned(commands: Sequence[Sequence[str]], environment: dict[str, str]) -> list[subprocess.Popen[bytes]]:
    return [subprocess.Popen(command, env=environment, cwd=ROOT) for command in commands]


async def _until_up(bench: Bench, running: Sequence[subprocess.Popen[bytes]]) -> None:
    for _ in range(300):
        if any(process.poll() is not None for process in running):
            raise SystemExit("a process of the benchmark ended at its start")
        with contextlib.suppress(aiohttp.ClientError):
            await bench.used()
            return
        await asyncio.sleep(0.1)
    raise SystemExit("the server did not start")


async def under(bench: Bench, kind: str, load: Load) -> tuple[float, list[float]]:
    """Turns a second and each turn's milliseconds."""
    took: list[float] = []
    label = secrets.token_hex(4)

    async def client(number: int) -> None:
        for _ in range(load.turns):
            began = time.perf_counter()
            await bench.turn(kind, f"{label}-{number}")
            took.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(load.clients)))
    return len(took) / (time.perf_counter() - began), took


async def costs(bench: Bench, kind: str, turns: int) -> str:
    """One row: CPU, statements, transactions, throughput, percentiles."""
    await under(bench, kind, Load(1, 20))
    before = await bench.used()
    speed_1, took = await under(bench, kind, Load(1, turns))
    after = await bench.used()
    cpu = (after.cpu_s - before.cpu_s) * 1000 / turns
    statements = (after.statements - before.statements) / turns
    transactions = (after.transactions - before.transactions) / turns
    speed_16, _ = await under(bench, kind, Load(16, max(10, turns // 8)))
    speed_64, took_64 = await under(bench, kind, Load(64, max(5, turns // 32)))
    p50, p95 = statistics.median(took), statistics.quantiles(took, n=20)[-1]
    p95_64 = statistics.quantiles(took_64, n=20)[-1]
    return (
        f"| {kind} | {cpu:.2f} | {statements:.1f} | {transactions:.1f} "
        f"| {speed_1:.0f} | {speed_16:.0f} | {speed_64:.0f} | {p50:.1f} / {p95:.1f} | {p95_64:.0f} |"
    )


async def table(db_url: str, name: str, turns: int) -> None:
    head = "| turn | CPU ms | statements | transactions | turns/s at 1 | at 16 | at 64 |"
    head += " p50 / p95 ms at 1 | p95 ms at 64 |"
    for answerer in ("off", "on"):
        with tempfile.TemporaryDirectory() as folder:
            url = db_url or f"sqlite:///{folder}/bench.db"
            async with started(url, folder, 0, answerer) as bench:
                idle = (await bench.used()).resident / 2**20
                print(
                    f"\n{name}, answerer {answerer} (idle: {idle:.0f} MiB resident)\n\n{head}\n|{'---|' * 9}"
                )
                for kind in KINDS if answerer == "off" else ("read",):
                    print(await costs(bench, kind, turns), flush=True)


async def history(turns: int) -> None:
    """CPU of a one-tool turn with 10 and with 1,000 earlier messages in the session."""
    with tempfile.TemporaryDirectory() as folder:
        async with started(f"sqlite:///{folder}/bench.db", folder, 0, "off") as bench:
            measured = []
            for earlier in (5, 500):
                session = f"long-{earlier}"
                for _ in range(earlier):
                    await bench.turn("read", session)
                before = await bench.used()
                for _ in range(turns):
                    await bench.turn("read", session)
                measured.append(((await bench.used()).cpu_s - before.cpu_s) * 1000 / turns)
    short, long = measured
    print(
        f"\nHistory, SQLite: {short:.2f} ms of CPU with 10 earlier messages, {long:.2f} ms with 1,000: "
        f"{long / short:.2f} times"
    )


async def crowd(sessions: int, rounds: int) -> None:
    """Many sessions at once over a slow model, two calls a turn."""
    with tempfile.TemporaryDirectory() as folder:
        async with started(f"sqlite:///{folder}/bench.db", folder, 1000, "on") as bench:
            speed, took = await under(bench, "read", Load(sessions, rounds))
            resident = (await bench.used()).resident / 2**20
    ideal, p95 = sessions / 2, statistics.quantiles(took, n=20)[-1]
    print(
        f"\nCrowd, SQLite: {sessions} sessions at once, two model calls of 1,000 ms a turn: "
        f"{speed:.0f} turns/s of {ideal:.0f}, p95 {p95:.0f} ms, no errors, {resident:.0f} MiB resident"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench turn", description=__doc__)
    parser.add_argument("urls", nargs="*", metavar="DB_URL")
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    chosen = parser.parse_args()
    turns = 60 if chosen.quick else 400
    urls = chosen.urls or ["", *filter(None, os.environ.get("TEST_DB_URLS", "").split(","))]
    for url in urls:
        asyncio.run(table(url, url.partition(":")[0] or "sqlite", turns))
    asyncio.run(history(turns))
    asyncio.run(crowd(500, 2 if chosen.quick else 6))


if __name__ == "__main__":
    main()
