"""The first schema."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
LONG = sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
TABLE: dict[str, Any] = {
    f"{server}_{name}": value
    for server in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def create(name: str, *columns: Any, indexes: Sequence[tuple[str, list[str]]] = ()) -> None:
    """Create a table and its indexes unless they are there: DDL is not transactional on MySQL, so an
    upgrade that was cut off must be able to run again."""
    there: set[str | None] = set()
    if not context.is_offline_mode():
        inspector = sa.inspect(op.get_bind())
        if inspector.has_table(name):
            there = {index["name"] for index in inspector.get_indexes(name)} | {None}
    if None not in there:
        op.create_table(name, *columns, **TABLE)
    for index, parts in indexes:
        if index not in there:
            op.create_index(index, name, parts)


def upgrade() -> None:
    create(
        "audit_events",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("turn_id", sa.String(36)),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("payload", LONG),
        sa.Column("salt", sa.String(32)),
        sa.Column("commitment", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("session_id", "seq"),
        indexes=[("ix_audit_at", ["at", "session_id", "seq"]), ("ix_audit_turn", ["turn_id"])],
    )
    create(
        "dedupe_messages",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("message_id", sa.String(128), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("turn_id", sa.String(36), nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "message_id"),
        indexes=[("ix_dedupe_received", ["received_at"])],
    )
    create(
        "messages",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("turn_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("text", LONG, nullable=False),
        sa.Column("from_tools", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "seq", "role"),
    )
    create(
        "model_calls",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("turn_id", sa.String(36), nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("model", sa.String(128), nullable=False),
        sa.Column("prompt", sa.String(64), nullable=False),
        sa.Column("prompt_hash", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(40), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("input_tokens", sa.Integer()),
        sa.Column("output_tokens", sa.Integer()),
        sa.Column("ms", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("session_id", "id"),
    )
    create(
        "outbox",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("turn_id", sa.String(36)),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("destination", sa.String(320), nullable=False),
        sa.Column("body", LONG, nullable=False),
        sa.Column("idempotency_key", sa.String(128), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("session_id", "id"),
        sa.UniqueConstraint("session_id", "idempotency_key", name="uq_outbox_key"),
        indexes=[("ix_outbox_created", ["created_at", "id"]), ("ix_outbox_due", ["state", "due_at"])],
    )
    create(
        "pending_confirmations",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("turn_id", sa.String(36), nullable=False),
        sa.Column("home_turn_id", sa.String(36), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("step", sa.String(64), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("tool", sa.String(128), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("args", LONG, nullable=False),
        sa.Column("origins", LONG, nullable=False),
        sa.Column("schema_hash", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("approver", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("decided_at", MOMENT),
        sa.Column("decided_by", sa.String(200)),
        sa.Column("edited_by", sa.String(200)),
        sa.Column("reason", sa.Text()),
        sa.Column("decided_turn_id", sa.String(36)),
        sa.PrimaryKeyConstraint("session_id", "id"),
        sa.UniqueConstraint(
            "session_id", "home_turn_id", "round", "step", "edition", name="uq_confirmations_step"
        ),
        indexes=[
            ("ix_confirmations_id", ["id"]),
            ("ix_confirmations_state", ["state", "expires_at"]),
            ("ix_confirmations_turn", ["session_id", "turn_id"]),
        ],
    )
    create(
        "sessions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("channel", sa.String(32), nullable=False),
        sa.Column("account", sa.String(128), nullable=False),
        sa.Column("principal", sa.String(200), nullable=False),
        sa.Column("label", sa.String(128), nullable=False),
        sa.Column("locale", sa.String(35), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("open_turns", sa.Integer(), nullable=False),
        sa.Column("facts", LONG, nullable=False),
        sa.Column("audit_seq", sa.BigInteger(), nullable=False),
        sa.Column("audit_head", sa.String(64), nullable=False),
        sa.Column("token_tries", sa.Integer(), nullable=False),
        sa.Column("locked_until", MOMENT),
        sa.Column("parked_until", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_hash", name="uq_sessions_key_hash"),
        indexes=[
            ("ix_sessions_created", ["created_at", "id"]),
            ("ix_sessions_open", ["open_turns", "lease_until"]),
        ],
    )
    create(
        "tool_runs",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("turn_id", sa.String(36), nullable=False),
        sa.Column("confirmation_id", sa.String(36), nullable=False),
        sa.Column("tool", sa.String(128), nullable=False),
        sa.Column("idempotency_key", sa.String(64), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("deadline_at", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.Column("result", LONG),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("session_id", "id"),
        sa.UniqueConstraint("session_id", "confirmation_id", name="uq_tool_runs_confirmation"),
        indexes=[("ix_tool_runs_state", ["state", "deadline_at"])],
    )
    create(
        "turns",
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.String(128), nullable=False),
        sa.Column("inbound", LONG, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("rounds", LONG, nullable=False),
        sa.Column("status", sa.String(20)),
        sa.Column("code", sa.String(64)),
        sa.Column("reply", LONG),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("session_id", "id"),
        sa.UniqueConstraint("session_id", "seq", name="uq_turns_seq"),
        indexes=[("ix_turns_id", ["id"]), ("ix_turns_state", ["state", "created_at"])],
    )
    create(
        "usage_counters",
        sa.Column("scope", sa.String(255), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "day"),
        indexes=[("ix_usage_day", ["day"])],
    )
