"""The console's lists: each paged by a key that an index holds, never by counting."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, or_, select

from ..states import ConfirmationState
from ..tables import pending_confirmations, sessions, turns
from .confirmations import ConfirmationRow
from .sessions import SessionRow
from .turns import TurnRow

_s, _t, _c = sessions.c, turns.c, pending_confirmations.c
_FIELDS = tuple(ConfirmationRow.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Listed:
    """A parked write with the person it belongs to."""

    row: ConfirmationRow
    channel: str
    principal: str


def approvals(
    conn: Connection, waiting: datetime | None, approver: str | None, after: str | None, limit: int
) -> Sequence[Listed]:
    """Parked writes, newest first: what waits at the moment `waiting`, or, for None, what does not any more.
    `approver` keeps to those that this role decides."""
    query = (
        select(*(_c[name] for name in _FIELDS), _s.channel, _s.principal)
        .select_from(pending_confirmations.join(sessions, _s.id == _c.session_id))
        .order_by(_c.id.desc())
        .limit(limit)
    )
    if waiting is not None:
        query = query.where(_c.state == ConfirmationState.PENDING, _c.expires_at > waiting)
    else:
        query = query.where(_c.state != ConfirmationState.PENDING)
    if approver is not None:
        query = query.where(_c.approver == approver)
    if after is not None:
        query = query.where(_c.id < after)
    found = []
    for row in conn.execute(query):
        values = row._mapping
        confirmation = ConfirmationRow(**{name: values[name] for name in _FIELDS})
        found.append(Listed(confirmation, values["channel"], values["principal"]))
    return found


def edition_after(conn: Connection, row: ConfirmationRow) -> str | None:
    """The id of the row that an edit put in place of this one."""
    query = select(_c.id).where(
        _c.session_id == row.session_id,
        _c.home_turn_id == row.home_turn_id,
        _c.round == row.round,
        _c.step == row.step,
        _c.edition == row.edition + 1,
    )
    return conn.execute(query).scalar()


def named(
    conn: Connection, prefixes: Sequence[str], after: tuple[str, str] | None, limit: int
) -> Sequence[SessionRow]:
    """Sessions whose person begins with one of these, by person and id, from above `after`."""
    ranges = [(_s.principal >= prefix) & (_s.principal < prefix + "\U0010ffff") for prefix in prefixes]
    query = select(sessions).where(or_(*ranges)).order_by(_s.principal, _s.id).limit(limit)
    if after is not None:
        person, last = after
        query = query.where(
            _s.principal >= person, (_s.principal > person) | ((_s.principal == person) & (_s.id > last))
        )
    return [SessionRow(*row) for row in conn.execute(query)]


def labelled(conn: Connection, label: str, limit: int) -> Sequence[SessionRow]:
    """Sessions whose label is exactly this one, newest first."""
    query = select(sessions).where(_s.label == label).order_by(_s.id.desc()).limit(limit)
    return [SessionRow(*row) for row in conn.execute(query)]


def of_person(conn: Connection, principal: str, limit: int) -> Sequence[SessionRow]:
    """The newest sessions of whoever goes by this name, on every channel."""
    query = select(sessions).where(_s.principal == principal).order_by(_s.id.desc()).limit(limit)
    return [SessionRow(*row) for row in conn.execute(query)]


def timeline(
    conn: Connection, session_ids: Sequence[str], below: str | None, limit: int
) -> Sequence[TurnRow]:
    """Turns of these sessions together, newest first; ids are in the order of time."""
    found: list[TurnRow] = []
    for session_id in session_ids:
        query = select(turns).where(_t.session_id == session_id).order_by(_t.id.desc()).limit(limit)
        if below is not None:
            query = query.where(_t.id < below)
        found += [TurnRow(*row) for row in conn.execute(query)]
    return sorted(found, key=lambda row: row.id, reverse=True)[:limit]
