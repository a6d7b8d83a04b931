"""Parked writes and the journal of what became of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, insert, or_, select, update

from ..states import ConfirmationState, RunState
from ..tables import pending_confirmations, tool_runs


@dataclass(frozen=True, slots=True)
class ConfirmationRow:
    """Exactly what will run, who may say so, and until when.

    `turn_id` is the turn that parked it; `home_turn_id`, `round` and `step` say where its plan is stored.
    """

    session_id: str
    id: str
    turn_id: str
    home_turn_id: str
    round: int
    step: str
    edition: int
    tool: str
    summary: str
    args: Mapping[str, Any]
    origins: Mapping[str, str]
    schema_hash: str
    digest: str
    approver: str
    state: str
    expires_at: datetime
    created_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    edited_by: str | None = None
    reason: str | None = None
    decided_turn_id: str | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """One line of the write journal. The last three say which person settled an unknown one, and in which turn."""

    session_id: str
    id: str
    turn_id: str
    confirmation_id: str
    tool: str
    idempotency_key: str
    state: str
    deadline_at: datetime
    started_at: datetime
    finished_at: datetime | None = None
    result: Any = None
    error: str | None = None
    settled_by: str | None = None
    reason: str | None = None
    settled_turn_id: str | None = None


RECENT = 50
"""How many of a session's latest parked writes a token is compared with."""

_c, _r = pending_confirmations.c, tool_runs.c
_FIELDS = tuple(ConfirmationRow.__dataclass_fields__)
_RUN_FIELDS = tuple(RunRow.__dataclass_fields__)
_ADD = insert(pending_confirmations)
_BY_ID = select(pending_confirmations).where(_c.session_id == bindparam("session"), _c.id == bindparam("key"))
_ANYWHERE = select(pending_confirmations).where(_c.id == bindparam("key"))
_LIVE = or_(
    _c.state.in_([ConfirmationState.PENDING, ConfirmationState.CLAIMED]),
    _c.decided_turn_id == bindparam("turn"),
)
_RECENT = (
    select(pending_confirmations)
    .where(_c.session_id == bindparam("session"))
    .order_by(case((_LIVE, 0), else_=1), _c.id.desc())
    .limit(RECENT)
)
_OF_TURN = (
    select(pending_confirmations)
    .where(_c.session_id == bindparam("session"), _c.turn_id == bindparam("turn"))
    .order_by(_c.id)
)
_PENDING = (
    select(pending_confirmations)
    .where(
        _c.session_id == bindparam("session"),
        _c.state == ConfirmationState.PENDING,
        _c.expires_at > bindparam("moment"),
    )
    .order_by(_c.id)
)
_DECIDE = (
    update(pending_confirmations)
    .where(
        _c.session_id == bindparam("session"),
        _c.id == bindparam("key"),
        _c.state == ConfirmationState.PENDING,
        _c.expires_at > bindparam("moment"),
    )
    .values(
        state=bindparam("next_state"), decided_at=bindparam("moment"), decided_by=bindparam("who"),
        decided_turn_id=bindparam("turn"), reason=bindparam("why"),
    )
)  # fmt: skip
_SETTLE = (
    update(pending_confirmations)
    .where(
        _c.session_id == bindparam("session"),
        _c.id == bindparam("key"),
        _c.state.in_([ConfirmationState.CLAIMED, ConfirmationState.UNKNOWN]),
    )
    .values(state=bindparam("next_state"))
)
_SUPERSEDE = (
    update(pending_confirmations)
    .where(
        _c.session_id == bindparam("session"),
        _c.tool == bindparam("named"),
        _c.state == ConfirmationState.PENDING,
        _c.turn_id != bindparam("turn"),
    )
    .values(
        state=ConfirmationState.SUPERSEDED, decided_at=bindparam("moment"), decided_turn_id=bindparam("turn")
    )
)
_EXPIRE_ALL = (
    update(pending_confirmations)
    .where(
        _c.session_id == bindparam("session"),
        _c.state == ConfirmationState.PENDING,
        or_(_c.approver == "user", bindparam("everyone") == 1),
    )
    .values(state=ConfirmationState.EXPIRED, decided_at=bindparam("moment"), reason=bindparam("why"))
)
_UNDECIDED = select(pending_confirmations).where(
    _c.session_id == bindparam("session"), _c.state == ConfirmationState.PENDING
)
_OVERDUE = (
    select(_c.session_id)
    .where(_c.state == ConfirmationState.PENDING, _c.expires_at <= bindparam("moment"))
    .order_by(_c.expires_at)
    .limit(bindparam("most"))
)
_EXPIRE = (
    update(pending_confirmations)
    .where(
        _c.session_id == bindparam("session"),
        _c.id == bindparam("key"),
        _c.state == ConfirmationState.PENDING,
        _c.expires_at <= bindparam("moment"),
    )
    .values(state=ConfirmationState.EXPIRED, decided_at=bindparam("moment"))
)
_INTEND = insert(tool_runs)
_RUN_OF = select(tool_runs).where(
    _r.session_id == bindparam("session"), _r.confirmation_id == bindparam("confirmation")
)
_RUNS_OF_TURN = select(tool_runs).where(
    _r.session_id == bindparam("session"), _r.turn_id == bindparam("turn")
)
_FINISH = (
    update(tool_runs)
    .where(
        _r.session_id == bindparam("session"),
        _r.id == bindparam("key"),
        _r.state.in_([RunState.INTENT, RunState.UNKNOWN]),
    )
    .values(
        state=bindparam("next_state"), finished_at=bindparam("moment"), result=bindparam("found"),
        error=bindparam("why"),
    )
)  # fmt: skip
_EXTEND = (
    update(tool_runs)
    .where(_r.session_id == bindparam("session"), _r.id == bindparam("key"), _r.state == RunState.INTENT)
    .values(deadline_at=bindparam("until"), turn_id=bindparam("turn"))
)


