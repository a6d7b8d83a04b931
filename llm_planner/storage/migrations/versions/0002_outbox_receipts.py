"""What providers report about our messages."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.mysql import DATETIME

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
TABLE: dict[str, Any] = {
    f"{server}_{name}": value
    for server in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
INDEXES = {"ix_receipts_outbox": ["session_id", "outbox_id"], "ix_receipts_at": ["at"]}


def upgrade() -> None:
    """Each step only where it is not done yet: DDL is not transactional on MySQL."""
    inspector = None if context.is_offline_mode() else sa.inspect(op.get_bind())
    made = inspector is not None and inspector.has_table("outbox_receipts")
    if not made:
        op.create_table(
            "outbox_receipts",
            sa.Column("provider", sa.String(20), nullable=False),
            sa.Column("reference", sa.String(255), nullable=False),
            sa.Column("session_id", sa.String(36)),
            sa.Column("outbox_id", sa.String(36)),
            sa.Column("status", sa.String(20), nullable=False),
            sa.Column("code", sa.String(64)),
            sa.Column("at", MOMENT, nullable=False),
            sa.PrimaryKeyConstraint("provider", "reference"),
            **TABLE,
        )
    there = (
        {index["name"] for index in inspector.get_indexes("outbox_receipts")} if made and inspector else set()
    )
    for name, columns in INDEXES.items():
        if name not in there:
            op.create_index(name, "outbox_receipts", columns)
