"""What SQL may be sent: the rules of docs/reliability.md that keep TiDB, Vitess and Galera possible."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import ClauseElement, Engine, String, event
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.schema import CreateTable

from llm_planner.storage import repositories
from llm_planner.storage.migrate import core_migrations
from llm_planner.storage.tables import metadata

from .harness import operator
from .tools import Echo, Ledger, ReconcilingLedger
from .turn_kit import always, ledger, parked, token, with_ledger

Serve = Any
FORBIDDEN = re.compile(
    r"SKIP\s+LOCKED|NOWAIT|GET_LOCK|RELEASE_LOCK|RETURNING|LOCK\s+IN\s+SHARE|LOCK\s+TABLES|FOR\s+SHARE|"
    r"JSON_|->|AUTO_INCREMENT|AUTOINCREMENT|LAST_INSERT_ID|last_insert_rowid|\bSERIAL\b|TRIGGER|PROCEDURE|"
    r"\bCALL\b|ON\s+DUPLICATE|REPLACE\s+INTO|_0900_|STRAIGHT_JOIN|SERIALIZABLE|REPEATABLE",
    re.IGNORECASE,
)
BY_KEY = {
    "sessions": [{"id"}, {"key_hash"}],
    "outbox": [{"session_id", "id"}, {"session_id", "idempotency_key"}],
    "outbox_receipts": [{"provider", "reference"}],
}
"""Rows that may be locked by `FOR UPDATE`: one, by all columns of a unique key."""
SPREAD_OTHERWISE = ("outbox_receipts",)
"""Tables with a session in them that are looked up by something else."""


def broken(statement: str) -> list[str]:
    """The rules that a statement breaks."""
    found = [match.group(0) for match in FORBIDDEN.finditer(statement)]
    if re.search(r"FOR\s+UPDATE", statement, re.IGNORECASE):
        table = re.search(r"FROM\s+(\w+)", statement)
        columns = set(re.findall(r"(?:\w+\.)?(\w+)\s*=\s*(?:%s|\?|:)", statement))
        if table is None or columns not in BY_KEY.get(table.group(1), []):
            found.append("FOR UPDATE of more than one row by its key")
    return found


def constants() -> Iterator[tuple[str, ClauseElement]]:
    """Every statement that the repositories keep."""
    for info in pkgutil.iter_modules(repositories.__path__):
        module = importlib.import_module(f"{repositories.__name__}.{info.name}")
        for name, value in vars(module).items():
            if isinstance(value, ClauseElement) and getattr(value, "is_dml", False) | getattr(
                value, "is_select", False
            ):
                yield f"{info.name}.{name}", value


@pytest.mark.parametrize("dialect", [mysql.dialect(), sqlite.dialect()], ids=["mysql", "sqlite"])
def test_every_statement_of_the_repositories_keeps_the_rules(dialect: Any) -> None:
    found = dict(constants())
    assert len(found) > 60
    for name, statement in found.items():
        text = str(statement.compile(dialect=dialect))
        assert broken(text) == [], f"{name}: {text}"


def test_the_rules_notice_what_breaks_them() -> None:
    for statement in (
        "SELECT id FROM outbox WHERE state = %s FOR UPDATE",
        "SELECT id FROM turns WHERE id = %s FOR UPDATE SKIP LOCKED",
        "INSERT INTO turns VALUES (1) RETURNING id",
        "SELECT JSON_EXTRACT(facts, '$.a') FROM sessions",
        "SELECT facts->'$.a' FROM sessions",
        "SELECT GET_LOCK('a', 1)",
    ):
        assert broken(statement), statement


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """Every statement that any engine sends meanwhile."""
    found: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *more: Any) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


async def test_everything_that_turns_timers_and_operators_send_keeps_the_rules(
    serve: Serve, sent: list[str]
) -> None:
    class Operators(Ledger):
        name = "ledger_billing"
        approver = "billing"

    plans = iter([ledger(), ledger(), ledger(tool="ledger_billing"), ledger("tea", 2, "ledger_add_checked")])
    client = await with_ledger(
        await serve(
            tools=[Ledger, ReconcilingLedger, Operators, Echo], model=always(lambda request: next(plans))
        )
    )
    await client.say(f"confirm {token(await parked(client))}")
    await parked(client)
    await client.say("pending")
    await client.say("cancel")
    asked = await parked(client)
    card = (await client.get(f"/approvals/{asked['confirmations'][0]['id']}", operator("billing")))[1]
    where = f"/approvals/{card['id']}/resolve"
    await client.post(where, {"decision": "edit", "args": {"what": "milk", "amount": 1}}, operator("admin"))
    edited = (await client.get("/approvals?status=pending", operator("admin")))[1]["items"][0]
    decision = {"decision": "approve", "digest": edited["digest"]}
    await client.post(f"/approvals/{edited['id']}/resolve", decision, operator("billing"))
    await parked(client)
    for path in ("/approvals", "/sessions", "/audit", "/metrics", "/ready"):
        async with client.http.get(client.url + path, headers=operator("admin")) as answer:
            assert answer.status == 200, path
    for work in (client.parts.worker.fire_timers, client.parts.worker.deliver, client.parts.worker.waiting):
        await work()
    ours = [statement for statement in sent if not re.match(r"\s*(CREATE|PRAGMA|DROP)", statement)]
    assert len(set(ours)) > 40
    tables = re.compile(r"\b(?:FROM|INTO|UPDATE) `?(\w+)")
    assert {name for statement in ours for name in tables.findall(statement)} >= {
        "sessions", "turns", "messages", "dedupe_messages", "audit_events", "pending_confirmations", "tool_runs",
        "model_calls", "outbox", "usage_counters",
    }  # fmt: skip
    assert {statement: broken(statement) for statement in ours if broken(statement)} == {}


def test_every_table_has_a_key_of_ours_that_begins_with_what_it_is_spread_by() -> None:
    for table in metadata.sorted_tables:
        keys = list(table.primary_key.columns)
        assert keys, table.name
        if "session_id" in table.columns and table.name not in SPREAD_OTHERWISE:
            assert keys[0].name == "session_id", table.name
        assert isinstance(keys[0].type, String), table.name
        for column in table.columns:
            assert column.autoincrement is not True, f"{table.name}.{column.name}"
            assert column.identity is None, f"{table.name}.{column.name}"
            assert column.computed is None, f"{table.name}.{column.name}"
        assert not table.foreign_keys, f"{table.name}: Vitess has no foreign keys across shards"


def test_the_schema_of_a_server_says_its_key_and_its_character_set() -> None:
    for table in metadata.sorted_tables:
        made = str(CreateTable(table).compile(dialect=mysql.dialect()))
        assert "PRIMARY KEY" in made
        assert "utf8mb4_bin" in made
        assert broken(made) == [], table.name


def test_no_migration_breaks_a_rule() -> None:
    made = re.sub(r"--.*", "", core_migrations().ddl("mysql"))
    assert "CREATE TABLE" in made
    assert broken(made) == []
    for file in Path("llm_planner/storage/migrations/versions").glob("*.py"):
        assert not re.search(r"op\.execute\(.*(TRIGGER|PROCEDURE|EVENT)", file.read_text("utf-8")), file.name
