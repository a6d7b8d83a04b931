"""Chatwoot: hex HMAC over `timestamp.body`; only what a contact wrote counts, or the agent answers itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from ..messages import Json
from .base import Attachment, Channel, Delivery, Ignored, Reply, WebhookRequest
from .generic import HmacHeaders, verify_body
from .reading import (
    Envelope,
    Item,
    at,
    attachment,
    gather,
    json_object,
    place,
    pressed,
    rows,
    said,
    shared,
    word,
)
from .verifying import keys_of

_HEADERS: Final = HmacHeaders("X-Chatwoot-Timestamp", "X-Chatwoot-Signature", several=False)


@dataclass(frozen=True, slots=True)
class ChatwootChannel(Channel):
    """The account is Chatwoot's, the answer goes to the conversation, which is also the session's label."""

    name: ClassVar[str] = "chatwoot"

    secrets: tuple[str, ...] = field(repr=False)
    tolerance_s: int = 300

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        verify_body(request, keys_of(self.secrets, self.name), _HEADERS, now, self.tolerance_s)

    def read(self, request: WebhookRequest) -> Delivery:
        return gather([("body", partial(_event, json_object(request.body)))], Reply())


def _event(event: dict[str, Json]) -> Item:
    message_id, kind = word(event.get("id")), event.get("event")
    if kind == "message_updated":
        return _updated(event, message_id)
    if kind != "message_created":
        return Ignored("event", message_id)
    sender = event.get("sender")
    if event.get("message_type") != "incoming" or event.get("private") is not False or _staff(sender):
        return Ignored("echo", message_id)
    envelope = _envelope(event, message_id, sender)
    text = event.get("content")
    text = text if isinstance(text, str) else ""
    if found := tuple(_attachments(event)):
        return shared(envelope, found, text)
    return said(envelope, text, original=at(event, "content_attributes", "in_reply_to") is None)


def _envelope(event: dict[str, Json], message_id: str | None, contact: Json) -> Envelope:
    user, conversation = word(at(contact, "id")), word(at(event, "conversation", "id"))
    return Envelope(
        message_id,
        word(at(event, "account", "id")) or "",
        user,
        reply_to=conversation or "",
        sender=next(filter(None, (word(at(contact, key)) for key in _ADDRESSES)), user),
        label=conversation or "",
        name=word(at(contact, "name")),
    )


def _updated(event: dict[str, Json], message_id: str | None) -> Item:
    """A choice of ours that the conversation's contact has made shows as an update of our own message; every
    other update is an edit."""
    choice = at(event, "content_attributes", "submitted_values", 0)
    payload, contact = word(at(choice, "value")), at(event, "conversation", "meta", "sender")
    if (
        event.get("content_type") != "input_select"
        or payload is None
        or message_id is None
        or _staff(contact)
    ):
        return Ignored("edited", message_id)
    return pressed(
        _envelope(event, f"{message_id}:{payload}", contact), payload, word(at(choice, "title")), "list"
    )


_ADDRESSES: Final = ("phone_number", "identifier", "email")


def _staff(sender: Json) -> bool:
    return at(sender, "type") in ("user", "agent_bot", "captain_assistant")


def _attachments(event: dict[str, Json]) -> Iterator[Attachment]:
    for file in rows(event.get("attachments"))[:10]:
        kind = word(at(file, "file_type")) or "file"
        if kind == "location":
            name = at(file, "fallback_title")
            yield place(at(file, "coordinates_lat"), at(file, "coordinates_long"), name)
        else:
            yield attachment(kind, reference=at(file, "data_url"))
