"""The courier of replies: fills in what is live at this moment, and keeps a receipt for each message."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from ..errors import LaneLost
from ..i18n import text
from ..storage.database import Database, now
from ..storage.repositories import confirmations, outbox, receipts
from ..storage.repositories.outbox import OutboxRow
from ..turn.cards import fill_tokens
from ..turn.outbox import Refused
from ..turn.tokens import Tokens
from . import window
from .base import Card, OutgoingReply, Place, Receipt, Sender
from .statuses import LONGEST_REFERENCE


class ReplyCourier:
    """Delivers rows of the kind `reply` through the sender of their provider."""

    def __init__(self, database: Database, senders: Mapping[str, Sender], tokens: Tokens) -> None:
        self._database = database
        self._senders = senders
        self._tokens = tokens

    async def deliver(self, row: OutboxRow) -> None:
        """Send what is left of a reply. Raises Refused or Ambiguous; LaneLost when the row was taken away."""
        provider = row.body["provider"]
        sender = self._senders.get(provider)
        if sender is None:
            raise Refused(f"{provider}: nothing to send with; its API is not configured", final=True)
        live, closed = dict[str, str](), False
        if row.body["cards"] or sender.traits.windowed:
            live, closed = await self._database.read(lambda conn: self._of_this_moment(conn, row, sender))
        reply = _reply(row, live, closed)
        kept, reports = Kept(row), sender.traits.reports
        async for receipt in sender.send(reply, row.idempotency_key, Place(*row.body["next"])):
            body = kept.after(receipt)
            await self._database.run(lambda conn, body=body: _keep(conn, row, body, reports))  # type: ignore[misc]

    def settled(self, conn: Connection, row: OutboxRow, moment: datetime) -> bool:
        """What was reported while it was sent counts now."""
        sender = self._senders.get(row.body["provider"])
        if sender is None or not sender.traits.reports:
            return False
        return window.conclude(conn, (row.session_id, row.id), moment, self.templated)

    def repeatable(self, row: OutboxRow) -> bool:
        """Whether this reply's provider recognises a message that it had already."""
        sender = self._senders.get(row.body["provider"])
        return sender is not None and sender.repeatable

    @property
    def templated(self) -> frozenset[str]:
        """The providers with a template for after WhatsApp's 24 hours."""
        return frozenset(name for name, sender in self._senders.items() if sender.traits.templated)

    def _of_this_moment(
        self, conn: Connection, row: OutboxRow, sender: Sender
    ) -> tuple[dict[str, str], bool]:
        """The tokens of the cards that still wait for this user, and whether only a template would arrive."""
        moment = now(conn)
        pending = confirmations.pending(conn, row.session_id, moment) if row.body["cards"] else ()
        live = {item.id: self._tokens.of(item.id) for item in pending if item.approver == "user"}
        return live, sender.traits.windowed and window.closed(conn, row, moment)


def _reply(row: OutboxRow, live: Mapping[str, str], window_closed: bool) -> OutgoingReply:
    body = row.body
    return OutgoingReply(
        account=body["account"],
        user=body["user"],
        reply_to=body["reply_to"],
        text=body["text"],
        cards=tuple(_card(card, live, body["locale"]) for card in body["cards"]),
        thread=body["thread"],
        callback_id=body["callback_id"],
        window_closed=window_closed,
    )


class Kept:
    """The row's body as it grows with each receipt."""

    def __init__(self, row: OutboxRow) -> None:
        self._body = dict(row.body)

    def after(self, receipt: Receipt) -> Mapping[str, Any]:
        """The body with one more receipt in it."""
        body, place = self._body, receipt.resume
        body |= {"next": [place.piece, place.part], "references": [*body["references"], receipt.reference]}
        body["window_closed"] = receipt.as_template
        return dict(body)


def _card(card: Mapping[str, str], live: Mapping[str, str], locale: str) -> Card:
    """A card with its token where it still waits for this user; otherwise it says so and has no buttons."""
    token = live.get(card["confirmation"])
    return Card(
        fill_tokens(card["text"], live, locale),
        f"confirm:{token}" if token else None,
        f"cancel:{token}" if token else None,
        text("button_confirm", locale),
        text("button_cancel", locale),
    )


def _keep(conn: Connection, row: OutboxRow, body: Mapping[str, Any], reports: bool) -> None:
    if not outbox.progress(conn, row, body):
        raise LaneLost("this delivery was given up while it was sent")
    references: Sequence[str] = body["references"]
    if reports and len(references[-1]) <= LONGEST_REFERENCE:
        receipts.link(conn, row, references[-1], now(conn))
