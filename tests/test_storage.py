"""The database on every server that this run has: schema, transactions, deadlocks, cancellation, outages."""

import asyncio
import multiprocessing
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event, inspect, make_url, select, text, update

from app.tables import metadata as app_metadata
from llm_planner.clock import SystemClock
from llm_planner.errors import DatabaseUnavailable
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.storage.database import Database, MysqlDatabase, SqliteDatabase, connect, now
from llm_planner.storage.migrate import core_migrations
from llm_planner.storage.tables import metadata, usage_counters
from llm_planner.testing.clock import FakeClock

from .conftest import APP_MIGRATIONS, SERVERS
from .counters import ONE_PROCESS
from .harness import ROOT, Client, open_database, rows, serving, settings_for
from .tools import Echo, Ledger, plan


@pytest.fixture
async def database(db_url: str) -> AsyncIterator[Database]:
    opened = open_database(db_url)
    yield opened
    await opened.close()


def _is_server(database: Database) -> bool:
    return isinstance(database, MysqlDatabase)


# The schema


@pytest.mark.covers("tables.names")
@pytest.mark.parametrize(
    ("declared", "version_table"), [(metadata, "alembic_version"), (app_metadata, "alembic_version_app")]
)
async def test_the_migrations_make_exactly_the_declared_tables(
    database: Database, declared: Any, version_table: str
) -> None:
    def difference(conn: Connection) -> list[Any]:
        options = {"version_table": version_table, "include_object": _among(set(declared.tables))}
        return compare_metadata(MigrationContext.configure(conn, opts=options), declared)

    assert await database.run(difference) == []


def _among(names: set[str]) -> Any:
    def included(thing: Any, name: str, kind: str, reflected: bool, other: Any) -> bool:
        return kind != "table" or name in names

    return included


async def test_every_table_has_a_primary_key_and_no_counter_of_the_server_s(database: Database) -> None:
    def look(conn: Connection) -> None:
        inspector = inspect(conn)
        for name in (*metadata.tables, *app_metadata.tables):
            assert inspector.get_pk_constraint(name)["constrained_columns"], name
            assert not any(column.get("autoincrement") is True for column in inspector.get_columns(name))

    await database.run(look)


async def test_every_text_on_a_server_is_utf8mb4_compared_byte_by_byte(database: Database) -> None:
    if not _is_server(database):
        assert (await rows(database, "SELECT 'a' = 'A' AS same"))[0].same == 0
        return
    found = await rows(
        database,
        "SELECT table_name AS tbl, character_set_name AS chars, collation_name AS compared, engine AS made"
        " FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_schema = DATABASE() AND character_set_name IS NOT NULL",
    )
    ours = {row.tbl for row in found} & {*metadata.tables, *app_metadata.tables}
    assert ours == {*metadata.tables, *app_metadata.tables}
    assert {(row.chars, row.compared, row.made) for row in found if row.tbl in ours} == {
        ("utf8mb4", "utf8mb4_bin", "InnoDB")
    }


async def test_moments_keep_their_microseconds_and_their_zone(database: Database) -> None:
    from llm_planner.storage.tables import dedupe_messages

    moment = datetime(2026, 11, 23, 12, 30, 15, 123456, tzinfo=UTC)
    values = {"session_id": "s", "message_id": "ñ", "digest": "d", "turn_id": "t", "received_at": moment}
    await database.run(lambda conn: conn.execute(dedupe_messages.insert(), values))
    found = await database.read(lambda conn: conn.execute(select(dedupe_messages.c.received_at)).scalar_one())
    assert found == moment


@pytest.mark.covers("tables.ddl")
def test_the_ddl_in_the_documentation_is_the_current_one() -> None:
    made = "".join(item.ddl("mysql") for item in (core_migrations(), APP_MIGRATIONS))
    assert (ROOT / "docs" / "schema.mysql.sql").read_text().split() == made.split()


def test_the_ddl_says_charset_and_collation_of_every_table() -> None:
    statements = re.findall(r"CREATE TABLE (\w+).*?;", core_migrations().ddl("mysql"), re.DOTALL)
    made = core_migrations().ddl("mysql")
    assert set(metadata.tables) <= set(statements)
    assert made.count("CHARSET=utf8mb4") == made.count("COLLATE utf8mb4_bin") == len(metadata.tables)


