"""The workflow of one session: when its turns, replies and timers run. It holds ids and times, never a text.

Its code decides nothing but order, and is replayed from its history: a change to the commands it gives needs a
new `VERSION`, which keeps runs of before apart; what such a run leaves undone the sweep finds in the database.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

T = TypeVar("T")
VERSION = 1
RUN_NEXT, DELIVER, FIRE_TIMER = "run_next", "deliver", "fire_timer"
"""The activities: the engine's handlers, with the session's id as their only argument."""

LONGEST = timedelta(hours=1)
"""Of one activity: ends what hangs. That a worker lives is told by heartbeats."""

LEAST_WAIT = timedelta(seconds=0.25)
"""Until a timer rings: the database's clock may be a little behind ours, and then it rings again."""

TRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3)


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a run starts from. A worker that is silent for `lease_s` seconds counts as dead; `asked` and `due`
    are what the run before left to do."""

    session_id: str
    lease_s: float
    asked: Sequence[str] = ()
    due: datetime | None = None


@workflow.defn(name="llm-planner-session")
class SessionWorkflow:
    """Turns one after the other; beside them replies, one after the other; and a timer for the earliest end."""

    @workflow.init
    def __init__(self, beginning: Beginning) -> None:
        self._beginning = beginning
        self._asked = set(beginning.asked)
        self._busy: set[str] = set()
        self._due = beginning.due

    @workflow.signal
    def run_next(self) -> None:
        """A turn was committed."""
        self._asked.add(RUN_NEXT)

    @workflow.signal
    def deliver(self) -> None:
        """A reply was committed, or may be sent on."""
        self._asked.add(DELIVER)

    @workflow.signal
    def arm(self, due: datetime) -> None:
        """Something was committed that ends at this time."""
        self._due = due if self._due is None else min(due, self._due)

    @workflow.run
    async def run(self, beginning: Beginning) -> None:
        """Until there is nothing left to do, or the history is long."""
        lanes = (self._lane(RUN_NEXT, bool), self._lane(DELIVER, int), self._timer())
        tasks = [asyncio.create_task(lane) for lane in lanes]
        await workflow.wait_condition(self._may_end)
        for task in tasks:
            task.cancel()
        if self._asked or self._due is not None:
            begin = self._beginning
            workflow.continue_as_new(
                Beginning(begin.session_id, begin.lease_s, sorted(self._asked), self._due)
            )

    def _may_end(self) -> bool:
        return not self._busy and (self._full() or not (self._asked or self._due))

    @staticmethod
    def _full() -> bool:
        return workflow.info().is_continue_as_new_suggested()

    async def _lane(self, name: str, kind: type[T]) -> None:
        while True:
            await workflow.wait_condition(lambda: name in self._asked and not self._full())
            self._asked.discard(name)
            if await self._call(name, kind):
                self._asked.add(name)

    async def _timer(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._due is not None and not self._full())
            if self._due is not None and await self._rings(self._due):
                self._due = None
                due = await self._call(FIRE_TIMER, datetime)
                if due is not None:
                    self.arm(due)

    async def _rings(self, due: datetime) -> bool:
        """True at that time; False when something is due earlier, or the history got long meanwhile."""

        def otherwise() -> bool:
            return self._full() or self._due != due

        try:
            await workflow.wait_condition(otherwise, timeout=max(LEAST_WAIT, due - workflow.now()))
        except TimeoutError:
            return True
        return False

    async def _call(self, name: str, kind: type[T]) -> T | None:
        """The handler's answer; None when it failed three times: then the sweep looks after the session."""
        self._busy.add(name)
        try:
            answer: T = await workflow.execute_activity(
                name,
                self._beginning.session_id,
                result_type=kind,
                start_to_close_timeout=LONGEST,
                heartbeat_timeout=timedelta(seconds=self._beginning.lease_s),
                retry_policy=TRIES,
            )
            return answer  # noqa
        except ActivityError:
            return None
        finally:
            self._busy.discard(name)
