"""The inbox: a message is durable before anybody is told so, and a repeat gets the first one's turn."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from ..errors import Busy, CommitUnknown, Conflict, LaneLost
from ..ids import new_id
from ..messages import AuditEvent, Decision, InboundMessage, Route, SessionKey
from ..storage.database import Database, now
from ..storage.repositories import sessions, summaries, turns
from ..storage.repositories.sessions import SessionRow
from ..storage.repositories.summaries import Summary
from ..storage.repositories.turns import Line, TurnRow
from ..storage.states import TurnState
from .audit import Audit
from .joining import Joining, joined_ids
from .record import Held, Lane
from .window import within

RACES = 50
"""How often an accept is tried again when other messages of the same session win the same instant."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A lane, what was read with it, and how long it is surely ours."""

    lane: Lane
    session: SessionRow
    turn: TurnRow
    history: tuple[Line, ...]
    held: Held
    summary: Summary | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """Where a message went. `claimed` is set when the lane was free and this process took it at once."""

    session_id: str
    turn_id: str
    duplicate: bool
    claimed: Claimed | None = None
    wait_s: float = 0.0
    """How long its turn waits for the rest of a burst before anybody may begin it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Lease in seconds, history in lines and in tokens, open turns a session may have, whether what left the
    history is remembered, and how bursts are joined."""

    lease_s: float
    history: int
    history_tokens: int
    queued: int
    memory: bool
    joining: Joining


class Raced(Exception):
    """Another transaction changed the session's row between our read and our write: run ours again."""


class Known(Exception):
    """The message id was seen before: what this transaction has written must go."""


def _conflict() -> Conflict:
    return Conflict("this message id was used for another message", code="message_id_conflict")


