"""Scenarios `outage`, `cut`, `full` and `clock`: the database goes away, breaks connections, is full; time jumps."""

import asyncio
import contextlib
import random
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import DBAPIError

from tests.servers import Throwaway

from .arena import Arena, Servers, servers
from .plans import Size
from .verdict import CLOCK, Judge, Verdict, deadlocks
from .worker import key_of, newest_card

USERS = 12
BREATH_S = 0.1
HOUR_S = 3600.0


@asynccontextmanager
async def _talking(arena: Arena, running: Servers) -> AsyncIterator[None]:
    """Users who go on asking for reads and writes, each waiting for its acknowledgement alone."""
    stop = asyncio.Event()

    async def user(name: str) -> None:
        number = 0
        while not stop.is_set():
            word = random.choice(["look", "ledger"])
            url = random.choice(running.urls)
            await arena.provider.say(url, name, f"m{number}", f"please {word} {name}-{number}")
            number += 1
            await asyncio.sleep(BREATH_S)

    talks = [asyncio.create_task(user(f"user-{number}")) for number in range(USERS)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*talks)


async def outage(arena: Arena, size: Size, server: Throwaway) -> Verdict:
    """The server is stopped, shut down and killed, each time for a while, under load. Our processes stay."""
    judge = Judge(arena, "server stopped, shut down, killed", None)
    faults = list[str]()
    async with servers(arena, 2) as running:
        pids = [process.pid for process in running.running]
        async with _talking(arena, running):
            for end, back in _ways(server):
                await asyncio.sleep(1.0)
                await asyncio.to_thread(end)
                faults += await _while_away(arena, running, size.away_s)
                await asyncio.to_thread(back)
                faults += await _recovers(arena, running)
        await arena.until("SELECT COUNT(*) FROM sessions WHERE open_turns > 0", "turns are still open")
        await arena.bury_deliveries()
        rest = await arena.quiet()
        faults += [] if rest else ["it never came to rest"]
        alive = all(process.is_alive() for process in running.running)
        faults += (
            [] if alive and pids == [one.pid for one in running.running] else ["a process of ours ended"]
        )
    refused = arena.provider.heard.refused
    note = f"{refused[503]} deliveries answered 503 while it was away, /ready names it"
    return await judge.verdict(0, note, faults)


def _ways(server: Throwaway) -> list[tuple[Callable[[], None], Callable[[], None]]]:
    """How it goes away, and how it comes back."""

    def signalled(number: int) -> None:
        if server.process is not None:
            server.process.send_signal(number)
            if number == signal.SIGKILL:
                server.process.wait()

    return [
        (lambda: signalled(signal.SIGSTOP), lambda: signalled(signal.SIGCONT)),
        (server.stop, server.start),
        (lambda: signalled(signal.SIGKILL), server.start),
    ]


async def _while_away(arena: Arena, running: Servers, seconds: float) -> list[str]:
    """A delivery and /ready, asked while the server is away."""
    ends = time.monotonic() + seconds
    before = arena.provider.heard.refused[503]
    ready = await arena.provider.status(f"{running.urls[0]}/ready")
    while time.monotonic() < ends or arena.provider.heard.refused[503] == before:
        await asyncio.sleep(0.1)
        if time.monotonic() > ends + 10:
            return ["no delivery was answered with 503"]
    return [] if ready[0] == 503 and "database" in ready[1] else [f"/ready says {ready}"]


async def _recovers(arena: Arena, running: Servers) -> list[str]:
    """Every process is ready again, by itself."""
    for url in running.urls:
        for _ in range(300):
            if (await arena.provider.status(f"{url}/ready"))[0] == 200:
                break
            await asyncio.sleep(0.1)
        else:
            return ["/ready did not recover in half a minute"]
    return []


