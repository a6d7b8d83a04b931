"""Slack: events, slash commands and pressed buttons, signed over `v0:timestamp:body`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from ..messages import Json
from .base import Attachment, Channel, Delivery, Ignored, Kind, Malformed, Reply, WebhookRequest
from .reading import (
    Envelope,
    Item,
    ItemError,
    at,
    attachment,
    form_fields,
    form_pairs,
    gather,
    json_object,
    pressed,
    rows,
    said,
    shared,
    word,
)
from .verifying import Signed, check_timed, content_type, header, hex_mac, hex_offer, keys_of, raw

_FORM: Final = "application/x-www-form-urlencoded"
_DIRECT: Final = ("im", "mpim")
_MENTION: Final = re.compile(r"\A\s*<@[A-Z0-9]+(\|[^>]*)?>\s*")


@dataclass(frozen=True, slots=True)
class SlackChannel(Channel):
    """In direct messages everything counts, in channels what mentions the app. The team is the account.

    `X-Slack-Retry-Num` is not signed, so it decides nothing: repeats are told by the event id.
    """

    name: ClassVar[str] = "slack"

    secrets: tuple[str, ...] = field(repr=False)
    tolerance_s: int = 300

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        keys = keys_of(self.secrets, self.name)
        timestamp = header(request, "X-Slack-Request-Timestamp")
        offered = hex_offer(header(request, "X-Slack-Signature"), "v0=")
        content = b"v0:" + raw(timestamp) + b":" + request.body
        expected = [hex_mac(key, content) for key in keys]
        check_timed(Signed(timestamp, content, offered), expected, now, self.tolerance_s)

    def read(self, request: WebhookRequest) -> Delivery:
        if content_type(request) == _FORM:
            return _read_form(form_fields(form_pairs(request.body)))
        body = json_object(request.body)
        if body.get("type") == "url_verification":
            challenge = word(body.get("challenge"))
            if challenge is None:
                raise Malformed("a url_verification without a challenge")
            answer = Reply(200, "text/plain; charset=utf-8", challenge.encode("utf-8", "replace"))
            return Delivery(answer, handshake=True)
        return gather([("body", partial(_event, body))], Reply())


def _read_form(fields: dict[str, str]) -> Delivery:
    if "payload" in fields:
        payload = json_object(fields["payload"])
        return gather([("payload", partial(_interaction, payload))], Reply())
    return gather([("body", partial(_command, fields))], Reply())


def _envelope(
    message_id: str | None, team: Json, user: Json, channel: str, *, direct: bool, thread: Json = None
) -> Envelope:
    return Envelope(
        message_id,
        word(team) or "",
        word(user),
        reply_to=channel,
        group=not direct,
        label="" if direct else channel,
        thread=word(thread),
    )


def _event(body: dict[str, Json]) -> Item:
    event_id, event = word(body.get("event_id")), body.get("event")
    if body.get("type") != "event_callback" or not isinstance(event, dict):
        return Ignored("event", event_id)
    user, subtype = word(event.get("user")), word(event.get("subtype"))
    if event.get("bot_id") or event.get("bot_profile") or subtype == "bot_message":
        return Ignored("echo", event_id, user)
    if subtype in ("message_changed", "message_deleted"):
        return Ignored("edited", event_id, user)
    if not _addressed(event) or subtype not in (None, "file_share"):
        return Ignored("event", event_id, user)
    channel = word(event.get("channel")) or ""
    direct = event.get("channel_type") == "im" or channel.startswith("D")
    thread = event.get("thread_ts")
    envelope = _envelope(event_id, body.get("team_id"), user, channel, direct=direct, thread=thread)
    return _message(envelope, event)


def _addressed(event: dict[str, Json]) -> bool:
    """A mention, or a message in a direct conversation: in channels the same words come as a mention too."""
    if event.get("type") == "app_mention":
        return True
    direct = event.get("channel_type") in _DIRECT or (word(event.get("channel")) or "").startswith("D")
    return event.get("type") == "message" and direct


def _message(envelope: Envelope, event: dict[str, Json]) -> Item:
    raw_text = event.get("text")
    text = _plain(raw_text) if isinstance(raw_text, str) else ""
    if event.get("type") == "app_mention":
        text = _MENTION.sub("", text)
    if found := tuple(_files(event)):
        return shared(envelope, found, text)
    return said(envelope, text, original=not rows(event.get("attachments")))


def _plain(text: str) -> str:
    """Slack's three escapes undone."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _files(event: dict[str, Json]) -> Iterator[Attachment]:
    for file in rows(event.get("files"))[:10]:
        media_type = word(at(file, "mimetype")) or "file"
        yield attachment(media_type.partition("/")[0], media_type, at(file, "id"), at(file, "name"))


def _command(fields: dict[str, str]) -> Item:
    """A slash command: its text is the message; it says who and where like an event."""
    trigger, user, channel = fields.get("trigger_id"), fields.get("user_id"), fields.get("channel_id", "")
    if not fields.get("command"):
        return Ignored("event", trigger, user)
    direct = channel.startswith("D")
    envelope = _envelope(trigger, fields.get("team_id"), user, channel, direct=direct)
    return said(envelope, fields.get("text", ""), original=True)


def _interaction(payload: dict[str, Json]) -> Item:
    trigger, user = word(payload.get("trigger_id")), word(at(payload, "user", "id"))
    action = at(payload, "actions", 0)
    if payload.get("type") != "block_actions" or not isinstance(action, dict):
        return Ignored("event", trigger, user)
    channel = word(at(payload, "channel", "id")) or word(at(payload, "container", "channel_id")) or ""
    team = at(payload, "team", "id") or at(payload, "user", "team_id")
    envelope = _envelope(trigger, team, user, channel, direct=channel.startswith("D"))
    if isinstance(chosen := action.get("selected_option"), dict):
        return _press(envelope, chosen, "list")
    return _press(envelope, action, "button")


def _press(envelope: Envelope, choice: dict[str, Json], kind: Kind) -> Item:
    value = word(choice.get("value"))
    if value is None:
        raise ItemError("a button without a value")
    return pressed(envelope, value, word(at(choice, "text", "text")), kind)
