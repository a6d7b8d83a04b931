"""The engine: what drives turns, letters and timers; behind one seam, so that a fleet can use another one.

Everything that must survive is in the database. An engine only decides when the handlers run; they are
idempotent, and an engine may call them any number of times.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol, TypeVar

from .clock import Clock
from .errors import PlannerError, StartError
from .turn.inbox import Claimed

T = TypeVar("T")
logger = logging.getLogger("llm_planner.engine")
BREATH_S = 0.02
"""Between two nudged deliveries: what is closed meanwhile leaves with the next one."""
MOST_WAITING = 1000
"""Sessions that wait in a process for one of its places; the sweep brings the others, oldest first."""
LEAST_WAIT_S = 0.25
"""Until a timer rings: the database's clock may be a little behind ours, and then it rings again."""


class Handlers(Protocol):
    """What an engine drives."""

    async def run_next(self, session_id: str, claimed: Claimed | None) -> bool:
        """Work on the session's oldest open turn. True if there may be another one."""

    async def deliver(self, session_id: str | None = None) -> int:
        """Deliver one batch of the outbox, of one session or of all. Returns how many were tried."""

    async def posted(self) -> frozenset[str]:
        """Return when something was put into the outbox that should leave at once: in which sessions."""

    async def fire_timer(self, session_id: str) -> datetime | None:
        """Expire what is overdue in a session. Returns when its next timer is due."""

    async def fire_timers(self) -> None:
        """Expire what is overdue anywhere, purge what is old."""

    async def waiting(self) -> list[str]:
        """Sessions whose open turns nobody works on."""

    async def renew(self) -> None:
        """Push the leases of the turns in progress into the future."""


@dataclass(frozen=True, slots=True)
class Load:
    """Sessions that are worked on in this process, or wait for a place in it, and its places."""

    sessions: int
    places: int

    @property
    def full(self) -> bool:
        return self.sessions >= self.places


class TurnEngine(Protocol):
    """The seam."""

    claims: bool
    """Whether turns that are accepted in this process run in it: then accepting claims the lane, too."""

    @property
    def load(self) -> Load:
        """How much of what this process may work on at once it works on."""

    async def start(self, handlers: Handlers, *, background: bool) -> None:
        """Begin. With `background` this process also sweeps, delivers and fires timers."""

    def notify(self, session_id: str, claimed: Claimed | None = None) -> None:
        """A turn was committed in this session; `claimed` if its lane is held already."""

    def arm_timer(self, session_id: str, due: datetime) -> None:
        """Something was committed in this session that ends at this time."""

    async def drain(self, timeout_s: float) -> None:
        """Take nothing new, and let what runs finish for so long."""


