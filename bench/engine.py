"""`python dev.py bench engine [--seconds N] [DB_URL …]`: turns a second of three processes, and webhooks meanwhile.

Three processes take webhooks and run the turns (one on SQLite, which serves one), each with a model of 30 ms and one
read a turn. Three loads: 16 clients that post as fast as they are answered, then as many webhooks a second as turns
ended, then a third of that. The CPU is that of /proc; the profile is a sampler's, in one process under the first load.
"""

import argparse
import asyncio
import os
import signal
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_planner.engine_settings import EngineSettings
from tests.servers import name_of

from .sampling import Sampler, show
from .torture import worker
from .torture.arena import Arena, Servers, arena, servers
from .torture.house import Orders

MODEL_S = 0.03
SLOTS = int(EngineSettings.model_fields["turn_slots"].default)
"""Turns that one process works on at once, by the default of TURN_SLOTS."""
PROCESSES = 3
USERS = 64
CLIENTS = 16
"""Those of the first load. At a rate every user has a client: a slow answer holds nobody else up."""
OPEN = "SELECT COUNT(*) FROM sessions WHERE open_turns > 0"


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one load: webhooks acknowledged, seconds until the last turn was closed, CPU seconds of our
    processes and of the database server (None where it is not on this machine) until the last reply had left, cores
    busy until the last turn was closed, milliseconds of each webhook."""

    turns: int
    seconds: float
    cpu_s: float
    server_cpu_s: float | None
    cores: float
    took_ms: Sequence[float]

    @property
    def rate(self) -> float:
        return self.turns / self.seconds


async def loaded(place: Arena, running: Servers, seconds: float, rate: float | None) -> Load:
    """Post for so long, as fast as it is answered or at a rate, and wait until every turn is closed."""
    heard, began, before = place.provider.heard, time.perf_counter(), await _spent(place, running)
    heard.took_s.clear()
    clients = USERS if rate else CLIENTS
    pause = clients / rate if rate else 0.0

    async def client(number: int) -> int:
        said, due = 0, began + pause * number / clients
        while time.perf_counter() - began < seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            url = running.urls[said % len(running.urls)]
            name = f"{time.time_ns()}"
            user = (number + said * clients) % USERS
            await place.provider.say(url, f"user-{user}", name, f"please look {name}")
            said, due = said + 1, due + pause
        return said

    turns = sum(await asyncio.gather(*(client(number) for number in range(clients))))
    await place.until(OPEN, "turns are still open")
    seconds, then = time.perf_counter() - began, await _spent(place, running)
    took = [one * 1000 for one in heard.took_s]
    await place.quiet()  # the next load does not pay for this one's replies
    ours, theirs = (
        after - earlier if after is not None and earlier is not None else None
        for after, earlier in zip(await _spent(place, running), before, strict=True)
    )
    cores = (
        sum((later or 0.0) - (earlier or 0.0) for later, earlier in zip(then, before, strict=True)) / seconds
    )
    return Load(turns, seconds, ours or 0.0, theirs, cores, took)


async def _spent(place: Arena, running: Servers) -> tuple[float, float | None]:
    """CPU seconds so far of our processes, and of the database server if it is on this machine."""
    return sum(_cpu(process.pid) for process in running.running), await _server_cpu(place)


def _cpu(pid: int | None) -> float:
    """CPU seconds that a process has taken, by /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _server_cpu(place: Arena) -> float | None:
    if place.sqlite:
        return None
    return _cpu_by_file(Path((await place.rows("SELECT @@pid_file"))[0][0]))


def _cpu_by_file(file: Path) -> float | None:
    return _cpu(int(file.read_text())) if file.is_file() else None


def profiled(orders: Orders) -> None:
    """A process that leaves its profile in the folder when it is told to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn has its own, and passes it on at its end
    sampler = Sampler()
    sampler.start()
    worker.serve(orders)
    sampler.stop()
    sampler.save(Path(orders.folder) / "profile")


async def measured(url: str, seconds: float) -> None:
    name = name_of(url) if url else "SQLite"
    async with arena(name, url) as place:
        async with servers(place, PROCESSES, model_s=MODEL_S) as running:
            await loaded(place, running, 2, None)
            most = await loaded(place, running, seconds, None)
            level = await loaded(place, running, seconds, most.rate)
            calm = await loaded(place, running, seconds, most.rate / 3)
        tell(name, len(running.running), most, level, calm)
        await place.empty()
        running = Servers(place, 1, place.orders, profiled)
        await running.up()
        await loaded(place, running, seconds / 2, None)
        await running.stop()
        show(Path(place.orders.folder) / "profile")


def tell(name: str, processes: int, most: Load, level: Load, calm: Load) -> None:
    """The lines of one database."""
    allowed = processes * SLOTS / MODEL_S
    print(f"\n**{name}**, {processes} processes with {SLOTS} slots each, {os.cpu_count()} cores\n")
    print(
        "| load | turns/s | of the slots' turns/s | CPU ms a turn, ours | the server's | webhook p50 / p95 ms |"
    )
    print("|---|---|---|---|---|---|")
    labels = (
        (most, f"{CLIENTS} clients, as fast as answered"),
        (level, "as fast as turns end"),
        (calm, "a third of that"),
    )
    for load, label in labels:
        ours = load.cpu_s * 1000 / load.turns
        server = "–" if load.server_cpu_s is None else f"{load.server_cpu_s * 1000 / load.turns:.1f}"
        p50, p95 = statistics.median(load.took_ms), statistics.quantiles(load.took_ms, n=20)[-1]
        print(
            f"| {label} | {load.rate:.0f} | {allowed:,.0f} | {ours:.1f} | {server} | {p50:.0f} / {p95:.0f} |"
        )
    print(
        f"\nThe first load kept {most.cores:.2f} cores busy, clients not counted. Where one process spends its CPU:\n",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench engine", description=__doc__)
    parser.add_argument(
        "urls", nargs="*", metavar="DB_URL", help="servers; without any: those of TEST_DB_URLS"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load")
    parser.add_argument("--no-sqlite", action="store_true", help="on the servers alone")
    asked = parser.parse_args()
    named = asked.urls or [url for url in os.environ.get("TEST_DB_URLS", "").split(",") if url.strip()]
    for url in [*([] if asked.no_sqlite else [""]), *named]:
        asyncio.run(measured(url, asked.seconds))


if __name__ == "__main__":
    main()
