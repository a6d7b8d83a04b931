"""Turns and what belongs to one: the inbox row, the history lines, the model's calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from ...messages import SessionKey
from ..states import CLOSED_TURNS, TurnState
from ..tables import dedupe_messages, messages, model_calls, sessions, turns

DECISION, SETTLEMENT = "decision:", "settlement:"
"""How the message ids of what operators decide begin: turns that no user wrote."""


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One turn. `inbound` is the message as accepted, `rounds` the checked plans with their results."""

    session_id: str
    id: str
    seq: int
    message_id: str
    inbound: Mapping[str, Any]
    state: str
    epoch: int
    attempts: int
    rounds: list[dict[str, Any]]
    status: str | None
    code: str | None
    reply: str | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def closed(self) -> bool:
        return self.state in CLOSED_TURNS


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the conversation; `from_tools` says that text of a tool may be in it, or that
    of somebody else whose message the user passed on. `seq` is its turn's number."""

    role: str
    text: str
    from_tools: bool
    seq: int = 0


_t, _m, _d, _s = turns.c, messages.c, dedupe_messages.c, sessions.c
_REMEMBER = insert(dedupe_messages)
_RECALL = select(_d.digest, _d.turn_id).where(
    _d.session_id == bindparam("session"), _d.message_id == bindparam("message")
)
_ADD = insert(turns)
_BY_ID = select(turns).where(_t.session_id == bindparam("session"), _t.id == bindparam("turn"))
_BY_SEQ = select(turns).where(_t.session_id == bindparam("session"), _t.seq == bindparam("number"))
_ANYWHERE = select(turns).where(_t.id == bindparam("turn"))
_MINE = (_t.session_id == bindparam("session"), _t.id == bindparam("turn"), _t.epoch == bindparam("held"))
_JOIN = (
    update(turns)
    .where(_t.session_id == bindparam("session"), _t.id == bindparam("turn"), _t.state == TurnState.QUEUED)
    .values(inbound=bindparam("heard"))
)
_START = (
    update(turns)
    .where(_t.session_id == bindparam("session"), _t.id == bindparam("turn"))
    .values(state=TurnState.RUNNING, epoch=bindparam("now_held"), attempts=_t.attempts + 1)
)
_STORE = update(turns).where(*_MINE, _t.state == TurnState.RUNNING).values(rounds=bindparam("stored"))
_CLOSE = (
    update(turns)
    .where(*_MINE)
    .values(
        state=bindparam("next_state"), status=bindparam("outcome"), code=bindparam("why"), reply=bindparam("text"),
        rounds=bindparam("stored"), inbound=bindparam("heard"), finished_at=bindparam("moment"),
    )
)  # fmt: skip
_KEEP = (
    update(turns)
    .where(_t.session_id == bindparam("session"), _t.id == bindparam("turn"))
    .values(rounds=bindparam("stored"))
)
_BY_USERS = ~_t.message_id.startswith(DECISION) & ~_t.message_id.startswith(SETTLEMENT)
_SAY = insert(messages)
_HISTORY = (
    select(_m.role, _m.text, _m.from_tools, _m.seq)
    .where(_m.session_id == bindparam("session"), _m.seq < bindparam("before"), _m.kind == "message")
    .order_by(_m.seq.desc(), _m.role)
    .limit(bindparam("most"))
)
_CALLS = insert(model_calls)


def remember(conn: Connection, values: Mapping[str, Any]) -> bool:
    """Insert the inbox row. False: this session has seen this message id."""
    try:
        conn.execute(_REMEMBER, values)
    except IntegrityError:
        return False
    return True


def recall(conn: Connection, session_id: str, message_id: str) -> tuple[str, str] | None:
    """Digest and turn id of the message that came first under this id, if there was one."""
    row = conn.execute(_RECALL, {"session": session_id, "message": message_id}).first()
    return (row.digest, row.turn_id) if row is not None else None


def add(conn: Connection, values: Mapping[str, Any]) -> None:
    conn.execute(_ADD, values)


def get(conn: Connection, session_id: str, turn_id: str) -> TurnRow | None:
    row = conn.execute(_BY_ID, {"session": session_id, "turn": turn_id}).first()
    return TurnRow(*row) if row is not None else None


