"""The outbox: what leaves the house is stored with the turn, then delivered with backoff, or ends honestly.

A delivery is claimed by compare-and-set before it is tried. A refusal is retried with growing pauses and at
last is `dead`; an attempt that may have arrived, on a route without an idempotency key, is `unknown`.
"""

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection

from ..ids import new_id
from ..storage.database import Database, insist, now
from ..storage.repositories import outbox
from ..storage.repositories.outbox import OutboxRow, Settlement
from ..storage.states import OutboxState
from .record import Answer, TurnRecord

logger = logging.getLogger("llm_planner.outbox")
ATTEMPTS = 8
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 3600.0
ATTEMPT_S = 60.0
BATCH = 20
PATIENCE = timedelta(hours=24)
"""How long something may be put off by those who say when to come back."""
REPLY = "reply"
_DESTINATION = 320
"""Characters of an address that the row shows."""
_LEAST_PAUSE_S = 0.5
"""Whoever says "again, at once" is not believed."""
_LATE_S = 0.05
"""A nudge comes a little after its time rather than before it."""


class Refused(Exception):
    """The other side did not take it. `final` says that trying again is useless; `retry_after_s` when it may
    be tried again, and then this was no attempt."""

    retry_after_s: float | None = None

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Ambiguous(Exception):
    """It left, and nobody can say whether it arrived."""


class Courier(Protocol):
    """Delivers one kind of letter."""

    async def deliver(self, row: OutboxRow) -> None:
        """Return when the other side took it. Raises Refused or Ambiguous, and nothing else."""

    def settled(self, conn: Connection, row: OutboxRow, moment: datetime) -> bool:
        """Called in the transaction that writes down that the row is delivered, dead or unknown. True: it left
        something else to deliver."""

    def repeatable(self, row: OutboxRow) -> bool:
        """Whether the other side recognises by our key what it had already: then a lost attempt is repeated."""


def letters(record: TurnRecord, moment: datetime) -> list[OutboxRow]:
    """The mails that this turn's steps wrote, as rows."""
    return [
        _row(record, moment, ("mail", mail.to, key), {"subject": mail.subject, "text": mail.text})
        for key, mail in record.mails
    ]


def replies(record: TurnRecord, answer: Answer, moment: datetime) -> list[OutboxRow]:
    """The answer as a row for the provider's courier; none where the caller waits for it,
    or where nothing is said.

    `next` is the place in the reply where sending goes on, `references` the provider's ids of what it took;
    `window_closed` says that it leaves as a template.
    """
    route, session = record.message.route, record.session
    if route is None or not answer.whole:
        return []
    body = {
        "provider": session.channel,
        "account": session.account,
        "user": session.principal,
        "reply_to": route.reply_to,
        "thread": route.thread,
        "callback_id": route.callback_id,
        "locale": record.locale,
        "text": answer.text,
        "cards": [{"confirmation": name, "text": card} for name, card in answer.cards],
        "next": [0, 0],
        "references": [],
        "window_closed": False,
    }
    return [
        _row(record, moment, (REPLY, route.reply_to[:_DESTINATION], f"{REPLY}:{record.lane.turn_id}"), body)
    ]


def _row(
    record: TurnRecord, moment: datetime, what: tuple[str, str, str], body: Mapping[str, Any]
) -> OutboxRow:
    """A fresh row; `what` is its kind, destination and idempotency key."""
    kind, destination, key = what
    return OutboxRow(
        session_id=record.session.id,
        id=new_id(),
        turn_id=record.lane.turn_id,
        kind=kind,
        destination=destination,
        body=body,
        idempotency_key=key,
        state=OutboxState.QUEUED,
        attempts=0,
        due_at=moment,
        error=None,
        created_at=moment,
        finished_at=None,
    )


