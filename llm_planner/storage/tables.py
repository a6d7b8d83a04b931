"""The tables of the core, one schema for SQLite, MySQL 8/9 and MariaDB.

Ids are UUIDv7 made by us and order is a per-session `seq`: nothing hangs on AUTO_INCREMENT. Tables of a
session carry its id first in their key. States are written out in `storage/states.py`.
"""

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT
from sqlalchemy.types import TypeDecorator


class Moment(TypeDecorator[datetime]):
    """DATETIME(6) in UTC; aware in Python."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(
            DATETIME(fsp=6) if dialect.name in ("mysql", "mariadb") else DateTime()
        )

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value is not None else None

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None else None


_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class JsonText(TypeDecorator[Any]):
    """JSON kept as text: the same bytes on every server, and no JSON operators in SQL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(MEDIUMTEXT() if dialect.name in ("mysql", "mariadb") else Text())

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else _encode(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_bin",
}
"""Binary collation everywhere: ids and keys compare byte by byte, as on SQLite."""

metadata = MetaData()


def Id(name: str, **options: Any) -> Column[Any]:  # noqa: N802 - reads as a type in the tables below
    return Column(name, String(36), **options)


LongText = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")

sessions = Table(
    "sessions",
    metadata,
    Id("id", primary_key=True),
    Column("key_hash", String(64), nullable=False),
    Column("channel", String(32), nullable=False),
    Column("account", String(128), nullable=False),
    Column("principal", String(200), nullable=False),
    Column("label", String(128), nullable=False),
    Column("locale", String(35), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("lease_until", Moment),
    Column("next_seq", BigInteger, nullable=False),
    Column("open_turns", Integer, nullable=False),
    Column("facts", JsonText, nullable=False),
    Column("audit_seq", BigInteger, nullable=False),
    Column("audit_head", String(64), nullable=False),
    Column("token_tries", Integer, nullable=False),
    Column("locked_until", Moment),
    Column("parked_until", Moment),
    Column("created_at", Moment, nullable=False),
    Column("handed_to", String(64)),
    Column("hold_until", Moment),
    UniqueConstraint("key_hash", name="uq_sessions_key_hash"),
    Index("ix_sessions_open", "open_turns", "lease_until"),
    Index("ix_sessions_created", "created_at", "id"),
    Index("ix_sessions_principal", "principal", "id"),
    Index("ix_sessions_label", "label", "id"),
    **MYSQL,
)

dedupe_messages = Table(
    "dedupe_messages",
    metadata,
    Id("session_id", nullable=False),
    Column("message_id", String(128), nullable=False),
    Column("digest", String(64), nullable=False),
    Id("turn_id", nullable=False),
    Column("received_at", Moment, nullable=False),
    PrimaryKeyConstraint("session_id", "message_id"),
    Index("ix_dedupe_received", "received_at"),
    **MYSQL,
)

turns = Table(
    "turns",
    metadata,
    Id("session_id", nullable=False),
    Id("id", nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("message_id", String(128), nullable=False),
    Column("inbound", JsonText, nullable=False),
    Column("state", String(20), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("rounds", JsonText, nullable=False),
    Column("status", String(20)),
    Column("code", String(64)),
    Column("reply", LongText),
    Column("created_at", Moment, nullable=False),
    Column("finished_at", Moment),
    PrimaryKeyConstraint("session_id", "id"),
    UniqueConstraint("session_id", "seq", name="uq_turns_seq"),
    Index("ix_turns_id", "id"),
    Index("ix_turns_state", "state", "created_at"),
    **MYSQL,
)

messages = Table(
    "messages",
    metadata,
    Id("session_id", nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("role", String(10), nullable=False),
    Id("turn_id", nullable=False),
    Column("kind", String(10), nullable=False),
    Column("text", LongText, nullable=False),
    Column("from_tools", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    PrimaryKeyConstraint("session_id", "seq", "role"),
    **MYSQL,
)

audit_events = Table(
    "audit_events",
    metadata,
    Id("session_id", nullable=False),
    Column("seq", BigInteger, nullable=False),
    Id("turn_id"),
    Column("at", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("payload", JsonText),
    Column("salt", String(32)),
    Column("commitment", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("key_id", String(16), nullable=False),
    PrimaryKeyConstraint("session_id", "seq"),
    Index("ix_audit_turn", "turn_id"),
    Index("ix_audit_at", "at", "session_id", "seq"),
    Index("ix_audit_kind", "kind", "at", "session_id", "seq"),
    Index("ix_audit_actor", "actor", "at", "session_id", "seq"),
    **MYSQL,
)

pending_confirmations = Table(
    "pending_confirmations",
    metadata,
    Id("session_id", nullable=False),
    Id("id", nullable=False),
    Id("turn_id", nullable=False),
    Id("home_turn_id", nullable=False),
    Column("round", Integer, nullable=False),
    Column("step", String(64), nullable=False),
    Column("edition", Integer, nullable=False),
    Column("tool", String(128), nullable=False),
    Column("summary", Text, nullable=False),
    Column("args", JsonText, nullable=False),
    Column("origins", JsonText, nullable=False),
    Column("schema_hash", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("approver", String(64), nullable=False),
    Column("state", String(20), nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("decided_at", Moment),
    Column("decided_by", String(200)),
    Column("edited_by", String(200)),
    Column("reason", Text),
    Id("decided_turn_id"),
    PrimaryKeyConstraint("session_id", "id"),
    UniqueConstraint("session_id", "home_turn_id", "round", "step", "edition", name="uq_confirmations_step"),
    Index("ix_confirmations_turn", "session_id", "turn_id"),
    Index("ix_confirmations_id", "id"),
    Index("ix_confirmations_state", "state", "expires_at"),
    Index("ix_confirmations_state_id", "state", "id"),
    Index("ix_confirmations_approver", "approver", "state", "id"),
    **MYSQL,
)

tool_runs = Table(
    "tool_runs",
    metadata,
    Id("session_id", nullable=False),
    Id("id", nullable=False),
    Id("turn_id", nullable=False),
    Id("confirmation_id", nullable=False),
    Column("tool", String(128), nullable=False),
    Column("idempotency_key", String(64), nullable=False),
    Column("state", String(20), nullable=False),
    Column("deadline_at", Moment, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("result", JsonText),
    Column("error", Text),
    Column("settled_by", String(200)),
    Column("reason", Text),
    Id("settled_turn_id"),
    PrimaryKeyConstraint("session_id", "id"),
    UniqueConstraint("session_id", "confirmation_id", name="uq_tool_runs_confirmation"),
    Index("ix_tool_runs_id", "id"),
    Index("ix_tool_runs_state", "state", "deadline_at"),
    Index("ix_tool_runs_state_id", "state", "id"),
    **MYSQL,
)

model_calls = Table(
    "model_calls",
    metadata,
    Id("session_id", nullable=False),
    Id("id", nullable=False),
    Id("turn_id", nullable=False),
    Column("purpose", String(20), nullable=False),
    Column("model", String(128), nullable=False),
    Column("prompt", String(64), nullable=False),
    Column("prompt_hash", String(64), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("ms", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("session_id", "id"),
    Index("ix_model_calls_turn", "turn_id"),
    Index("ix_model_calls_at", "at", "outcome", "ms", "input_tokens", "output_tokens"),
    **MYSQL,
)

outbox = Table(
    "outbox",
    metadata,
    Id("session_id", nullable=False),
    Id("id", nullable=False),
    Id("turn_id"),
    Column("kind", String(20), nullable=False),
    Column("destination", String(320), nullable=False),
    Column("body", JsonText, nullable=False),
    Column("idempotency_key", String(128), nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("error", Text),
    Column("created_at", Moment, nullable=False),
    Column("finished_at", Moment),
    PrimaryKeyConstraint("session_id", "id"),
    UniqueConstraint("session_id", "idempotency_key", name="uq_outbox_key"),
    Index("ix_outbox_due", "state", "due_at"),
    Index("ix_outbox_created", "created_at", "id"),
    Index("ix_outbox_id", "id"),
    Index("ix_outbox_state", "state", "id"),
    **MYSQL,
)

outbox_receipts = Table(
    "outbox_receipts",
    metadata,
    Column("provider", String(20), nullable=False),
    Column("reference", String(255), nullable=False),
    Id("session_id"),
    Id("outbox_id"),
    Column("status", String(20), nullable=False),
    Column("code", String(64)),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("provider", "reference"),
    Index("ix_receipts_outbox", "session_id", "outbox_id"),
    Index("ix_receipts_at", "at"),
    **MYSQL,
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Id("process", primary_key=True),
    Column("at", Moment, nullable=False),
    **MYSQL,
)

usage_counters = Table(
    "usage_counters",
    metadata,
    Column("scope", String(255), nullable=False),
    Column("day", String(10), nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    PrimaryKeyConstraint("scope", "day"),
    Index("ix_usage_day", "day"),
    **MYSQL,
)
