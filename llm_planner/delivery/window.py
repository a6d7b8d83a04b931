"""WhatsApp's 24 hours: whether a user may still be written to freely, and a template where it is too late."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from ..ids import new_id
from ..storage.repositories import outbox, receipts, turns
from ..storage.repositories.outbox import OutboxRow
from ..storage.states import OutboxState
from .base import START

WINDOW: Final = timedelta(hours=24)
TEMPLATE: Final = ":template"
"""How the key of the row ends that says as a template what was too late to be said freely."""


def closed(conn: Connection, row: OutboxRow, moment: datetime) -> bool:
    """Whether only a template would arrive now: the user has not written for 24 hours, or a reply since then
    was refused for that. What has begun one way goes on that way."""
    if row.body.get("window_closed") or row.body["next"] != [START.piece, START.part]:
        return bool(row.body.get("window_closed"))
    heard = turns.last_heard(conn, row.session_id)
    if heard is None:
        return False
    return moment - heard >= WINDOW or receipts.too_late_since(conn, row.session_id, heard)


def conclude(conn: Connection, owner: tuple[str, str], moment: datetime, templated: Collection[str]) -> bool:
    """Let a row (session, id) that nobody is sending say what was reported about it.

    True: it came too late, its provider (one of `templated`) has a template, and that is queued, once.
    """
    receipts.judge(conn, *owner, moment)
    row = outbox.locked(conn, *owner)
    if row is None or row.state != OutboxState.DEAD or row.body["provider"] not in templated:
        return False
    if row.body.get("window_closed") or not receipts.too_late(conn, *owner):
        return False
    key = f"{row.idempotency_key}{TEMPLATE}"
    if outbox.keyed(conn, row.session_id, key) is not None:
        return False
    body = {**row.body, "next": [START.piece, START.part], "references": [], "window_closed": True}
    again = replace(
        row, id=new_id(), body=body, idempotency_key=key, state=OutboxState.QUEUED, attempts=0, due_at=moment,
        error=None, created_at=moment, finished_at=None,
    )  # fmt: skip
    outbox.add(conn, [again])
    return True
