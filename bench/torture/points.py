"""Scenario `points`: a process dies at every numbered point of a turn; each time the end is one of those allowed.

The points are counted by a first run that survives. What may come of a death at each of them follows from
where it lies: before the write was claimed, after its effect, after its outcome was written down.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import worker
from .arena import FORKS, Arena, Servers, arena, servers
from .plans import Size
from .verdict import CLOSED, Judge, Verdict, deadlocks
from .worker import APPROVE, CONFIRM, key_of, message_id

AT_ONCE = 4
KILLED = (-9, 255)
"""Exit codes of a process that was killed; the second where the fork server missed how it ended."""
SCRIPTS = {
    "read": ("please look",),
    "write": ("please ledger", CONFIRM),
    "checked write": ("please ledger_checked", CONFIRM),
    "repeatable write": ("please ledger_once", CONFIRM),
    "operator's write": ("please ledger_approved", APPROVE),
}
"""What is said; a line of one's own follows. A checked write has `reconcile`, a repeatable one is `idempotent`."""
QUICK = ("write",)
PLANNED, SETTLED = ("Closing.store_plan: committed",), ("Journal.settle: committed",)
CLAIMED = ("Confirmations.claim: committed", "Confirmations.approve: committed")
EFFECT = ("Ledger.run: committed", "RepeatableLedger.run: committed")


@dataclass(frozen=True, slots=True)
class Death:
    """A victim of one kind that dies at a point, or, with `arrival`, when its reply of that number arrives."""

    kind: str
    at: int = 0
    arrival: int = 0

    @property
    def user(self) -> str:
        return f"{self.kind.replace(' ', '-')}-{self.at}-{self.arrival}"


@dataclass(frozen=True, slots=True)
class End:
    """What became of a conversation: its last turn, its write, the lines of its ledger, replies that arrived
    and how many of them twice under one id, cards that were parked, and how often the model was asked."""

    turn: str
    write: str
    lines: int
    replies: int
    twice: int
    cards: int
    asked: int


async def play(arena: Arena, size: Size) -> Verdict:
    """Every point of every kind (in the short form every third of one kind), and every reply
    whose sender dies before it hears that it arrived."""
    judge = Judge(arena, "kill -9 at every point of a turn", await deadlocks(arena))
    kinds = tuple(SCRIPTS) if size.every_point else QUICK
    names = {kind: await asyncio.to_thread(counted, arena, kind) for kind in kinds}
    deaths = [death for kind in kinds for death in deaths_of(kind, names[kind])][
        :: 1 if size.every_point else 3
    ]
    places = asyncio.Semaphore(AT_ONCE)
    died = await asyncio.gather(*(_die(arena, death, places) for death in deaths))
    kills = sum(died)
    print(f"  {arena.name}: points: {kills} processes died", flush=True)
    await arena.bury()
    async with servers(arena, 1) as running:
        await asyncio.gather(*(say_all(arena, running, death, places) for death in deaths))
        await arena.bury()
        rest = await arena.quiet()
    faults = [f"{death.user} did not die" for death, gone in zip(deaths, died, strict=True) if not gone]
    faults += [] if rest else ["it never came to rest"]
    for death in deaths:
        found, fine = await end_of(arena, death), allowed(death, names[death.kind])
        if found not in fine:
            at = names[death.kind][death.at - 1] if death.at else f"reply {death.arrival} arrived"
            faults.append(f"{death.kind}, {death.at} ({at}): {found} is not in {fine}")
    return await judge.verdict(kills, f"{len(deaths)} ends, each one of those allowed", faults)


def counted(arena: Arena, kind: str) -> list[str]:
    """The names of the points of one kind of conversation, in order, by one that survives."""
    theirs, ours = FORKS.Pipe()
    process = arena.process(
        worker.play,
        arena.orders,
        f"survivor-{kind}",
        script_of(kind, f"survivor-{kind.replace(' ', '-')}"),
        ours,
    )
    process.join()
    if process.exitcode or not theirs.poll():
        raise SystemExit(f"{kind}: the conversation did not come to its end; see {arena.orders.folder}/log")
    found: list[str] = theirs.recv()
    return found


def script_of(kind: str, line: str) -> tuple[str, ...]:
    return tuple(said if said in (CONFIRM, APPROVE) else f"{said} {line}" for said in SCRIPTS[kind])


def deaths_of(kind: str, names: Sequence[str]) -> list[Death]:
    points = [Death(kind, at) for at in range(1, len(names) + 1)]
    return [*points, *(Death(kind, arrival=number) for number in range(1, len(SCRIPTS[kind]) + 1))]


async def _die(arena: Arena, death: Death, places: asyncio.Semaphore) -> bool:
    orders = replace(arena.orders, dies_at=death.at, lease_s=30.0)
    async with places:
        _, ours = FORKS.Pipe()
        victim = arena.process(worker.play, orders, death.user, script_of(death.kind, death.user), ours)
        if death.arrival:
            arena.provider.deadly[death.user] = (death.arrival, victim.pid or 0)
        await asyncio.to_thread(victim.join)
    return victim.exitcode in KILLED