async def test_an_upgrade_that_was_cut_off_can_be_run_again(database: Database) -> None:
    before = await database.run(lambda conn: sorted(inspect(conn).get_table_names()))

    def cut(conn: Connection) -> None:
        for statement in (
            "DELETE FROM alembic_version",
            "DROP TABLE usage_counters",
            "DROP TABLE outbox",
            "DROP TABLE customers",
            "DELETE FROM alembic_version_app",
            _drop_index(conn, "ix_turns_state", "turns"),
        ):
            conn.execute(text(statement))

    await database.run(cut)
    for _ in range(2):
        for item in (core_migrations(), APP_MIGRATIONS):
            await database.run(item.upgrade)
    assert await database.run(lambda conn: sorted(inspect(conn).get_table_names())) == before
    indexes = await database.run(lambda conn: {index["name"] for index in inspect(conn).get_indexes("turns")})
    assert "ix_turns_state" in indexes


def _drop_index(conn: Connection, name: str, table: str) -> str:
    return f"DROP INDEX {name}" + ("" if conn.dialect.name == "sqlite" else f" ON {table}")


async def test_processes_that_start_together_upgrade_an_empty_database_once(
    database: Database, db_url: str
) -> None:
    def drop(conn: Connection) -> None:
        for name in inspect(conn).get_table_names():
            conn.execute(text(f"DROP TABLE {name}"))

    await database.run(drop)
    await asyncio.to_thread(_upgrade_in_processes, db_url)
    assert set(metadata.tables) <= set(await database.run(lambda conn: inspect(conn).get_table_names()))
    await database.run(APP_MIGRATIONS.upgrade)
    assert await database.read(core_migrations().current) == core_migrations().head


def _upgrade_in_processes(url: str) -> None:
    spawning = multiprocessing.get_context("spawn")
    running = [spawning.Process(target=upgrade_once, args=(url,)) for _ in range(2)]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
        assert process.exitcode == 0


def upgrade_once(url: str) -> None:
    """What a process does at its start."""
    from types import SimpleNamespace

    from llm_planner.application import upgrade

    async def work() -> None:
        opened = open_database(url)
        await upgrade(SimpleNamespace(database=opened), [core_migrations()])  # type: ignore[arg-type]
        await opened.close()

    asyncio.run(work())


# Connections


async def test_every_connection_reads_what_is_committed_and_lives_in_utc(database: Database) -> None:
    if not _is_server(database):
        for name, wanted in (
            ("journal_mode", "wal"),
            ("synchronous", 2),
            ("foreign_keys", 1),
            ("busy_timeout", 15000),
        ):
            assert (await rows(database, f"PRAGMA {name}"))[0][0] == wanted
        return

    def settings_of(conn: Connection) -> tuple[set[str], str]:
        isolation = {row[1] for row in conn.execute(text("SHOW VARIABLES LIKE 't%\\_isolation'"))}
        return isolation, conn.execute(text("SELECT @@time_zone")).scalar_one()

    found = await asyncio.gather(*[database.run(settings_of) for _ in range(20)])
    assert all(item == ({"READ-COMMITTED"}, "+00:00") for item in found)


async def test_an_update_that_changes_nothing_counts_the_row_it_found(database: Database) -> None:
    values = {"scope": "s", "day": "d", "calls": 1, "tokens": 0}
    await database.run(lambda conn: conn.execute(usage_counters.insert(), values))
    same = update(usage_counters).where(usage_counters.c.scope == "s").values(calls=1)
    assert await database.run(lambda conn: conn.execute(same).rowcount) == 1
    other = update(usage_counters).where(usage_counters.c.scope == "none").values(calls=1)
    assert await database.run(lambda conn: conn.execute(other).rowcount) == 0


async def test_time_is_the_server_s_own_and_on_sqlite_the_clock_s(database: Database, tmp_path: Path) -> None:
    moment = await database.read(now)
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    clock = FakeClock()
    fake = connect(f"sqlite:///{tmp_path}/clock.db", clock)
    clock.advance(90)
    assert await fake.read(now) == clock.now()
    await fake.close()


async def test_what_fails_is_rolled_back_whole(database: Database) -> None:
    def half(conn: Connection) -> None:
        conn.execute(usage_counters.insert(), {"scope": "a", "day": "d", "calls": 1, "tokens": 0})
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        await database.run(half)
    assert await rows(database, "SELECT 1 FROM usage_counters") == []


# Deadlocks and cancellation


