"""Sessions: identity, the lane (epoch and lease), facts, wrong tries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, or_, select, update

from ...ids import new_id
from ...messages import SessionKey
from ..tables import sessions, turns


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session as read in this transaction."""

    id: str
    key_hash: str
    channel: str
    account: str
    principal: str
    label: str
    locale: str
    epoch: int
    lease_until: datetime | None
    next_seq: int
    open_turns: int
    facts: Mapping[str, Any]
    audit_seq: int
    audit_head: str
    token_tries: int
    locked_until: datetime | None
    parked_until: datetime | None
    created_at: datetime
    handed_to: str | None = None
    hold_until: datetime | None = None
    """The operator who answers in the agent's place."""

    @property
    def key(self) -> SessionKey:
        return SessionKey(self.channel, self.account, self.principal, self.label)

    @property
    def oldest_seq(self) -> int:
        """Number of the oldest open turn, if there is one: turns of a session close in order."""
        return self.next_seq - self.open_turns

    def idle(self, moment: datetime) -> bool:
        """Whether nobody holds the lane, and no burst of messages is being waited for."""
        return all(until is None or until <= moment for until in (self.lease_until, self.hold_until))


_c = sessions.c
_BY_KEY = select(sessions).where(_c.key_hash == bindparam("hash"))
_BY_KEY_LOCKED = _BY_KEY.with_for_update()
_BY_ID = select(sessions).where(_c.id == bindparam("key"))
_ADD = insert(sessions)
_QUEUE = (
    update(sessions)
    .where(_c.id == bindparam("key"), _c.next_seq == bindparam("seq"), _c.epoch == bindparam("seen"))
    .values(next_seq=_c.next_seq + 1, open_turns=_c.open_turns + 1, hold_until=bindparam("hold"))
)
_HOLD_ON = (
    update(sessions)
    .where(_c.id == bindparam("key"), _c.next_seq == bindparam("seq"), _c.epoch == bindparam("seen"))
    .values(hold_until=bindparam("hold"))
)
_QUEUE_AND_TAKE = _QUEUE.values(
    next_seq=_c.next_seq + 1,
    open_turns=_c.open_turns + 1,
    hold_until=bindparam("hold"),
    epoch=_c.epoch + 1,
    lease_until=bindparam("until"),
)
_TAKE = (
    update(sessions)
    .where(
        _c.id == bindparam("key"),
        _c.epoch == bindparam("seen"),
        _c.next_seq - _c.open_turns == bindparam("oldest"),
    )
    .values(epoch=_c.epoch + 1, lease_until=bindparam("until"))
)
_HOLD = (
    update(sessions)
    .where(_c.id == bindparam("key"), _c.epoch == bindparam("held"))
    .values(lease_until=bindparam("until"))
)
_RENEW = _HOLD.where(_c.lease_until < bindparam("until"))
_FREE = _HOLD.values(lease_until=None)
_RELEASE = (
    update(sessions)
    .where(_c.id == bindparam("key"), _c.epoch == bindparam("held"), _c.audit_seq == bindparam("seen_seq"))
    .values(
        facts=bindparam("facts"),
        audit_seq=bindparam("seq"),
        audit_head=bindparam("head"),
        parked_until=bindparam("parked"),
        open_turns=_c.open_turns - 1,
        lease_until=None,
    )
)
_HEAD = (
    update(sessions)
    .where(_c.id == bindparam("key"), _c.audit_seq == bindparam("seen_seq"))
    .values(audit_seq=bindparam("seq"), audit_head=bindparam("head"))
)
_TRY = (
    update(sessions)
    .where(
        _c.id == bindparam("key"),
        _c.epoch == bindparam("held"),
        or_(_c.locked_until.is_(None), _c.locked_until <= bindparam("moment")),
    )
    .values(token_tries=_c.token_tries + 1)
)
_SET_TRIES = (
    update(sessions)
    .where(_c.id == bindparam("key"))
    .values(token_tries=bindparam("tries"), locked_until=bindparam("until"))
)
_FACTS = select(_c.facts).where(_c.id == bindparam("key")).with_for_update()
_SET_FACTS = update(sessions).where(_c.id == bindparam("key")).values(facts=bindparam("facts"))
_WAITING = (
    select(_c.id)
    .join(turns, (turns.c.session_id == _c.id) & (turns.c.seq == _c.next_seq - _c.open_turns))
    .where(
        _c.open_turns > 0,
        or_(_c.lease_until.is_(None), _c.lease_until <= bindparam("moment")),
        or_(_c.hold_until.is_(None), _c.hold_until <= bindparam("moment")),
    )
    .order_by(turns.c.created_at)
    .limit(bindparam("most"))
)


def by_key(conn: Connection, key_hash: str) -> SessionRow | None:
    row = conn.execute(_BY_KEY, {"hash": key_hash}).first()
    return SessionRow(*row) if row is not None else None


def locked(conn: Connection, key_hash: str) -> SessionRow | None:
    """The same under its lock: who comes now waits here, and not in a loop of lost races."""
    row = conn.execute(_BY_KEY_LOCKED, {"hash": key_hash}).first()
    return SessionRow(*row) if row is not None else None


def by_id(conn: Connection, session_id: str) -> SessionRow | None:
    row = conn.execute(_BY_ID, {"key": session_id}).first()
    return SessionRow(*row) if row is not None else None


