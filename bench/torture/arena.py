"""The arena: one database of its own, the processes over it, a client that plays the provider, and the rows."""

import asyncio
import contextlib
import multiprocessing
import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, make_url, text

from llm_planner.assembly import keyring
from llm_planner.clock import SystemClock
from llm_planner.errors import DatabaseUnavailable
from llm_planner.storage.database import Database, connect
from llm_planner.storage.migrate import core_migrations
from llm_planner.turn.audit import Audit
from llm_planner.turn.tokens import Tokens

from . import worker
from .house import LEDGER, Orders, settings_of
from .provider import Provider

FORKS = multiprocessing.get_context("forkserver")
SETTLED_S = 90.0
"""How long what was accepted may take to be closed, once nothing is killed any more."""


class Arena:
    """What a scenario works with."""

    def __init__(self, name: str, orders: Orders, database: Database, provider: Provider) -> None:
        self.name = name
        self._questions = asyncio.Semaphore(8)
        self.orders = orders
        self.database = database
        self.provider = provider
        keys = keyring(settings_of(orders))
        self.tokens, self.audit = Tokens(keys), Audit(keys)

    @property
    def sqlite(self) -> bool:
        return self.orders.url.startswith("sqlite")

    @property
    def asked(self) -> list[str]:
        """The line of every call of the model, in order."""
        file = Path(self.orders.folder) / "asked"
        return file.read_text().split() if file.exists() else []

    async def rows(self, sql: str, **values: Any) -> Sequence[Any]:
        """Rows of one SELECT, or none for another statement; again, while the database is away."""
        while True:
            try:
                async with self._questions:
                    return await rows(self.database, sql, **values)
            except DatabaseUnavailable:
                await asyncio.sleep(0.2)

    async def number(self, sql: str, **values: Any) -> int:
        return int((await self.rows(sql, **values))[0][0])

    async def bury(self) -> None:
        """As if the time of the dead were over: their leases, their calls' limits, their deliveries' limits."""
        past = "'2020-01-01 00:00:00.000000'"
        await self.rows(f"UPDATE sessions SET lease_until = {past} WHERE lease_until IS NOT NULL")
        await self.rows(f"UPDATE tool_runs SET deadline_at = {past} WHERE state = 'intent'")
        await self.bury_deliveries()

    async def bury_deliveries(self) -> None:
        """As if the two minutes that a delivery may take, and the pause after a refused one, were over."""
        past = "'2020-01-01 00:00:00.000000'"
        await self.rows(f"UPDATE outbox SET due_at = {past} WHERE state IN ('queued', 'sending', 'retrying')")

    async def until(self, sql: str, what: str, **values: Any) -> bool:
        """Wait until a count is 0. False, and said, when it never is."""
        ends = asyncio.get_running_loop().time() + SETTLED_S
        while await self.number(sql, **values):
            if asyncio.get_running_loop().time() > ends:
                print(f"  {self.name}: {what} after {SETTLED_S:.0f} s", flush=True)
                return False
            await asyncio.sleep(0.1)
        return True

    async def closed(self, user: str) -> bool:
        """Wait until a user has no open turn."""
        sql = "SELECT COUNT(*) FROM sessions WHERE key_hash = :key AND open_turns > 0"
        return await self.until(sql, f"{user} still has open turns", key=worker.key_of(user).digest())

    async def quiet(self) -> bool:
        """Wait until every accepted turn is closed and every reply has left."""
        closed = await self.until(
            "SELECT COUNT(*) FROM sessions WHERE open_turns > 0", "turns are still open"
        )
        sent = "SELECT COUNT(*) FROM outbox WHERE state IN ('queued', 'sending', 'retrying')"
        return await self.until(sent, "replies have not left") and closed

    async def empty(self) -> None:
        """Forget everything of the scenario before."""

        def clean(conn: Connection) -> None:
            for table in inspect(conn).get_table_names():
                if not table.startswith("alembic_version"):
                    conn.execute(text(f"DELETE FROM {table}"))

        await self.database.run(clean)
        (Path(self.orders.folder) / "asked").unlink(missing_ok=True)
        self.provider.forget()

    def process(self, target: Callable[..., None], orders: Orders, *more: Any) -> BaseProcess:
        """A real process, forked from one that has everything imported and nothing open."""
        made = FORKS.Process(target=target, args=(orders, *more), daemon=True)
        made.start()
        return made


class Servers:
    """Web processes that are killed and started again on the same ports."""

    def __init__(
        self, arena: Arena, count: int, orders: Orders, serve: Callable[[Orders], None] = worker.serve
    ) -> None:
        self._arena, self._serve = arena, serve
        self._orders = [replace(orders, port=free_port()) for _ in range(count)]
        self.died = 0
        self.running = [arena.process(serve, one) for one in self._orders]

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{one.port}" for one in self._orders]

    async def up(self) -> None:
        """Wait until each of them answers, whatever it says about itself."""
        for url in self.urls:
            await self._arena.provider.answers(f"{url}/health")

    def kill(self, number: int) -> None:
        """`kill -9`, and a new one in its place."""
        self.running[number].kill()
        self.running[number].join()
        self.start(number)

    def start(self, number: int) -> None:
        self.running[number] = self._arena.process(self._serve, self._orders[number])

    def signal(self, number: int, what: int) -> None:
        os.kill(self.running[number].pid or 0, what)

    async def stop(self) -> None:
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGCONT)
            process.terminate()
        for process in self.running:
            await asyncio.to_thread(process.join, 40)
            if process.is_alive():
                process.kill()


@asynccontextmanager
async def servers(arena: Arena, count: int, **changes: Any) -> AsyncIterator[Servers]:
    """`count` web processes (one on SQLite, which serves one)."""
    made = Servers(arena, 1 if arena.sqlite else count, replace(arena.orders, **changes))
    try:
        await made.up()
        yield made
    finally:
        await made.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def rows(database: Database, sql: str, **values: Any) -> Sequence[Any]:
    """Rows of one SELECT, or none for another statement."""

    def query(conn: Connection) -> Sequence[Any]:
        result = conn.execute(text(sql), values)
        return result.all() if result.returns_rows else []

    return await database.run(query)


@asynccontextmanager
async def arena(name: str, server_url: str) -> AsyncIterator[Arena]:
    """A migrated database of its own, on SQLite or on the server of this URL; gone afterwards."""
    folder = tempfile.mkdtemp(prefix="planner-torture-")
    FORKS.set_forkserver_preload(["bench.torture.worker"])
    try:
        async with _database(server_url, folder) as url, Provider.serving() as provider:
            database = connect(url, SystemClock())
            try:
                await database.run(core_migrations().upgrade)
                await rows(database, LEDGER)
                yield Arena(name, Orders(url, folder, provider.url), database, provider)
            finally:
                await database.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _database(server_url: str, folder: str) -> AsyncIterator[str]:
    if not server_url:
        yield f"sqlite:///{folder}/torture.db"
        return
    name, server = f"torture_{secrets.token_hex(4)}", connect(server_url, SystemClock())
    try:
        await rows(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        await rows(server, f"DROP DATABASE IF EXISTS {name}")
        await server.close()
