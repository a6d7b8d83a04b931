"""Home-made senders: HMAC-SHA256 over `timestamp.body`, and JSON with message_id, from and text."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final

from .base import Channel, Delivery, Malformed, Reply, WebhookRequest
from .reading import Envelope, Item, gather, json_object, pressed, said, word
from .verifying import Signed, check_timed, header, hex_mac, hex_offer, hex_offers, keys_of, raw

ACCEPTED: Final = Reply(202, "application/json", b'{"status":"accepted"}')
_MESSAGE_ID: Final = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class HmacHeaders:
    """Where a sender of the `timestamp.body` family puts its timestamp and its signature, or several."""

    timestamp: str = "X-Provider-Timestamp"
    signature: str = "X-Provider-Signature"
    prefix: str = "sha256="
    several: bool = True


@dataclass(frozen=True, slots=True)
class GenericChannel(Channel):
    """`secrets` current first; `account` names the sender, `headers` where its signature stands."""

    name: ClassVar[str] = "generic"

    secrets: tuple[str, ...] = field(repr=False)
    tolerance_s: int = 300
    account: str = ""
    headers: HmacHeaders = field(default_factory=HmacHeaders)

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        verify_body(request, keys_of(self.secrets, self.name), self.headers, now, self.tolerance_s)

    def read(self, request: WebhookRequest) -> Delivery:
        return read_message(request.body, self.account)


def verify_body(
    request: WebhookRequest, keys: tuple[bytes, ...], headers: HmacHeaders, now: datetime, tolerance_s: int
) -> None:
    """Check hex HMAC-SHA256 over `timestamp.body`."""
    timestamp, offered = header(request, headers.timestamp), header(request, headers.signature)
    content = raw(timestamp) + b"." + request.body
    offers = (hex_offers if headers.several else hex_offer)(offered, headers.prefix)
    signed = Signed(timestamp, content, offers)
    check_timed(signed, (hex_mac(key, content) for key in keys), now, tolerance_s)


def read_message(body: bytes, account: str) -> Delivery:
    """One message `{"message_id", "from", "text", "reply_id"?}`; a wrong shape is Malformed."""
    fields = json_object(body)
    message_id, user, text = word(fields.get("message_id")), word(fields.get("from")), fields.get("text")
    reply_id = word(fields.get("reply_id"))
    if message_id is None or not _MESSAGE_ID.fullmatch(message_id):
        raise Malformed("message_id: 1 to 128 characters from ! to ~")
    if user is None:
        raise Malformed("from: who wrote, as text")
    if not isinstance(text, str) or not (text.strip() or reply_id):
        raise Malformed("text: what was written, not empty")
    envelope = Envelope(message_id, account, user, reply_to=user)

    def message() -> Item:
        return pressed(envelope, reply_id, text) if reply_id else said(envelope, text, original=True)

    return sole(message, ACCEPTED)


def sole(message: Callable[[], Item], response: Reply) -> Delivery:
    """A delivery of one item to a sender that should hear about it: what is wrong with it is Malformed."""
    delivery = gather([("body", message)], response)
    if delivery.rejected:
        raise Malformed(delivery.rejected[0].reason)
    return delivery
