"""Scenarios `confirm` and `races`: one token and many who use it at once; a confirm against everything that ends it."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .arena import Arena, Servers, servers
from .plans import Size
from .verdict import Judge, Verdict, deadlocks
from .worker import key_of, newest_card

PROCESSES = 4
TTL_S = 2
OPEN = "SELECT COUNT(*) FROM sessions WHERE open_turns > 0"
DECIDED = ("claimed", "cancelled", "expired", "edited", "superseded")
"""What the audit calls the end of a parked write: `confirmation_…`, one for each."""


async def many(arena: Arena, size: Size) -> Verdict:
    """One token, confirmed again and again at the same time, through four processes (one on SQLite)."""
    judge = Judge(arena, f"one token, {size.confirms} confirms at once", await deadlocks(arena))
    async with servers(arena, PROCESSES) as running:
        word = arena.tokens.of((await _ask(arena, running, "user")).id)
        await asyncio.gather(
            *(
                arena.provider.say(running.urls[n % len(running.urls)], "user", f"c{n}", f"confirm {word}")
                for n in range(size.confirms)
            )
        )
        rest = await arena.quiet()
    ends = await arena.rows("SELECT status, code, COUNT(*) FROM turns WHERE seq > 1 GROUP BY status, code")
    found = {(row[0], row[1]): row[2] for row in ends}
    faults = [] if rest else ["it never came to rest"]
    if found != {("executed", None): 1, ("refused", "token_used"): size.confirms - 1}:
        faults.append(f"the turns ended as {found}")
    if await arena.number("SELECT COUNT(*) FROM torture_ledger") != 1:
        faults.append("not one line")
    if await arena.number("SELECT COUNT(*) FROM audit_events WHERE kind = 'confirmation_claimed'") != 1:
        faults.append("not one claim in the audit")
    return await judge.verdict(0, f"one execution, {size.confirms - 1} times token_used", faults)


@dataclass(frozen=True, slots=True)
class Race:
    """What a confirm races, and the states that its write may end in. A deadly one kills a process, and is run
    alone."""

    name: str
    against: Callable[[Arena, Servers, str, Any], Awaitable[None]]
    ends: tuple[str, ...]
    deadly: bool = False


async def races(arena: Arena, size: Size) -> Verdict:
    """Each race in many sessions, one after the other: one outcome each, audited once."""
    judge = Judge(arena, "confirm against expiry, cancel, edit, restart", await deadlocks(arena))
    faults, kills = list[str](), 0
    users = {race: [f"{race.name}-{number}" for number in range(size.trials)] for race in RACES}
    for some, seconds in ((RACES[:1], TTL_S), (RACES[1:], 600)):
        async with servers(arena, PROCESSES // 2, settings={"confirm_ttl_sec": seconds}) as running:
            for race in some:
                if race.deadly:
                    for user in users[race]:
                        await _trial(arena, running, race, user)
                    kills += len(users[race])
                else:
                    await asyncio.gather(*(_trial(arena, running, race, user) for user in users[race]))
            await arena.until(OPEN, "turns are still open")
            await arena.bury_deliveries()
            if not await arena.quiet():
                faults.append(f"{some[-1].name}: it never came to rest")
    for race in RACES:
        for user in users[race]:
            faults += await _faults(arena, race, user)
    ends = await arena.rows("SELECT state, COUNT(*) FROM pending_confirmations GROUP BY state ORDER BY state")
    note = ", ".join(f"{row[1]} {row[0]}" for row in ends)
    return await judge.verdict(kills, f"one outcome each: {note}", faults)


async def _trial(arena: Arena, running: Servers, race: Race, user: str) -> None:
    card = await _ask(arena, running, user)
    confirm = arena.provider.say(running.urls[0], user, "c0", f"confirm {arena.tokens.of(card.id)}")
    both = [race.against(arena, running, user, card), confirm]
    random.shuffle(both)
    await asyncio.gather(*both)


async def _ask(arena: Arena, running: Servers, user: str) -> Any:
    """Park a write; its row."""
    await arena.provider.say(running.urls[0], user, "w0", f"please ledger {user}")
    sql = "SELECT 1 - COUNT(*) FROM sessions WHERE key_hash = :key AND open_turns = 0"
    await arena.until(sql, f"{user} has no card", key=key_of(user).digest())
    return await arena.database.read(lambda conn: newest_card(conn, key_of(user)))


async def _expiry(arena: Arena, running: Servers, user: str, card: Any) -> None:
    """Another message at the very end of its time, which lets the timer and the lane meet."""
    left = (card.expires_at - datetime.now(UTC)).total_seconds()
    await asyncio.sleep(max(0.0, left + random.uniform(-0.1, 0.02)))
    await arena.provider.say(running.urls[-1], user, "p0", "pending")


async def _cancel(arena: Arena, running: Servers, user: str, card: Any) -> None:
    await arena.provider.say(running.urls[-1], user, "x0", f"cancel {arena.tokens.of(card.id)}")


async def _edit(arena: Arena, running: Servers, user: str, card: Any) -> None:
    decision = {"decision": "edit", "digest": card.digest, "args": {"line": f"{user}-edited"}}
    status = await arena.provider.resolve(running.urls[-1], card.id, decision)
    if status not in (200, 409):
        raise SystemExit(f"an edit was answered with {status}")


async def _restart(arena: Arena, running: Servers, user: str, card: Any) -> None:
    await asyncio.sleep(random.uniform(0, 0.06))
    await asyncio.to_thread(running.kill, 0)


RACES = (
    Race("expiry", _expiry, ("executed", "expired")),
    Race("cancel", _cancel, ("executed", "cancelled")),
    Race("edit", _edit, ("executed", "rejected")),
    Race("restart", _restart, ("executed", "unknown"), deadly=True),
)


async def _faults(arena: Arena, race: Race, user: str) -> list[str]:
    """What is wrong with the end of one trial."""
    found = await arena.rows(
        "SELECT c.id, c.state, c.edition FROM pending_confirmations c JOIN sessions s ON s.id = c.session_id "
        "WHERE s.key_hash = :key ORDER BY c.id",
        key=key_of(user).digest(),
    )
    first = found[0]
    lines = await arena.number("SELECT COUNT(*) FROM torture_ledger WHERE line = :line", line=user)
    events = await arena.rows(
        "SELECT e.kind, e.payload FROM audit_events e JOIN sessions s ON s.id = e.session_id WHERE s.key_hash = :key",
        key=key_of(user).digest(),
    )
    told = [
        row.kind
        for row in events
        if row.kind.removeprefix("confirmation_") in DECIDED
        and json.loads(row.payload)["confirmation"] == first.id
    ]
    wrong = []
    if first.state not in race.ends or len(found) != (2 if first.state == "rejected" else 1):
        wrong.append(f"{user} ended as {[(row.state, row.edition) for row in found]}")
    if first.state != "unknown" and lines != (first.state == "executed"):
        wrong.append(f"{user} is {first.state} and has {lines} lines")
    if len(told) != 1:
        wrong.append(f"{user} is {first.state} and the audit has {told}")
    return wrong
