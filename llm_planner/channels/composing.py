"""A stored message as its provider's webhook body again, to try it on a server of one's own."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

_PHONE: Final = re.compile(r"\+?[0-9]{5,20}")


@dataclass(frozen=True, slots=True)
class Stored:
    """A plain text as it was taken: its id, whose it is (session key), where it is answered, and what it says.

    `label` is the group or conversation that it came from, "" for the private one.
    """

    message_id: str
    account: str
    user: str
    label: str
    reply_to: str
    thread: str | None
    text: str


Composer = Callable[[Stored], dict[str, Any]]


def compose(provider: str, message: Stored) -> bytes:
    """A body that the adapter reads as this very message. Raises KeyError for a provider that is not there."""
    fields = COMPOSERS[provider](message)
    if provider == "twilio":
        return urlencode(fields).encode()
    return json.dumps(fields, ensure_ascii=False).encode()


def _plain(message: Stored) -> dict[str, Any]:
    return {"message_id": message.message_id, "from": message.user, "text": message.text}


def _standard(message: Stored) -> dict[str, Any]:
    return {"type": "message.received", "data": {"from": message.user, "text": message.text}}


def _twilio(message: Stored) -> dict[str, Any]:
    return {
        "MessageSid": message.message_id,
        "From": message.user,
        "To": message.account,
        "Body": message.text,
        "NumMedia": "0",
    }


def _cloud_text(message: Stored, phone: str | None) -> dict[str, Any]:
    inner: dict[str, Any] = {"id": message.message_id, "timestamp": "0", "type": "text"}
    inner["text"] = {"body": message.text}
    return inner | ({"from": phone} if phone else {})


def _phone_of(message: Stored) -> str | None:
    """The sender's number: what is answered in private, or what the user is known by."""
    return next((found for found in (message.reply_to, message.user) if _PHONE.fullmatch(found)), None)


def _meta(message: Stored) -> dict[str, Any]:
    phone = _phone_of(message)
    inner = _cloud_text(message, phone)
    if message.user != phone:
        inner["from_user_id"] = message.user
    if message.label:
        inner["group_id"] = message.label
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": message.account}}
    change = {"field": "messages", "value": value | {"messages": [inner]}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": [change]}]}


def _ycloud(message: Stored) -> dict[str, Any]:
    if message.user.startswith("sms:"):
        number = message.user.removeprefix("sms:")
        sms = {"id": message.message_id, "from": number, "to": message.account, "text": message.text}
        return {"id": message.message_id, "type": "sms.inbound.received", "smsInbound": sms}
    phone = _phone_of(message)
    inner = _cloud_text(message, phone) | {"to": message.account}
    if message.user != phone:
        inner["fromUserId"] = message.user
    if message.label:
        inner["groupId"] = message.label
    kind = "whatsapp.inbound_message.received"
    return {"id": message.message_id, "type": kind, "whatsappInboundMessage": inner}


def _telegram(message: Stored) -> dict[str, Any]:
    chat = {"id": message.reply_to, "type": "supergroup" if message.label else "private"}
    sender = {"id": message.user, "is_bot": False}
    inner: dict[str, Any] = {"message_id": 1, "from": sender, "chat": chat, "text": message.text}
    if message.thread is not None:
        inner |= {"is_topic_message": True, "message_thread_id": message.thread}
    return {"update_id": message.message_id, "message": inner}


def _slack(message: Stored) -> dict[str, Any]:
    kind = {"type": "app_mention"} if message.label else {"type": "message", "channel_type": "im"}
    shown = message.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    event = kind | {"channel": message.reply_to, "user": message.user, "text": shown}
    if message.thread is not None:
        event["thread_ts"] = message.thread
    return {
        "type": "event_callback",
        "event_id": message.message_id,
        "team_id": message.account,
        "event": event,
    }


def _chatwoot(message: Stored) -> dict[str, Any]:
    return {
        "event": "message_created",
        "id": message.message_id,
        "content": message.text,
        "message_type": "incoming",
        "private": False,
        "sender": {"id": message.user, "type": "contact"},
        "conversation": {"id": message.reply_to},
        "account": {"id": message.account},
    }


def _bird(message: Stored) -> dict[str, Any]:
    contact = {"id": message.user, "identifierValue": message.reply_to}
    payload = {
        "id": message.message_id,
        "channelId": message.account,
        "sender": {"contact": contact},
        "body": {"type": "text", "text": {"text": message.text}},
    }
    return {"event": "whatsapp.inbound", "payload": payload}


def _messagebird(message: Stored) -> dict[str, Any]:
    inner = {
        "id": message.message_id,
        "channelId": message.account,
        "direction": "received",
        "type": "text",
        "from": message.user,
        "content": {"text": message.text},
    }
    return {
        "type": "message.created",
        "contact": {"id": message.user},
        "conversation": {"id": message.reply_to},
        "message": inner,
    }


COMPOSERS: Final[dict[str, Composer]] = {
    "generic": _plain,
    "twilio": _twilio,
    "meta": _meta,
    "ycloud": _ycloud,
    "standard": _standard,
    "telegram": _telegram,
    "slack": _slack,
    "chatwoot": _chatwoot,
    "n8n": _plain,
    "360dialog": _meta,
    "bird": _bird,
    "messagebird": _messagebird,
}