def create(conn: Connection, key: SessionKey, locale: str, moment: datetime) -> SessionRow:
    """Insert a fresh session. Raises IntegrityError when somebody else just did."""
    row = SessionRow(
        new_id(), key.digest(), key.channel, key.account, key.principal, key.label, locale,
        0, None, 1, 0, {}, 0, "", 0, None, None, moment,
    )  # fmt: skip
    conn.execute(_ADD, {name: getattr(row, name) for name in SessionRow.__dataclass_fields__})
    return row


def queue(
    conn: Connection, row: SessionRow, lease_until: datetime | None, hold_until: datetime | None = None
) -> bool:
    """Count one more open turn; with `lease_until` also take the lane, with `hold_until` let it wait for the
    rest of a burst. False: somebody was faster."""
    values = {"key": row.id, "seq": row.next_seq, "seen": row.epoch, "hold": hold_until}
    if lease_until is None:
        return conn.execute(_QUEUE, values).rowcount == 1
    return conn.execute(_QUEUE_AND_TAKE, {**values, "until": lease_until}).rowcount == 1


def hold_on(conn: Connection, row: SessionRow, hold_until: datetime) -> bool:
    """Wait longer for a burst, and keep others off the newest turn until this transaction ends. False: a turn
    was begun or added meanwhile."""
    values = {"key": row.id, "seq": row.next_seq, "seen": row.epoch, "hold": hold_until}
    return conn.execute(_HOLD_ON, values).rowcount == 1


def take(conn: Connection, row: SessionRow, lease_until: datetime) -> bool:
    """Take the lane for the oldest open turn, by compare-and-set on the epoch and on which turn that is: a
    holder whose lease has run out may close it meanwhile. False: somebody was faster."""
    values = {"key": row.id, "seen": row.epoch, "oldest": row.oldest_seq, "until": lease_until}
    return conn.execute(_TAKE, values).rowcount == 1


def hold(conn: Connection, session_id: str, epoch: int, lease_until: datetime) -> bool:
    """Renew the lease and fence this transaction. False: the lane belongs to somebody else."""
    return conn.execute(_HOLD, {"key": session_id, "held": epoch, "until": lease_until}).rowcount == 1


def renew(conn: Connection, session_id: str, epoch: int, lease_until: datetime) -> bool:
    """Push a lease that is still held into the future; never shorten one, never revive one. True if it moved."""
    return conn.execute(_RENEW, {"key": session_id, "held": epoch, "until": lease_until}).rowcount == 1


def holds(conn: Connection, session_id: str, epoch: int) -> bool:
    """Whether the lane is still this holder's."""
    row = by_id(conn, session_id)
    return row is not None and row.epoch == epoch


def free(conn: Connection, session_id: str, epoch: int) -> None:
    """End a lease early; the turn stays open for whoever claims next."""
    conn.execute(_FREE, {"key": session_id, "held": epoch})


@dataclass(frozen=True, slots=True)
class Release:
    """What the closing transaction leaves in the session's row."""

    session_id: str
    epoch: int
    facts: Mapping[str, Any]
    seen_seq: int
    seq: int
    head: str
    parked_until: datetime | None


def release(conn: Connection, left: Release) -> bool:
    """Close the lane for this turn, fenced by epoch and by the audit head that was read."""
    values = {
        "key": left.session_id, "held": left.epoch, "facts": left.facts,
        "seen_seq": left.seen_seq, "seq": left.seq, "head": left.head, "parked": left.parked_until,
    }  # fmt: skip
    return conn.execute(_RELEASE, values).rowcount == 1


def move_head(conn: Connection, session_id: str, seen_seq: int, seq: int, head: str) -> bool:
    """Advance the audit chain by compare-and-set. False: somebody else appended."""
    values = {"key": session_id, "seen_seq": seen_seq, "seq": seq, "head": head}
    return conn.execute(_HEAD, values).rowcount == 1


def spend_try(conn: Connection, session_id: str, epoch: int, moment: datetime) -> bool:
    """Count one token try before the compare. False: locked, or the lane is lost."""
    return conn.execute(_TRY, {"key": session_id, "held": epoch, "moment": moment}).rowcount == 1


def set_tries(conn: Connection, session_id: str, tries: int, locked_until: datetime | None) -> None:
    conn.execute(_SET_TRIES, {"key": session_id, "tries": tries, "until": locked_until})


def merge_facts(conn: Connection, session_id: str, changed: Mapping[str, Any]) -> None:
    """Lay these facts over what the row holds now, under its lock."""
    if changed:
        stored = conn.execute(_FACTS, {"key": session_id}).scalar_one()
        conn.execute(_SET_FACTS, {"key": session_id, "facts": {**stored, **changed}})


def waiting(conn: Connection, moment: datetime, most: int) -> Sequence[str]:
    """Sessions with open turns that nobody works on, who waits longest first."""
    return conn.execute(_WAITING, {"moment": moment, "most": most}).scalars().all()


def page(conn: Connection, after: str | None, limit: int) -> Sequence[SessionRow]:
    """Sessions by id, newest first, from below `after`."""
    query = select(sessions).order_by(_c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(_c.id < after)
    return [SessionRow(*row) for row in conn.execute(query)]


def hand(conn: Connection, session_id: str, seen: str | None, to: str | None) -> bool:
    """Put a session into an operator's hands, or back into the agent's. False: somebody was faster."""
    held = _c.handed_to.is_(None) if seen is None else _c.handed_to == seen
    query = update(sessions).where(_c.id == session_id, held).values(handed_to=to)
    return conn.execute(query).rowcount == 1


def count_open(conn: Connection) -> int:
    """Turns accepted and not closed, over all sessions."""
    return int(
        conn.execute(select(func.coalesce(func.sum(_c.open_turns), 0)).where(_c.open_turns > 0)).scalar_one()
    )
