"""The numbers of the health page: each from an index, over a day or two weeks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from ..states import OutboxState, RunState, TurnState
from ..tables import model_calls, outbox, sessions, tool_runs, turns, usage_counters

_t, _m, _o, _u, _s, _r = turns.c, model_calls.c, outbox.c, usage_counters.c, sessions.c, tool_runs.c
_BUCKET = 8
"""Hex digits of a UUIDv7 that change every 65.5 seconds (RFC 9562, section 5.7)."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What is open now: turns, when the oldest was accepted, deliveries by state, writes in doubt."""

    open_turns: int
    oldest: datetime | None
    deliveries: dict[str, int]
    doubts: int


def queue(conn: Connection) -> Queue:
    open_turns = select(func.coalesce(func.sum(_s.open_turns), 0)).where(_s.open_turns > 0)
    oldest = [
        conn.execute(select(_t.created_at).where(_t.state == state).order_by(_t.created_at).limit(1)).scalar()
        for state in (TurnState.QUEUED, TurnState.RUNNING)
    ]
    unfinished = [state for state in OutboxState if state != OutboxState.DELIVERED]
    counts = select(_o.state, func.count()).where(_o.state.in_(unfinished)).group_by(_o.state)
    doubts = select(func.count()).select_from(tool_runs).where(_r.state == RunState.UNKNOWN)
    return Queue(
        int(conn.execute(open_turns).scalar_one()),
        min((moment for moment in oldest if moment is not None), default=None),
        {str(state): int(count) for state, count in conn.execute(counts)},
        int(conn.execute(doubts).scalar_one()),
    )


def accepted(conn: Connection, since: datetime) -> Sequence[tuple[datetime, int]]:
    """How many turns were accepted, by the minute or so; their ids say when."""
    floor = f"{int(since.timestamp() * 1000):012x}"[:_BUCKET]
    bucket = func.substr(_t.id, 1, _BUCKET)
    query = select(bucket, func.count()).where(_t.id >= floor).group_by(bucket).order_by(bucket)
    zone = since.tzinfo
    return [
        (datetime.fromtimestamp(int(hexa, 16) * 65536 / 1000, zone), int(count))
        for hexa, count in conn.execute(query)
    ]


def latest_calls(conn: Connection, most: int) -> Sequence[tuple[int, str]]:
    """(ms, outcome) of the latest model calls, oldest first."""
    query = select(_m.ms, _m.outcome).order_by(_m.at.desc()).limit(most)
    return [(row.ms, row.outcome) for row in conn.execute(query)][::-1]


def failures(conn: Connection, since: datetime) -> Sequence[tuple[str, int]]:
    """(outcome, how many) of the model calls since then that gave nothing."""
    query = select(_m.outcome, func.count()).where(_m.at >= since, _m.outcome != "ok").group_by(_m.outcome)
    return [(str(outcome), int(count)) for outcome, count in conn.execute(query)]


def tokens_by_day(conn: Connection, since: datetime) -> Sequence[tuple[str, int, int]]:
    """(day in UTC, model calls, tokens) since then."""
    day = func.substr(_m.at, 1, 10)
    given, made = func.coalesce(func.sum(_m.input_tokens), 0), func.coalesce(func.sum(_m.output_tokens), 0)
    query = select(day, func.count(), given + made).where(_m.at >= since).group_by(day).order_by(day)
    return [(str(row[0]), int(row[1]), int(row[2])) for row in conn.execute(query)]


def spent_today(conn: Connection, day: str, most: int) -> Sequence[tuple[str, int, int]]:
    """(account, model calls, tokens) counted towards the budgets of that day."""
    query = (
        select(_u.scope, _u.calls, _u.tokens)
        .where(_u.scope >= "account:", _u.scope < "account;", _u.day == day)
        .order_by(_u.scope)
        .limit(most)
    )
    return [(row.scope.partition(":")[2], int(row.calls), int(row.tokens)) for row in conn.execute(query)]
