"""Standard Webhooks, and Svix with its own header names: base64 HMAC-SHA256 over `id.timestamp.body`."""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from .base import Channel, Delivery, Ignored, Malformed, NotReady, Reply, WebhookRequest
from .reading import Envelope, Item, at, gather, json_object, pressed, said, word
from .verifying import (
    MOST_SIGNATURES,
    Signed,
    base64_mac,
    check_timed,
    header,
    keys_of,
    raw,
    values_of,
)

_PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class StandardChannel(Channel):
    """`secrets` are `whsec_` and base64 (the prefix may be missing). The paths, dots between, say where the
    sender, the text and a button's payload stand in the body; a body of another shape is ignored."""

    name: ClassVar[str] = "standard"

    secrets: tuple[str, ...] = field(repr=False)
    tolerance_s: int = 300
    account: str = ""
    sender_path: str = "data.from"
    text_path: str = "data.text"
    reply_id_path: str = "data.reply_id"

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        keys = tuple(_decoded(key) for key in keys_of(self.secrets, self.name))
        family = _family(request)
        message_id, timestamp = header(request, f"{family}-id"), header(request, f"{family}-timestamp")
        content = b".".join([raw(message_id), raw(timestamp), request.body])
        offered = tuple(_offers(header(request, f"{family}-signature")))
        expected = (base64_mac(key, content) for key in keys)
        check_timed(Signed(timestamp, content, offered), expected, now, self.tolerance_s)

    def read(self, request: WebhookRequest) -> Delivery:
        message_id = next(iter(values_of(request, f"{_family(request)}-id")), None)
        try:
            fields = json_object(request.body)
        except Malformed:
            return Delivery(Reply(), ignored=(Ignored("event", message_id),))
        return gather([("body", partial(self._message, message_id, fields))], Reply())

    def _message(self, message_id: str | None, fields: dict[str, object]) -> Item:
        sender = word(at(fields, *self.sender_path.split(".")))
        text = at(fields, *self.text_path.split("."))
        reply_id = word(at(fields, *self.reply_id_path.split(".")))
        if sender is None or not isinstance(text, str):
            return Ignored("event", message_id, sender)
        envelope = Envelope(message_id, self.account, sender, reply_to=sender)
        return pressed(envelope, reply_id, text) if reply_id else said(envelope, text, original=True)


def _family(request: WebhookRequest) -> str:
    return "svix" if any(name.lower().startswith("svix-") for name, _ in request.headers) else "webhook"


def _offers(value: str) -> Iterator[bytes]:
    """The `v1` signatures of a space-separated list; `v1a` and later ones need keys that we don't have."""
    for part in value.split(" ")[:MOST_SIGNATURES]:
        version, _, signature = part.partition(",")
        if version == "v1" and signature:
            yield raw(signature)


def _decoded(secret: bytes) -> bytes:
    text = secret.decode("utf-8", "replace").removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise NotReady("standard: a secret is not whsec_ and base64")
    return key
