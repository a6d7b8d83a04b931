"""Retention: what is old goes in small batches; what is unfinished, unknown or still needed stays."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llm_planner.storage.database import now
from llm_planner.storage.repositories import audit as events
from llm_planner.storage.repositories import retention, sessions
from llm_planner.testing.clock import FakeClock

from .harness import rows, serving, settings_for
from .tools import Echo, Ledger, plan
from .turn_kit import LONG_AGO, always, kinds, ledger, message, parked, states, token, with_ledger

Serve = Any
TOOLS = [Ledger, Echo]
TIMES = {
    "dedupe_messages": ["received_at"],
    "turns": ["created_at"],
    "messages": ["created_at"],
    "pending_confirmations": ["expires_at", "created_at"],
    "model_calls": ["at"],
    "outbox": ["due_at", "created_at"],
    "audit_events": ["at"],
    "sessions": ["created_at"],
}


async def served(serve: Serve, answer: str | None = None, **more: Any) -> Any:
    """A server whose timers are fired by the test alone."""
    model = always(answer or plan(reply="fine"))
    return await with_ledger(await serve(tools=TOOLS, model=model, workers_inline=False, **more))


async def age(client: Any, **by: int) -> None:
    """Let the rows of these tables be that many days older; with none named, all of them a thousand."""
    for table, days in (by or dict.fromkeys(TIMES, 1000)).items():
        moment = (await client.parts.database.read(now)) - timedelta(days=days)
        for column in TIMES[table]:
            await client.rows(f"UPDATE {table} SET {column} = :t", t=moment.replace(tzinfo=None))


async def count(client: Any, table: str) -> int:
    found: int = (await client.rows(f"SELECT COUNT(*) AS n FROM {table}"))[0].n
    return found


@pytest.mark.covers("settings.retention")
async def test_a_message_id_is_known_for_its_days_and_then_forgotten(serve: Serve) -> None:
    client = await served(serve)
    await client.say("hello", message_id="m1")
    await age(client, dedupe_messages=7)
    await client.parts.worker.fire_timers()
    assert (await client.say("hello", message_id="m1"))["duplicate"]
    await age(client, dedupe_messages=9)
    await client.parts.worker.fire_timers()
    assert await count(client, "dedupe_messages") == 0
    assert not (await client.say("hello", message_id="m1"))["duplicate"]


async def test_a_forgotten_text_leaves_its_id_and_a_repeat_is_not_run_again(serve: Serve) -> None:
    client = await served(serve, retention_messages_days=2, default_locale="en")
    await client.say("my address is Elm Street 5", message_id="m1")
    await age(client, turns=3)
    await client.parts.worker.fire_timers()
    assert "Elm Street" not in json.dumps(
        [list(map(str, row)) for row in await client.rows("SELECT * FROM turns")]
    )
    assert await count(client, "messages") == 0
    again = await client.say("my address is Elm Street 5", message_id="m1")
    assert (again["duplicate"], again["status"]) == (True, "answered")
    assert again["reply"] == "That message was answered; its reply is no longer kept."
    status, _ = await client.post("/agent", {"message": "other", "session_id": "demo", "message_id": "m1"})
    assert status == 409
    assert await count(client, "model_calls") == 1
    await age(client, dedupe_messages=9)
    await client.parts.worker.fire_timers()
    assert await count(client, "turns") == 0


async def test_an_old_open_turn_stays_whole(serve: Serve) -> None:
    client = await served(serve)
    await client.parts.inbox.accept(message("demo", "m1", "hello"), take=False)
    await age(client)
    await client.parts.worker.fire_timers()
    assert (await count(client, "turns"), await count(client, "dedupe_messages")) == (1, 1)
    assert (await client.say("hello", message_id="m1", locale="en"))["reply"] == "fine"


@pytest.mark.covers("rule.9")
@pytest.mark.parametrize("held", ["pending", "claimed", "unknown"])
async def test_nothing_goes_from_a_session_whose_write_waits_for_somebody(serve: Serve, held: str) -> None:
    client = await served(serve, ledger("tea"))
    await client.say(f"confirm {token(await parked(client))}")
    await client.rows("UPDATE pending_confirmations SET state = :s", s=held)
    await client.rows("UPDATE tool_runs SET state = :s", s="unknown" if held == "unknown" else "intent")
    await client.rows("UPDATE sessions SET facts = '{\"a\": 1}'")
    await age(client)
    await client.rows("UPDATE pending_confirmations SET expires_at = '2099-01-01 00:00:00.000000'")
    kept = [*TIMES, "tool_runs"]
    for gone in ("model_calls", "dedupe_messages"):
        kept.remove(gone)
    before = {table: [tuple(row) for row in await client.rows(f"SELECT * FROM {table}")] for table in kept}
    await client.parts.worker.fire_timers()
    for table, found in before.items():
        assert [tuple(row) for row in await client.rows(f"SELECT * FROM {table}")] == found, table


async def test_a_decided_write_goes_with_its_journal_and_nothing_else_of_it_is_lost(serve: Serve) -> None:
    client = await served(serve, ledger("tea"))
    await client.say(f"confirm {token(await parked(client))}")
    await age(client, pending_confirmations=364)
    await client.parts.worker.fire_timers()
    assert (await states(client), await count(client, "tool_runs")) == (["executed"], 1)
    await age(client, pending_confirmations=366)
    await client.parts.worker.fire_timers()
    assert (await states(client), await count(client, "tool_runs")) == ([], 0)
    assert await count(client, "turns") == 2


@pytest.mark.covers("rule.17")
async def test_the_audit_verifies_after_its_payloads_are_erased(serve: Serve) -> None:
    client = await served(serve, ledger("a secret recipe"))
    await client.say(f"confirm {token(await parked(client, message='the secret recipe please'))}")
    told = await kinds(client)
    # The time of an event is part of its chain: it is the limit that moves, not the events.
    await client.parts.database.run(
        lambda conn: retention.audit(conn, now(conn) + timedelta(days=1), None, 500)
    )
    assert await kinds(client) == told
    erased = await client.rows("SELECT payload, salt FROM audit_events")
    assert {tuple(row) for row in erased} == {(None, None)}
    assert await client.parts.database.read(lambda conn: _verified(conn, client.parts.audit)) is None


def _verified(conn: Any, audit: Any) -> Any:
    session = sessions.page(conn, None, 1)[0]
    return audit.verify(events.chain(conn, session.id), (session.audit_seq, session.audit_head))


async def test_walks_go_on_where_they_stopped_and_begin_again(serve: Serve) -> None:
    client = await served(serve)
    for number in range(3):
        await client.say("hello", session=f"s{number}")
    await client.rows("UPDATE sessions SET facts = '{\"a\": 1}'")
    later, place, steps = timedelta(days=1), None, 0
    while steps == 0 or place is not None:
        place = await client.parts.database.run(
            lambda conn, place=place: retention.audit(conn, now(conn) + later, place, 2)
        )
        steps += 1
    assert steps > 3
    assert await client.rows("SELECT seq FROM audit_events WHERE payload IS NOT NULL") == []
    steps = 0
    while steps == 0 or place is not None:
        place = await client.parts.database.run(
            lambda conn, place=place: retention.facts(conn, now(conn) + later, place, 1)
        )
        steps += 1
    assert steps == 4
    assert {row.facts for row in await client.rows("SELECT facts FROM sessions")} == {"{}"}


async def test_facts_stay_where_something_was_said_lately(serve: Serve) -> None:
    client = await served(serve)
    await client.say("hello")
    await client.rows("UPDATE sessions SET facts = '{\"a\": 1}'")
    await age(client, sessions=1000)
    await client.parts.worker.fire_timers()
    assert (await client.rows("SELECT facts FROM sessions"))[0].facts == '{"a": 1}'
    await age(client, turns=366)
    await client.parts.worker.fire_timers()
    assert (await client.rows("SELECT facts FROM sessions"))[0].facts == "{}"


async def test_letters_that_ended_go_and_those_that_need_a_person_stay(serve: Serve) -> None:
    client = await served(serve)
    await client.say("hello")
    session = (await client.rows("SELECT id FROM sessions"))[0].id
    for state in ("queued", "sending", "retrying", "delivered", "dead", "unknown"):
        await client.rows(
            "INSERT INTO outbox (session_id, id, kind, destination, body, idempotency_key, state, attempts, due_at,"
            " created_at) VALUES (:s, :i, 'mail', 'a@example.com', '{}', :i, :i, 1, :t, :t)",
            s=session, i=state, t=LONG_AGO,
        )  # fmt: skip
    await client.rows("UPDATE outbox SET due_at = '2099-01-01 00:00:00.000000' WHERE id = 'sending'")
    await client.parts.worker.fire_timers()
    left = {row.state for row in await client.rows("SELECT state FROM outbox")}
    assert left == {"queued", "sending", "retrying", "unknown"}


async def test_what_is_old_goes_in_batches_until_nothing_is_left(serve: Serve) -> None:
    client = await served(serve)
    await client.say("hello")
    session, turn = (await client.rows("SELECT session_id, id FROM turns"))[0]
    many = [{"s": session, "m": f"m{number}", "t": turn, "r": LONG_AGO} for number in range(250)]
    sql = (
        "INSERT INTO dedupe_messages (session_id, message_id, digest, turn_id, received_at) "
        "VALUES (:s, :m, '', :t, :r)"
    )
    for values in many:
        await rows(client.parts.database, sql, **values)
    await client.parts.worker.fire_timers()
    assert await count(client, "dedupe_messages") == 1


@asynccontextmanager
async def on_sqlite(template: Path, folder: Path, clock: FakeClock) -> AsyncIterator[Any]:
    """A server over SQLite, where the injected clock is the time that counts, and query plans are told."""
    shutil.copy(template, folder / "test.db")
    settings = settings_for(f"sqlite:///{folder / 'test.db'}", folder, workers_inline=False)
    async with serving(settings, TOOLS, always(plan(reply="fine")), clock) as client:
        yield client


async def test_the_clock_decides_what_is_old(sqlite_template: Path, tmp_path: Path) -> None:
    clock = FakeClock()
    async with on_sqlite(sqlite_template, tmp_path, clock) as client:
        await client.say("hello", message_id="m1")
        for days, left in ((7, 1), (2, 0), (90, 0)):
            clock.advance(days * 86400)
            await client.parts.worker.fire_timers()
            assert await count(client, "dedupe_messages") == left
        assert [await count(client, table) for table in ("turns", "messages")] == [0, 0]
        assert await count(client, "audit_events") > 0


async def test_every_query_for_old_rows_uses_an_index(sqlite_template: Path, tmp_path: Path) -> None:
    queries = {name: query for name, query in vars(retention).items() if name.startswith("_OLD_")}
    assert len(queries) == 9
    found: list[str] = []

    def explained(conn: Any) -> None:
        for name, query in queries.items():
            sql = (
                query.params(before=now(conn)).limit(10).compile(conn, compile_kwargs={"literal_binds": True})
            )
            found.extend(f"{name}: {row[3]}" for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}"))

    async with on_sqlite(sqlite_template, tmp_path, FakeClock()) as client:
        await client.parts.database.read(explained)
    assert {line.split(":")[0] for line in found} == set(queries)
    assert [line for line in found if ": SCAN" in line] == []
