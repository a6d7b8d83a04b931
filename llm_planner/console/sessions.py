"""The sessions: search, a person's conversation, handing over, exporting and erasing; a turn by itself."""

import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from ..errors import Conflict, InvalidRequest, NotFound
from ..ids import new_id
from ..messages import InboundMessage
from ..storage.database import now
from ..storage.repositories import console, persons, sessions, turns
from ..storage.repositories.sessions import SessionRow
from ..storage.repositories.turns import TurnRow
from ..turn.view import without_tokens
from .inspecting import heard_of, inside
from .ledger import note, note_in
from .visits import Visit

PAGE, TALK, BATCH = 50, 30, 500
MOST_SESSIONS = 20
"""How many sessions of one person are shown together."""
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


async def listed(visit: Visit) -> Response:
    """All sessions, or those that a search finds: by id, by the beginning of a person's name, or by label."""
    q, after = visit.asked("q"), visit.asked("after")
    if _ID.fullmatch(q):
        return await _by_id(visit, q)
    if q:
        items, following = await _found(visit, q, after)
    else:
        items = await visit.read(lambda conn: sessions.page(conn, after or None, PAGE))
        following = items[-1].id if len(items) == PAGE else None
    return visit.page("sessions.html", q=q, after=after, items=items, following=following)


async def _by_id(visit: Visit, wanted: str) -> Response:
    session, turn = await visit.read(lambda conn: (sessions.by_id(conn, wanted), turns.find(conn, wanted)))
    if session is not None:
        return visit.back(f"/sessions/{wanted}")
    if turn is not None:
        return visit.back(f"/turns/{wanted}")
    return visit.page("sessions.html", q=wanted, after="", items=[], following=None)


async def _found(visit: Visit, q: str, after: str) -> tuple[Sequence[SessionRow], str | None]:
    place = _place(after) if after else None
    keys = [name for name, _ in visit.house.settings.internal_keys]
    prefixes = [q, f"anon:{q}", f"jwt:{q}", f"operator:{q}", *(f"{name}/{q}" for name in keys)]

    def query(conn: Connection) -> Sequence[SessionRow]:
        found = console.named(conn, prefixes, place, PAGE)
        return found or (console.labelled(conn, q, PAGE) if place is None else [])

    items: Sequence[SessionRow] = await visit.read(query)
    last = items[-1] if len(items) == PAGE else None
    return items, json.dumps([last.principal, last.id]) if last is not None else None


def _place(after: str) -> tuple[str, str]:
    try:
        person, last = json.loads(after)
    except (ValueError, TypeError):
        raise InvalidRequest("after: not one of ours") from None
    return str(person), str(last)


@dataclass(frozen=True, slots=True)
class Entry:
    """One turn in a conversation; `decided` is (operator, what)."""

    turn_id: str
    at: datetime
    channel: str
    state: str
    heard: str
    reply: str
    speaker: str | None
    decided: tuple[str, str] | None


async def shown(visit: Visit) -> Response:
    """One session, or all of its person's, as a conversation; the newest page of it first."""
    row = await _session(visit)
    everywhere, below = visit.asked("all") == "1", visit.asked("below") or None

    def query(conn: Connection) -> tuple[Any, Any, bool]:
        others = console.of_person(conn, row.principal, MOST_SESSIONS)
        wanted = [other.id for other in others] if everywhere else [row.id]
        found = console.timeline(conn, wanted, below, TALK)
        latest = turns.page(conn, row.id, None, 1)
        return others, found, not (latest and latest[0].inbound.get("route"))

    others, found, waits = await visit.read(query)
    channels = {other.id: other.channel for other in [*others, row]}
    return visit.page(
        "session.html", row=row, others=len(others), everywhere=everywhere, below=below, waits=waits, once=new_id(),
        entries=[_entry(turn, channels[turn.session_id]) for turn in reversed(found)],
        following=found[-1].id if len(found) == TALK else None,
        facts=[(name, fact) for name, fact in row.facts.items() if fact["value"] is not None],
    )  # fmt: skip


def _entry(turn: TurnRow, channel: str) -> Entry:
    decision = turn.inbound.get("decision")
    return Entry(
        turn.id, turn.created_at, channel, turn.state if turn.closed else "open", heard_of(turn),
        without_tokens(turn.reply or ""), turn.inbound.get("speaker"),
        (decision["operator"], decision["decision"]) if decision else None,
    )  # fmt: skip


