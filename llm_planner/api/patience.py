"""Patience: a door does not wait for the database longer than its caller waits for the door."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..errors import DatabaseUnavailable

T = TypeVar("T")
ANSWER_S = 5.0
"""Providers hang up after 5 to 15 seconds, and then nobody hears that they should send it again."""


class Patience:
    """Waits for work that goes on when nobody waits any more: a transaction that has begun is not cut in two."""

    def __init__(self, seconds: float = ANSWER_S) -> None:
        self._seconds = seconds
        self._late: set[asyncio.Task[Any]] = set()

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What the work returns. Raises DatabaseUnavailable when it takes too long."""
        task = asyncio.ensure_future(work)
        self._late.add(task)
        task.add_done_callback(self._ended)
        done, _ = await asyncio.wait({task}, timeout=self._seconds)
        if not done:
            raise DatabaseUnavailable(f"the database has not answered for {self._seconds:.0f} seconds")
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()
