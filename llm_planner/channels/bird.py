"""Bird: base64 HMAC over timestamp, URL and the body's raw hash, a line each."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from ..messages import Json
from .base import Channel, Delivery, Ignored, Reply, StatusUpdate, WebhookRequest
from .cloud_api import STATES
from .reading import (
    Envelope,
    Item,
    ItemError,
    at,
    attachment,
    gather,
    json_object,
    place,
    rows,
    said,
    shared,
    word,
)
from .verifying import Signed, base64_mac, check_timed, header, keys_of, raw


@dataclass(frozen=True, slots=True)
class BirdChannel(Channel):
    """`secrets` are signing keys. `account` is used where a payload names no channel."""

    name: ClassVar[str] = "bird"
    signs_url: ClassVar[bool] = True

    secrets: tuple[str, ...] = field(repr=False)
    tolerance_s: int = 300
    account: str = ""

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        keys = keys_of(self.secrets, self.name)
        timestamp = header(request, "messagebird-request-timestamp")
        offered = raw(header(request, "messagebird-signature"))
        digest = hashlib.sha256(request.body).digest()
        content = b"\n".join([raw(timestamp), raw(request.url), digest])
        expected = [base64_mac(key, content) for key in keys]
        check_timed(Signed(timestamp, content, (offered,)), expected, now, self.tolerance_s)

    def read(self, request: WebhookRequest) -> Delivery:
        return gather([("body", partial(self._event, json_object(request.body)))], Reply())

    def _event(self, event: dict[str, Json]) -> Item:
        payload, kind = event.get("payload"), word(event.get("event")) or ""
        message_id = word(at(payload, "id"))
        if kind.endswith(".outbound"):
            return _status(payload, message_id)
        if not kind.endswith(".inbound"):
            return Ignored("event", message_id)
        contact = at(payload, "sender", "contact")
        address = word(at(contact, "identifierValue"))
        envelope = Envelope(
            message_id,
            word(at(payload, "channelId")) or self.account,
            word(at(contact, "id")) or address,
            reply_to=address or "",
            sender=address,
            name=word(at(contact, "annotations", "name")),
        )
        return _said(envelope, at(payload, "body"))


def _said(envelope: Envelope, body: Json) -> Item:
    """A text, files (one list a kind: `image.images`, `file.files`) or a place."""
    kind = word(at(body, "type")) or ""
    text = at(body, kind, "text")
    if kind == "text":
        if not isinstance(text, str):
            raise ItemError("a text without a body")
        return said(envelope, text, original=True)
    if kind == "location":
        spot = at(body, kind, "coordinates")
        name = at(body, kind, "location", "label") or at(body, kind, "location", "address")
        return shared(envelope, [place(at(spot, "latitude"), at(spot, "longitude"), name)])
    if kind not in _FILES:
        return Ignored("unsupported", envelope.message_id, envelope.sender)
    found = [
        attachment(kind, at(one, "contentType"), at(one, "mediaUrl"), at(one, "filename"))
        for one in rows(at(body, kind, f"{kind}s"))[:10]
    ]
    return shared(envelope, found or [attachment(kind)], text if isinstance(text, str) else "")


_FILES: Final = ("image", "file", "video", "audio")


def _status(payload: Json, message_id: str | None) -> Item:
    state = word(at(payload, "status"))
    if message_id is None or state not in STATES:
        return Ignored("event", message_id)
    return StatusUpdate(f"{message_id}:{state}", message_id, STATES[state])
