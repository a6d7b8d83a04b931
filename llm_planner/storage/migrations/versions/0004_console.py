"""Operators, their logins, machines' keys; prompts of model calls; sessions in a person's hands; list indexes."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
TEXT = sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
TABLE: dict[str, Any] = {
    f"{server}_{name}": value
    for server in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def _word(name: str, length: int, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, MOMENT, nullable=nullable)


TABLES: dict[str, list[Any]] = {
    "operators": [
        _word("name", 64), _word("person", 64), _word("role", 64), _word("password", 255), _moment("created_at"),
        _word("created_by", 64), _moment("disabled_at", nullable=True), sa.PrimaryKeyConstraint("name"),
    ],
    "console_logins": [
        _word("id", 64), _word("operator", 64), _word("credential", 64), _moment("created_at"), _moment("expires_at"),
        sa.PrimaryKeyConstraint("id"),
    ],
    "api_keys": [
        _word("id", 36), _word("name", 64), _word("role", 64), _word("scopes", 128), _word("secret", 64),
        _moment("created_at"), _moment("expires_at", nullable=True), _moment("disabled_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    ],
    "model_prompts": [
        _word("session_id", 36), _word("id", 36), _word("system", 64, nullable=True),
        sa.Column("messages", TEXT, nullable=False), _moment("at"), sa.PrimaryKeyConstraint("session_id", "id"),
    ],
    "prompt_texts": [
        _word("hash", 64), sa.Column("text", TEXT, nullable=False), sa.PrimaryKeyConstraint("hash"),
    ],
}  # fmt: skip
COLUMNS = {"sessions": [_word("handed_to", 64, nullable=True)]}
INDEXES: dict[str, dict[str, list[str]]] = {
    "operators": {"ix_operators_person": ["person"]},
    "console_logins": {"ix_logins_operator": ["operator"], "ix_logins_expires": ["expires_at"]},
    "model_prompts": {"ix_prompts_at": ["at"]},
    "sessions": {"ix_sessions_principal": ["principal", "id"], "ix_sessions_label": ["label", "id"]},
    "pending_confirmations": {
        "ix_confirmations_state_id": ["state", "id"],
        "ix_confirmations_approver": ["approver", "state", "id"],
    },
    "outbox": {"ix_outbox_id": ["id"], "ix_outbox_state": ["state", "id"]},
    "tool_runs": {"ix_tool_runs_state_id": ["state", "id"]},
    "model_calls": {
        "ix_model_calls_turn": ["turn_id"],
        "ix_model_calls_at": ["at", "outcome", "ms", "input_tokens", "output_tokens"],
    },
    "audit_events": {
        "ix_audit_kind": ["kind", "at", "session_id", "seq"],
        "ix_audit_actor": ["actor", "at", "session_id", "seq"],
    },
}


def upgrade() -> None:
    """Each step only where it is not done yet: DDL is not transactional on MySQL."""
    inspector = None if context.is_offline_mode() else sa.inspect(op.get_bind())
    for name, parts in TABLES.items():
        if inspector is None or not inspector.has_table(name):
            op.create_table(name, *parts, **TABLE)
    for name, columns in COLUMNS.items():
        there = {str(column["name"]) for column in inspector.get_columns(name)} if inspector else set()
        for column in columns:
            if column.name not in there:
                op.add_column(name, column)
    for name, indexes in INDEXES.items():
        known = inspector is not None and inspector.has_table(name)
        there = (
            {str(index["name"]) for index in inspector.get_indexes(name)} if known and inspector else set()
        )
        for index, fields in indexes.items():
            if index not in there:
                op.create_index(index, name, fields)