class Inbox:
    """Accepts messages and claims lanes; every method is one transaction. `work` is the same database for what
    nobody waits for at the door."""

    def __init__(
        self, database: Database, work: Database, audit: Audit, limits: Limits, default_locale: str
    ) -> None:
        self._database = database
        self._work = work
        self._audit = audit
        self._limits = limits
        self._locale = default_locale

    async def accept(self, message: InboundMessage, *, take: bool, room: bool = True) -> Accepted:
        """Store the message, once. With `take`, claim the lane in the same transaction if it is free.

        Raises Conflict for a known id with other content; Busy when the session's queue is full and somebody
        waits for the answer (a webhook is stored, and answered by a fixed text in its turn), or where
        there is no `room` for anything that is not known yet: then nothing was stored. Where the answer to
        COMMIT was lost, the message id says whether it was done.
        """
        turn_id = new_id()
        for _ in range(RACES):
            try:
                accepted = await self._accepted(message, turn_id, take, room)
            except (Raced, IntegrityError, CommitUnknown):
                continue
            if accepted is None:
                raise _conflict()
            return accepted
        raise Busy("this session gets too many messages at once")

    async def accept_all(self, messages: Sequence[InboundMessage]) -> list[Accepted | Conflict]:
        """Store a webhook's messages of one session, in their order and in one transaction; Conflict stands in the
        place of a known id with other content. Raises Busy when others win every time."""
        named = [(message, new_id()) for message in messages]
        for _ in range(RACES):
            try:
                return await self._database.run(lambda conn: [self._one_of(conn, *one) for one in named])
            except (Raced, Known, IntegrityError, CommitUnknown):
                continue
        raise Busy("this session gets too many messages at once")

    def _one_of(self, conn: Connection, message: InboundMessage, turn_id: str) -> Accepted | Conflict:
        session = self._session(conn, message.key)
        if turns.recall(conn, session.id, message.message_id) is not None:
            return self._repeated(conn, message, turn_id) or _conflict()
        return self._stored(conn, session, message, turn_id, False)

    async def _accepted(
        self, message: InboundMessage, turn_id: str, take: bool, room: bool
    ) -> Accepted | None:
        try:
            return await self._database.run(lambda conn: self._accept(conn, message, turn_id, take, room))
        except Known:
            return await self._database.run(lambda conn: self._repeated(conn, message, turn_id))

    def _session(self, conn: Connection, key: SessionKey) -> SessionRow:
        """The session's row first: whoever has it locked goes on alone. Two inserts of one key that wait for a
        third one's rollback are a deadlock to InnoDB."""
        return sessions.locked(conn, key.digest()) or sessions.create(conn, key, self._locale, now(conn))

    def _accept(
        self, conn: Connection, message: InboundMessage, turn_id: str, take: bool, room: bool
    ) -> Accepted:
        session = self._session(conn, message.key)
        if not room or (self._over(session) and message.route is None):
            if turns.recall(conn, session.id, message.message_id) is not None:
                raise Known
            raise _no_place(room)
        return self._stored(conn, session, message, turn_id, take)

    def _over(self, session: SessionRow) -> bool:
        return session.open_turns >= self._limits.queued

    def _stored(
        self, conn: Connection, session: SessionRow, message: InboundMessage, turn_id: str, take: bool
    ) -> Accepted:
        began, moment = time.monotonic(), now(conn)
        row = {
            "session_id": session.id, "message_id": message.message_id, "digest": message.digest(),
            "turn_id": turn_id, "received_at": moment,
        }  # fmt: skip
        if message.decision is not None or message.speaker is not None:
            message = replace(message, route=_latest_route(conn, session))
        elif self._over(session):
            message = replace(message, over=True)
        joining = self._limits.joining.may(message)
        if joining and session.open_turns > 0:
            joined = self._join(conn, session, message, row)
            if joined is not None:
                return joined
        hold = self._limits.joining.until(moment, moment) if joining else None
        lease = moment + timedelta(seconds=self._limits.lease_s)
        take = take and session.open_turns == 0 and session.idle(moment)
        if not sessions.queue(conn, session, lease if take else None, hold):
            raise Raced
        if not turns.remember(conn, row):
            raise Known
        turn = _turn(session, message, turn_id, moment, take)
        turns.add(conn, {name: getattr(turn, name) for name in TurnRow.__dataclass_fields__})
        claimed = self._claimed(conn, session, turn, began) if take else None
        return Accepted(session.id, turn_id, False, claimed, _seconds(moment, hold))

    def _join(
        self, conn: Connection, session: SessionRow, message: InboundMessage, row: Mapping[str, Any]
    ) -> Accepted | None:
        """Into the newest turn, if nobody has begun it and the two belong together. The session's row first:
        of messages that come at once each finds what the one before it has left."""
        moment: datetime = row["received_at"]
        if not sessions.hold_on(conn, session, self._limits.joining.until(moment, moment)):
            raise Raced
        newest = turns.numbered(conn, session.id, session.next_seq - 1)
        if newest is None:
            return None
        earlier = from_row(session.key, newest.message_id, newest.inbound)
        whole = self._limits.joining.joined(newest, earlier, message)
        if whole is None:
            return None
        hold = self._limits.joining.until(newest.created_at, moment)
        ids = [*joined_ids(newest.inbound), message.message_id]
        if not sessions.hold_on(conn, session, hold):
            raise Raced
        if not turns.remember(conn, {**row, "turn_id": newest.id}):
            raise Known
        if not turns.join(conn, session.id, newest.id, {**to_row(whole), "joined": ids}):
            raise Raced
        return Accepted(session.id, newest.id, False, None, _seconds(moment, hold))

    def _repeated(self, conn: Connection, message: InboundMessage, mine: str) -> Accepted | None:
        """Where this message went when it came first; None if it was another one. `mine` is the turn that this
        call would have made: if it is there, its COMMIT had been done after all."""
        session = sessions.by_key(conn, message.key.digest())
        first = turns.recall(conn, session.id, message.message_id) if session is not None else None
        if session is None or first is None:
            raise Raced  # forgotten in this very moment
        digest, turn_id = first
        if turn_id == mine:
            # If its lane was claimed, too, the sweep finds it when that lease has run out.
            return Accepted(session.id, turn_id, False)
        if digest != message.digest():
            event = AuditEvent("message_conflict", "system", {"message_id": message.message_id}, turn_id)
            self._audit.append(conn, session.id, [event], now(conn))
            return None
        return Accepted(session.id, turn_id, True)

    def _claimed(self, conn: Connection, session: SessionRow, turn: TurnRow, began: float) -> Claimed:
        lane = Lane(session.id, turn.id, turn.seq, session.epoch + 1, turn.attempts)
        lines = turns.history(conn, session.id, turn.seq, self._limits.history)
        history = within(lines, self._limits.history_tokens)
        summary = summaries.latest(conn, session.id) if self._limits.memory else None
        return Claimed(lane, session, turn, history, Held(began + self._limits.lease_s), summary)

    async def note(self, key: SessionKey, event: AuditEvent) -> None:
        """Audit what belongs to no message, in the session of that key, which is made if it is not there."""
        for _ in range(RACES):
            try:
                return await self._database.run(lambda conn: self._note(conn, key, event))
            except IntegrityError:
                continue
        raise Busy("this session is written to too often")

    def _note(self, conn: Connection, key: SessionKey, event: AuditEvent) -> None:
        moment = now(conn)
        session = sessions.by_key(conn, key.digest()) or sessions.create(conn, key, self._locale, moment)
        self._audit.append(conn, session.id, [event], moment)

    async def claim(self, session_id: str) -> Claimed | None:
        """Take the session's lane for its oldest open turn; None when there is none or somebody has it."""
        return await self._work.run(lambda conn: self._claim(conn, session_id))

    def _claim(self, conn: Connection, session_id: str) -> Claimed | None:
        began, moment = time.monotonic(), now(conn)
        session = sessions.by_id(conn, session_id)
        if session is None or session.open_turns == 0 or not session.idle(moment):
            return None
        if not sessions.take(conn, session, moment + timedelta(seconds=self._limits.lease_s)):
            return None
        turn = turns.numbered(conn, session_id, session.oldest_seq)
        if turn is None:
            raise LaneLost(f"session {session_id}: its oldest open turn is missing")
        turns.start(conn, session_id, turn.id, session.epoch + 1)
        return self._claimed(conn, session, replace(turn, attempts=turn.attempts + 1), began)


