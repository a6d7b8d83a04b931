"""Retention: how long each kind of row is kept, and the rounds that take the old ones away, a batch at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..storage.database import Database, now
from ..storage.repositories import prompts, receipts, retention, usage
from ..storage.repositories.retention import Place

BATCH = 100
BATCHES = 20
"""Of one kind in one round: the rest goes with the next ones, and nothing is held up."""
WALK = 1000
"""Rows of an index that a walk looks at in one round."""
COUNTED_FOR = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Ages:
    """`RETENTION_*`, in days."""

    message_ids: int
    messages: int
    writes: int
    audit: int
    outbox: int
    receipts: int
    model_calls: int
    prompts: int
    sessions: int


Purge = Callable[[Connection, datetime, int], int]
Walk = Callable[[Connection, datetime, Place | None, int], Place | None]


class Retention:
    """Takes away what is old. Any number of processes may do so at once."""

    def __init__(self, database: Database, ages: Ages) -> None:
        self._database = database
        self._purges: tuple[tuple[Purge, int], ...] = (
            (retention.message_ids, ages.message_ids),
            (retention.bodies, ages.messages),
            (retention.stubs, ages.messages),
            (retention.writes, ages.writes),
            (retention.letters, ages.outbox),
            (receipts.purge, ages.receipts),
            (retention.calls, ages.model_calls),
            (prompts.purge, ages.prompts),
        )
        self._walks: tuple[tuple[Walk, int], ...] = (
            (retention.audit, ages.audit),
            (retention.facts, ages.sessions),
        )
        self._places: dict[Walk, Place | None] = {}

    async def round(self) -> None:
        """A few batches of each kind."""
        for purge, days in self._purges:
            for _ in range(BATCHES):
                if await self._batch(purge, days) < BATCH:
                    break
        for walk, days in self._walks:
            await self._step(walk, days)
        await self._database.run(_forget_counters)

    async def _batch(self, purge: Purge, days: int) -> int:
        return await self._database.run(lambda conn: purge(conn, _before(conn, days), BATCH))

    async def _step(self, walk: Walk, days: int) -> None:
        """Go on where the last round stopped, and begin again at the end."""
        place = self._places.get(walk)
        self._places[walk] = await self._database.run(
            lambda conn: walk(conn, _before(conn, days), place, WALK)
        )


def _before(conn: Connection, days: int) -> datetime:
    return now(conn) - timedelta(days=days)


def _forget_counters(conn: Connection) -> None:
    usage.forget(conn, (now(conn) - COUNTED_FOR).date().isoformat())
