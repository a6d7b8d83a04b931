"""MessageBird's older API: a JWT in a header binds the URL and the body for a minute."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from ..messages import Json
from .base import (
    BadSignature,
    Channel,
    Delivery,
    Ignored,
    Kind,
    Malformed,
    Reply,
    StatusUpdate,
    WebhookRequest,
)
from .cloud_api import STATES
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
    said,
    shared,
    word,
)
from .verifying import header, keys_of, raw, same, values_of

HEADER: Final = "MessageBird-Signature-JWT"
ISSUER: Final = "MessageBird"
_DIGESTS: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
"""What may be in a token's `alg`: three HMACs, and never `none` or a public-key algorithm."""


@dataclass(frozen=True, slots=True)
class MessageBirdChannel(Channel):
    """`secrets` are signing keys; `tolerance_s` is the leeway on both ends of a token's life."""

    name: ClassVar[str] = "messagebird"
    signs_url: ClassVar[bool] = True

    secrets: tuple[str, ...] = field(repr=False)
    tolerance_s: int = 1
    account: str = ""

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        keys = keys_of(self.secrets, self.name)
        claims = _verified(header(request, HEADER), keys)
        _check_times(claims, int(now.timestamp()), self.tolerance_s)
        _check_hash(claims.get("url_hash"), raw(request.url))
        if request.body or "payload_hash" in claims:
            _check_hash(claims.get("payload_hash"), request.body or None)

    def read(self, request: WebhookRequest) -> Delivery:
        token_id = _token_id(request)
        if request.method.upper() == "GET" or not request.body.lstrip().startswith(b"{"):
            return Delivery(Reply(), ignored=(Ignored("event", token_id),))
        return gather([("body", partial(self._event, token_id, json_object(request.body)))], Reply())

    def _event(self, token_id: str | None, event: dict[str, Json]) -> Item:
        message, contact = event.get("message"), event.get("contact")
        message_id = word(at(message, "id"))
        if event.get("type") == "message.updated":
            return _status(message, message_id)
        if event.get("type") != "message.created" or message_id is None:
            return Ignored("event", token_id)
        if at(message, "direction") != "received":
            return Ignored("echo", message_id)
        address = word(at(message, "from")) or word(at(contact, "msisdn"))
        envelope = Envelope(
            message_id,
            word(at(message, "channelId")) or self.account,
            word(at(contact, "id")) or address,
            reply_to=word(at(event, "conversation", "id")) or address or "",
            sender=address,
            name=word(at(contact, "displayName")),
        )
        return _said(envelope, word(at(message, "type")) or "", at(message, "content"))


def _said(envelope: Envelope, kind: str, content: Json) -> Item:
    """A text, a pressed reply button, a file or a place; `content` has one key a kind."""
    if kind == "text":
        text = at(content, "text")
        if not isinstance(text, str):
            raise ItemError("a text without a body")
        return said(envelope, text, original=True)
    if kind == "location":
        return shared(envelope, [place(at(content, kind, "latitude"), at(content, kind, "longitude"))])
    if kind == "interactive" and (payload := word(at(content, kind, "reply", "id"))):
        choice: Kind = "list" if at(content, kind, "type") == "list_reply" else "button"
        return pressed(envelope, payload, word(at(content, kind, "reply", "text")), choice)
    if kind not in _FILES:
        return Ignored("unsupported", envelope.message_id, envelope.sender)
    caption = at(content, kind, "caption")
    found = attachment(kind, reference=at(content, kind, "url"))
    return shared(envelope, [found], caption if isinstance(caption, str) else "")


_FILES: Final = ("image", "video", "audio", "file")


def _status(message: Json, message_id: str | None) -> Item:
    state = word(at(message, "status"))
    if message_id is None or state not in STATES:
        return Ignored("event", message_id)
    return StatusUpdate(f"{message_id}:{state}", message_id, STATES[state])


def _verified(token: str, keys: tuple[bytes, ...]) -> dict[str, Json]:
    """The claims of a token that one of our keys signed. Raises BadSignature."""
    parts = raw(token).split(b".")
    if len(parts) != 3:
        raise BadSignature("the token has no three parts")
    algorithm = _segment(parts[0]).get("alg")
    if not isinstance(algorithm, str) or algorithm not in _DIGESTS:
        raise BadSignature("a token with an algorithm that is not allowed")
    signed = parts[0] + b"." + parts[1]
    expected = (hmac.digest(key, signed, _DIGESTS[algorithm]) for key in keys)
    if not same(parts[2], [base64.urlsafe_b64encode(value).rstrip(b"=") for value in expected]):
        raise BadSignature("no key signed this token")
    return _segment(parts[1])


def _segment(part: bytes) -> dict[str, Json]:
    try:
        return json_object(base64.b64decode(part + b"=" * (-len(part) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, Malformed):
        raise BadSignature("a token that can't be read") from None


def _check_times(claims: dict[str, Json], now: int, leeway: int) -> None:
    begin, end = claims.get("nbf"), claims.get("exp")
    if claims.get("iss") != ISSUER or type(begin) is not int or type(end) is not int:
        raise BadSignature("a token without issuer, nbf or exp")
    if begin > now + leeway or end <= now - leeway:
        raise BadSignature(f"authentic, but for {begin} to {end}, and it is {now}")


def _check_hash(claim: Json, content: bytes | None) -> None:
    """The claim is the hex SHA-256 of the content; one without the other is a forgery."""
    if content is None or not isinstance(claim, str):
        raise BadSignature("a hash without content, or content without a hash")
    if not same(raw(claim), [hashlib.sha256(content).hexdigest().encode()]):
        raise BadSignature("the URL or the body is not the one that was signed")


def _token_id(request: WebhookRequest) -> str | None:
    """The `jti` of the token that was verified before."""
    tokens = values_of(request, HEADER)
    parts = raw(tokens[0]).split(b".") if len(tokens) == 1 else []
    try:
        return word(_segment(parts[1]).get("jti")) if len(parts) == 3 else None
    except BadSignature:
        return None
