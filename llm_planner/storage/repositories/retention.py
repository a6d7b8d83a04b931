"""What is old and may go: each function takes one small batch, found by an index, and is safe to run again.

Nothing that was said or done goes from a session in which a write waits for its decision, is under way, or
ended unknown, nor the id of the message that made an unknown call; no turn goes before it is closed, and no
turn's row before its message id.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Table,
    Update,
    and_,
    bindparam,
    delete,
    or_,
    select,
    update,
)

from ..states import CLOSED_TURNS, ConfirmationState, OutboxState, RunState
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
)

Place = tuple[datetime, str, int]
"""Where a walk over an index stands: a time, a session, a number."""

_UNRESOLVED = (ConfirmationState.PENDING, ConfirmationState.CLAIMED, ConfirmationState.UNKNOWN)
_OPEN_RUNS = (RunState.INTENT, RunState.UNKNOWN)
_OVER = (OutboxState.DELIVERED, OutboxState.DEAD)
_t, _d, _m, _k = turns.c, dedupe_messages.c, messages.c, model_calls.c
_c, _r, _o, _a, _s = pending_confirmations.c, tool_runs.c, outbox.c, audit_events.c, sessions.c
_other = pending_confirmations.alias("other")


def _resolved(session: ColumnElement[Any]) -> ColumnElement[bool]:
    """No write of this session waits for anybody."""
    waits = select(_other.c.id).where(_other.c.session_id == session, _other.c.state.in_(_UNRESOLVED))
    return ~waits.exists()


def _named(table: Table, *names: str) -> list[ColumnElement[bool]]:
    return [table.c[name] == bindparam(f"the_{name}") for name in names]


def _each(conn: Connection, statement: Delete | Update, rows: Sequence[Any], *names: str) -> None:
    """Run a statement for each row, whose columns fill its parameters."""
    values: list[Mapping[str, Any]] = [{f"the_{name}": getattr(row, name) for name in names} for row in rows]
    if values:
        conn.execute(statement, values)


_CLOSED = select(_t.id).where(_t.session_id == _d.session_id, _t.id == _d.turn_id, _t.state.in_(CLOSED_TURNS))
_CALLED = select(_r.id).where(
    _r.session_id == _d.session_id, _r.turn_id == _d.turn_id, _r.state.in_(_OPEN_RUNS)
)
_OLD_IDS = select(_d.session_id, _d.message_id).where(
    _d.received_at < bindparam("before"), _CLOSED.exists(), ~_CALLED.exists()
)
_FORGET_ID = delete(dedupe_messages).where(*_named(dedupe_messages, "session_id", "message_id"))


def message_ids(conn: Connection, before: datetime, most: int) -> int:
    """Forget message ids: from then on the same message is a new one."""
    rows = conn.execute(_OLD_IDS.limit(most), {"before": before}).all()
    _each(conn, _FORGET_ID, rows, "session_id", "message_id")
    return len(rows)


_OLD_TURNS = select(_t.session_id, _t.id, _t.seq).where(
    _t.state.in_(CLOSED_TURNS), _t.created_at < bindparam("before")
)
_OLD_BODIES = _OLD_TURNS.where(_t.reply.is_not(None), _resolved(_t.session_id))
_EMPTY = {"text": "", "locale": None, "verbs": True, "decision": None, "route": None}
_EMPTY_TURN = (
    update(turns).where(*_named(turns, "session_id", "id")).values(inbound=_EMPTY, rounds=[], reply=None)
)
_FORGET_LINES = delete(messages).where(*_named(messages, "session_id", "seq"))
_KEYED = select(_d.turn_id).where(_d.session_id == _t.session_id, _d.turn_id == _t.id)
_OLD_STUBS = _OLD_TURNS.where(_t.reply.is_(None), ~_KEYED.exists())
_FORGET_TURN = delete(turns).where(*_named(turns, "session_id", "id"))


def bodies(conn: Connection, before: datetime, most: int) -> int:
    """Forget what was said and planned. The turn's row stays: its message id still finds it."""
    rows = conn.execute(_OLD_BODIES.limit(most), {"before": before}).all()
    _each(conn, _FORGET_LINES, rows, "session_id", "seq")
    _each(conn, _EMPTY_TURN, rows, "session_id", "id")
    return len(rows)


def stubs(conn: Connection, before: datetime, most: int) -> int:
    """Drop the rows of turns that have neither a body nor a message id any more."""
    rows = conn.execute(_OLD_STUBS.limit(most), {"before": before}).all()
    _each(conn, _FORGET_TURN, rows, "session_id", "id")
    return len(rows)


