"""The app's own tables. A change here goes with a migration under `app/migrations/versions/`."""

from typing import Any

from sqlalchemy import Column, DateTime, Index, Integer, MetaData, String, Table
from sqlalchemy.dialects.mysql import DATETIME

metadata = MetaData()
MOMENT = DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
"""UTC, without a zone."""

MYSQL: dict[str, Any] = {
    f"{server}_{name}": value
    for server in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

customers = Table(
    "customers",
    metadata,
    Column("email", String(254), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("registered_by", String(64), nullable=False),  # the idempotency key of the call
    Column("verified_at", MOMENT),
    Column("created_at", MOMENT, nullable=False),
    **MYSQL,
)

email_verifications = Table(
    "email_verifications",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("email", String(254), nullable=False),
    Column("code_salt", String(32), nullable=False),
    Column("code_hash", String(64), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("expires_at", MOMENT, nullable=False),
    Column("used_at", MOMENT),
    Column("created_at", MOMENT, nullable=False),
    Index("ix_email_verifications_email", "email", "created_at"),
    **MYSQL,
)