@ONE_PROCESS
async def test_two_transactions_that_block_each_other_both_commit(database: Database, db_url: str) -> None:
    await database.run(
        lambda conn: conn.execute(
            usage_counters.insert(), [{"scope": s, "day": "d", "calls": 0, "tokens": 0} for s in "ab"]
        )
    )
    barrier = threading.Barrier(2, timeout=5 if _is_server(database) else 0.2)
    calls: list[str] = []
    await asyncio.gather(
        asyncio.to_thread(_in_order, db_url, "ab", barrier, calls),
        asyncio.to_thread(_in_order, db_url, "ba", barrier, calls),
    )
    found = await rows(database, "SELECT scope, calls FROM usage_counters ORDER BY scope")
    assert [tuple(row) for row in found] == [("a", 2), ("b", 2)]
    assert len(calls) == (3 if _is_server(database) else 2), "the server breaks the tie by ending one"


def _in_order(url: str, order: str, barrier: threading.Barrier, calls: list[str]) -> None:
    """One transaction over two rows, in a thread with its own loop; both hold one, then want the other."""

    def transaction(conn: Connection) -> None:
        calls.append(order)
        for number, scope in enumerate(order):
            add = update(usage_counters).where(usage_counters.c.scope == scope)
            conn.execute(add.values(calls=usage_counters.c.calls + 1))
            if number == 0 and calls.count(order) == 1:
                with suppress(threading.BrokenBarrierError):
                    barrier.wait()

    async def work() -> None:
        opened = open_database(url)
        await opened.run(transaction)
        await opened.close()

    asyncio.run(work())


async def test_a_cancelled_query_hands_its_rows_to_nobody(database: Database) -> None:
    wait = ", SLEEP(0.02)" if _is_server(database) else ""

    def ask(number: int) -> Any:
        return lambda conn: conn.execute(text(f"SELECT {number}{wait}")).scalar_one()

    tasks = [asyncio.create_task(database.run(ask(number))) for number in range(60)]
    for number, task in enumerate(tasks):
        if number % 2:
            asyncio.get_running_loop().call_later(0.003 * number, task.cancel)
    found = await asyncio.gather(*tasks, return_exceptions=True)
    for number, value in enumerate(found):
        assert value == number or (number % 2 and isinstance(value, asyncio.CancelledError))
    assert any(isinstance(value, asyncio.CancelledError) for value in found)
    assert await asyncio.gather(*[database.run(ask(n)) for n in range(60)]) == list(range(60))


async def test_a_transaction_that_has_begun_is_not_cut_by_a_cancellation(database: Database) -> None:
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def write(conn: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        if conn.dialect.name != "sqlite":
            conn.execute(text("SELECT SLEEP(0.1)"))
        conn.execute(usage_counters.insert(), {"scope": "a", "day": "d", "calls": 1, "tokens": 0})

    task = asyncio.create_task(database.run(write))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await rows(database, "SELECT 1 FROM usage_counters")) == 1


# Outages


async def test_a_transaction_whose_connection_is_killed_runs_again_whole(database: Database) -> None:
    if not _is_server(database):
        return
    ids: list[int] = []

    def write(conn: Connection) -> None:
        ids.append(conn.execute(text("SELECT CONNECTION_ID()")).scalar_one())
        conn.execute(usage_counters.insert(), {"scope": "a", "day": "d", "calls": len(ids), "tokens": 0})
        if len(ids) == 1:
            conn.execute(text("SELECT SLEEP(30)"))

    task = asyncio.create_task(database.run(write))
    async with asyncio.timeout(10):
        while not ids:  # noqa: ASYNC110 - the transaction has to reach its middle
            await asyncio.sleep(0.01)
        await database.run(lambda conn: conn.execute(text(f"KILL {ids[0]}")))
        await task
    assert len(set(ids)) == 2
    assert [row.calls for row in await rows(database, "SELECT calls FROM usage_counters")] == [2]


async def test_a_server_that_says_nothing_is_given_up_and_the_next_question_is_answered(
    database: Database, db_url: str
) -> None:
    if not _is_server(database):
        return
    hasty = connect(db_url, SystemClock(), answer_s=0.2)
    try:
        async with asyncio.timeout(5):
            with pytest.raises(DatabaseUnavailable, match="2013"):
                await hasty.run(lambda conn: conn.execute(text("SELECT SLEEP(30)")))
        assert await rows(hasty, "SELECT 1") == [(1,)]
    finally:
        await hasty.close()


