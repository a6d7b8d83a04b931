"""What model calls cost, counted by scope and day with single conditional UPDATEs."""

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ..tables import usage_counters

_c = usage_counters.c
_SPEND = (
    update(usage_counters)
    .where(
        _c.scope == bindparam("where"),
        _c.day == bindparam("when"),
        or_(_c.calls < bindparam("most_calls"), bindparam("most_calls") == 0),
        or_(_c.tokens < bindparam("most_tokens"), bindparam("most_tokens") == 0),
    )
    .values(calls=_c.calls + 1)
)
_KNOWN = select(_c.calls).where(_c.scope == bindparam("where"), _c.day == bindparam("when"))
_FORGET = delete(usage_counters).where(_c.day < bindparam("first"))
_OPEN = insert(usage_counters)
_COUNT = (
    update(usage_counters)
    .where(_c.scope == bindparam("where"), _c.day == bindparam("when"))
    .values(tokens=_c.tokens + bindparam("more"))
)


def spend(conn: Connection, scope: str, day: str, most_calls: int, most_tokens: int) -> bool:
    """Count one call where the scope's day is still below its limits (0: none). False: it is not."""
    values = {"where": scope, "when": day, "most_calls": most_calls, "most_tokens": most_tokens}
    if conn.execute(_SPEND, values).rowcount == 1:
        return True
    if conn.execute(_KNOWN, {"where": scope, "when": day}).first() is not None:
        return conn.execute(_SPEND, values).rowcount == 1
    try:
        conn.execute(_OPEN, {"scope": scope, "day": day, "calls": 1, "tokens": 0})
    except IntegrityError:
        # Somebody opened it between the two statements.
        return conn.execute(_SPEND, values).rowcount == 1
    return True


def forget(conn: Connection, before: str) -> None:
    """Drop the counters of days before that one."""
    conn.execute(_FORGET, {"first": before})


def count_tokens(conn: Connection, scope: str, day: str, tokens: int) -> None:
    conn.execute(_COUNT, {"where": scope, "when": day, "more": tokens})
