"""What a running tool gets: who asks, facts, one transaction at a time, mail, HTTP to declared hosts."""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from .egress import Egress
from .messages import Json
from .storage.database import Database, T, Transaction, now


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter that leaves with the step that wrote it."""

    to: str
    subject: str
    text: str


LONGEST_ADDRESS = 320
LONGEST_NAME = 128


class Facts(MutableMapping[str, Json]):
    """What the session knows. Reading gives values; what is set is kept with tool, origin and time.

    A fact is JSON; None is no fact. Raises TypeError or ValueError at once for what can't be kept.
    """

    def __init__(self, stored: Mapping[str, Mapping[str, Json]]) -> None:
        self._stored = stored
        self.changed: dict[str, Json] = {}

    def _values(self) -> dict[str, Json]:
        known = {**{name: fact["value"] for name, fact in self._stored.items()}, **self.changed}
        return {name: value for name, value in known.items() if value is not None}

    def __getitem__(self, name: str) -> Json:
        return self._values()[name]

    def __setitem__(self, name: str, value: Json) -> None:
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
            raise TypeError(f"the name of a fact is text of 1 to {LONGEST_NAME} characters")
        written = json.dumps(value, allow_nan=False, ensure_ascii=False)
        _storable(name + written)
        self.changed[name] = json.loads(written)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.changed[name] = None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _storable(text: str) -> None:
    """Raises ValueError for text that no database takes."""
    text.encode()


class ToolDatabase:
    """`ctx.db`: one short transaction of the tool's own, as long as the call may run."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop
        self._over = False

    async def run(self, fn: Transaction[T]) -> T:
        """Run `fn(conn)` in one transaction and commit; it is retried whole on a deadlock.

        Raises RuntimeError once the call's time is over: its outcome has been written down without this.
        """
        if self._over:
            raise RuntimeError("this call's time is over: nothing more is written in its name")
        return await self._database.run(fn)

    def run_sync(self, fn: Transaction[T]) -> T:
        """The same from a plain `def run`, which runs in a thread. Raises RuntimeError in an `async def`."""
        if _on_a_loop():
            raise RuntimeError("ctx.db.run_sync would block the server here: use await ctx.db.run(...)")
        return asyncio.run_coroutine_threadsafe(self.run(fn), self._loop).result()

    def end(self) -> None:
        """Refuse every further transaction: a thread can't be stopped, but it can be shut out."""
        self._over = True

    @staticmethod
    def now(conn: Connection) -> datetime:
        """The time by the database's clock, aware, UTC."""
        return now(conn)


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The world as one call of one tool may see it."""

    session_id: str
    principal: str
    channel: str
    locale: str
    facts: Facts
    idempotency_key: str
    db: ToolDatabase
    http: Egress
    logger: logging.Logger
    mails: list[Mail] = field(default_factory=list)

    async def mail(self, to: str, subject: str, text: str) -> None:
        """Queue a letter: it is stored in the same transaction as this step's outcome, then delivered."""
        self.mail_sync(to, subject, text)

    def mail_sync(self, to: str, subject: str, text: str) -> None:
        """The same from a plain `def run`. Raises TypeError or ValueError for what is no letter."""
        if not all(isinstance(part, str) for part in (to, subject, text)):
            raise TypeError("a letter's address, subject and text are str")
        if not 0 < len(to) <= LONGEST_ADDRESS or not to.isprintable():
            raise ValueError(f"not an address: one line of 1 to {LONGEST_ADDRESS} characters")
        _storable(to + subject + text)
        self.mails.append(Mail(to, subject, text))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the part of a context that is the same for all calls of a turn."""

    session_id: str
    principal: str
    channel: str
    locale: str
    facts: Mapping[str, Any]
