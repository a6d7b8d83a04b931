"""The crash points: everything a process does to the outside is numbered, and at one number it ends itself.

A double of the database stands between the parts and the real one; the model and the tools are the
torture's own and say where they are. Nothing of this is in the product.
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from llm_planner.storage.database import Database

T = TypeVar("T")


class Points:
    """Counts the points of one process. At number `at` it gets the signal `by`; 0 is never."""

    def __init__(self, at: int, by: int) -> None:
        self.names: list[str] = []
        self._at = at
        self._by = by

    def reach(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._at:
            os.kill(os.getpid(), self._by)


class DyingDatabase:
    """A database with two points a transaction: all is written but not committed, and committed."""

    def __init__(self, inner: Database, points: Points) -> None:
        self.url = inner.url
        self._inner = inner
        self._points = points

    async def run(self, fn: Callable[[Connection], T]) -> T:
        name = name_of(fn)

        def before_commit(conn: Connection) -> T:
            found = fn(conn)
            self._points.reach(f"{name}: not committed")
            return found

        found = await self._inner.run(before_commit)
        self._points.reach(f"{name}: committed")
        return found

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await self._inner.read(fn)

    async def close(self) -> None:
        await self._inner.close()


def name_of(fn: Any) -> str:
    """`Inbox.accept` for the transaction that this method runs, whatever it is written as."""
    name: str = getattr(fn, "__qualname__", type(fn).__name__)
    return name.partition(".<locals>")[0].replace("._", ".").removeprefix("_")
