"""The database: one method that runs a plain function as one transaction.

`fn(conn)` is synchronous SQLAlchemy Core code, so nothing can be awaited inside a transaction. On SQLite it
runs in the one writer thread (readers have their own), on MySQL through `AsyncConnection.run_sync`.
"""

import asyncio
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import URL, Connection, Engine, Select, create_engine, event, literal_column, make_url, select
from sqlalchemy.exc import (
    DatabaseError,
    DataError,
    DBAPIError,
    IntegrityError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from ..clock import Clock
from ..errors import CommitUnknown, DatabaseUnavailable, StartError
from .writer import Writer

T = TypeVar("T")
Transaction = Callable[[Connection], T]

TRIES = 8
RETRIED = frozenset({1205, 1213})
"""Lock wait timeout and deadlock: the server rolled back, so the whole transaction may run again."""
AT_ONCE_S = 1.0
"""A connection that breaks so soon was broken by a restart or a kill; the next one may be good."""
INSIST_S = 0.5
ANSWER_S = 60.0
"""A server that says nothing for so long is away: a machine that vanished closes no connection."""
READERS = 4


def normal_url(text: str) -> URL:
    """`DB_URL` with our driver in place of whichever it names: pysqlite or asyncmy."""
    url = make_url(text)
    if url.get_backend_name() == "sqlite":
        return url.set(drivername="sqlite+pysqlite")
    return url.set(drivername="mysql+asyncmy")


def now(conn: Connection) -> datetime:
    """The time that leases and expiries are judged by: the server's own, on SQLite the injected clock's."""
    clock: Clock | None = conn.info.get("clock")
    if clock is not None:
        return clock.now()
    found = conn.execute(_UTC_NOW).scalar_one()
    return found.replace(tzinfo=UTC)


_UTC_NOW: Select[datetime] = select(literal_column("UTC_TIMESTAMP(6)"))


class Database(Protocol):
    """What every part above storage knows of the database."""

    url: URL

    async def run(self, fn: Transaction[T]) -> T:
        """Run `fn` in one transaction and commit. Never half done. Raises DatabaseUnavailable when nothing was
        done, CommitUnknown when that can't be said."""

    async def read(self, fn: Transaction[T]) -> T:
        """Run `fn` beside the writer; it must not write."""

    async def close(self) -> None:
        """Let running transactions finish and close every connection."""


def connect(text: str, clock: Clock, answer_s: float | None = ANSWER_S) -> Database:
    """The database of `DB_URL`. Opens nothing yet. Raises StartError for a URL it can't use. `answer_s` is how
    long a server may take for one statement; None: as long as it likes, for changes of the schema."""
    url = normal_url(text)
    return SqliteDatabase(url, clock) if url.get_backend_name() == "sqlite" else MysqlDatabase(url, answer_s)


async def insist(database: Database, fn: Transaction[T], until: float) -> T:
    """Write down what has happened and would otherwise be forgotten: again and again while the database is
    away, until this monotonic time. Raises DatabaseUnavailable then."""
    while True:
        try:
            return await database.run(fn)
        except DatabaseUnavailable:
            if time.monotonic() >= until:
                raise
            await asyncio.sleep(INSIST_S)


async def _finish(task: "asyncio.Future[T]") -> T:
    """Wait for a transaction that, once begun, our own cancellation does not cut in two."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class SqliteDatabase:
    """One file: one writer thread, a few reader threads, WAL, every commit on disk."""

    def __init__(self, url: URL, clock: Clock) -> None:
        self.url = url
        if not url.database or url.database == ":memory:":
            raise StartError("DB_URL: an SQLite file is needed, such as sqlite:///data/llm_planner.db")
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"DB_URL: the folder of {url.database} can't be made ({error})") from error
        self._write_engine = self._engine("BEGIN IMMEDIATE", 1, clock)
        self._read_engine = self._engine("BEGIN", READERS, clock)
        self._writer = Writer(self._write_engine)
        self._writer.start()
        self._readers = ThreadPoolExecutor(READERS, "sqlite-reader")

    def _engine(self, begin: str, size: int, clock: Clock) -> Engine:
        engine = create_engine(
            self.url,
            pool_size=size,
            max_overflow=0,
            hide_parameters=True,  # a failing statement must not bring a user's text into the log
            connect_args={"timeout": 15, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, record: Any) -> None:
            connection.isolation_level = None
            record.info["clock"] = clock
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(conn: Connection) -> None:
            conn.exec_driver_sql(begin)

        return engine

    async def run(self, fn: Transaction[T]) -> T:
        try:
            return await _finish(self._writer.submit(fn))
        except (DatabaseError, PoolTimeout) as error:
            if isinstance(error, _OURS):
                raise
            raise DatabaseUnavailable(_in_words(error)) from error

    async def read(self, fn: Transaction[T]) -> T:
        loop = asyncio.get_running_loop()
        return await _finish(
            loop.run_in_executor(self._readers, partial(self._transact, self._read_engine, fn))
        )

    @staticmethod
    def _transact(engine: Engine, fn: Transaction[T]) -> T:
        try:
            with engine.begin() as conn:
                return fn(conn)
        except (DatabaseError, PoolTimeout) as error:
            if isinstance(error, _OURS):
                raise
            raise DatabaseUnavailable(_in_words(error)) from error

    async def close(self) -> None:
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self._readers.shutdown)
        self._write_engine.dispose()
        self._read_engine.dispose()


class MysqlDatabase:
    """MySQL or MariaDB over asyncmy, READ COMMITTED; transactions are retried whole after a deadlock, and after
    a connection that broke before their COMMIT was sent."""

    def __init__(self, url: URL, answer_s: float | None) -> None:
        query = dict(url.query)
        authority = query.pop("ssl_ca", None)
        self.url = url
        arguments: dict[str, Any] = {
            "connect_timeout": 5,
            "read_timeout": answer_s,
            "charset": "utf8mb4",
            "init_command": "SET time_zone='+00:00'",
        }
        if authority is not None:
            arguments["ssl"] = ssl.create_default_context(cafile=str(authority))
        self._engine: AsyncEngine = create_async_engine(
            url.set(query=query),
            isolation_level="READ COMMITTED",
            hide_parameters=True,
            pool_size=10,
            max_overflow=20,
            pool_timeout=15,
            pool_recycle=1800,
            pool_reset_on_return=None,  # `_transact` leaves none open: one ROLLBACK a transaction for nothing
            connect_args=arguments,
        )

    async def run(self, fn: Transaction[T]) -> T:
        return await _finish(asyncio.ensure_future(self._transact(fn)))

    async def read(self, fn: Transaction[T]) -> T:
        return await self.run(fn)

    async def _transact(self, fn: Transaction[T]) -> T:
        for attempt in range(1, TRIES + 1):
            began, written = time.monotonic(), False
            try:
                async with self._engine.begin() as conn:
                    found = await conn.run_sync(fn)
                    written = True
            except (DBAPIError, PoolTimeout, OSError) as error:
                broke = not written and time.monotonic() - began < AT_ONCE_S and _passes(error)
                again = _code(error) in RETRIED or (broke and attempt == 1)
                if attempt == TRIES or not again:
                    if not _passes(error):
                        raise
                    fault = CommitUnknown if written and _code(error) not in RETRIED else DatabaseUnavailable
                    raise fault(_in_words(error)) from error
                await asyncio.sleep(0.005 * attempt)
            else:
                return found
        raise AssertionError("the loop above returns or raises")

    async def close(self) -> None:
        await self._engine.dispose()


_OURS = (DataError, IntegrityError, InternalError, NotSupportedError, ProgrammingError)
"""Faults of a statement. What is left of DatabaseError on SQLite is a file that can't be read or written."""


def _code(error: BaseException) -> int | None:
    original = getattr(error, "orig", None)
    arguments = getattr(original, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


def _passes(error: BaseException) -> bool:
    """Whether the fault lies with the server or the way to it, not with the statement."""
    if not isinstance(error, DBAPIError):
        return True
    return error.connection_invalidated or isinstance(error, OperationalError)


def _in_words(error: BaseException) -> str:
    """What is wrong and where to look; never what the database says, in which a user's text may stand."""
    name = getattr(getattr(error, "orig", None), "sqlite_errorname", None) or _code(error) or "no code"
    if name == "SQLITE_FULL":
        return "the database is full (SQLITE_FULL): make room on its disk; see DB_URL"
    return f"the database did not answer ({type(error).__name__}, {name}); see DB_URL"