async def _session(visit: Visit) -> SessionRow:
    row: SessionRow | None = await visit.read(lambda conn: sessions.by_id(conn, visit.id))
    if row is None:
        raise NotFound("there is no such session")
    return row


async def take(visit: Visit) -> Response:
    """From now on this operator answers there; the agent stays quiet."""
    return await _hand(visit, visit.operator.name, "session_taken", "sessions.said.take")


async def give_back(visit: Visit) -> Response:
    return await _hand(visit, None, "session_given_back", "sessions.said.give_back")


async def _hand(visit: Visit, to: str | None, kind: str, said: str) -> Response:
    row, seen = await _session(visit), visit.field("seen") or None

    def transaction(conn: Connection) -> None:
        if not sessions.hand(conn, row.id, seen, to):
            raise Conflict("somebody else took it or gave it back meanwhile")
        note_in(conn, visit, row.id, kind, before=seen)

    await visit.database.run(transaction)
    return visit.back(f"/sessions/{row.id}", said)


async def say(visit: Visit) -> Response:
    """Write to the user, in the session's own lane, as the turn's reply."""
    row, words = await _session(visit), visit.field("words", 4000)
    if row.handed_to != visit.operator.name:
        raise Conflict("take the session over first")
    if not words:
        raise InvalidRequest("nothing was written")
    once = visit.field("once", 64) or new_id()
    message = InboundMessage(row.key, f"said:{once}", words, row.locale, False, speaker=visit.operator.name)
    await visit.house.office.desk.submit(message)
    return visit.back(f"/sessions/{row.id}", "sessions.said.say")


async def export(visit: Visit) -> Response:
    """Everything that is kept of this person, as one JSON document, written while it is read."""
    row = await _session(visit)
    found = await visit.read(lambda conn: persons.sessions_of(conn, row))
    await visit.database.run(
        lambda conn: note_in(conn, visit, row.id, "person_exported", sessions=len(found))
    )
    headers = {"Content-Disposition": f'attachment; filename="person-{row.id}.json"'}
    return StreamingResponse(_document(visit, found), 200, headers, "application/json")


async def _document(visit: Visit, found: Sequence[SessionRow]) -> AsyncIterator[str]:
    yield '{"sessions": ['
    for number, session in enumerate(found):
        yield (", " if number else "") + '{"session": ' + _json(_columns(session))
        for part, _, key in persons.KEPT:
            yield f', "{part}": ['
            after, first = None, True
            while batch := await visit.read(
                partial(persons.rows_of, part=part, session_id=session.id, after=after, limit=BATCH)
            ):
                yield ("" if first else ", ") + ", ".join(_json(_shown(item)) for item in batch)
                after, first = batch[-1][key], False
            yield "]"
        yield "}"
    yield "]}"


def _columns(session: SessionRow) -> dict[str, Any]:
    return {
        name: getattr(session, name)
        for name in ("id", "channel", "account", "principal", "label", "locale", "facts", "created_at")
    }


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    """A row without the places of tokens in it, and without what only the server needs."""
    return {
        name: without_tokens(value) if name in ("reply", "text") and isinstance(value, str) else value
        for name, value in item.items()
        if name not in ("salt", "digest", "schema_hash")
    }


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


async def erase(visit: Visit) -> Response:
    """Erase the person in every session of theirs on this channel; one transaction a session."""
    row = await _session(visit)
    if visit.field("sure", 300) != row.principal:
        raise InvalidRequest("the name is not the one of this session's person")
    found = await visit.read(lambda conn: persons.sessions_of(conn, row))
    if any([await visit.read(partial(persons.unsettled, session_id=one.id)) for one in found]):
        raise Conflict("a write of theirs is in doubt: settle it first")
    for one in found:
        await visit.database.run(partial(_erase, visit=visit, row=one))
    await note(visit, "person_erased", visit.operator.name, sessions=[one.id for one in found])
    return visit.back(f"/sessions/{row.id}", "sessions.said.erase")


def _erase(conn: Connection, visit: Visit, row: SessionRow) -> None:
    current = sessions.by_id(conn, row.id)
    if current is None or not persons.erase(conn, current, now(conn), visit.operator.name):
        raise Conflict("a message of theirs is being worked on: try again in a moment")
    note_in(conn, visit, row.id, "person_erased")


async def turn(visit: Visit) -> Response:
    kept_days = visit.house.settings.retention_prompts_days
    return visit.page("turn.html", inside=await inside(visit, visit.id), kept_days=kept_days)
