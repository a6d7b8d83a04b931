"""The database for work that can wait: its callers queue, so that whoever stands at the door finds a connection."""

import asyncio
from typing import Final, TypeVar

from ..errors import DatabaseUnavailable
from .database import Database, Transaction

T = TypeVar("T")
AT_ONCE: Final = 6
"""Transactions of turns and deliveries that a process has with the server at the same time. More of them make
nothing faster, and each one ahead of a webhook makes its sender wait."""
WAIT_S: Final = 15.0


class Queued:
    """Hands at most AT_ONCE transactions at a time to the database behind it, first come, first served."""

    def __init__(self, inner: Database, wait_s: float = WAIT_S) -> None:
        self.url = inner.url
        self._inner = inner
        self._wait_s = wait_s
        self._places = asyncio.Semaphore(AT_ONCE)

    async def run(self, fn: Transaction[T]) -> T:
        """As the database does; also raises DatabaseUnavailable when no place became free for `wait_s` seconds."""
        await self._place()
        try:
            return await self._inner.run(fn)
        finally:
            self._places.release()

    async def read(self, fn: Transaction[T]) -> T:
        await self._place()
        try:
            return await self._inner.read(fn)
        finally:
            self._places.release()

    async def close(self) -> None:
        await self._inner.close()

    async def _place(self) -> None:
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable("the database takes too long for what waits ahead of this") from error
