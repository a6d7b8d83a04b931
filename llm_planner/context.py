"""What a running tool gets: who asks, facts, one transaction at a time, mail, HTTP to declared hosts."""

import asyncio
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


class Facts(MutableMapping[str, Json]):
    """What the session knows. Reading gives values; what is set is kept with tool, origin and time."""

    def __init__(self, stored: Mapping[str, Mapping[str, Json]]) -> None:
        self._stored = stored
        self.changed: dict[str, Json] = {}

    def __getitem__(self, name: str) -> Json:
        return self.changed[name] if name in self.changed else self._stored[name]["value"]

    def __setitem__(self, name: str, value: Json) -> None:
        self.changed[name] = value

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.changed[name] = None

    def __iter__(self) -> Iterator[str]:
        return iter({**self._stored, **self.changed})

    def __len__(self) -> int:
        return len({**self._stored, **self.changed})


class ToolDatabase:
    """`ctx.db`: one short transaction of the tool's own."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop

    async def run(self, fn: Transaction[T]) -> T:
        """Run `fn(conn)` in one transaction and commit; it is retried whole on a deadlock."""
        return await self._database.run(fn)

    def run_sync(self, fn: Transaction[T]) -> T:
        """The same from a plain `def run`, which runs in a thread."""
        return asyncio.run_coroutine_threadsafe(self._database.run(fn), self._loop).result()

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
        self.mails.append(Mail(to, subject, text))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the part of a context that is the same for all calls of a turn."""

    session_id: str
    principal: str
    channel: str
    locale: str
    facts: Mapping[str, Any]
