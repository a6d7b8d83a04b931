"""YCloud (WhatsApp and SMS): one event a request, `t=…,s=…` in one header over `timestamp.body`."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from ..messages import Json
from .base import BadSignature, Channel, Delivery, Ignored, Reply, StatusUpdate, WebhookRequest
from .cloud_api import STATES, message_of
from .reading import Envelope, Item, ItemError, at, gather, json_object, said, word
from .verifying import Signed, check_timed, header, hex_mac, hex_offer, keys_of, raw

_INBOUND: Final = "whatsapp.inbound_message.received"
_UPDATED: Final = "whatsapp.message.updated"
_SMS: Final = "sms.inbound.received"


@dataclass(frozen=True, slots=True)
class YCloudChannel(Channel):
    """`secrets` are used as they are (their `whsec_` is not base64). Repeats carry the same event id."""

    name: ClassVar[str] = "ycloud"

    secrets: tuple[str, ...] = field(repr=False)
    tolerance_s: int = 300

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        keys = keys_of(self.secrets, self.name)
        parts = [part.partition("=") for part in header(request, "YCloud-Signature").split(",")]
        given = {name: value for name, _, value in parts}
        if len(parts) != 2 or set(given) != {"t", "s"}:
            raise BadSignature("the signature header is not t=…,s=…")
        content = raw(given["t"]) + b"." + request.body
        signed = Signed(given["t"], content, hex_offer(given["s"], ""))
        check_timed(signed, [hex_mac(key, content) for key in keys], now, self.tolerance_s)

    def read(self, request: WebhookRequest) -> Delivery:
        return gather([("body", partial(_event, json_object(request.body)))], Reply())


def _event(event: dict[str, Json]) -> Item:
    event_id, kind = word(event.get("id")), word(event.get("type"))
    if event_id is None:
        raise ItemError("no id")
    if kind == _INBOUND and isinstance(message := event.get("whatsappInboundMessage"), dict):
        return _whatsapp(event_id, message)
    if kind == _UPDATED and isinstance(message := event.get("whatsappMessage"), dict):
        return _status(event_id, message)
    if kind == _SMS and isinstance(message := event.get("smsInbound"), dict):
        return _sms(event_id, message)
    return Ignored("event", event_id)


def _whatsapp(event_id: str, message: dict[str, Json]) -> Item:
    phone, user_id = word(message.get("from")), word(message.get("fromUserId"))
    group = word(message.get("groupId"))
    envelope = Envelope(
        event_id,
        word(message.get("to")) or "",
        user_id or phone,
        reply_to=group or phone or user_id or "",
        sender=phone or user_id,
        group=group is not None,
        label=group or "",
        name=word(at(message, "customerProfile", "name")),
    )
    return message_of(message, envelope)


def _sms(event_id: str, message: dict[str, Json]) -> Item:
    """An SMS; its sender is not the WhatsApp user of the same number, and is answered by SMS."""
    phone, text = word(message.get("from")), message.get("text")
    user = f"sms:{phone}" if phone else None
    envelope = Envelope(event_id, word(message.get("to")) or "", user, reply_to=user or "", sender=phone)
    return said(envelope, text if isinstance(text, str) else "", original=True)


def _status(event_id: str, message: dict[str, Json]) -> Item:
    reference, state = word(message.get("wamid")) or word(message.get("id")), word(message.get("status"))
    if reference is None or state not in STATES:
        return Ignored("event", event_id)
    code = word(message.get("errorCode")) or word(at(message, "whatsappApiError", "code"))
    return StatusUpdate(event_id, reference, STATES[state], code, word(message.get("externalId")))
