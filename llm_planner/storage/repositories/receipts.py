"""Receipts: the provider's id of each message of ours that it reports about, and what it told last."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ..states import OutboxState
from ..tables import outbox as outbox_rows
from ..tables import outbox_receipts
from . import outbox
from .outbox import OutboxRow, Settlement

RANKS: Final = ("taken", "accepted", "sent", "failed", "delivered", "read")
"""What is told in any order ends the same: the later in this list counts, so nothing goes backwards."""
TOO_LATE: Final = frozenset(["131047", "63016", "470"])
"""What Meta, Twilio and YCloud call a message to a user who has not written for 24 hours."""
_FAILED: Final = "the provider reported that it was not delivered"
_WINDOW: Final = "the user has not written for 24 hours"

_c, _o = outbox_receipts.c, outbox_rows.c
_THIS = (_c.provider == bindparam("who"), _c.reference == bindparam("name"))
_FIND = select(outbox_receipts).where(*_THIS).with_for_update()
_ADD = insert(outbox_receipts)
_LINK = (
    update(outbox_receipts)
    .where(*_THIS, _c.outbox_id.is_(None))
    .values(session_id=bindparam("session"), outbox_id=bindparam("key"))
)
_TELL = (
    update(outbox_receipts)
    .where(*_THIS)
    .values(status=bindparam("told"), code=bindparam("why"), at=bindparam("moment"))
)
_OF_ROW = select(_c.status, _c.code).where(
    _c.session_id == bindparam("session"), _c.outbox_id == bindparam("key")
)
_UNLINK = delete(outbox_receipts).where(
    _c.session_id == bindparam("session"), _c.outbox_id == bindparam("key")
)
_OLD = (
    select(_c.provider, _c.reference)
    .where(_c.at < bindparam("before"))
    .order_by(_c.at)
    .limit(bindparam("most"))
)
_FORGET = delete(outbox_receipts).where(*_THIS)


def link(conn: Connection, row: OutboxRow, reference: str, moment: datetime) -> None:
    """This message belongs to that row; what was told about it before is kept."""
    name = {"who": row.body["provider"], "name": reference}
    mine = {**name, "session": row.session_id, "key": row.id}
    if conn.execute(_LINK, mine).rowcount == 0 and not _add(conn, _values(mine, "taken", None, moment)):
        conn.execute(_LINK, mine)


def tell(
    conn: Connection,
    name: tuple[str, str],
    told: tuple[str, str | None],
    owner: OutboxRow | None,
    moment: datetime,
) -> tuple[str, str] | None:
    """Keep a status (state, code) of the message called (provider, reference), unless a better one is known.

    Returns session and id of the row that it belongs to, if that is known; a stranger's status is kept for
    the row that may come.
    """  # fmt: skip
    this = {"who": name[0], "name": name[1]}
    mine = {"session": owner.session_id, "key": owner.id} if owner is not None else {}
    if _add(conn, _values({**this, **mine}, told[0], told[1], moment)):
        return (owner.session_id, owner.id) if owner is not None else None
    if mine:
        conn.execute(_LINK, {**this, **mine})
    known = conn.execute(_FIND, this).one()
    if RANKS.index(told[0]) > RANKS.index(known.status):
        conn.execute(_TELL, {**this, "told": told[0], "why": told[1], "moment": moment})
    return (known.session_id, known.outbox_id) if known.outbox_id is not None else None


def judge(conn: Connection, session_id: str, outbox_id: str, moment: datetime) -> None:
    """Let a row that nobody is sending say what the provider reported about its messages."""
    row = outbox.locked(conn, session_id, outbox_id)
    if row is None:
        return
    told = conn.execute(_OF_ROW, {"session": session_id, "key": outbox_id}).all()
    failed = [item.code for item in told if item.status == "failed"]
    reported = row.state == OutboxState.DEAD and (row.error or "").startswith(_FAILED)
    if failed and row.state in (OutboxState.DELIVERED, OutboxState.UNKNOWN):
        why = f"{_FAILED} ({failed[0] or 'no code'})"
        why += f": {_WINDOW}" if TOO_LATE.intersection(failed) else ""
        outbox.report(conn, row, Settlement(OutboxState.DEAD, moment, why), row.body)
    elif not failed and reported:
        outbox.report(conn, row, Settlement(OutboxState.DELIVERED, moment), row.body)


def requeue(conn: Connection, row: OutboxRow, moment: datetime) -> bool:
    """A person tries a row again. What was sent whole and reported as undelivered is sent whole again, and what
    was told about the first time is forgotten with it."""
    told = conn.execute(_OF_ROW, {"session": row.session_id, "key": row.id}).all()
    if not outbox.requeue(conn, row, moment):
        return False
    if any(item.status == "failed" for item in told):
        conn.execute(_UNLINK, {"session": row.session_id, "key": row.id})
        outbox.rewrite(conn, row, {**row.body, "next": [0, 0], "references": []})
    return True


def too_late(conn: Connection, session_id: str, outbox_id: str) -> bool:
    """Whether a message of that row came too late for free text."""
    told = conn.execute(_OF_ROW, {"session": session_id, "key": outbox_id})
    return any(status == "failed" and code in TOO_LATE for status, code in told)


def too_late_since(conn: Connection, session_id: str, moment: datetime) -> bool:
    """Whether a reply of this session that was made after that moment came too late for free text."""
    query = (
        select(_c.reference)
        .join(outbox_rows, (_o.session_id == _c.session_id) & (_o.id == _c.outbox_id))
        .where(
            _c.session_id == session_id, _c.status == "failed", _c.code.in_(TOO_LATE), _o.created_at >= moment
        )
        .limit(1)
    )
    return conn.execute(query).first() is not None


def purge(conn: Connection, before: datetime, most: int) -> int:
    """Forget what was last told about before that moment, oldest first."""
    old = conn.execute(_OLD, {"before": before, "most": most}).all()
    for row in old:
        conn.execute(_FORGET, {"who": row.provider, "name": row.reference})
    return len(old)


def _values(known: Mapping[str, Any], status: str, code: str | None, moment: datetime) -> dict[str, Any]:
    return {
        "provider": known["who"], "reference": known["name"], "session_id": known.get("session"),
        "outbox_id": known.get("key"), "status": status, "code": code, "at": moment,
    }  # fmt: skip


def _add(conn: Connection, values: Mapping[str, Any]) -> bool:
    try:
        conn.execute(_ADD, values)
    except IntegrityError:
        return False
    return True