async def say_all(arena: Arena, running: Servers, death: Death, places: asyncio.Semaphore) -> None:
    """The provider's retries after the restart: all of the conversation, in its order, under the same ids."""
    async with places:
        for number, said in enumerate(script_of(death.kind, death.user)):
            if said == APPROVE:
                await _approve(arena, running, death.user)
            else:
                if said == CONFIRM:
                    said = f"confirm {arena.tokens.of((await _card(arena, death.user)).id)}"
                await arena.provider.say(running.urls[0], death.user, message_id(number), said)
            await arena.closed(death.user)


async def _approve(arena: Arena, running: Servers, user: str) -> None:
    card = await _card(arena, user)
    if card.state == "pending":
        decision = {"decision": "approve", "digest": card.digest}
        await arena.provider.resolve(running.urls[0], card.id, decision)


async def _card(arena: Arena, user: str) -> Any:
    found = await arena.rows(
        "SELECT c.id, c.state, c.digest FROM pending_confirmations c JOIN sessions s ON s.id = c.session_id "
        "WHERE s.key_hash = :key ORDER BY c.id DESC",
        key=key_of(user).digest(),
    )
    return found[0]


async def end_of(arena: Arena, death: Death) -> End:
    """The end of one conversation, from its rows and from what arrived."""
    key = key_of(death.user).digest()
    turns = await arena.rows(
        "SELECT t.state, t.status, t.reply FROM turns t JOIN sessions s ON s.id = t.session_id "
        "WHERE s.key_hash = :key ORDER BY t.seq",
        key=key,
    )
    whole = all(turn.state in CLOSED and turn.reply for turn in turns) and len(turns) == len(
        SCRIPTS[death.kind]
    )
    cards = await arena.rows(
        "SELECT c.state FROM pending_confirmations c JOIN sessions s ON s.id = c.session_id WHERE s.key_hash = :key",
        key=key,
    )
    lines = await arena.number("SELECT COUNT(*) FROM torture_ledger WHERE line = :line", line=death.user)
    arrived = Counter(name for user, name in arena.provider.heard.replies if user == death.user)
    return End(
        turn=turns[-1].status if whole else "not closed",
        write=cards[0].state if cards else "",
        lines=lines,
        replies=len({name.partition(".")[0] for name in arrived}),
        twice=sum(count > 1 for count in arrived.values()),
        cards=len(cards),
        asked=arena.asked.count(death.user),
    )


def allowed(death: Death, names: Sequence[str]) -> list[End]:
    """How a conversation may end after a death at this point."""
    at, messages = death.at or len(names), len(SCRIPTS[death.kind])
    writes = messages > 1
    turn, write, lines = ("executed", "executed", 1) if writes else ("answered", "", 0)
    if writes and not death.arrival:
        claimed, effect, settled = (place_of(names, one) for one in (CLAIMED, EFFECT, SETTLED))
        if claimed <= at < settled:
            turn, write, lines = _in_doubt(death.kind, at >= effect)
    asked = [1] if at >= place_of(names, PLANNED) else [1, 2]
    twice = [1] if death.arrival else [0, 1]
    return [End(turn, write, lines, messages, two, int(writes), calls) for calls in asked for two in twice]


def place_of(names: Sequence[str], wanted: Sequence[str]) -> int:
    """The number of the first point with one of these names."""
    return next(place for place, name in enumerate(names, 1) if name in wanted)


def _in_doubt(kind: str, happened: bool) -> tuple[str, str, int]:
    """(turn, write, lines) after a death between the claim and the outcome."""
    if kind == "repeatable write" or (kind == "checked write" and happened):
        return "executed", "executed", 1
    if kind == "checked write":
        return "failed", "failed", 0
    return "failed", "unknown", int(happened)


def table(names: Mapping[str, Sequence[str]]) -> str:
    """What may come of a death, for each kind: neighbouring points with the same ends in one row."""
    found = [
        "| conversation | dies at | from | to | its turn ends | its write is | lines | model asked |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, points in names.items():
        ends = [allowed(Death(kind, at), points) for at in range(1, len(points) + 1)]
        first = 0
        for after in range(1, len(points) + 1):
            if after == len(points) or ends[after] != ends[first]:
                end, asked = ends[first][0], max(one.asked for one in ends[first])
                found.append(
                    f"| {kind} | {first + 1}–{after} | {points[first]} | {points[after - 1]} | {end.turn} "
                    f"| {end.write or '–'} | {end.lines} | {'once' if asked == 1 else 'once or twice'} |"
                )
                first = after
    return "\n".join(found)


async def printed() -> str:
    """The table, from one surviving conversation of each kind on SQLite."""
    async with arena("SQLite", "") as place:
        return table({kind: await asyncio.to_thread(counted, place, kind) for kind in SCRIPTS})
