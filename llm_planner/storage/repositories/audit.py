"""The audit trail: rows that are only ever added, and the heads of the chains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from ..tables import audit_events, sessions


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One event with its place in the chain; payload and salt are None once erased."""

    session_id: str
    seq: int
    turn_id: str | None
    at: datetime
    kind: str
    actor: str
    payload: Mapping[str, Any] | None
    salt: str | None
    commitment: str
    hash: str
    key_id: str


_c = audit_events.c
_FIELDS = tuple(AuditRow.__dataclass_fields__)
_ADD = insert(audit_events)


def add(conn: Connection, rows: Sequence[AuditRow]) -> None:
    if rows:
        conn.execute(_ADD, [{name: getattr(row, name) for name in _FIELDS} for row in rows])


def chain(conn: Connection, session_id: str) -> Iterator[AuditRow]:
    """All events of one session in order, streamed."""
    query = select(audit_events).where(_c.session_id == session_id).order_by(_c.seq)
    return (AuditRow(*row) for row in conn.execute(query))


def of_turn(conn: Connection, turn_id: str, most: int) -> Sequence[AuditRow]:
    """The first events of one turn, in order."""
    query = select(audit_events).where(_c.turn_id == turn_id).order_by(_c.session_id, _c.seq).limit(most)
    return [AuditRow(*row) for row in conn.execute(query)]


def heads(conn: Connection, after: str, limit: int) -> Sequence[tuple[str, int, str]]:
    """(session id, seq, head) of every chain, by session id, from above `after`."""
    columns = sessions.c
    query = (
        select(columns.id, columns.audit_seq, columns.audit_head)
        .where(columns.id > after)
        .order_by(columns.id)
        .limit(limit)
    )
    return [(row.id, row.audit_seq, row.audit_head) for row in conn.execute(query)]


def page(
    conn: Connection, where: Mapping[str, str], below: tuple[datetime, str, int] | None, limit: int
) -> Sequence[AuditRow]:
    """Events of all sessions, newest first; `where` filters by session_id, turn_id, kind or actor."""
    query = select(audit_events).order_by(_c.at.desc(), _c.session_id.desc(), _c.seq.desc()).limit(limit)
    for name, value in where.items():
        query = query.where(_c[name] == value)
    if below is not None:
        at, session, seq = below
        earlier = (_c.at < at) | (
            (_c.at == at) & ((_c.session_id < session) | ((_c.session_id == session) & (_c.seq < seq)))
        )
        query = query.where(_c.at <= at, earlier)
    return [AuditRow(*row) for row in conn.execute(query)]