class Nudge:
    """Says in this process which sessions have something to deliver now, or will have soon."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._sessions: set[str] = set()

    def soon(self, session_id: str, seconds: float = 0.0) -> None:
        if seconds > 0.0:
            asyncio.get_running_loop().call_later(seconds, self.soon, session_id)
        else:
            self._sessions.add(session_id)
            self._event.set()

    async def wait(self) -> frozenset[str]:
        """Return the sessions that were nudged since the last wait, once there are any."""
        await self._event.wait()
        self._event.clear()
        found, self._sessions = frozenset(self._sessions), set()
        return found


class Deliveries:
    """Delivers what is due, of the kinds that have a courier; the others wait where a person sees them."""

    def __init__(
        self, database: Database, couriers: Mapping[str, Courier], attempt_s: float = ATTEMPT_S
    ) -> None:
        self._database = database
        self._couriers = couriers
        self._attempt_s = attempt_s
        self.nudge = Nudge()

    async def round(self, session_id: str | None = None) -> int:
        """Deliver one batch, of one session or of all. Returns how many were tried."""
        rows = await self._database.run(lambda conn: self._due(conn, session_id))
        done = await asyncio.gather(*(self._deliver(row) for row in rows))
        return sum(done)

    def _due(self, conn: Connection, session_id: str | None) -> Sequence[OutboxRow]:
        moment = now(conn)
        for row in outbox.stuck(conn, moment):
            outbox.settle(conn, row, row.attempts, self._lost(row, moment))
        return outbox.due(conn, list(self._couriers), moment, BATCH, session_id)

    def _lost(self, row: OutboxRow, moment: datetime) -> Settlement:
        """The end of an attempt whose worker died or was stopped."""
        courier, why = self._couriers.get(row.kind), "the worker that had it did not come back"
        again = courier is not None and courier.repeatable(row) and row.attempts < ATTEMPTS
        return Settlement(OutboxState.RETRYING if again else OutboxState.UNKNOWN, moment, why)

    async def _deliver(self, row: OutboxRow) -> bool:
        until, began = timedelta(seconds=2 * self._attempt_s), time.monotonic()
        taken = await self._database.run(lambda conn: _claimed(conn, row, now(conn) + until))
        if taken is None:
            return False
        row = taken
        (fault,) = await asyncio.gather(self._attempt(row, began), return_exceptions=True)
        end, more = await insist(
            self._database, lambda conn: self._settle(conn, row, fault), began + 2 * self._attempt_s
        )
        if more:
            self.nudge.soon(row.session_id)
        if end.error is not None:
            logger.warning("delivery %s (%s): %s: %s", row.id, row.kind, end.state, end.error)
        if not end.counted and isinstance(fault, Refused) and fault.retry_after_s is not None:
            self.nudge.soon(row.session_id, max(fault.retry_after_s, _LEAST_PAUSE_S) + _LATE_S)
        return True

    async def _attempt(self, row: OutboxRow, began: float) -> None:
        if time.monotonic() - began > self._attempt_s:
            raise Refused("this process was stopped before it could send")
        async with asyncio.timeout(self._attempt_s):
            await self._couriers[row.kind].deliver(row)

    def _settle(
        self, conn: Connection, row: OutboxRow, fault: BaseException | None
    ) -> tuple[Settlement, bool]:
        moment = now(conn)
        end = _verdict(row, fault, moment)
        outbox.settle(conn, row, row.attempts + 1, end)
        ended = end.state != OutboxState.RETRYING
        return end, ended and self._couriers[row.kind].settled(conn, row, moment)


def _claimed(conn: Connection, row: OutboxRow, until: datetime) -> OutboxRow | None:
    """The row as it was when it was taken: one that was put off since it was read may have come further."""
    if not outbox.claim(conn, row, until):
        return None
    current = outbox.locked(conn, row.session_id, row.id)
    return replace(row, body=current.body) if current is not None else None


def _verdict(row: OutboxRow, fault: BaseException | None, moment: datetime) -> Settlement:
    """How an attempt ended. What a courier raises beyond its two says nothing about what arrived."""
    if fault is None:
        return Settlement(OutboxState.DELIVERED, moment)
    if not isinstance(fault, Refused):
        told = str(fault) if isinstance(fault, Ambiguous) else f"it ended in {type(fault).__name__}"
        return Settlement(OutboxState.UNKNOWN, moment, told)
    put_off = fault.retry_after_s is not None and moment - row.created_at < PATIENCE
    if fault.final or (not put_off and (fault.retry_after_s is not None or row.attempts + 1 >= ATTEMPTS)):
        return Settlement(OutboxState.DEAD, moment, str(fault))
    wait = fault.retry_after_s
    pause = backoff(row.attempts) if wait is None else max(wait, _LEAST_PAUSE_S)
    later = moment + timedelta(seconds=pause)
    return Settlement(OutboxState.RETRYING, later, str(fault), counted=not put_off)


def backoff(attempts: int) -> float:
    """Seconds until the next attempt: exponential with full jitter, at least a second."""
    ceiling = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**attempts)
    return 1.0 + random.uniform(0, ceiling)  # noqa: S311 - jitter
