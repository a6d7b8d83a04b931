"""Scenarios `stale`, `resumed` and `poison`: a process that wakes up too late, one that dies after it has planned,
and a message that kills whoever takes it.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from typing import Any

from . import worker
from .arena import FORKS, Arena, Servers, servers
from .plans import Size
from .points import PLANNED, Death, counted, place_of, say_all, script_of
from .verdict import Judge, Verdict, deadlocks
from .worker import key_of

LEASE_S = 3.0
LONG_LEASE_S = 8.0
"""Enough to reach any point on a slow disk: a conversation that is stopped renews nothing."""
PLACES = 8
BEGUN = ("the write has begun", "Ledger.run: committed")
"""Where the call had begun in time: what it did is written down later, and the user was told that it is unknown."""


async def stale(arena: Arena, size: Size) -> Verdict:
    """A process stops at each point of a confirmed write, until long after its lease; another one takes over;
    then it wakes up. Nothing that it still does may change anything."""
    judge = Judge(arena, "stopped (SIGSTOP) past the lease, woken up", await deadlocks(arena))
    names = await asyncio.to_thread(counted, arena, "write")
    points = [at for at, name in enumerate(names, 1) if not name.endswith("not committed")]
    deaths = [Death("write", at) for at in (points if size.every_point else points[3::4])]
    places, victims = asyncio.Semaphore(PLACES), list[BaseProcess]()
    for some in range(0, len(deaths), PLACES):
        # Before there is a server, whose sweep would take what they have accepted and not begun.
        stopping = [_victim(arena, death, signal.SIGSTOP) for death in deaths[some : some + PLACES]]
        for victim in stopping:
            await _is_stopped(victim)
        victims += stopping
    async with servers(arena, 1, lease_s=LEASE_S) as running:
        await asyncio.gather(*(say_all(arena, running, death, places) for death in deaths))
        before = [await _known(arena, death, names) for death in deaths]
        for victim in victims:
            os.kill(victim.pid or 0, signal.SIGCONT)
        for victim in victims:
            await asyncio.to_thread(victim.join, 60)
        rest = await arena.quiet()
    after = [await _known(arena, death, names) for death in deaths]
    faults = [] if rest else ["it never came to rest"]
    faults += [
        f"{death.user} did not wake up"
        for death, one in zip(deaths, victims, strict=True)
        if one.exitcode is None
    ]
    for death, was, found in zip(deaths, before, after, strict=True):
        if was != found:
            faults.append(f"{names[death.at - 1]}: {was} became {found}")
    return await judge.verdict(0, f"{len(deaths)} woke up and changed nothing", faults)


def _victim(arena: Arena, death: Death, by: int) -> BaseProcess:
    orders = replace(arena.orders, dies_at=death.at, by=by, lease_s=LONG_LEASE_S)
    _, ours = FORKS.Pipe()
    return arena.process(worker.play, orders, death.user, script_of(death.kind, death.user), ours)


async def _is_stopped(victim: BaseProcess) -> None:
    """Wait for the state `T` of its process."""
    async with asyncio.timeout(60):
        while (state := _state(victim)) != "T":
            if state == "":
                raise SystemExit("a process ended before it could be stopped")
            await asyncio.sleep(0.05)


def _state(victim: BaseProcess) -> str:
    """The letter that `ps` shows."""
    found = subprocess.run(
        ["ps", "-o", "state=", "-p", str(victim.pid)], capture_output=True, text=True, check=False
    )
    return found.stdout.strip()[:1]


async def _known(arena: Arena, death: Death, names: Sequence[str]) -> list[Any]:
    """All that a conversation has left behind, and how often the model was asked."""
    mine = "s.id = x.session_id WHERE s.key_hash = :key"
    queries = [
        f"SELECT x.state, x.status, x.reply, x.epoch, x.attempts, x.rounds FROM turns x JOIN sessions s ON {mine}",
        f"SELECT x.seq, x.role, x.text FROM messages x JOIN sessions s ON {mine}",
    ]
    if names[death.at - 1] not in BEGUN:
        queries += [
            f"SELECT x.state, x.decided_turn_id FROM pending_confirmations x JOIN sessions s ON {mine}",
            f"SELECT x.state, x.turn_id FROM tool_runs x JOIN sessions s ON {mine}",
            f"SELECT x.seq, x.hash FROM audit_events x JOIN sessions s ON {mine}",
            f"SELECT line FROM torture_ledger, sessions s WHERE s.key_hash = :key AND line = '{death.user}'",
        ]
    key = key_of(death.user).digest()
    found = [sorted(map(tuple, await arena.rows(query, key=key)), key=repr) for query in queries]
    return [*found, arena.asked.count(death.user)]


async def resumed(arena: Arena, size: Size) -> Verdict:
    """Workers die when the plan is stored. It is used again: the model is not asked, and the card appears once."""
    judge = Judge(arena, "killed after the plan was stored", await deadlocks(arena))
    names = await asyncio.to_thread(counted, arena, "write")
    at, places = place_of(names, PLANNED), asyncio.Semaphore(PLACES)
    deaths = [Death("write", at, -number) for number in range(1, size.trials + 1)]
    for some in range(0, len(deaths), PLACES):
        victims = [_victim(arena, death, signal.SIGKILL) for death in deaths[some : some + PLACES]]
        for victim in victims:
            await asyncio.to_thread(victim.join)
    plans = await _plans(arena)
    async with servers(arena, 2, lease_s=LEASE_S) as running:
        await asyncio.gather(*(say_all(arena, running, death, places) for death in deaths))
        rest = await arena.quiet()
    faults = [] if rest else ["it never came to rest"]
    for death in deaths:
        if (asked := arena.asked.count(death.user)) != 1:
            faults.append(f"{death.user}: the model was asked {asked} times")
    later = await _plans(arena)
    if len(plans) != len(deaths) + 1 or any(later[turn] != plan for turn, plan in plans.items()):
        faults.append("a stored plan was not used again")
    cards = await arena.number("SELECT COUNT(*) FROM pending_confirmations")
    if cards != len(deaths) + 1:
        faults.append(f"{cards} cards for {len(deaths) + 1} writes")
    return await judge.verdict(len(deaths), "the same plan, the model asked once, one card each", faults)


async def _plans(arena: Arena) -> dict[str, Any]:
    """The calls of the first plan of every turn that has one."""
    found = await arena.rows("SELECT id, rounds FROM turns WHERE rounds <> '[]' AND message_id = 'm0'")
    return {row.id: json.loads(row.rounds)[0]["plan"] for row in found}


async def poison(arena: Arena, size: Size) -> Verdict:
    """A message that takes its process with it, in the model's call or in the tool's, whoever takes it up."""
    judge = Judge(arena, "a message that kills its worker", await deadlocks(arena))
    async with servers(arena, 1, lease_s=LEASE_S) as running:
        watch = asyncio.create_task(_supervised(running))
        for user, word in (("ill", "poison"), ("worse", "poisonous")):
            await arena.provider.say(running.urls[0], user, "m0", f"please {word} {user}")
            await arena.provider.say(running.urls[0], user, "m1", f"please look {user}")
        rest = await arena.quiet()
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
    ends = await arena.rows("SELECT seq, state, code, attempts FROM turns ORDER BY seq")
    faults = [] if rest else ["it never came to rest"]
    if [tuple(row) for row in ends] != [(1, "failed", "gave_up", 4)] * 2 + [(2, "answered", None, 1)] * 2:
        faults.append(f"the turns ended as {[tuple(row) for row in ends]}")
    return await judge.verdict(
        running.died, "given up after three deaths, told so; the next message is answered", faults
    )


async def _supervised(running: Servers) -> None:
    """What systemd or the platform does: start again what has ended."""
    while True:
        if running.running[0].exitcode is not None:
            running.died += 1
            running.start(0)
        await asyncio.sleep(0.05)