_MADE = select(_r.id).where(
    _r.session_id == _c.session_id, _r.confirmation_id == _c.id, _r.state.in_(_OPEN_RUNS)
)
_OLD_WRITES = select(_c.session_id, _c.id, _c.id.label("confirmation_id")).where(
    _c.state.in_([state for state in ConfirmationState if state not in _UNRESOLVED]),
    _c.expires_at < bindparam("before"),
    ~_MADE.exists(),
    _resolved(_c.session_id),
)
_FORGET_RUN = delete(tool_runs).where(*_named(tool_runs, "session_id", "confirmation_id"))
_FORGET_WRITE = delete(pending_confirmations).where(*_named(pending_confirmations, "session_id", "id"))


def writes(conn: Connection, before: datetime, most: int) -> int:
    """Forget decided writes and what the journal says about them; their audit events stay."""
    rows = conn.execute(_OLD_WRITES.limit(most), {"before": before}).all()
    _each(conn, _FORGET_RUN, rows, "session_id", "confirmation_id")
    _each(conn, _FORGET_WRITE, rows, "session_id", "id")
    return len(rows)


_OLD_LETTERS = select(_o.session_id, _o.id).where(
    _o.state.in_(_OVER), _o.due_at < bindparam("before"), _resolved(_o.session_id)
)
_FORGET_LETTER = delete(outbox).where(
    *_named(outbox, "session_id", "id"), or_(*(_o.state == state for state in _OVER))
)


def letters(conn: Connection, before: datetime, most: int) -> int:
    """Forget what was delivered, or is dead. What is unknown waits for a person."""
    rows = conn.execute(_OLD_LETTERS.limit(most), {"before": before}).all()
    _each(conn, _FORGET_LETTER, rows, "session_id", "id")
    return len(rows)


_OLD_CALLS = select(_k.session_id, _k.id).where(_k.at < bindparam("before"))
_FORGET_CALL = delete(model_calls).where(*_named(model_calls, "session_id", "id"))


def calls(conn: Connection, before: datetime, most: int) -> int:
    """Forget what model calls cost; the sums a day are kept elsewhere."""
    rows = conn.execute(_OLD_CALLS.limit(most), {"before": before}).all()
    _each(conn, _FORGET_CALL, rows, "session_id", "id")
    return len(rows)


_OLD_EVENTS = (
    select(
        _a.at, _a.session_id, _a.seq, and_(_a.payload.is_not(None), _resolved(_a.session_id)).label("full")
    )
    .where(_a.at < bindparam("before"))
    .order_by(_a.at, _a.session_id, _a.seq)
)
_ERASE = (
    update(audit_events).where(*_named(audit_events, "session_id", "seq")).values(payload=None, salt=None)
)


def audit(conn: Connection, before: datetime, after: Place | None, most: int) -> Place | None:
    """Erase payload and salt of events; commitment and hash stay, so the chain still verifies (rule 17).
    Returns where to go on, None at the end."""
    query = _OLD_EVENTS.limit(most)
    if after is not None:
        query = query.where(_beyond(after, _a.at, _a.session_id, _a.seq))
    rows = conn.execute(query, {"before": before}).all()
    _each(conn, _ERASE, [row for row in rows if row.full], "session_id", "seq")
    return (rows[-1].at, rows[-1].session_id, rows[-1].seq) if len(rows) == most else None


_NEWER = select(_t.id).where(
    _t.session_id == _s.id, _t.seq == _s.next_seq - 1, _t.created_at >= bindparam("before")
)
_OLD_SESSIONS = (
    select(
        _s.created_at, _s.id, _s.next_seq, and_(~_NEWER.exists(), _resolved(_s.id)).label("idle"), _s.facts
    )
    .where(_s.created_at < bindparam("before"))
    .order_by(_s.created_at, _s.id)
)
_FORGET_FACTS = (
    update(sessions).where(*_named(sessions, "id", "next_seq"), _s.open_turns == 0).values(facts={})
)


def facts(conn: Connection, before: datetime, after: Place | None, most: int) -> Place | None:
    """Forget the facts of sessions in which nothing was said since then; their rows stay, as the heads of
    their audit chains. Returns where to go on, None at the end."""
    query = _OLD_SESSIONS.limit(most)
    if after is not None:
        query = query.where(_beyond(after[:2], _s.created_at, _s.id))
    rows = conn.execute(query, {"before": before}).all()
    _each(conn, _FORGET_FACTS, [row for row in rows if row.idle and row.facts], "id", "next_seq")
    return (rows[-1].created_at, rows[-1].id, 0) if len(rows) == most else None


def _beyond(place: tuple[Any, ...], *columns: ColumnElement[Any]) -> ColumnElement[bool]:
    """Behind this place in the order of these columns; row values, written so that an index serves them."""
    first, *more = columns
    if not more:
        return and_(first > place[0])
    return and_(first >= place[0], or_(first > place[0], _beyond(place[1:], *more)))
