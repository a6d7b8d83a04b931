"""Timers: confirmations end on time though nobody writes, and what is past its retention goes."""

import logging
from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..errors import LaneLost
from ..ids import new_id
from ..messages import AuditEvent
from ..storage.database import Database, now
from ..storage.repositories import confirmations, heartbeats
from .audit import Audit
from .retention import Retention

logger = logging.getLogger("llm_planner.timers")
BATCH = 100
BEAT = timedelta(seconds=15)
FORGOTTEN = timedelta(days=1)


class Timers:
    """What happens because time goes by. The rows say when, and firing too early or twice does nothing."""

    def __init__(self, database: Database, audit: Audit, retention: Retention) -> None:
        self._database = database
        self._audit = audit
        self._retention = retention
        self._process = new_id()
        self._beat_at: datetime | None = None

    async def beat(self) -> None:
        """Say that this process sweeps, delivers and keeps timers; a few times a minute is enough."""
        await self._database.run(self._beat)

    def _beat(self, conn: Connection) -> None:
        moment = now(conn)
        if self._beat_at is None or moment - self._beat_at >= BEAT:
            heartbeats.beat(conn, self._process, moment, moment - FORGOTTEN)
            self._beat_at = moment

    async def fire(self, session_id: str) -> datetime | None:
        """Expire what is overdue in this session. Returns when its next confirmation ends. Raises LaneLost."""
        return await self._database.run(lambda conn: self._fire(conn, session_id))

    def _fire(self, conn: Connection, session_id: str) -> datetime | None:
        moment, rows = now(conn), confirmations.undecided(conn, session_id)
        for row in rows:
            if row.expires_at <= moment and confirmations.expire(conn, row, moment):
                told = {"confirmation": row.id, "tool": row.tool}
                event = AuditEvent("confirmation_expired", "timer", told, row.turn_id)
                self._audit.append(conn, session_id, [event], moment)
        return min((row.expires_at for row in rows if row.expires_at > moment), default=None)

    async def sweep(self) -> None:
        """The same in every session with something overdue, whoever had armed the timer; then take away what is old."""
        await self.beat()
        overdue = await self._database.read(lambda conn: confirmations.overdue(conn, now(conn), BATCH))
        for session_id in overdue:
            try:
                await self.fire(session_id)
            except LaneLost as lost:
                logger.warning("session %s: %s", session_id, lost)
        await self._retention.round()
