"""Meta's WhatsApp Cloud API: the handshake, and batches signed over the raw body, without a time."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final

from .base import (
    BadSignature,
    Channel,
    Delivery,
    HandshakeRefused,
    Malformed,
    NotReady,
    Reply,
    WebhookRequest,
)
from .cloud_api import read_updates
from .reading import form_pairs, json_object
from .verifying import header, hex_mac, hex_offer, keys_of, raw, same

_LONGEST_CHALLENGE: Final = 4096


@dataclass(frozen=True, slots=True)
class MetaChannel(Channel):
    """`secrets` are app secrets, `verify_tokens` ours for the handshake. `account` is the phone number id:
    when given, items of another one are rejected."""

    name: ClassVar[str] = "meta"

    secrets: tuple[str, ...] = field(repr=False)
    verify_tokens: tuple[str, ...] = field(default=(), repr=False)
    account: str = ""

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        if request.method.upper() == "GET":
            self._verify_handshake(request)
            return
        keys = keys_of(self.secrets, self.name)
        offered = hex_offer(header(request, "X-Hub-Signature-256"), "sha256=")
        if not offered or not same(offered[0], [hex_mac(key, request.body) for key in keys]):
            raise BadSignature("the signature is not ours over this body")

    def _verify_handshake(self, request: WebhookRequest) -> None:
        if not any(token.strip() for token in self.verify_tokens):
            raise NotReady("meta: no verify token is configured", "WHATSAPP_VERIFY_TOKEN")
        tokens = keys_of(self.verify_tokens, self.name)
        given = _query(request)
        mode, token = given.get("hub.mode", []), given.get("hub.verify_token", [])
        if mode != [b"subscribe"] or len(token) != 1 or not same(token[0], tokens):
            raise HandshakeRefused("a handshake with another mode or verify token")

    def read(self, request: WebhookRequest) -> Delivery:
        if request.method.upper() != "GET":
            return read_updates(json_object(request.body), self.account)
        challenge = _query(request).get("hub.challenge", [])
        if len(challenge) != 1 or not 0 < len(challenge[0]) <= _LONGEST_CHALLENGE:
            raise Malformed("hub.challenge: once, not empty")
        return Delivery(Reply(200, "text/plain; charset=utf-8", challenge[0]), handshake=True)


def _query(request: WebhookRequest) -> dict[str, list[bytes]]:
    """The query's values by name; too many of them are none at all."""
    try:
        pairs = form_pairs(raw(request.url.partition("#")[0].partition("?")[2]))
    except Malformed:
        return {}
    values: dict[str, list[bytes]] = {}
    for name, value in pairs:
        values.setdefault(name.decode("latin-1"), []).append(value)
    return values
