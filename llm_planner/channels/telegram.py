"""Telegram's Bot API: a static token in a header, one update a request, an answer that may call back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from ..messages import Json
from .base import Attachment, Channel, Delivery, Ignored, Reply, WebhookRequest
from .reading import (
    Envelope,
    Item,
    ItemError,
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
from .verifying import check_static, header, keys_of

_FILES: Final = ("document", "audio", "voice", "video", "video_note", "animation", "sticker")
_EDITS: Final = ("edited_message", "edited_channel_post", "edited_business_message")
_NOT_ORIGINAL: Final = (
    "forward_origin", "forward_from", "forward_from_chat", "forward_sender_name", "forward_date",
    "reply_to_message", "external_reply", "quote", "via_bot",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TelegramChannel(Channel):
    """`secrets` are the tokens given to setWebhook, `account` is the bot's id: updates don't name it.

    The token proves who sent, not what: nothing in an update is signed.
    """

    name: ClassVar[str] = "telegram"

    secrets: tuple[str, ...] = field(repr=False)
    account: str = ""

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        keys = keys_of(self.secrets, self.name)
        check_static(header(request, "X-Telegram-Bot-Api-Secret-Token"), keys)

    def read(self, request: WebhookRequest) -> Delivery:
        update = json_object(request.body)
        return gather([("body", partial(self._update, update))], _answer(update))

    def _update(self, update: dict[str, Json]) -> Item:
        update_id = word(update.get("update_id"))
        if update_id is None:
            raise ItemError("no id")
        if isinstance(query := update.get("callback_query"), dict):
            return self._press(update_id, query)
        if isinstance(message := update.get("message"), dict):
            return self._message(update_id, message)
        edited = next((update[name] for name in _EDITS if name in update), None)
        reason = "event" if edited is None else "edited"
        return Ignored(reason, update_id, word(at(edited, "from", "id")))

    def _envelope(self, update_id: str, user: Json, message: dict[str, Json]) -> Envelope:
        group, chat = at(message, "chat", "type") != "private", word(at(message, "chat", "id"))
        names = [word(at(user, key)) for key in ("first_name", "last_name")]
        in_topic = message.get("is_topic_message") is True
        return Envelope(
            update_id,
            self.account,
            word(at(user, "id")),
            reply_to=chat or "",
            group=group,
            label=chat or "" if group else "",
            thread=word(message.get("message_thread_id")) if in_topic else None,
            name=" ".join(filter(None, names)) or None,
        )

    def _message(self, update_id: str, message: dict[str, Json]) -> Item:
        user = message.get("from")
        if at(user, "is_bot") is True:
            return Ignored("echo", update_id, word(at(user, "id")))
        envelope = self._envelope(update_id, user, message)
        if isinstance(text := message.get("text"), str):
            return said(envelope, text, original=not any(mark in message for mark in _NOT_ORIGINAL))
        caption = message.get("caption")
        if found := tuple(_attachments(message)):
            return shared(envelope, found, caption if isinstance(caption, str) else "")
        return Ignored("unsupported", update_id, envelope.user)

    def _press(self, update_id: str, query: dict[str, Json]) -> Item:
        """A press belongs to who pressed; one on a message that is not shown to us is answered in private."""
        message, user, data = query.get("message"), query.get("from"), word(query.get("data"))
        if data is None:
            return Ignored("unsupported", update_id, word(at(user, "id")))
        seen = message if isinstance(message, dict) else {"chat": {"id": at(user, "id")}}
        return pressed(self._envelope(update_id, user, seen), data, _label(seen, data))


def _answer(update: dict[str, Json]) -> Reply:
    """200; for a press with the call that stops the button's spinner, which Telegram runs from the answer."""
    query_id = word(at(update, "callback_query", "id"))
    if query_id is None:
        return Reply()
    call = {"method": "answerCallbackQuery", "callback_query_id": query_id}
    return Reply(200, "application/json", json.dumps(call).encode())


def _label(message: dict[str, Json], data: str) -> str | None:
    for line in rows(at(message, "reply_markup", "inline_keyboard")):
        for button in rows(line):
            if at(button, "callback_data") == data:
                return word(at(button, "text"))
    return None


def _attachments(message: dict[str, Json]) -> Iterator[Attachment]:
    if photos := rows(message.get("photo")):
        yield attachment("image", reference=at(photos[-1], "file_id"))
    for kind in _FILES:
        if isinstance(media := message.get(kind), dict):
            yield attachment(kind, at(media, "mime_type"), at(media, "file_id"), at(media, "file_name"))
    if isinstance(spot := message.get("location"), dict):
        yield place(spot.get("latitude"), spot.get("longitude"), at(message, "venue", "title"))
    if isinstance(card := message.get("contact"), dict):
        yield attachment("contact", name=card.get("first_name"))