async def cut(arena: Arena, size: Size) -> Verdict:
    """Connections are killed in the middle of whatever they do, again and again, under load."""
    judge = Judge(arena, "connections killed in mid-statement", await deadlocks(arena))
    cuts = 0
    async with servers(arena, 2) as running:
        async with _talking(arena, running):
            ends = time.monotonic() + size.away_s
            while time.monotonic() < ends:
                cuts += await arena.database.run(_kill_some)
                await asyncio.sleep(0.05)
        await arena.until("SELECT COUNT(*) FROM sessions WHERE open_turns > 0", "turns are still open")
        await arena.bury_deliveries()
        rest = await arena.quiet()
    refused = sum(arena.provider.heard.refused.values())
    note = f"{cuts} connections cut; {refused} deliveries answered 503, all repeated"
    return await judge.verdict(0, note, [] if rest else ["it never came to rest"])


def _kill_some(conn: Connection) -> int:
    """Kill up to two connections to this database, but for the one that says so. Returns how many."""
    database, mine = conn.execute(text("SELECT DATABASE(), CONNECTION_ID()")).one()
    found = [
        row[0] for row in conn.execute(text("SHOW PROCESSLIST")) if row[3] == database and row[0] != mine
    ]
    killed = 0
    for number in random.sample(found, min(2, len(found))):
        with contextlib.suppress(DBAPIError):  # it went by itself
            conn.execute(text(f"KILL {number}"))
            killed += 1
    return killed


async def full(arena: Arena, size: Size) -> Verdict:
    """The SQLite file may not grow any more (`max_page_count`), under load; then there is room again."""
    judge = Judge(arena, "database full", None)
    pages, log = Path(arena.orders.folder) / "pages", Path(arena.orders.folder) / "log"
    with contextlib.closing(sqlite3.connect(make_url(arena.orders.url).database or "")) as file:
        file.execute("VACUUM")  # what the scenarios before have left is room, too
    pages.write_text(str(await arena.number("PRAGMA page_count") + 30))
    refused = arena.provider.heard.refused
    faults = list[str]()
    async with servers(arena, 1) as running:
        async with _talking(arena, running):
            ends = time.monotonic() + 30
            while not refused[503]:
                await asyncio.sleep(0.1)
                if time.monotonic() > ends:
                    faults.append("it was never full")
                    break
            await asyncio.sleep(size.away_s)
            pages.unlink()
        rest = await arena.quiet()
    faults += [] if rest else ["it never came to rest"]
    if "the database is full" not in log.read_text():
        faults.append("the log does not say that it is full")
    return await judge.verdict(
        0, f"{refused[503]} deliveries answered 503, all repeated; the log says why", faults
    )


async def clock(arena: Arena, size: Size) -> Verdict:
    """The clock of our processes jumps an hour ahead, two back, and one ahead again, under load."""
    judge = Judge(arena, CLOCK, await deadlocks(arena))
    file, faults = Path(arena.orders.folder) / "clock", list[str]()
    async with servers(arena, 2, settings={"provider_max_skew_sec": 7200}) as running:
        await arena.provider.say(running.urls[0], "early", "m0", "please ledger early")
        await arena.quiet()
        word = arena.tokens.of(
            (await arena.database.read(lambda conn: newest_card(conn, key_of("early")))).id
        )
        async with _talking(arena, running):
            for seconds in (HOUR_S, -HOUR_S, 0.0):
                (file.with_suffix(".new")).write_text(str(seconds))
                file.with_suffix(".new").replace(file)
                await asyncio.sleep(size.away_s / 3)
                if seconds == HOUR_S:
                    await arena.provider.say(running.urls[0], "early", "m1", f"confirm {word}")
                    await arena.closed("early")
        await arena.bury_deliveries()
        rest = await arena.quiet()
    file.unlink()
    faults += [] if rest else ["it never came to rest"]
    late = await arena.rows(
        "SELECT t.status, t.code FROM turns t JOIN sessions s ON s.id = t.session_id "
        "WHERE s.key_hash = :key AND t.message_id = 'm1'",
        key=key_of("early").digest(),
    )
    wanted = ("refused", "token_expired") if arena.sqlite else ("executed", None)
    told = (
        "a card an hour too old is refused" if arena.sqlite else "leases and cards go by the server's clock"
    )
    if [tuple(row) for row in late] != [wanted]:
        faults.append(f"the confirm after an hour ended as {[tuple(row) for row in late]}")
    return await judge.verdict(0, told, faults)
