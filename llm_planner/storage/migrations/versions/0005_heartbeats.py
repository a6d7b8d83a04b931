"""Heartbeats: which processes work, so that /ready can say when none does."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.mysql import DATETIME

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
TABLE: dict[str, Any] = {
    f"{server}_{name}": value
    for server in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Only where it is not done yet: DDL is not transactional on MySQL."""
    if context.is_offline_mode() or not sa.inspect(op.get_bind()).has_table("heartbeats"):
        op.create_table(
            "heartbeats",
            sa.Column("process", sa.String(36), primary_key=True),
            sa.Column("at", MOMENT, nullable=False),
            **TABLE,
        )
