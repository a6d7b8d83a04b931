"""The outbox: what leaves the house is stored with the turn, then delivered with backoff, or ends honestly.

A delivery is claimed by compare-and-set before it is tried. A refusal is retried with growing pauses and at
last is `dead`; an attempt that may have arrived, on a route without an idempotency key, is `unknown`.
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from sqlalchemy import Connection

from ..ids import new_id
from ..storage.database import Database, now
from ..storage.repositories import outbox
from ..storage.repositories.outbox import OutboxRow, Settlement
from ..storage.states import OutboxState
from .record import TurnRecord

logger = logging.getLogger("llm_planner.outbox")
ATTEMPTS = 8
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 3600.0
ATTEMPT_S = 60.0
BATCH = 20


class Refused(Exception):
    """The other side did not take it. `final` says that trying again is useless."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Ambiguous(Exception):
    """It left, and nobody can say whether it arrived."""


class Courier(Protocol):
    """Delivers one kind of letter."""

    async def deliver(self, row: OutboxRow) -> None:
        """Return when the other side took it. Raises Refused or Ambiguous, and nothing else."""


def letters(record: TurnRecord, moment: datetime) -> list[OutboxRow]:
    """The mails that this turn's steps wrote, as rows."""
    return [
        OutboxRow(
            session_id=record.session.id,
            id=new_id(),
            turn_id=record.lane.turn_id,
            kind="mail",
            destination=mail.to,
            body={"subject": mail.subject, "text": mail.text},
            idempotency_key=key,
            state=OutboxState.QUEUED,
            attempts=0,
            due_at=moment,
            error=None,
            created_at=moment,
            finished_at=None,
        )
        for key, mail in record.mails
    ]


class Deliveries:
    """Delivers what is due, of the kinds that have a courier; the others wait where a person sees them."""

    def __init__(self, database: Database, couriers: Mapping[str, Courier]) -> None:
        self._database = database
        self._couriers = couriers

    async def round(self) -> int:
        """Deliver one batch. Returns how many were tried."""
        rows = await self._database.run(self._due)
        done = await asyncio.gather(*(self._deliver(row) for row in rows))
        return sum(done)

    def _due(self, conn: Connection) -> Sequence[OutboxRow]:
        moment = now(conn)
        for row in outbox.stuck(conn, moment):
            lost = Settlement(OutboxState.UNKNOWN, moment, "the worker that had it did not come back")
            outbox.settle(conn, row, row.attempts, lost)
        return outbox.due(conn, list(self._couriers), moment, BATCH)

    async def _deliver(self, row: OutboxRow) -> bool:
        until = timedelta(seconds=2 * ATTEMPT_S)
        if not await self._database.run(lambda conn: outbox.claim(conn, row, now(conn) + until)):
            return False
        (fault,) = await asyncio.gather(self._attempt(row), return_exceptions=True)
        state, pause, error = OutboxState.DELIVERED, 0.0, None
        if isinstance(fault, Refused):
            last = fault.final or row.attempts + 1 >= ATTEMPTS
            state, error = OutboxState.DEAD if last else OutboxState.RETRYING, str(fault)
            pause = 0.0 if last else backoff(row.attempts)
        elif fault is not None:
            # Whatever else a courier raises says nothing about what arrived.
            told = str(fault) if isinstance(fault, Ambiguous) else f"it ended in {type(fault).__name__}"
            state, error = OutboxState.UNKNOWN, told
        if error is not None:
            logger.warning("delivery %s (%s): %s: %s", row.id, row.kind, state, error)
        later = timedelta(seconds=pause)
        await self._database.run(
            lambda conn: outbox.settle(
                conn, row, row.attempts + 1, Settlement(state, now(conn) + later, error)
            )
        )
        return True

    async def _attempt(self, row: OutboxRow) -> None:
        async with asyncio.timeout(ATTEMPT_S):
            await self._couriers[row.kind].deliver(row)


def backoff(attempts: int) -> float:
    """Seconds until the next attempt: exponential with full jitter, at least a second."""
    ceiling = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempts)
    return 1.0 + random.uniform(0, ceiling)  # noqa: S311 - jitter
