"""Until when a session waits for the rest of a burst of messages."""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.mysql import DATETIME

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")


def upgrade() -> None:
    """Only where it is not done yet: DDL is not transactional on MySQL."""
    inspector = None if context.is_offline_mode() else sa.inspect(op.get_bind())
    there = {column["name"] for column in inspector.get_columns("sessions")} if inspector else set()
    if "hold_until" not in there:
        op.add_column("sessions", sa.Column("hold_until", MOMENT))