def _seconds(moment: datetime, until: datetime | None) -> float:
    return max(0.0, (until - moment).total_seconds()) if until is not None else 0.0


def _no_place(room: bool) -> Busy:
    if room:
        return Busy("this session has too many messages waiting")
    return Busy("this process works on as much as it may; try again", code="overloaded")


def _turn(
    session: SessionRow, message: InboundMessage, turn_id: str, moment: datetime, taken: bool
) -> TurnRow:
    return TurnRow(
        session_id=session.id,
        id=turn_id,
        seq=session.next_seq,
        message_id=message.message_id,
        inbound=to_row(message),
        state=TurnState.RUNNING if taken else TurnState.QUEUED,
        epoch=session.epoch + 1 if taken else session.epoch,
        attempts=1 if taken else 0,
        rounds=[],
        status=None,
        code=None,
        reply=None,
        created_at=moment,
        finished_at=None,
    )


def to_row(message: InboundMessage) -> dict[str, Any]:
    """A message as its turn stores it; the key stays with the session."""
    return {
        "text": message.text,
        "locale": message.locale,
        "verbs": message.verbs,
        "decision": asdict(message.decision) if message.decision else None,
        "route": asdict(message.route) if message.route else None,
        "speaker": message.speaker,
        "chat": message.chat,
        "over": message.over,
    }


def from_row(key: SessionKey, message_id: str, stored: Mapping[str, Any]) -> InboundMessage:
    """The message again."""
    decision = stored["decision"]
    if decision is not None:
        named = {name: tuple(decision.get(name, ())) for name in ("roles", "also")}
        decision = Decision(**{**decision, **named})
    route = Route(**stored["route"]) if stored.get("route") else None
    return InboundMessage(
        key,
        message_id,
        stored["text"],
        stored["locale"],
        stored["verbs"],
        decision,
        route,
        stored.get("speaker"),
        stored.get("chat", False),
        stored.get("over", False),
    )


def _latest_route(conn: Connection, session: SessionRow) -> Route | None:
    """Where an operator's decision is answered: where the turn before it was, which holds for every turn of
    a provider's session."""
    latest = turns.numbered(conn, session.id, session.next_seq - 1)
    stored = latest.inbound.get("route") if latest is not None else None
    return Route(**stored) if stored else None
