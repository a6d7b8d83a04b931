"""The feed of one accepted message: its news while the turn runs, and at last the turn."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..engine import TurnEngine
from ..errors import Busy
from ..messages import TurnView
from ..turn.inbox import Accepted
from ..turn.progress import News, Watch
from ..turn.view import Views
from ..worker import Waiters

POLL_S = 0.25
FIRST_POLL_S, LAST_POLL_S = 0.02, 1.0
"""Where another process works on the turn from the start: soon, then more and more seldom, since under load
those who wait are many; but POLL_S for whoever listens."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a first request waits for its turn, a repeat, and a listener; and for how long a listener
    hears nothing at all. The same id asked again goes on waiting."""

    first: float = 120.0
    repeat: float = 30.0
    listener: float = 600.0
    silence: float = 15.0


@dataclass(frozen=True, slots=True)
class Sources:
    """Where a feed hears from: this process, and the rows where another one works on the turn."""

    engine: TurnEngine
    waiters: Waiters
    views: Views


class Feed:
    """Whether anybody reads it makes no difference to the turn. To be left at the end."""

    def __init__(self, sources: Sources, accepted: Accepted, patience: Patience, listening: bool) -> None:
        self.accepted = accepted
        self._sources = sources
        self._listening = listening
        self._watch: Watch = sources.waiters.expect(accepted.turn_id)
        self._watch.listeners += listening
        self._heard = 0
        self._from_rows: Sequence[News] = ()
        waits = patience.repeat if accepted.duplicate else patience.first
        now = self._now()
        self._deadline = now + (patience.listener if listening else waits)
        self._silence = patience.silence if listening else math.inf
        self._pause = POLL_S if sources.engine.claims else FIRST_POLL_S
        self._longest = POLL_S if sources.engine.claims or listening else LAST_POLL_S
        self._look_at = now if accepted.duplicate else now + self._pause

    async def next(self) -> tuple[Sequence[News], TurnView | None]:
        """The news since the last call, and the turn once it has ended; after a silence neither.

        Raises Busy when the time is over, NotFound, DatabaseUnavailable.
        """
        until = min(self._deadline, self._now() + self._silence)
        while True:
            look_at = math.inf if self._watch.at_work else self._look_at
            if self._watch.view is not None:
                return self._fresh(), self._watch.view
            if fresh := self._fresh():
                return fresh, None
            if self._now() >= self._deadline:
                raise Busy("the turn is still in progress; ask again with the same message id")
            if self._now() >= look_at:
                found = await self._look()
                if any(found):
                    return found
            elif self._now() >= until:
                return (), None
            else:
                await self._watch.stirred(min(until, look_at) - self._now())

    def leave(self) -> None:
        """Stop listening; called once."""
        self._watch.listeners -= self._listening
        self._sources.waiters.leave(self.accepted.turn_id)

    def _fresh(self) -> Sequence[News]:
        if not self._listening:
            return ()
        fresh = self._watch.news[self._heard :]
        self._heard += len(fresh)
        return fresh

    async def _look(self) -> tuple[Sequence[News], TurnView | None]:
        """What the rows say; the engine is told again, should its first notice have been lost."""
        self._pause = min(self._longest, self._pause * 1.25)
        self._look_at = self._now() + self._pause
        ids = self.accepted.session_id, self.accepted.turn_id
        view = await self._sources.views.turn(*ids, owner=True)
        if view is None and self._sources.engine.claims:
            self._sources.engine.notify(ids[0])
        if view is not None or not self._listening:
            return (), view
        so_far = await self._sources.views.so_far(*ids)
        fresh, self._from_rows = so_far if so_far != self._from_rows else (), so_far
        return fresh, None

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
