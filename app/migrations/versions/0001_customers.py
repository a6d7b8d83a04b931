"""Customers and the verification of their e-mail addresses."""

from typing import Any

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.mysql import DATETIME

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
TABLE: dict[str, Any] = {
    f"{server}_{name}": value
    for server in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def missing(table: str) -> bool:
    """DDL is not transactional on MySQL: an upgrade that was cut off must be able to run again."""
    return context.is_offline_mode() or not sa.inspect(op.get_bind()).has_table(table)


def upgrade() -> None:
    if missing("customers"):
        op.create_table(
            "customers",
            sa.Column("email", sa.String(254), nullable=False),
            sa.Column("name", sa.String(200), nullable=False),
            sa.Column("registered_by", sa.String(64), nullable=False),
            sa.Column("verified_at", MOMENT),
            sa.Column("created_at", MOMENT, nullable=False),
            sa.PrimaryKeyConstraint("email"),
            **TABLE,
        )
    if missing("email_verifications"):
        op.create_table(
            "email_verifications",
            sa.Column("id", sa.String(36), nullable=False),
            sa.Column("email", sa.String(254), nullable=False),
            sa.Column("code_salt", sa.String(32), nullable=False),
            sa.Column("code_hash", sa.String(64), nullable=False),
            sa.Column("attempts", sa.Integer(), nullable=False),
            sa.Column("expires_at", MOMENT, nullable=False),
            sa.Column("used_at", MOMENT),
            sa.Column("created_at", MOMENT, nullable=False),
            sa.PrimaryKeyConstraint("id"),
            sa.Index("ix_email_verifications_email", "email", "created_at"),
            **TABLE,
        )