def find(conn: Connection, turn_id: str) -> TurnRow | None:
    """The same by its id alone, for operators."""
    row = conn.execute(_ANYWHERE, {"turn": turn_id}).first()
    return TurnRow(*row) if row is not None else None


def numbered(conn: Connection, session_id: str, seq: int) -> TurnRow | None:
    row = conn.execute(_BY_SEQ, {"session": session_id, "number": seq}).first()
    return TurnRow(*row) if row is not None else None


def join(conn: Connection, session_id: str, turn_id: str, inbound: Mapping[str, Any]) -> bool:
    """Let a turn that nobody has begun say more. False: somebody has."""
    values = {"session": session_id, "turn": turn_id, "heard": inbound}
    return conn.execute(_JOIN, values).rowcount == 1


def start(conn: Connection, session_id: str, turn_id: str, epoch: int) -> None:
    """Mark the turn as running under this epoch and count the attempt."""
    conn.execute(_START, {"session": session_id, "turn": turn_id, "now_held": epoch})


def store_rounds(conn: Connection, mine: tuple[str, str, int], rounds: Sequence[Mapping[str, Any]]) -> bool:
    """Keep plans and results. `mine` is (session id, turn id, epoch). False: the lane is lost."""
    session, turn, epoch = mine
    values = {"session": session, "turn": turn, "held": epoch, "stored": rounds}
    return conn.execute(_STORE, values).rowcount == 1


def close(conn: Connection, mine: tuple[str, str, int], values: Mapping[str, Any]) -> bool:
    """Write the end of a turn: next_state, outcome, why, text, stored, heard, moment. False: the lane is lost."""
    session, turn, epoch = mine
    return conn.execute(_CLOSE, {"session": session, "turn": turn, "held": epoch, **values}).rowcount == 1


def keep_rounds(conn: Connection, session_id: str, turn_id: str, rounds: Sequence[Mapping[str, Any]]) -> None:
    """Update the plan of an earlier turn that goes on; the caller holds the session's lane."""
    conn.execute(_KEEP, {"session": session_id, "turn": turn_id, "stored": rounds})


def say(conn: Connection, lines: Sequence[Mapping[str, Any]]) -> None:
    if lines:
        conn.execute(_SAY, lines)


def history(conn: Connection, session_id: str, before: int, most: int) -> tuple[Line, ...]:
    """The last `most` lines before turn number `before`, oldest first; verbs and cards are not among them."""
    if most == 0:
        return ()
    rows = conn.execute(_HISTORY, {"session": session_id, "before": before, "most": most}).all()
    return tuple(Line(row.role, row.text, bool(row.from_tools), row.seq) for row in reversed(rows))


def record_calls(conn: Connection, calls: Sequence[Mapping[str, Any]]) -> None:
    if calls:
        conn.execute(_CALLS, calls)


def page(conn: Connection, session_id: str, below: int | None, limit: int) -> Sequence[TurnRow]:
    """Turns of one session, newest first."""
    query = select(turns).where(_t.session_id == session_id).order_by(_t.seq.desc()).limit(limit)
    if below is not None:
        query = query.where(_t.seq < below)
    return [TurnRow(*row) for row in conn.execute(query)]


def last_heard(conn: Connection, session_id: str) -> datetime | None:
    """When the user of a session wrote last; None where nothing is left of it."""
    query = select(_t.created_at).where(_t.session_id == session_id, _BY_USERS)
    return conn.execute(query.order_by(_t.seq.desc()).limit(1)).scalar_one_or_none()


def received(
    conn: Connection, channels: Sequence[str], most: int, ids: Sequence[str] = ()
) -> list[tuple[TurnRow, SessionKey]]:
    """Messages that came through these channels, with whose session each is, newest first: these turns, or
    the newest `most`."""
    query = (
        select(turns, _s.channel, _s.account, _s.principal, _s.label)
        .join(sessions, _s.id == _t.session_id)
        .where(_s.channel.in_(channels), _BY_USERS)
        .order_by(_t.id.desc())
    )
    query = query.where(_t.id.in_(ids)) if ids else query.limit(most)
    return [(TurnRow(*row[:-4]), SessionKey(*row[-4:])) for row in conn.execute(query)]


def neglected(conn: Connection, before: datetime) -> bool:
    """Whether some turn has been queued since before that moment."""
    query = select(_t.id).where(_t.state == TurnState.QUEUED, _t.created_at < before).limit(1)
    return conn.execute(query).first() is not None
