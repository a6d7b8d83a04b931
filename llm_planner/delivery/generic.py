"""Replies POSTed to an address of the operator's, signed as Standard Webhooks."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, Final

from ..clock import Clock, SystemClock
from .base import OutgoingReply
from .credentials import base_url
from .http import Answer, Request
from .layout import Limits, Part
from .pace import Limit
from .sending import Provider
from .verdicts import by_status, dead

_SHORTEST_KEY: Final = 16


@dataclass(frozen=True, slots=True)
class GenericReply(Provider):
    """Each of `secrets` signs (`whsec_…` is base64, anything else is taken as it is).

    The body is `{"type":"reply","timestamp":…,"data":{"account","user","reply_to","thread","text",
    "buttons":[{"name","title","payload"}]}}`. `webhook-id` stays the same when a delivery is repeated: a
    receiver tells repeats by it.
    """

    name: ClassVar[str] = "generic"
    limits: ClassVar[Limits] = Limits(text=16000, card=16000, title=64, payload=256)
    account_limit: ClassVar[Limit] = Limit(0.01, 100)
    pair_limit: ClassVar[Limit] = Limit(0.1, 100)
    repeatable: ClassVar[bool] = True

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    clock: Clock = field(default_factory=SystemClock, repr=False)

    def __post_init__(self) -> None:
        base_url("GENERIC_REPLY_URL", self.url.partition("?")[0])
        if not self.secrets or any(len(_key(secret)) < _SHORTEST_KEY for secret in self.secrets):
            raise ValueError("the secret for GENERIC_REPLY_URL: missing, or shorter than 16 bytes")

    def request(self, reply: OutgoingReply, part: Part, key: str) -> Request:
        now = self.clock.now()
        body = _body(reply, part, now)
        stamp = str(int(now.timestamp()))
        signed = f"{key}.{stamp}.".encode() + body
        signatures = [
            "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()
            for secret in self.secrets
        ]
        headers = {
            "Content-Type": "application/json",
            "webhook-id": key,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(signatures),
        }
        return Request(self.url, body, headers)

    def reference(self, answer: Answer, key: str) -> str:
        if 200 <= answer.status < 300:
            return key
        if answer.status == 410:
            raise dead(self.name, 410, "the receiver wants no more replies")
        raise by_status(self.name, answer)


def _body(reply: OutgoingReply, part: Part, now: datetime) -> bytes:
    buttons = [{"name": one.name, "title": one.title, "payload": one.payload} for one in part.buttons]
    data = {
        "account": reply.account, "user": reply.user, "reply_to": reply.reply_to, "thread": reply.thread,
        "text": part.text, "buttons": buttons,
    }  # fmt: skip
    stamp = now.astimezone(UTC).isoformat().replace("+00:00", "Z")
    whole = {"type": "reply", "timestamp": stamp, "data": data}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _key(secret: str) -> bytes:
    """Raises ValueError where what follows `whsec_` is not base64."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("the secret for GENERIC_REPLY_URL: what follows whsec_ is not base64") from None
