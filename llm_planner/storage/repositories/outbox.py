"""The outbox: what leaves the house, stored with the turn that made it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from ..states import OutboxState
from ..tables import outbox


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One thing to deliver. `body` has the shape its kind needs."""

    session_id: str
    id: str
    turn_id: str | None
    kind: str
    destination: str
    body: Mapping[str, Any]
    idempotency_key: str
    state: str
    attempts: int
    due_at: datetime
    error: str | None
    created_at: datetime
    finished_at: datetime | None


_c = outbox.c
_FIELDS = tuple(OutboxRow.__dataclass_fields__)
_ADD = insert(outbox)
_HAS = select(_c.idempotency_key).where(
    _c.session_id == bindparam("session"), _c.idempotency_key == bindparam("key")
)
_MINE = (_c.session_id == bindparam("session"), _c.id == bindparam("key"))
_UNDELIVERED = (OutboxState.QUEUED, OutboxState.SENDING, OutboxState.RETRYING)
_older = outbox.alias("older")
_HELD_BACK = (
    select(_older.c.id)
    .where(
        _older.c.session_id == _c.session_id,
        _older.c.kind == _c.kind,
        _older.c.state.in_(_UNDELIVERED),
        or_(
            _older.c.created_at < _c.created_at,
            and_(_older.c.created_at == _c.created_at, _older.c.id < _c.id),
        ),
    )
    .exists()
)
"""Replies of one session leave in their order; letters don't wait for each other."""
_DUE = (
    select(outbox)
    .where(
        _c.state.in_([OutboxState.QUEUED, OutboxState.RETRYING]),
        _c.due_at <= bindparam("moment"),
        _c.kind.in_(bindparam("kinds", expanding=True)),
        or_(_c.kind != "reply", ~_HELD_BACK),
    )
    .order_by(_c.due_at)
    .limit(bindparam("most"))
)
_DUE_HERE = _DUE.where(_c.session_id == bindparam("session"))
_STUCK = select(outbox).where(_c.state == OutboxState.SENDING, _c.due_at <= bindparam("moment"))
_CLAIM = (
    update(outbox)
    .where(*_MINE, _c.state == bindparam("seen"), _c.attempts == bindparam("tried"))
    .values(state=OutboxState.SENDING, attempts=_c.attempts + 1, due_at=bindparam("until"))
)
_SETTLE = (
    update(outbox)
    .where(*_MINE, _c.state == OutboxState.SENDING, _c.attempts == bindparam("tried"))
    .values(
        state=bindparam("next_state"),
        attempts=bindparam("count"),
        error=bindparam("why"),
        due_at=bindparam("due"),
        finished_at=bindparam("done"),
    )
)
_PROGRESS = (
    update(outbox)
    .where(*_MINE, _c.state == OutboxState.SENDING, _c.attempts == bindparam("tried"))
    .values(body=bindparam("content"))
)
_REWRITE = update(outbox).where(*_MINE, _c.state == OutboxState.QUEUED).values(body=bindparam("content"))
_LOCKED = select(outbox).where(*_MINE).with_for_update()
_KEYED = (
    select(outbox)
    .where(_c.session_id == bindparam("session"), _c.idempotency_key == bindparam("key"))
    .with_for_update()
)
_REPORT = (
    update(outbox)
    .where(*_MINE, _c.state == bindparam("seen"))
    .values(
        state=bindparam("next_state"), error=bindparam("why"), body=bindparam("content"),
        due_at=bindparam("due"), finished_at=bindparam("done"),
    )
)  # fmt: skip
_REQUEUE = (
    update(outbox)
    .where(*_MINE, _c.state.in_([OutboxState.DEAD, OutboxState.UNKNOWN, OutboxState.RETRYING]))
    .values(state=OutboxState.QUEUED, due_at=bindparam("due"), finished_at=None)
)


def add(conn: Connection, rows: Sequence[OutboxRow]) -> None:
    """Insert what is not there yet: a repeated idempotency key is the same letter again."""
    for row in rows:
        if conn.execute(_HAS, {"session": row.session_id, "key": row.idempotency_key}).first() is None:
            conn.execute(_ADD, {name: getattr(row, name) for name in _FIELDS})


def due(
    conn: Connection, kinds: Sequence[str], moment: datetime, most: int, session_id: str | None
) -> Sequence[OutboxRow]:
    """What may be delivered now, in one session or in all, of the kinds that this process can deliver."""
    if not kinds:
        return []
    values = {"kinds": list(kinds), "moment": moment, "most": most}
    query = _DUE if session_id is None else _DUE_HERE
    rows = conn.execute(query, values if session_id is None else {**values, "session": session_id})
    return [OutboxRow(*row) for row in rows]


