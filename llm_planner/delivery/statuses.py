"""Status updates: what a provider tells about a message of ours moves the row of the outbox, forwards only."""

import re
from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection

from ..channels import StatusUpdate
from ..storage.database import Database, now
from ..storage.repositories import outbox, receipts, turns
from ..storage.repositories.outbox import OutboxRow, Settlement
from ..storage.states import OutboxState
from ..turn.outbox import REPLY, Nudge
from .window import TEMPLATE, conclude

LONGEST_REFERENCE: Final = 255
_LONGEST_CODE: Final = 64
_OURS: Final = re.compile(rf"({REPLY}:([0-9a-f-]{{36}})(?:{TEMPLATE})?)\.([0-9]{{1,4}})\.([0-9]{{1,4}})")


class Statuses:
    """Applies the updates of verified deliveries; each is one transaction, and repeats change nothing."""

    def __init__(self, database: Database, nudge: Nudge, templated: Collection[str] = ()) -> None:
        self._database = database
        self._nudge = nudge
        self._templated = templated

    async def apply(self, provider: str, update: StatusUpdate) -> None:
        """Find the row by what we gave along or by the provider's id. Raises DatabaseUnavailable."""
        if len(update.reference) > LONGEST_REFERENCE:
            return
        session_id = await self._database.run(lambda conn: self._apply(conn, provider, update))
        if session_id is not None:
            self._nudge.soon(session_id)

    def _apply(self, conn: Connection, provider: str, update: StatusUpdate) -> str | None:
        """The session that has something to send: the rest of a row, or a template for what came too late."""
        moment = now(conn)
        known = _OURS.fullmatch(update.correlation or "")
        row = _row(conn, provider, known.group(2), known.group(1)) if known else None
        code = update.code[:_LONGEST_CODE] if update.code else None
        owner = receipts.tell(conn, (provider, update.reference), (update.status, code), row, moment)
        if row is not None and known is not None and update.status != "failed":
            after = (int(known.group(3)), int(known.group(4)) + 1)
            if row.state == OutboxState.UNKNOWN and list(after) > row.body["next"]:
                _go_on(conn, row, after, update.reference)
                return row.session_id
        late = owner is not None and conclude(conn, owner, moment, self._templated)
        return owner[0] if owner is not None and late else None


def _row(conn: Connection, provider: str, turn_id: str, key: str) -> OutboxRow | None:
    turn = turns.find(conn, turn_id)
    row = outbox.keyed(conn, turn.session_id, key) if turn is not None else None
    return row if row is not None and row.body.get("provider") == provider else None


def _go_on(conn: Connection, row: OutboxRow, after: tuple[int, int], reference: str) -> None:
    """The message whose answer was lost has arrived after all: only what comes after it is still to be sent."""
    body = {**row.body, "next": list(after), "references": [*row.body["references"], reference]}
    outbox.report(conn, row, Settlement(OutboxState.QUEUED, now(conn)), body)
