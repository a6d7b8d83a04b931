"""The session of a turn: opens the record of a claimed turn, renews and frees its lease, finds what nobody holds."""

import asyncio
import time
from collections.abc import Iterable
from datetime import timedelta

from sqlalchemy import Connection

from ..storage.database import Database, now
from ..storage.repositories import confirmations, sessions
from .inbox import Claimed, from_row
from .joining import joined_ids
from .progress import Progress
from .record import USER, Allowance, Lane, TurnRecord, stored_round

BATCH = 500


class SessionLane:
    """Reads what a turn starts from, and keeps its lease."""

    def __init__(self, database: Database, lease_s: float, turn_s: float, result_bytes: int) -> None:
        """Seconds of a lease; seconds and bytes of results that one turn may take."""
        self._database = database
        self._lease_s = lease_s
        self._turn_s = turn_s
        self._result_bytes = result_bytes

    async def open(self, claimed: Claimed, progress: Progress) -> TurnRecord:
        """The record of a claimed turn: message, history, facts, and what an earlier attempt stored."""
        message = from_row(claimed.session.key, claimed.turn.message_id, claimed.turn.inbound)
        record = TurnRecord(claimed.lane, message, claimed.session, claimed.history, claimed.held, progress)
        ends_at = asyncio.get_running_loop().time() + self._turn_s
        record.summary = claimed.summary
        record.allowance = Allowance(ends_at, self._result_bytes)
        record.rounds = [stored_round(data) for data in claimed.turn.rounds]
        if claimed.session.parked_until is not None:
            record.pending = await self._database.read(lambda conn: _pending(conn, claimed.session.id))
        record.note(
            "received",
            USER,
            message_id=message.message_id,
            attempt=claimed.lane.attempts,
            **({"joined": ids} if (ids := joined_ids(claimed.turn.inbound)) else {}),
        )
        return record

    async def renew(self, claims: Iterable[Claimed]) -> list[Claimed]:
        """Push the leases of these lanes into the future; those that another worker has taken are returned."""
        held, began = list(claims), time.monotonic()
        if not held:
            return []
        renewed, lost = await self._database.run(lambda conn: self._renew(conn, held))
        for claimed in renewed:
            claimed.held.extend(began + self._lease_s)
        return lost

    def _renew(self, conn: Connection, claims: Iterable[Claimed]) -> tuple[list[Claimed], list[Claimed]]:
        until = now(conn) + timedelta(seconds=self._lease_s)
        renewed, lost = list[Claimed](), list[Claimed]()
        # In one order everywhere: two processes that renew each other's old lanes must not wait in a circle.
        for claimed in sorted(claims, key=lambda one: one.lane.session_id):
            lane = claimed.lane
            if sessions.renew(conn, lane.session_id, lane.epoch, until):
                renewed.append(claimed)
            elif not sessions.holds(conn, lane.session_id, lane.epoch):
                lost.append(claimed)
        return renewed, lost

    async def free(self, lane: Lane) -> None:
        """Let go at once, so that the next attempt need not wait for the lease to end."""
        await self._database.run(lambda conn: sessions.free(conn, lane.session_id, lane.epoch))

    async def waiting(self) -> list[str]:
        """Sessions whose open turns nobody works on, one batch."""
        return list(await self._database.read(lambda conn: sessions.waiting(conn, now(conn), BATCH)))


def _pending(conn: Connection, session_id: str) -> tuple[confirmations.ConfirmationRow, ...]:
    return confirmations.pending(conn, session_id, now(conn))