class Chores:
    """The tasks of an engine's process: loops, and work that is finished before the process ends."""

    def __init__(self) -> None:
        self._loops: list[asyncio.Task[None]] = []
        self._work: set[asyncio.Task[Any]] = set()

    def every(self, pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
        """Do this again and again; whatever goes wrong is logged and does not end the loop."""
        self._loops.append(asyncio.create_task(_every(pause_s, work)))

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def end(self, timeout_s: float) -> None:
        """Let what was begun finish for so long; then cancel what is left, and the loops."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self._work and loop.time() < deadline:
            await asyncio.wait(self._work, timeout=deadline - loop.time())
        left = [*self._loops, *self._work]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _every(pause_s: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        (fault,) = await asyncio.gather(work(), return_exceptions=True)
        if fault is not None:
            complain(fault)
        await asyncio.sleep(pause_s)


def complain(fault: BaseException) -> None:
    """Log what went wrong where nobody waits for an answer."""
    if isinstance(fault, PlannerError | OSError):
        logger.warning("%s: %s", type(fault).__name__, fault)
    else:
        logger.error("%s", type(fault).__name__, exc_info=fault)


class EmbeddedEngine:
    """Runs turns as tasks of this process; a sweep heals whatever a crash left between commit and notify."""

    claims = True

    def __init__(self, clock: Clock, sweep_s: float, renew_s: float, places: int) -> None:
        self._clock = clock
        self._sweep_s = sweep_s
        self._renew_s = renew_s
        self._most = places
        self._places = asyncio.Semaphore(places)
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._chores = Chores()
        self._timers: dict[str, tuple[datetime, asyncio.TimerHandle]] = {}
        self._again: set[str] = set()
        self._claims: dict[str, Claimed] = {}
        self._draining = False
        self._handlers: Handlers | None = None

    @property
    def load(self) -> Load:
        return Load(len(self._lanes), self._most)

    async def start(self, handlers: Handlers, *, background: bool) -> None:
        self._handlers = handlers
        self._chores.every(self._renew_s, handlers.renew)
        self._chores.every(BREATH_S, self._deliver_posted)
        if background:
            self._chores.every(self._sweep_s, self._sweep)
            self._chores.every(self._sweep_s, self._deliver)

    def notify(self, session_id: str, claimed: Claimed | None = None) -> None:
        if self._handlers is None or self._draining:
            return
        if session_id in self._lanes:
            # The lane's task is about to end: its turn is closed, and this one holds the lease already.
            if claimed is not None:
                self._claims[session_id] = claimed
            self._again.add(session_id)
            return
        if claimed is None and len(self._lanes) >= self._most + MOST_WAITING:
            return
        self._lanes[session_id] = self._chores.begin(self._lane(self._handlers, session_id, claimed))

    async def _lane(self, handlers: Handlers, session_id: str, claimed: Claimed | None) -> None:
        """One session's turns, one after the other, until none is left. After each it goes to the end of the
        queue for a place, so that a session with many does not hold up the others."""
        try:
            more = True
            while more:
                async with self._places:
                    self._again.discard(session_id)
                    claimed = claimed or self._claims.pop(session_id, None)
                    more = await handlers.run_next(session_id, claimed) and not self._draining
                    claimed = None
        finally:
            del self._lanes[session_id]
            if session_id in self._again:
                self._again.discard(session_id)
                self.notify(session_id, self._claims.pop(session_id, None))

    def arm_timer(self, session_id: str, due: datetime) -> None:
        earlier, handle = self._timers.get(session_id, (None, None))
        if self._draining or (earlier is not None and earlier <= due):
            return
        if handle is not None:
            handle.cancel()
        wait_s = max(LEAST_WAIT_S, (due - self._clock.now()).total_seconds())
        ringing = asyncio.get_running_loop().call_later(wait_s, self._ring, session_id)
        self._timers[session_id] = (due, ringing)

    def _ring(self, session_id: str) -> None:
        del self._timers[session_id]
        self._chores.begin(self._fire_timer(session_id))

    async def _fire_timer(self, session_id: str) -> None:
        if self._handlers is not None:
            handlers = self._handlers
            (due,) = await asyncio.gather(handlers.fire_timer(session_id), return_exceptions=True)
            if isinstance(due, BaseException):
                complain(due)  # the sweep comes by
            elif due is not None:
                self.arm_timer(session_id, due)

    async def _sweep(self) -> None:
        if self._handlers is None or self._draining:
            return
        for session_id in await self._handlers.waiting():
            self.notify(session_id)
        await self._handlers.fire_timers()

    async def _deliver(self) -> None:
        """Beside the sweep, which a slow mail server must not hold up."""
        more = 1
        while self._handlers is not None and not self._draining and more:
            more = await asyncio.shield(self._chores.begin(self._handlers.deliver()))

    async def _deliver_posted(self) -> None:
        """What was closed in this process leaves at once, whoever sweeps."""
        if self._handlers is not None:
            await self._handlers.posted()
            await self._deliver()

    async def drain(self, timeout_s: float) -> None:
        self._draining = True
        for _, ringing in self._timers.values():
            ringing.cancel()
        await self._chores.end(timeout_s)


class ProcessLock:
    """One engine process for one SQLite file, held by the operating system until the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Raises StartError when another process has it."""
        file = self._path.open("ab")
        try:
            _lock(file)
        except OSError as error:
            file.close()
            raise StartError(
                f"another process already runs this database ({self._path.name} is locked). SQLite serves one "
                "process: stop the other one, or set DB_URL to a MySQL database for several."
            ) from error
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
