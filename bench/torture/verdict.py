"""The verdict of the rows: what was lost, doubled, out of order, not known, or is still held by the dead."""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from llm_planner.storage.repositories import audit
from llm_planner.turn.audit import in_all_chains

from .arena import Arena

COLUMNS = (
    "messages",
    "deliveries",
    "kills",
    "lost",
    "doubled",
    "out of order",
    "unknown",
    "stuck",
    "deadlocks",
)
ZEROS = ("lost", "doubled", "out of order", "stuck", "deadlocks")
CLOCK = "clock moved by an hour and back"
CLOSED = ("answered", "needs_confirmation", "failed")


def promised(scenario: str, database: str) -> tuple[str, ...]:
    """The columns that must be zero. Replies go by the time they were written at: on SQLite, where it is the
    process' own, a clock that goes back may turn their order."""
    clocked = scenario == CLOCK and database == "SQLite"
    return tuple(name for name in ZEROS if not (clocked and name == "out of order"))


@dataclass(slots=True)
class Verdict:
    """One line of the table. `faults` are broken promises that have no column; `note` is one that was kept."""

    scenario: str
    database: str
    counts: dict[str, int | None]
    note: str = ""
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        zeros = promised(self.scenario, self.database)
        return not self.faults and not any(self.counts.get(name) for name in zeros)

    def line(self) -> str:
        shown = ["–" if (found := self.counts.get(name)) is None else f"{found:,}" for name in COLUMNS]
        return f"| {' | '.join([self.scenario, self.database, *shown, self.note])} |"


HEAD = f"| scenario | database | {' | '.join(COLUMNS)} | also held |\n|{'---|' * (len(COLUMNS) + 3)}"


