"""The worker: what an engine drives. Runs turns, delivers letters, fires timers; every handler is idempotent."""

import asyncio
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import datetime

from .engine import TurnEngine
from .errors import LaneLost, PlannerError
from .logs import belonging_to
from .messages import TurnView
from .telemetry import NAME, Value, measured
from .turn.inbox import Claimed, Inbox
from .turn.orchestrator import MOST_ATTEMPTS, AgentOrchestrator
from .turn.outbox import Deliveries, Nudge
from .turn.progress import Watch
from .turn.record import Lane
from .turn.session import SessionLane
from .turn.timers import Timers

logger = logging.getLogger("llm_planner.worker")


class Waiters:
    """The turns that somebody in this process works on, or waits for."""

    def __init__(self) -> None:
        self._watched: dict[str, tuple[Watch, int]] = {}

    def expect(self, turn_id: str) -> Watch:
        """What this process knows of the turn from now on; call `leave` afterwards."""
        watch, count = self._watched.get(turn_id, (None, 0))
        watch = watch or Watch()
        self._watched[turn_id] = (watch, count + 1)
        return watch

    def leave(self, turn_id: str) -> None:
        watch, count = self._watched[turn_id]
        if count > 1:
            self._watched[turn_id] = (watch, count - 1)
        else:
            del self._watched[turn_id]


class Worker:
    """The handlers of the engine."""

    def __init__(
        self, engine: TurnEngine, inbox: Inbox, orchestrator: AgentOrchestrator, lanes: SessionLane,
        deliveries: Deliveries, timers: Timers,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._inbox = inbox
        self._orchestrator = orchestrator
        self._lanes = lanes
        self._deliveries = deliveries
        self._timers = timers
        self._held: dict[Lane, tuple[Claimed, asyncio.Timeout]] = {}
        self.waiters = Waiters()

    @property
    def nudge(self) -> Nudge:
        """Says that something can be delivered now."""
        return self._deliveries.nudge

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
        watch = self.waiters.expect(lane.turn_id)
        try:
            with watch.working():
                watch.view = view = await self._handled(claimed, watch)
        except LaneLost as lost:
            logger.warning("turn %s: %s", lane.turn_id, lost)
            return False
        except Exception:  # the worker loop: a fault of one turn must not end the others
            logger.exception("turn %s failed in attempt %s", lane.turn_id, lane.attempts)
            if lane.attempts > MOST_ATTEMPTS:
                return False  # giving up failed too: again when the lease has run out, not at once
            await self._lanes.free(lane)
            return True
        finally:
            self.waiters.leave(lane.turn_id)
        if claimed.turn.inbound.get("route"):
            self._deliveries.nudge.soon(lane.session_id)
        if view.confirmations:
            self._engine.arm_timer(lane.session_id, min(row.expires_at for row in view.confirmations))
        # What arrived since the claim notifies the engine itself; only what waited before it is known here.
        return lane.seq + 1 < claimed.session.next_seq

    async def _handled(self, claimed: Claimed, watch: Watch) -> TurnView:
        """The turn, stopped with its tools when its lane is lost. Raises LaneLost."""
        try:
            async with asyncio.timeout(None) as scope:
                self._held[claimed.lane] = claimed, scope
                with _observed(claimed) as told:
                    view = await self._orchestrator.handle(claimed, watch)
                    told["llm_planner.status"] = view.status
                return view
        except TimeoutError as error:
            if scope.expired():
                raise LaneLost("the session's lane was taken over") from error
            raise
        finally:
            del self._held[claimed.lane]

    async def renew(self) -> None:
        """Push the leases of the turns in progress into the future; a turn whose lane is lost is stopped."""
        for lost in await self._lanes.renew([claimed for claimed, _ in self._held.values()]):
            if lost.lane in self._held:
                self._held[lost.lane][1].reschedule(0)

    async def waiting(self) -> list[str]:
        """Sessions whose open turns nobody works on."""
        return await self._lanes.waiting()

    async def deliver(self, session_id: str | None = None) -> int:
        """Deliver one batch of the outbox, of one session or of all. Returns how many were tried."""
        return await self._deliveries.round(session_id)

    async def posted(self) -> frozenset[str]:
        """Return when something of these sessions should leave at once."""
        return await self._deliveries.nudge.wait()

    async def fire_timer(self, session_id: str) -> datetime | None:
        """Expire what is overdue in a session. Returns when its next confirmation ends."""
        return await self._timers.fire(session_id)

    async def fire_timers(self) -> None:
        """What no timer did in time, in all sessions; and forget what is old."""
        await self._timers.sweep()


@contextmanager
def _observed(claimed: Claimed) -> Iterator[MutableMapping[str, Value]]:
    """The turn as logs and traces know it."""
    lane, message_id = claimed.lane, claimed.turn.message_id
    ids: dict[str, Value] = {
        "gen_ai.agent.name": NAME,
        "gen_ai.conversation.id": lane.session_id,
        "llm_planner.turn.id": lane.turn_id,
        "llm_planner.message.id": message_id,
        "llm_planner.channel": claimed.session.channel,
        "llm_planner.attempt": lane.attempts,
    }
    with (
        belonging_to(session_id=lane.session_id, turn_id=lane.turn_id, message_id=message_id),
        measured("invoke_agent", NAME, ids) as told,
    ):
        yield told
