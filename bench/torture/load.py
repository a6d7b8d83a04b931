"""Scenario `load`: many sessions, doubled deliveries, and a worker that is killed with `kill -9` once a second."""

import asyncio
import math
import random
import time

from .arena import Arena, Servers, servers
from .plans import Size
from .verdict import Judge, Verdict, deadlocks
from .worker import key_of, newest_card

DUPLICATED = 0.2
CLIENTS = 16
WORKERS = 3


async def play(arena: Arena, size: Size) -> Verdict:
    """`messages` in `sessions` from 16 clients, over three workers (one on SQLite)."""
    judge = Judge(arena, "load, kill -9 every second", await deadlocks(arena))
    async with servers(arena, WORKERS) as running:
        killer = asyncio.create_task(_kill(running, size.seconds))
        talks = asyncio.create_task(_talk(arena, running, size))
        while not talks.done():
            await asyncio.wait([talks], timeout=5)
            said = len(arena.provider.heard.acknowledged)
            print(f"  {arena.name}: load: {said} messages", flush=True)
        await talks
        kills = await killer
        closed = await arena.until(
            "SELECT COUNT(*) FROM sessions WHERE open_turns > 0", "turns are still open"
        )
        await arena.bury_deliveries()
        sent = await arena.quiet()
    gave_up = await arena.number("SELECT COUNT(*) FROM turns WHERE code = 'gave_up'")
    faults = [] if closed and sent else ["it never came to rest"]
    refused = sum(arena.provider.heard.refused.values())
    note = f"{gave_up} given up after three deaths; {refused} deliveries without an answer, all repeated"
    return await judge.verdict(kills, note, faults)


async def _kill(running: Servers, seconds: float) -> int:
    ends, kills = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        await asyncio.sleep(1.0)
        await asyncio.to_thread(running.kill, random.randrange(len(running.running)))
        kills += 1
    return kills


async def _talk(arena: Arena, running: Servers, size: Size) -> None:
    """Every client has its share of the sessions, all of them at once."""
    rounds = math.ceil(size.messages / size.sessions / 2)
    users = [f"user-{number}" for number in range(size.sessions)]

    async def client(number: int) -> None:
        await asyncio.gather(*(_session(arena, running, user, rounds) for user in users[number::CLIENTS]))

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))


async def _session(arena: Arena, running: Servers, user: str, rounds: int) -> None:
    """Ask for a write, wait for its card, confirm it; again and again, without waiting for the end."""
    for number in range(rounds):
        await _deliver(arena, running, user, (f"w{number}", f"please ledger {user}-{number}"))
        word = await _token(arena, user, f"w{number}")
        if word is not None:
            await _deliver(arena, running, user, (f"c{number}", f"confirm {word}"))


async def _deliver(arena: Arena, running: Servers, user: str, message: tuple[str, str]) -> None:
    """One message, a fifth of them several times at once."""
    copies = random.choice([2, 3]) if random.random() < DUPLICATED else 1
    await asyncio.gather(
        *(arena.provider.say(random.choice(running.urls), user, *message) for _ in range(copies))
    )


async def _token(arena: Arena, user: str, message_id: str) -> str | None:
    """The token of what this message parked, once its turn is closed; None if it parked nothing."""
    sql = (
        "SELECT t.id, t.state FROM turns t JOIN sessions s ON s.id = t.session_id "
        "WHERE s.key_hash = :key AND t.message_id = :message"
    )
    while True:
        found = await arena.rows(sql, key=key_of(user).digest(), message=message_id)
        if found and found[0].state in ("answered", "failed"):
            return None
        if found and found[0].state == "needs_confirmation":
            card = await arena.database.read(lambda conn: newest_card(conn, key_of(user)))
            return arena.tokens.of(card.id)
        await asyncio.sleep(0.2)
