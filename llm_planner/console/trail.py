"""The audit: filtered, followed by message, verified chain by chain, exported."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from ..api.operators import cursor_of, place_of
from ..api.views import audit_json
from ..errors import InvalidRequest
from ..messages import Json
from ..storage.repositories import audit, sessions
from ..turn.audit import Broken
from .ledger import note
from .visits import Visit

PAGE, BATCH = 50, 500
FILTERS = ("kind", "actor", "session_id", "turn_id")
SOME, SOME_S = 20, 2.0
"""Chains verified at a time, and how long one request goes on before it shows how far it has come."""


def _where(visit: Visit, given: Any) -> dict[str, str]:
    return {name: value for name in FILTERS if (value := given(name))}


async def listed(visit: Visit) -> Response:
    """Events of all sessions, newest first."""
    where, after, until = _where(visit, visit.asked), visit.asked("after"), visit.asked("until")
    below = place_of(after) if after else _end_of(visit, until)
    rows = await visit.read(lambda conn: audit.page(conn, where, below, PAGE))
    following = cursor_of(rows[-1]) if len(rows) == PAGE else None
    return visit.page(
        "audit.html", rows=rows, where={name: where.get(name, "") for name in FILTERS}, until=until, after=after,
        following=following,
    )  # fmt: skip


def _end_of(visit: Visit, day: str) -> tuple[datetime, str, int] | None:
    """Just after the end of a day, as a place in the list."""
    if not day:
        return None
    try:
        start = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=visit.house.zone)
    except ValueError:
        raise InvalidRequest("until: a day such as 2026-11-26") from None
    return (start + timedelta(days=1)).astimezone(UTC), "", 0


async def verify(visit: Visit) -> Response:
    """Verify one session's chain, or all of them from `after` on for a while; the page asks for the rest."""
    session_id = visit.field("session_id", 40)
    if session_id:
        found = await visit.read(partial(_verified, visit=visit, session_id=session_id))
        return await _told(visit, 1, [found] if found is not None else [], session=session_id)
    done, after, broken = _count(visit.field("done", 12)), visit.field("after", 40), list[Broken]()
    loop = asyncio.get_running_loop()
    until = loop.time() + SOME_S
    while True:
        heads = await visit.read(partial(audit.heads, after=after, limit=SOME))
        for after, _, _ in heads:
            found = await visit.read(partial(_verified, visit=visit, session_id=after))
            broken += [found] if found is not None else []
        done += len(heads)
        if broken or len(heads) < SOME:
            return await _told(visit, done, broken)
        if loop.time() >= until:
            return visit.page("verified.html", done=done, broken=[], after=after)


async def _told(visit: Visit, done: int, broken: Sequence[Broken], **what: Json) -> Response:
    await note(visit, "audit_verified", visit.operator.name, chains=done, broken=len(broken), **what)
    return visit.page("verified.html", done=done, broken=broken, after=None)


def _count(text: str) -> int:
    if text and not text.isdecimal():
        raise InvalidRequest("done: a number")
    return int(text or 0)


def _verified(conn: Connection, visit: Visit, session_id: str) -> Broken | None:
    """Head and rows from the same transaction, so that a turn that closes meanwhile does not look broken."""
    session = sessions.by_id(conn, session_id)
    head = (session.audit_seq, session.audit_head) if session is not None else (0, "")
    broken = visit.house.audit.verify(audit.chain(conn, session_id), head)
    return Broken(session_id, broken.seq, broken.reason) if broken is not None else None


async def export(visit: Visit) -> Response:
    """What the filter finds, as JSON lines, newest first, written while it is read."""
    where = _where(visit, lambda name: visit.field(name, 200))
    await note(visit, "audit_exported", visit.operator.name, where=where)
    headers = {"Content-Disposition": 'attachment; filename="audit.jsonl"'}
    return StreamingResponse(_lines(visit, where), 200, headers, "application/jsonl")


async def _lines(visit: Visit, where: dict[str, str]) -> AsyncIterator[str]:
    below = None
    while rows := await visit.read(partial(audit.page, where=where, below=below, limit=BATCH)):
        yield "".join(json.dumps(audit_json(row), ensure_ascii=False) + "\n" for row in rows)
        below = (rows[-1].at, rows[-1].session_id, rows[-1].seq)