async def test_a_full_disk_is_called_so_and_what_was_stored_stays(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/full.db")

    def fill(conn: Connection) -> None:
        conn.execute(text("PRAGMA max_page_count = 20"))
        conn.execute(text("INSERT INTO full VALUES (:words)"), {"words": "a user's words " * 10000})

    await database.run(lambda conn: conn.execute(text("CREATE TABLE full (words TEXT)")))
    await database.run(lambda conn: conn.execute(text("INSERT INTO full VALUES ('kept')")))
    with pytest.raises(DatabaseUnavailable, match="full") as caught:
        await database.run(fill)
    assert "user's words" not in str(caught.value)
    assert await rows(database, "SELECT words FROM full") == [("kept",)]
    await database.close()


class Wire:
    """A TCP proxy in front of a server that can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.whole = True

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.whole:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        self._open |= {writer, far_writer}
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    def cut(self) -> None:
        self.whole = False
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def end(self) -> None:
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def _through_a_wire(url: str) -> AsyncIterator[tuple[Wire, str]]:
    parts = make_url(url)
    wire = Wire(parts.host or "127.0.0.1", parts.port or 3306)
    listener = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    try:
        port = listener.sockets[0].getsockname()[1]
        yield wire, parts.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    finally:
        listener.close()
        await wire.end()


async def test_a_server_that_is_away_is_a_503_and_its_return_needs_no_restart(
    db_url: str, tmp_path: Path
) -> None:
    if db_url.startswith("sqlite"):
        return  # its outage is a spoiled file: tests/http/test_http_probes.py
    async with _through_a_wire(db_url) as (wire, url):
        model = ScriptedModel([plan(reply="hola")] * 4)
        async with serving(settings_for(url, tmp_path), [Echo], model) as client:
            assert (await client.say("hola"))["status"] == "answered"
            wire.cut()
            status, data = await client.post("/agent", {"message": "hola", "session_id": "demo"})
            assert (status, data["code"]) == (503, "database_unavailable")
            assert "planner" not in data["detail"]
            assert await client.get("/ready") == (503, {"status": "unready", "failing": "database"})
            assert (await client.get("/health"))[0] == 200
            wire.whole = True
            assert (await client.say("hola"))["status"] == "answered"
            assert (await client.get("/ready"))[0] == 200


async def test_a_connection_cut_in_the_middle_of_a_statement_is_an_outage_and_the_next_one_works(
    db_url: str,
) -> None:
    if db_url.startswith("sqlite"):
        return
    async with _through_a_wire(db_url) as (wire, url):
        opened = open_database(url)
        await opened.run(lambda conn: conn.execute(text("SELECT 1")))
        asyncio.get_running_loop().call_later(0.2, wire.cut)
        with pytest.raises(DatabaseUnavailable):
            await opened.run(lambda conn: conn.execute(text("SELECT SLEEP(20)")).scalar_one())
        wire.whole = True
        assert await opened.run(lambda conn: conn.execute(text("SELECT 7")).scalar_one()) == 7
        await opened.close()


# What is sent

FORBIDDEN = re.compile(
    r"SKIP LOCKED|GET_LOCK|RETURNING|JSON_|->|LAST_INSERT_ID|AUTO_INCREMENT|TRIGGER|CALL ", re.IGNORECASE
)


def _engines(database: Database) -> list[Any]:
    if isinstance(database, SqliteDatabase):
        return [database._write_engine, database._read_engine]
    return [database._engine.sync_engine]  # type: ignore[attr-defined]


async def test_the_sql_of_a_conversation_is_the_one_that_every_server_has(serve: Any) -> None:
    script = [
        plan(("echo", {"text": "a"})),
        plan(("ledger_add", {"what": "fail"})),
        plan(("ledger_add", {"what": "b"})),
    ]
    client: Client = await serve(tools=[Echo, Ledger], model=ScriptedModel(script))
    sent: list[str] = []

    def heard(conn: Any, cursor: Any, statement: str, *rest: Any) -> None:
        sent.append(statement)

    for engine in _engines(client.parts.database):
        event.listen(engine, "before_cursor_execute", heard)
    await client.say("repeat a")
    asked = await client.say("write", message_id="m")
    await client.say("write", message_id="m")
    await client.say(f"confirm {asked['confirmations'][0]['token']}")
    await client.say("write b")
    for words in ("pending", "cancel", "confirm AAAA2222"):
        await client.say(words)
    await client.parts.worker.fire_timers()
    await client.parts.worker.deliver()
    assert len(sent) > 40
    assert [statement for statement in sent if FORBIDDEN.search(statement)] == []


def test_the_servers_of_this_run_are_named() -> None:
    assert all(make_url(url).get_backend_name() in ("mysql", "mariadb") for url in SERVERS)
