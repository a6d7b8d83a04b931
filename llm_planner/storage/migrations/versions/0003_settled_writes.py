"""Who settled a write whose outcome was unknown, and the journal by its own ids."""

import sqlalchemy as sa
from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

COLUMNS: dict[str, sa.types.TypeEngine[str]] = {
    "settled_by": sa.String(200),
    "reason": sa.Text(),
    "settled_turn_id": sa.String(36),
}


def upgrade() -> None:
    """Each step only where it is not done yet: DDL is not transactional on MySQL."""
    inspector = None if context.is_offline_mode() else sa.inspect(op.get_bind())
    there = {column["name"] for column in inspector.get_columns("tool_runs")} if inspector else set()
    for name, kind in COLUMNS.items():
        if name not in there:
            op.add_column("tool_runs", sa.Column(name, kind))
    known = {index["name"] for index in inspector.get_indexes("tool_runs")} if inspector else set()
    if "ix_tool_runs_id" not in known:
        op.create_index("ix_tool_runs_id", "tool_runs", ["id"])
