"""Summaries: what a conversation said before the lines that a model is shown. A summary stands among the lines, at
the turn that it reaches up to, so that it is forgotten and erased as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from ..tables import messages
from .turns import Line

KIND = "summary"


@dataclass(frozen=True, slots=True)
class Summary:
    """`up_to` is the number of the last turn in it; `from_tools` says that text of a tool may be in it."""

    text: str
    from_tools: bool
    up_to: int


_m = messages.c
_OF_SESSION = (_m.session_id == bindparam("session"), _m.kind == KIND)
_LATEST = select(_m.text, _m.from_tools, _m.seq).where(*_OF_SESSION).order_by(_m.seq.desc()).limit(1)
_PUT = insert(messages)
_DROP = delete(messages).where(*_OF_SESSION, _m.seq < bindparam("before"))
_BETWEEN = (
    select(_m.role, _m.text, _m.from_tools, _m.seq)
    .where(
        _m.session_id == bindparam("session"),
        _m.seq > bindparam("after"),
        _m.seq < bindparam("before"),
        _m.kind == "message",
    )
    .order_by(_m.seq, _m.role.desc())
    .limit(bindparam("most"))
)


def latest(conn: Connection, session_id: str) -> Summary | None:
    row = conn.execute(_LATEST, {"session": session_id}).first()
    return Summary(row.text, bool(row.from_tools), row.seq) if row is not None else None


def between(conn: Connection, session_id: str, after: int, before: int, most: int) -> Sequence[Line]:
    """The oldest lines of the turns between these two numbers; verbs and cards are not among them."""
    values = {"session": session_id, "after": after, "before": before, "most": most}
    rows = conn.execute(_BETWEEN, values)
    return [Line(row.role, row.text, bool(row.from_tools), row.seq) for row in rows]


def put(conn: Connection, summary: Summary, values: Mapping[str, Any]) -> None:
    """Keep a summary in place of those before it; `values` are session_id, turn_id, created_at. Another process
    may have made the same one: that one stays."""
    row = {"role": KIND, "kind": KIND, "text": summary.text, "from_tools": int(summary.from_tools)}
    try:
        conn.execute(_PUT, {**values, **row, "seq": summary.up_to})
    except IntegrityError:
        return
    conn.execute(_DROP, {"session": values["session_id"], "before": summary.up_to})