def stuck(conn: Connection, moment: datetime) -> Sequence[OutboxRow]:
    """What a worker took and never settled before its deadline."""
    return [OutboxRow(*row) for row in conn.execute(_STUCK, {"moment": moment})]


def claim(conn: Connection, row: OutboxRow, until: datetime) -> bool:
    """Take one delivery by compare-and-set on its state and attempts; `until` is its deadline."""
    values = {
        "session": row.session_id,
        "key": row.id,
        "seen": row.state,
        "tried": row.attempts,
        "until": until,
    }
    return conn.execute(_CLAIM, values).rowcount == 1


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one delivery attempt ended; `due` is when to try again, or when it ended. One that is not
    `counted` leaves as many attempts as before."""

    state: OutboxState
    due: datetime
    error: str | None = None
    counted: bool = True


def settle(conn: Connection, row: OutboxRow, tried: int, end: Settlement) -> bool:
    """Write down the end of attempt number `tried`."""
    finished = None if end.state in (OutboxState.RETRYING, OutboxState.QUEUED) else end.due
    values = {
        "session": row.session_id, "key": row.id, "tried": tried, "next_state": end.state,
        "count": tried if end.counted else tried - 1, "why": end.error, "due": end.due, "done": finished,
    }  # fmt: skip
    return conn.execute(_SETTLE, values).rowcount == 1


def progress(conn: Connection, row: OutboxRow, body: Mapping[str, Any]) -> bool:
    """Keep how far the attempt that began with `row` has come. False: it is not that attempt's any more."""
    values = {"session": row.session_id, "key": row.id, "tried": row.attempts + 1, "content": body}
    return conn.execute(_PROGRESS, values).rowcount == 1


def rewrite(conn: Connection, row: OutboxRow, body: Mapping[str, Any]) -> None:
    """Change what a queued row will send."""
    conn.execute(_REWRITE, {"session": row.session_id, "key": row.id, "content": body})


def locked(conn: Connection, session_id: str, outbox_id: str) -> OutboxRow | None:
    """The row, held until the end of the transaction."""
    row = conn.execute(_LOCKED, {"session": session_id, "key": outbox_id}).first()
    return OutboxRow(*row) if row is not None else None


def keyed(conn: Connection, session_id: str, idempotency_key: str) -> OutboxRow | None:
    """The same by its idempotency key."""
    row = conn.execute(_KEYED, {"session": session_id, "key": idempotency_key}).first()
    return OutboxRow(*row) if row is not None else None


def report(conn: Connection, row: OutboxRow, end: Settlement, body: Mapping[str, Any]) -> None:
    """Move a row that no worker has, by what the other side told about it later."""
    finished = None if end.state in (OutboxState.RETRYING, OutboxState.QUEUED) else end.due
    values = {
        "session": row.session_id, "key": row.id, "seen": row.state, "next_state": end.state,
        "why": end.error, "content": body, "due": end.due, "done": finished,
    }  # fmt: skip
    conn.execute(_REPORT, values)


def settle_by_hand(conn: Connection, row: OutboxRow, state: OutboxState, why: str, moment: datetime) -> bool:
    """A person found out what became of it. False: it is neither dead nor unknown."""
    query = (
        update(outbox)
        .where(
            _c.session_id == row.session_id,
            _c.id == row.id,
            _c.state.in_([OutboxState.DEAD, OutboxState.UNKNOWN]),
        )
        .values(state=state, error=why, finished_at=moment)
    )
    return conn.execute(query).rowcount == 1


def requeue(conn: Connection, row: OutboxRow, due: datetime) -> bool:
    """A person tries again what ended dead, unknown, or waits too long."""
    return conn.execute(_REQUEUE, {"session": row.session_id, "key": row.id, "due": due}).rowcount == 1


def page(conn: Connection, state: str | None, after: str | None, limit: int) -> Sequence[OutboxRow]:
    """Deliveries of all sessions, newest first."""
    query = select(outbox).order_by(_c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(_c.state == state)
    if after is not None:
        query = query.where(_c.id < after)
    return [OutboxRow(*row) for row in conn.execute(query)]


def count(conn: Connection, state: str) -> int:
    return int(conn.execute(select(func.count()).select_from(outbox).where(_c.state == state)).scalar_one())


def neglected(conn: Connection, before: datetime) -> bool:
    """Whether some reply was due before that moment and nobody has taken it up."""
    due = _c.state.in_([OutboxState.QUEUED, OutboxState.RETRYING])
    query = select(_c.id).where(due, _c.kind == "reply", _c.due_at < before).limit(1)
    return conn.execute(query).first() is not None


def find(conn: Connection, outbox_id: str) -> OutboxRow | None:
    row = conn.execute(select(outbox).where(_c.id == outbox_id)).first()
    return OutboxRow(*row) if row is not None else None
