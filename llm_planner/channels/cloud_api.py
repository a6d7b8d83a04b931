"""The WhatsApp Cloud API's message shape, which Meta, 360dialog and (inside its events) YCloud share."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from ..messages import Json
from .base import Delivery, Ignored, Reply, State, StatusUpdate
from .reading import (
    Envelope,
    Item,
    ItemError,
    at,
    attachment,
    gather,
    place,
    pressed,
    rows,
    said,
    shared,
    word,
)

RECEIVED: Final = Reply(200)
"""Exactly 200: anything else is sent again for seven days."""

STATES: Final[dict[str, State]] = {
    "accepted": "accepted", "sent": "sent", "delivered": "delivered", "read": "read", "played": "read",
    "failed": "failed",
}  # fmt: skip
_MEDIA: Final = frozenset(["image", "video", "audio", "voice", "document", "sticker"])
_REPLIES: Final = {"button_reply": "button", "list_reply": "list"}


def read_updates(body: dict[str, Json], account: str) -> Delivery:
    """Every message and status of a batch. With `account`, items of another phone number id are rejected."""
    return gather(_jobs(body, account), RECEIVED)


def _jobs(body: dict[str, Json], account: str) -> Iterator[tuple[str, Callable[[], Item]]]:
    for number, entry in enumerate(rows(body.get("entry"))):
        for index, change in enumerate(rows(at(entry, "changes"))):
            where, value = f"entry[{number}].changes[{index}]", at(change, "value")
            if at(change, "field") != "messages":
                yield where, partial(Ignored, "event")
                continue
            for position, message in enumerate(rows(at(value, "messages"))):
                yield f"{where}.messages[{position}]", partial(_message, value, message, account)
            for position, status in enumerate(rows(at(value, "statuses"))):
                yield f"{where}.statuses[{position}]", partial(_status, value, status, account)


def _account(value: Json, expected: str) -> str:
    found = word(at(value, "metadata", "phone_number_id")) or ""
    if expected and found != expected:
        raise ItemError("another account")
    return found


def _message(value: Json, message: Json, expected: str) -> Item:
    if not isinstance(message, dict):
        raise ItemError("no object")
    phone, contact = word(message.get("from")), _contact(value, message)
    user_id = word(message.get("from_user_id")) or word(at(contact, "user_id"))
    message_id = word(message.get("id"))
    account = _account(value, expected)
    if phone and phone == word(at(value, "metadata", "display_phone_number")):
        return Ignored("echo", message_id, phone)
    group = word(message.get("group_id"))
    envelope = Envelope(
        message_id,
        account,
        user_id or phone,
        reply_to=group or phone or user_id or "",
        sender=phone or user_id,
        group=group is not None,
        label=group or "",
        name=word(at(contact, "profile", "name")),
    )
    return message_of(message, envelope)


def _contact(value: Json, message: dict[str, Json]) -> Json:
    """The contact that a message is from, by either id; in a batch contacts have no order to rely on."""
    ids = {word(message.get("from")), word(message.get("from_user_id"))} - {None}
    for contact in rows(at(value, "contacts")):
        if ids & {word(at(contact, "wa_id")), word(at(contact, "user_id"))}:
            return contact
    return None


def message_of(message: dict[str, Json], envelope: Envelope) -> Item:
    """What one message says, by its type. Reactions, edits and types that nobody can answer are ignored."""
    kind = word(message.get("type")) or ""
    if kind == "text":
        return said(envelope, _text(message), original=_original(message))
    if kind in ("interactive", "button"):
        return _choice(message, envelope)
    if kind == "location":
        spot = message.get("location")
        name = word(at(spot, "name")) or word(at(spot, "address"))
        return shared(envelope, [place(at(spot, "latitude"), at(spot, "longitude"), name)])
    if kind in _MEDIA:
        return _media(message, kind, envelope)
    if kind == "contacts":
        names = [at(card, "name", "formatted_name") for card in rows(message.get("contacts"))]
        return shared(envelope, [attachment("contact", name=name) for name in names[:10]])
    reason = {"reaction": "reaction", "edit": "edited", "revoke": "edited"}.get(kind, "unsupported")
    return Ignored(reason, envelope.message_id, envelope.sender)


def _text(message: dict[str, Json]) -> str:
    text = at(message, "text", "body")
    if not isinstance(text, str):
        raise ItemError("a text without a body")
    return text


def _original(message: dict[str, Json]) -> bool:
    """Whether the sender wrote it here: WhatsApp marks forwarded messages, and `context.id` a quoted one."""
    context = message.get("context")
    if not isinstance(context, dict):
        return True
    return not any(context.get(mark) for mark in ("forwarded", "frequently_forwarded", "id"))


def _choice(message: dict[str, Json], envelope: Envelope) -> Item:
    """A reply button, a list row, or the quick reply of a template. Other interactive answers are ignored."""
    if message.get("type") == "button":
        payload, title = word(at(message, "button", "payload")), word(at(message, "button", "text"))
        kind = "button_reply"
    else:
        kind = word(at(message, "interactive", "type")) or ""
        if kind not in _REPLIES:
            return Ignored("unsupported", envelope.message_id, envelope.sender)
        payload, title = (word(at(message, "interactive", kind, key)) for key in ("id", "title"))
    if payload is None:
        raise ItemError("a button without a payload")
    return pressed(envelope, payload, title, "list" if kind == "list_reply" else "button")


def _media(message: dict[str, Json], kind: str, envelope: Envelope) -> Item:
    media = message.get(kind)
    reference = word(at(media, "link")) or word(at(media, "id"))
    if reference is None:
        raise ItemError("media without an id")
    caption = at(media, "caption")
    found = attachment(kind, at(media, "mime_type"), reference, at(media, "filename"))
    return shared(envelope, [found], caption if isinstance(caption, str) else "")


def _status(value: Json, status: Json, expected: str) -> Item:
    _account(value, expected)
    reference, state = word(at(status, "id")), word(at(status, "status"))
    if reference is None or state is None:
        raise ItemError("a status without id or state")
    if state not in STATES:
        return Ignored("event", reference)
    return StatusUpdate(
        f"{reference}:{state}",
        reference,
        STATES[state],
        word(at(status, "errors", 0, "code")),
        word(at(status, "biz_opaque_callback_data")),
    )
