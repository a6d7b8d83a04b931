"""The one writer of an SQLite file: a thread that runs transactions in order and commits those that wait together.

A commit on disk takes longer than a transaction, so the ones that queue up meanwhile share the next commit,
each behind its own savepoint. Nobody hears of a result before it is on disk.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from sqlalchemy import Connection, Engine, Transaction
from sqlalchemy.exc import DatabaseError, IntegrityError, SQLAlchemyError

TOGETHER = 64
"""Transactions that may share a commit."""


@dataclass(slots=True)
class Job:
    """One transaction, who waits for it, and how it went."""

    fn: Callable[[Connection], Any]
    future: "asyncio.Future[Any]"
    loop: asyncio.AbstractEventLoop
    result: Any = None
    error: BaseException | None = field(default=None)


class Writer(threading.Thread):
    """Runs jobs until it is told to stop; what was taken is finished."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(name="sqlite-writer", daemon=True)
        self._engine = engine
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._stopping = False
        self._conn: Connection | None = None

    def submit(self, fn: Callable[[Connection], Any]) -> "asyncio.Future[Any]":
        """Queue one transaction; the future gets its result once it is committed."""
        loop = asyncio.get_running_loop()
        job = Job(fn, loop.create_future(), loop)
        if self._stopping:
            raise RuntimeError("the database is closed")
        self._jobs.put(job)
        return job.future

    def stop(self) -> None:
        """Let what is queued finish, and end the thread."""
        self._stopping = True
        self._jobs.put(None)
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """The thread's loop."""
        last = False
        while not last:
            batch, last = self._next()
            if len(batch) < 2 or not self._together(batch):
                for job in batch:
                    self._alone(job)
            self._tell(batch)
        if self._conn is not None:
            self._conn.close()

    def _begun(self) -> Transaction:
        """A transaction on the thread's own connection, opened when it is first needed."""
        if self._conn is None:
            self._conn = self._engine.connect()
        return self._conn.begin()

    def _next(self) -> tuple[list[Job], bool]:
        """The jobs that wait by now, at least one, and whether they are the last."""
        first = self._jobs.get()
        if first is None:
            return [], True
        batch = [first]
        while len(batch) < TOGETHER:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                return batch, True
            batch.append(job)
        return batch, False

    def _alone(self, job: Job) -> None:
        job.result, job.error = None, None
        try:
            with self._begun() as transaction:
                job.result = job.fn(transaction.connection)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the job came from
            job.error = error

    def _together(self, batch: list[Job]) -> bool:
        """Run all jobs in one transaction. False: SQLite may have undone more than one of them, so nothing
        was committed and each must run alone."""
        try:
            with self._begun() as transaction:
                for job in batch:
                    self._behind_savepoint(transaction.connection, job)
        except SQLAlchemyError:
            return False
        return True

    @staticmethod
    def _behind_savepoint(conn: Connection, job: Job) -> None:
        savepoint = conn.begin_nested()
        try:
            job.result = job.fn(conn)
        except BaseException as error:
            if isinstance(error, DatabaseError) and not isinstance(error, IntegrityError):
                raise
            savepoint.rollback()
            job.error = error
        else:
            savepoint.commit()

    @staticmethod
    def _tell(batch: list[Job]) -> None:
        for job in batch:
            job.loop.call_soon_threadsafe(_settle, job)


def _settle(job: Job) -> None:
    if job.future.done():
        return
    if isinstance(job.error, StopIteration):
        # A future can't carry that one.
        job.future.set_exception(RuntimeError("a transaction raised StopIteration"))
    elif job.error is not None:
        job.future.set_exception(job.error)
    else:
        job.future.set_result(job.result)
