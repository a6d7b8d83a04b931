"""Test vectors of webhooks: run one through its adapter and say what differs from what it expects.

A vector is a JSON object: provider, scheme, method, url, headers (or headers_list, where a name may stand
twice), body_b64, secrets, shared_keys, now, tolerance_sec and `valid`; and what a valid one holds: event,
message_id, sender, text, reply_id, chat_id, dedupe_key, messages, response_body, response_content_type,
http_expected.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from ..messages import Json
from .base import BadSignature, Channel, Delivery, Ignored, Incoming, Malformed, NotReady, WebhookRequest
from .bird import BirdChannel
from .chatwoot import ChatwootChannel
from .d360 import D360Channel
from .generic import GenericChannel
from .messagebird import MessageBirdChannel
from .meta import MetaChannel
from .n8n import N8nChannel
from .slack import SlackChannel
from .standard import StandardChannel
from .telegram import TelegramChannel
from .twilio import TwilioChannel
from .ycloud import YCloudChannel

_Secrets = tuple[str, ...]
MAKERS: Final[dict[str, Callable[[_Secrets, int, Mapping[str, str]], Channel]]] = {
    "generic": lambda secrets, tolerance, _: GenericChannel(secrets, tolerance),
    "n8n": lambda secrets, tolerance, _: N8nChannel(secrets, tolerance),
    "twilio": lambda secrets, _, shared: TwilioChannel(secrets, shared),
    "meta": lambda secrets, _tolerance, _shared: MetaChannel(secrets, verify_tokens=secrets),
    "ycloud": lambda secrets, tolerance, _: YCloudChannel(secrets, tolerance),
    "standard": lambda secrets, tolerance, _: StandardChannel(secrets, tolerance),
    "telegram": lambda secrets, _tolerance, _shared: TelegramChannel(secrets),
    "slack": lambda secrets, tolerance, _: SlackChannel(secrets, tolerance),
    "chatwoot": lambda secrets, tolerance, _: ChatwootChannel(secrets, tolerance),
    "360dialog": lambda secrets, _tolerance, _shared: D360Channel(secrets),
    "bird": lambda secrets, tolerance, _: BirdChannel(secrets, tolerance),
    "messagebird": lambda secrets, tolerance, _: MessageBirdChannel(secrets, tolerance),
}
SAME_AS: Final = {"svix": "standard", "standard_webhooks": "standard"}
_OURS: Final = frozenset(
    ["text", "button_reply", "list_reply", "media", "location", "status", "echo", "edited", "handshake"]
)
"""Events that mean the same here and in a vector. Of others only that no message comes of them is checked."""

_NO_MESSAGE: Final = frozenset(["voice", "json", "event", "reaction", "bot", "unsupported"])


def differences(vector: Mapping[str, Json]) -> list[str]:
    """What went otherwise than the vector says, a sentence each; nothing when it passed.

    Raises ValueError for what is no vector.
    """
    channel, request, now = _prepared(vector)
    try:
        delivery = channel.receive(request, now)
    except (BadSignature, NotReady) as error:
        return [f"refused: {getattr(error, 'why', error.detail)}"] if vector["valid"] else []
    except Malformed as error:
        return [] if vector["valid"] and _unreadable(vector) else [f"malformed: {error.detail}"]
    if not vector["valid"]:
        return ["accepted, and it must not be"]
    return list(_in_delivery(vector, delivery))


def _prepared(vector: Mapping[str, Json]) -> tuple[Channel, WebhookRequest, datetime]:
    try:
        name = str(vector["provider"])
        maker = MAKERS[SAME_AS.get(name, name)]
        secrets = tuple(str(secret) for secret in vector["secrets"] or ())
        channel = maker(secrets, int(vector["tolerance_sec"]), vector.get("shared_keys") or {})
        listed = vector.get("headers_list") or list((vector["headers"] or {}).items())
        headers = tuple((str(name), str(value)) for name, value in listed)
        body = base64.b64decode(vector["body_b64"], validate=True)
        request = WebhookRequest(str(vector["method"]), str(vector["url"]), headers, body)
        _ = vector["valid"]
        return channel, request, datetime.fromtimestamp(int(vector["now"]), UTC)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise ValueError(f"no vector: {type(error).__name__} {error}") from None


def _unreadable(vector: Mapping[str, Json]) -> bool:
    """Whether 400 is a right answer to this authentic body: it is asked for, or nothing is expected in it."""
    if vector.get("http_expected") is not None or vector.get("event") == "invalid_payload":
        return bool(vector.get("http_expected", 400) == 400)
    content = any(vector.get(key) is not None for key in ("message_id", "sender", "text", "messages"))
    return not content and str(vector.get("event")) not in _OURS


def _in_delivery(vector: Mapping[str, Json], delivery: Delivery) -> Iterator[str]:
    event = str(vector.get("event"))
    if event in _OURS and delivery.event != event:
        yield f"event: {delivery.event}, not {event}"
    if event in _NO_MESSAGE and delivery.messages:
        yield f"a message, where {event} has none"
    yield from _ids(vector, delivery)
    if delivery.messages:
        yield from _in_message(vector, delivery.messages[0])
    yield from _in_response(vector, delivery)
    if vector.get("messages") is not None:
        yield from _several(vector["messages"], delivery)


def _ids(vector: Mapping[str, Json], delivery: Delivery) -> Iterator[str]:
    known: list[Incoming | Ignored] = [*delivery.messages, *delivery.ignored]
    keys = [item.event_id for item in delivery.statuses]
    ids = [item.message_id for item in known] + [item.reference for item in delivery.statuses] + keys
    if (expected := vector.get("message_id")) is not None and str(expected) not in ids:
        yield f"message_id: {ids}, not {expected}"
    if (key := vector.get("dedupe_key")) is not None and key not in ids:
        yield f"dedupe_key: {keys}, not {key}"
    senders = [item.sender for item in known]
    if (sender := vector.get("sender")) is not None and known and sender not in senders:
        yield f"sender: {senders}, not {sender}"


def _in_message(vector: Mapping[str, Json], message: Incoming) -> Iterator[str]:
    shown = message.title if message.reply_id is not None else message.text
    seen = {
        "text": (shown, message.reply_id),
        "reply_id": (message.reply_id,),
        "chat_id": (message.reply_to,),
    }
    for key, found in seen.items():
        if (expected := vector.get(key)) is not None and expected not in found:
            yield f"{key}: {found[0]!r}, not {expected!r}"


def _in_response(vector: Mapping[str, Json], delivery: Delivery) -> Iterator[str]:
    answer = delivery.response
    found = {
        "response_body": answer.body.decode("utf-8", "replace"),
        "response_content_type": answer.content_type,
        "http_expected": answer.status,
    }
    for key, value in found.items():
        if vector.get(key) is not None and vector[key] != value:
            yield f"{key}: {value!r}, not {vector[key]!r}"


def _several(expected: Json, delivery: Delivery) -> Iterator[str]:
    """`messages` is how many there are, or a list of their ids, or of objects with what each holds."""
    if isinstance(expected, int) and len(delivery.messages) != expected:
        yield f"{len(delivery.messages)} messages, not {expected}"
    if not isinstance(expected, list):
        return
    if len(delivery.messages) != len(expected):
        yield f"{len(delivery.messages)} messages, not {len(expected)}"
    for item, message in zip(expected, delivery.messages, strict=False):
        wanted = item if isinstance(item, dict) else {"message_id": item}
        if wanted.get("message_id") not in (None, message.message_id):
            yield f"message_id: {message.message_id}, not {wanted['message_id']}"
        if wanted.get("sender") not in (None, message.sender):
            yield f"sender: {message.sender}, not {wanted['sender']}"
        yield from _in_message(wanted, message)
