"""The session of a turn: opens the record of a claimed turn, renews and frees its lease, finds what nobody holds."""

import time
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import Connection

from ..storage.database import Database, now
from ..storage.repositories import confirmations, sessions
from .inbox import Claimed, from_row
from .progress import Progress
from .record import Lane, TurnRecord, stored_round

BATCH = 100


class SessionLane:
    """Reads what a turn starts from, and keeps its lease."""

    def __init__(self, database: Database, lease_s: float) -> None:
        self._database = database
        self._lease_s = lease_s

    async def open(self, claimed: Claimed, progress: Progress) -> TurnRecord:
        """The record of a claimed turn: message, history, facts, and what an earlier attempt stored."""
        message = from_row(claimed.session.key, claimed.turn.message_id, claimed.turn.inbound)
        record = TurnRecord(claimed.lane, message, claimed.session, claimed.history, claimed.held, progress)
        record.rounds = [stored_round(data) for data in claimed.turn.rounds]
        if claimed.session.parked_until is not None:
            record.pending = await self._database.read(lambda conn: _pending(conn, claimed.session.id))
        record.note(
            "received",
            claimed.session.principal,
            message_id=message.message_id,
            attempt=claimed.lane.attempts,
        )
        return record

    async def renew(self, claims: Iterable[Claimed]) -> None:
        """Push the leases of these lanes into the future; a lost one is left alone."""
        held, began = list(claims), time.monotonic()
        if held:
            for claimed in await self._database.run(lambda conn: self._renew(conn, held)):
                claimed.held.extend(began + self._lease_s)

    def _renew(self, conn: Connection, claims: Iterable[Claimed]) -> list[Claimed]:
        until = now(conn) + timedelta(seconds=self._lease_s)
        return [
            claimed
            for claimed in claims
            if sessions.renew(conn, claimed.lane.session_id, claimed.lane.epoch, until)
        ]

    async def free(self, lane: Lane) -> None:
        """Let go at once, so that the next attempt need not wait for the lease to end."""
        await self._database.run(lambda conn: sessions.free(conn, lane.session_id, lane.epoch))

    async def waiting(self) -> list[str]:
        """Sessions whose open turns nobody works on, one batch."""
        return list(await self._database.read(lambda conn: sessions.waiting(conn, now(conn), BATCH)))


def _pending(conn: Connection, session_id: str) -> tuple[confirmations.ConfirmationRow, ...]:
    return confirmations.pending(conn, session_id, now(conn))