def _row(row: Row[Any] | None) -> ConfirmationRow | None:
    return ConfirmationRow(**{name: getattr(row, name) for name in _FIELDS}) if row is not None else None


def _rows(rows: Sequence[Row[Any]]) -> tuple[ConfirmationRow, ...]:
    return tuple(ConfirmationRow(**{name: getattr(row, name) for name in _FIELDS}) for row in rows)


def park(conn: Connection, rows: Sequence[ConfirmationRow]) -> None:
    """Insert parked writes; unique on (home turn, round, step, edition)."""
    conn.execute(_ADD, [{name: getattr(row, name) for name in _FIELDS} for row in rows])


def supersede(conn: Connection, session_id: str, turn_id: str, tool: str, moment: datetime) -> int:
    """End older pending rows of the same tool. Returns how many."""
    values = {"session": session_id, "turn": turn_id, "named": tool, "moment": moment}
    return conn.execute(_SUPERSEDE, values).rowcount


def get(conn: Connection, session_id: str, confirmation_id: str) -> ConfirmationRow | None:
    return _row(conn.execute(_BY_ID, {"session": session_id, "key": confirmation_id}).first())


def find(conn: Connection, confirmation_id: str) -> ConfirmationRow | None:
    """By its id alone, for operators."""
    return _row(conn.execute(_ANYWHERE, {"key": confirmation_id}).first())


def recent(conn: Connection, session_id: str, turn_id: str) -> tuple[ConfirmationRow, ...]:
    """The session's rows, newest first: what still waits, what this turn decided, then the latest others."""
    return _rows(conn.execute(_RECENT, {"session": session_id, "turn": turn_id}).all())


def of_turn(conn: Connection, session_id: str, turn_id: str) -> tuple[ConfirmationRow, ...]:
    return _rows(conn.execute(_OF_TURN, {"session": session_id, "turn": turn_id}).all())


