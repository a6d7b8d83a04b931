"""A person's data: all that is kept of them, to hand out, and to erase so that the audit still verifies."""

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, select, update

from ..console_tables import model_prompts
from ..states import ConfirmationState, OutboxState, RunState
from ..tables import (
    audit_events,
    dedupe_messages,
    messages,
    model_calls,
    outbox,
    pending_confirmations,
    sessions,
    tool_runs,
    turns,
    usage_counters,
)
from .sessions import SessionRow

KEPT: tuple[tuple[str, Table, str], ...] = (
    ("turns", turns, "id"),
    ("messages", messages, "seq"),
    ("confirmations", pending_confirmations, "id"),
    ("tool_runs", tool_runs, "id"),
    ("model_calls", model_calls, "id"),
    ("prompts", model_prompts, "id"),
    ("deliveries", outbox, "id"),
    ("audit", audit_events, "seq"),
)
"""Every table with something of a person in it, by the name it has in an export, with the key it is read by."""
UNSETTLED = (RunState.INTENT, RunState.UNKNOWN)
_UNDELIVERED = (OutboxState.QUEUED, OutboxState.SENDING, OutboxState.RETRYING)
_SILENT: Mapping[str, Any] = {
    "text": "", "locale": None, "verbs": False, "decision": None, "route": None, "speaker": None,
}  # fmt: skip


def sessions_of(conn: Connection, row: SessionRow) -> Sequence[SessionRow]:
    """All sessions of the same person: same channel, account and principal."""
    c = sessions.c
    query = select(sessions).where(
        c.principal == row.principal, c.channel == row.channel, c.account == row.account
    )
    return [SessionRow(*found) for found in conn.execute(query.order_by(c.id))]


def rows_of(conn: Connection, part: str, session_id: str, after: Any, limit: int) -> Sequence[dict[str, Any]]:
    """Some rows of one table of KEPT, in the order of its key, from above `after`."""
    table, key = next((table, key) for name, table, key in KEPT if name == part)
    query = select(table).where(table.c.session_id == session_id).order_by(table.c[key]).limit(limit)
    if after is not None:
        query = query.where(table.c[key] > after)
    return [dict(row._mapping) for row in conn.execute(query)]


def unsettled(conn: Connection, session_id: str) -> bool:
    """Whether some write of this session may or may not have happened: that has to be known first."""
    c = tool_runs.c
    query = select(c.id).where(c.session_id == session_id, c.state.in_(UNSETTLED)).limit(1)
    return conn.execute(query).first() is not None


def erase(conn: Connection, row: SessionRow, moment: datetime, operator: str) -> bool:
    """Drop all that a person said or was told in one session, and who they are; keep what happened when.

    False: a message of theirs is being worked on. The person's next message begins a session of its own.
    """
    c = sessions.c
    quiet = (
        update(sessions)
        .where(c.id == row.id, c.open_turns == 0, c.epoch == row.epoch)
        .values(
            epoch=c.epoch + 1, principal=f"erased:{row.id}", label="erased", facts={}, handed_to=None,
            key_hash=hashlib.sha256(secrets.token_bytes(32)).hexdigest(),
        )
    )  # fmt: skip
    if conn.execute(quiet).rowcount != 1:
        return False
    for statement in _statements(row, moment, operator):
        conn.execute(statement)
    return True


def _statements(row: SessionRow, moment: datetime, operator: str) -> Iterator[Any]:
    t, p, r, o, a = turns.c, pending_confirmations.c, tool_runs.c, outbox.c, audit_events.c
    yield update(turns).where(t.session_id == row.id).values(inbound=dict(_SILENT), rounds=[], reply=None)
    for table in (messages, dedupe_messages, model_prompts):
        yield delete(table).where(table.c.session_id == row.id)
    yield (
        update(pending_confirmations)
        .where(p.session_id == row.id, p.state == ConfirmationState.PENDING)
        .values(state=ConfirmationState.CANCELLED, decided_at=moment, decided_by=operator)
    )
    yield (
        update(pending_confirmations)
        .where(p.session_id == row.id)
        .values(args={}, origins={}, summary="", reason=None)
    )
    yield (
        update(pending_confirmations)
        .where(p.session_id == row.id, p.decided_by == row.principal)
        .values(decided_by="user")
    )
    yield update(tool_runs).where(r.session_id == row.id).values(result=None, error=None)
    yield (
        update(outbox)
        .where(o.session_id == row.id, o.state.in_(_UNDELIVERED))
        .values(state=OutboxState.DEAD, finished_at=moment)
    )
    yield update(outbox).where(o.session_id == row.id).values(destination="", body={}, error=None)
    yield update(audit_events).where(a.session_id == row.id).values(payload=None, salt=None)
    scopes = (f"session:{row.id}", f"principal:{row.channel}:{row.account}:{row.principal}"[:255])
    yield delete(usage_counters).where(usage_counters.c.scope.in_(scopes))