class Judge:
    """Counts for one scenario, from what the provider was told and from what the rows say."""

    def __init__(self, arena: Arena, scenario: str, deadlocks: int | None) -> None:
        self._arena = arena
        self._scenario = scenario
        self._deadlocks = deadlocks

    async def verdict(self, kills: int, note: str = "", faults: Sequence[str] = ()) -> Verdict:
        heard = self._arena.provider.heard
        counts: dict[str, int | None] = {
            "messages": len(heard.acknowledged),
            "deliveries": heard.deliveries,
            "kills": kills,
            "lost": await self._lost() + await self._lost_replies(),
            "doubled": await self._doubled(),
            "out of order": await self._out_of_order(),
            "unknown": await self._unknown(),
            "stuck": await self._stuck(),
            "deadlocks": None,
        }
        if self._deadlocks is not None:
            counts["deadlocks"] = (await deadlocks(self._arena) or 0) - self._deadlocks
        return Verdict(self._scenario, self._arena.name, counts, note, [*faults, *await self._broken()])

    async def _broken(self) -> list[str]:
        """Sessions whose audit chain does not hold."""

        def verified(conn: Connection) -> list[str]:
            found = []
            for session, seq, head in list(in_all_chains(lambda after: audit.heads(conn, after, 500))):
                broken = self._arena.audit.verify(audit.chain(conn, session), (seq, head))
                found += [f"the audit of session {session}: {broken.reason}"] if broken is not None else []
            return found

        return await self._arena.database.read(verified)

    async def _lost(self) -> int:
        """Acknowledged messages without a closed turn that has a reply."""
        found = await self._arena.rows(
            "SELECT s.principal, t.message_id, t.state, t.reply FROM turns t JOIN sessions s ON s.id = t.session_id"
        )
        closed = {(row.principal, row.message_id) for row in found if row.state in CLOSED and row.reply}
        return len(self._arena.provider.heard.acknowledged - closed)

    async def _lost_replies(self) -> int:
        """Replies that nobody received and that are not called unknown."""
        sent = await self._arena.rows("SELECT idempotency_key, state FROM outbox WHERE kind = 'reply'")
        arrived = {name.partition(".")[0] for _, name in self._arena.provider.heard.replies}
        return sum(row.state != "unknown" and row.idempotency_key not in arrived for row in sent)

    async def _doubled(self) -> int:
        """Effects that happened twice: turns of one message, lines of one call, lines that are alike, calls
        nobody confirmed, replies under two ids."""
        number = self._arena.number
        names = {name for _, name in self._arena.provider.heard.replies}
        twice = Counter(name.partition(".")[0] + name[name.index(".") :] for name in names)
        return (
            await number("SELECT COUNT(*) FROM turns")
            - await number("SELECT COUNT(*) FROM (SELECT DISTINCT session_id, message_id FROM turns) AS one")
            + await number("SELECT COUNT(*) - COUNT(DISTINCT call_key) FROM torture_ledger")
            + await number("SELECT COUNT(*) - COUNT(DISTINCT line) FROM torture_ledger")
            + await number(
                "SELECT COUNT(*) FROM torture_ledger WHERE call_key NOT IN (SELECT idempotency_key FROM tool_runs)"
            )
            + sum(count - 1 for count in twice.values())
        )

    async def _out_of_order(self) -> int:
        """Turns that closed before the one ahead of them, by the audit's own order, and replies that arrived
        before the one ahead of them."""
        closes = await self._arena.rows(
            "SELECT t.session_id, t.seq FROM audit_events e JOIN turns t ON t.session_id = e.session_id "
            "AND t.id = e.turn_id WHERE e.kind = 'replied' ORDER BY e.session_id, e.seq"
        )
        turns = sum(
            one.session_id == after.session_id and one.seq >= after.seq
            for one, after in itertools.pairwise(closes)
        )
        found = await self._arena.rows(
            "SELECT o.idempotency_key, t.session_id, t.seq FROM outbox o JOIN turns t "
            "ON t.session_id = o.session_id AND t.id = o.turn_id WHERE o.kind = 'reply'"
        )
        places = {row.idempotency_key: (row.session_id, row.seq) for row in found}
        reached: dict[str, int] = {}
        wrong = 0
        for name in dict.fromkeys(name.partition(".")[0] for _, name in self._arena.provider.heard.replies):
            session, seq = places.get(name, ("", 0))
            wrong += seq < reached.get(session, 0)
            reached[session] = max(seq, reached.get(session, 0))
        return turns + wrong

    async def _unknown(self) -> int:
        """Writes and deliveries that a person has to look at, each told as such."""
        return await self._arena.number(
            "SELECT COUNT(*) FROM tool_runs WHERE state = 'unknown'"
        ) + await self._arena.number("SELECT COUNT(*) FROM outbox WHERE state = 'unknown'")

    async def _stuck(self) -> int:
        """Leases that nobody frees, calls without an outcome, outcomes without their line."""
        number = self._arena.number
        return (
            await number("SELECT COUNT(*) FROM sessions WHERE lease_until IS NOT NULL OR open_turns > 0")
            + await number("SELECT COUNT(*) FROM tool_runs WHERE state = 'intent'")
            + await number("SELECT COUNT(*) FROM pending_confirmations WHERE state = 'claimed'")
            + await number(
                "SELECT COUNT(*) FROM tool_runs WHERE state = 'ok' "
                "AND idempotency_key NOT IN (SELECT call_key FROM torture_ledger)"
            )
        )


async def deadlocks(arena: Arena) -> int | None:
    """Deadlocks that the arena's server has met since it started; None on SQLite."""
    return None if arena.sqlite else await counted_deadlocks(arena.rows)


async def counted_deadlocks(ask: Callable[[str], Awaitable[Sequence[Any]]]) -> int:
    """Deadlocks by the server's own counter: MariaDB has a status of that name, MySQL a metric. `ask` gives the rows of
    a statement."""
    counted = await ask("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")
    if counted:
        return int(counted[0][1])
    metrics = await ask("SELECT `COUNT` FROM information_schema.INNODB_METRICS WHERE NAME = 'lock_deadlocks'")
    return int(metrics[0][0])
