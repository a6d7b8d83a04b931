"""The worker: what an engine drives. Runs turns, delivers letters, fires timers; every handler is idempotent."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection

from .errors import LaneLost, PlannerError
from .messages import AuditEvent, TurnView
from .storage.database import Database, now
from .storage.repositories import confirmations, receipts, sessions, turns, usage
from .storage.repositories.confirmations import ConfirmationRow
from .turn.audit import Audit
from .turn.inbox import Claimed, Inbox
from .turn.orchestrator import MOST_ATTEMPTS, AgentOrchestrator
from .turn.outbox import Deliveries
from .turn.record import Lane
from .turn.session import SessionLane

logger = logging.getLogger("llm_planner.worker")
BATCH = 100
COUNTED_FOR = timedelta(days=2)
RETENTION = timedelta(days=8)
"""How long a message id is remembered: longer than any provider retries."""


class Waiters:
    """Who waits in this process for a turn to close."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[asyncio.Future[TurnView], int]] = {}

    def expect(self, turn_id: str) -> "asyncio.Future[TurnView]":
        """A future that gets the turn's view if it closes in this process; call `leave` afterwards."""
        future, count = self._waiting.get(turn_id, (None, 0))
        future = future or asyncio.get_running_loop().create_future()
        self._waiting[turn_id] = (future, count + 1)
        return future

    def closed(self, turn_id: str, view: TurnView) -> None:
        future, _ = self._waiting.get(turn_id, (None, 0))
        if future is not None and not future.done():
            future.set_result(view)

    def leave(self, turn_id: str) -> None:
        future, count = self._waiting[turn_id]
        if count > 1:
            self._waiting[turn_id] = (future, count - 1)
        else:
            del self._waiting[turn_id]


class Worker:
    """The handlers of the engine."""

    def __init__(
        self, database: Database, inbox: Inbox, orchestrator: AgentOrchestrator, lanes: SessionLane,
        deliveries: Deliveries, audit: Audit,
    ) -> None:  # fmt: skip
        self._database = database
        self._inbox = inbox
        self._orchestrator = orchestrator
        self._lanes = lanes
        self._deliveries = deliveries
        self._audit = audit
        self._held: dict[str, Lane] = {}
        self.waiters = Waiters()

    async def run_next(self, session_id: str, claimed: Claimed | None) -> bool:
        """Work on the oldest open turn of a session. True if there may be another one."""
        try:
            claimed = claimed or await self._inbox.claim(session_id)
            if claimed is None:
                return False
            return await self._work(claimed)
        except PlannerError as error:
            logger.warning("session %s: %s: %s", session_id, type(error).__name__, error)
            return False

    async def _work(self, claimed: Claimed) -> bool:
        lane = claimed.lane
        self._held[lane.session_id] = lane
        try:
            view = await self._orchestrator.handle(claimed)
        except LaneLost as lost:
            logger.warning("turn %s: %s", lane.turn_id, lost)
            return False
        except Exception:  # the worker loop: a fault of one turn must not end the others
            logger.exception("turn %s failed in attempt %s", lane.turn_id, lane.attempts)
            if lane.attempts > MOST_ATTEMPTS:
                return False  # giving up failed too: again when the lease has run out, not at once
            await self._let_go(lane)
            return True
        finally:
            del self._held[lane.session_id]
        self.waiters.closed(lane.turn_id, view)
        if claimed.turn.inbound.get("route"):
            self._deliveries.nudge.soon()
        # What arrived since the claim notifies the engine itself; only what waited before it is known here.
        return lane.seq + 1 < claimed.session.next_seq

    async def _let_go(self, lane: Lane) -> None:
        """Free the lane at once, so that the next attempt need not wait for the lease to end."""
        await self._database.run(lambda conn: sessions.free(conn, lane.session_id, lane.epoch))

    async def renew(self) -> None:
        """Push the leases of the turns in progress into the future."""
        await self._lanes.renew(self._held.values())

    async def waiting(self) -> list[str]:
        """Sessions whose open turns nobody works on."""
        return list(await self._database.read(lambda conn: sessions.waiting(conn, now(conn), BATCH)))

    async def deliver(self) -> int:
        return await self._deliveries.round()

    async def posted(self) -> None:
        """Return when a turn of this process has left something to deliver."""
        await self._deliveries.nudge.wait()

    async def fire_timers(self) -> None:
        """Expire overdue confirmations, one transaction each; forget old ids in small batches."""
        overdue = await self._database.read(lambda conn: confirmations.overdue(conn, now(conn), BATCH))
        for row in overdue:
            try:
                await self._expire(row)
            except LaneLost as lost:
                logger.warning("confirmation %s: %s", row.id, lost)
        await self._database.run(_forget)

    async def _expire(self, row: ConfirmationRow) -> None:
        def transaction(conn: Connection) -> None:
            moment = now(conn)
            if confirmations.expire(conn, row, moment):
                told = {"confirmation": row.id, "tool": row.tool}
                events: Sequence[AuditEvent] = [
                    AuditEvent("confirmation_expired", "timer", told, row.turn_id)
                ]
                self._audit.append(conn, row.session_id, events, moment)

        await self._database.run(transaction)


def _forget(conn: Connection) -> None:
    """Drop message ids and receipts past their retention, in small batches, and the counters of days gone by."""
    moment = now(conn)
    turns.purge_inbox(conn, moment - RETENTION, BATCH)
    receipts.purge(conn, moment - RETENTION, BATCH)
    usage.forget(conn, (moment - COUNTED_FOR).date().isoformat())