def pending(conn: Connection, session_id: str, moment: datetime) -> tuple[ConfirmationRow, ...]:
    """What still waits in this session, oldest first."""
    return _rows(conn.execute(_PENDING, {"session": session_id, "moment": moment}).all())


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who decided what about one pending row, in which turn."""

    session_id: str
    confirmation_id: str
    state: ConfirmationState
    who: str
    turn_id: str
    reason: str | None = None


def decide(conn: Connection, verdict: Verdict, moment: datetime) -> bool:
    """Take one row out of `pending` by a single conditional UPDATE. False: it is not pending any more."""
    values = {
        "session": verdict.session_id, "key": verdict.confirmation_id, "next_state": verdict.state,
        "who": verdict.who, "turn": verdict.turn_id, "why": verdict.reason, "moment": moment,
    }  # fmt: skip
    return conn.execute(_DECIDE, values).rowcount == 1


def settle(conn: Connection, session_id: str, confirmation_id: str, state: ConfirmationState) -> None:
    """Write down what became of a claimed row."""
    conn.execute(_SETTLE, {"session": session_id, "key": confirmation_id, "next_state": state})


def expire_own(conn: Connection, session_id: str, moment: datetime, reason: str) -> int:
    """End every row of this session that waits for its user. Returns how many."""
    values = {"session": session_id, "moment": moment, "why": reason, "everyone": 0}
    return conn.execute(_EXPIRE_ALL, values).rowcount


def undecided(conn: Connection, session_id: str) -> tuple[ConfirmationRow, ...]:
    """What still waits in this session, and what has waited too long."""
    return _rows(conn.execute(_UNDECIDED, {"session": session_id}).all())


def overdue(conn: Connection, moment: datetime, most: int) -> Sequence[str]:
    """Sessions that have confirmations whose time is over."""
    found = conn.execute(_OVERDUE, {"moment": moment, "most": most}).scalars()
    return list(dict.fromkeys(found))


def expire(conn: Connection, row: ConfirmationRow, moment: datetime) -> bool:
    return conn.execute(_EXPIRE, {"session": row.session_id, "key": row.id, "moment": moment}).rowcount == 1


def intend(conn: Connection, run: RunRow) -> None:
    """Journal that a call is about to be made; unique on the confirmation, so one can't be made twice."""
    conn.execute(_INTEND, {name: getattr(run, name) for name in _RUN_FIELDS})


def run_of(conn: Connection, session_id: str, confirmation_id: str) -> RunRow | None:
    row = conn.execute(_RUN_OF, {"session": session_id, "confirmation": confirmation_id}).first()
    return RunRow(**{name: getattr(row, name) for name in _RUN_FIELDS}) if row is not None else None


def runs_of_turn(conn: Connection, session_id: str, turn_id: str) -> tuple[RunRow, ...]:
    rows = conn.execute(_RUNS_OF_TURN, {"session": session_id, "turn": turn_id}).all()
    return tuple(RunRow(**{name: getattr(row, name) for name in _RUN_FIELDS}) for row in rows)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a journalled call ended."""

    session_id: str
    run_id: str
    state: RunState
    result: Any = None
    error: str | None = None


def finish(conn: Connection, outcome: Outcome, moment: datetime) -> bool:
    """Write the outcome beside the intent. False: it was settled already."""
    values = {
        "session": outcome.session_id, "key": outcome.run_id, "next_state": outcome.state,
        "moment": moment, "found": outcome.result, "why": outcome.error,
    }  # fmt: skip
    return conn.execute(_FINISH, values).rowcount == 1


def extend(conn: Connection, run: RunRow, turn_id: str, deadline: datetime) -> bool:
    """Give an idempotent call that is about to be repeated a new deadline."""
    values = {"session": run.session_id, "key": run.id, "until": deadline, "turn": turn_id}
    return conn.execute(_EXTEND, values).rowcount == 1


def page(
    conn: Connection, where: Mapping[str, str], after: str | None, limit: int
) -> tuple[ConfirmationRow, ...]:
    """Parked writes of all sessions, newest first; `where` filters by state or approver."""
    query = select(pending_confirmations).order_by(_c.id.desc()).limit(limit)
    for name, value in where.items():
        query = query.where(_c[name] == value)
    if after is not None:
        query = query.where(_c.id < after)
    return _rows(conn.execute(query).all())


def count_pending(conn: Connection) -> int:
    query = (
        select(func.count()).select_from(pending_confirmations).where(_c.state == ConfirmationState.PENDING)
    )
    return int(conn.execute(query).scalar_one())
