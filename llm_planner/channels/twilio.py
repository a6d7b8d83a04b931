"""Twilio (WhatsApp and SMS): HMAC over the public URL and the sorted form, or a URL with the body's hash.

Nothing in it says when it was signed: the message id in the inbox is the defence against replays.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from .base import (
    Attachment,
    BadSignature,
    Channel,
    Delivery,
    Ignored,
    Malformed,
    Reply,
    State,
    StatusUpdate,
    WebhookRequest,
)
from .reading import (
    Envelope,
    Item,
    ItemError,
    attachment,
    form_fields,
    form_pairs,
    gather,
    json_object,
    place,
    pressed,
    said,
    shared,
    word,
)
from .verifying import content_type, header, key_of, keys_of, raw, same, values_of

TWIML: Final = Reply(200, "text/xml", b"<Response></Response>")
RECEIVED: Final = Reply(204)
"""The answer to a status callback: nothing to say, not even in XML."""

LONGEST_FORM: Final = 131_072
"""Bytes. A form is taken apart before it is verified, so what a stranger can make us work on is bounded."""

FORM: Final = "application/x-www-form-urlencoded"
SETTINGS: Final = "X-Twilio-Webhooks-Signature-Settings"
_ALGORITHMS: Final = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
_URL: Final = re.compile(
    r"(https?)://(?:[^/?#]*@)?([^/?#@]+?)(?::([0-9]{1,5}))?((?:[/?][^#]*)?)(?:#.*)?", re.S
)
_MOST_MEDIA: Final = 10
_STATES: Final[dict[str, State]] = {
    "queued": "accepted", "sending": "accepted", "accepted": "accepted", "scheduled": "accepted",
    "sent": "sent", "partially_delivered": "sent", "delivered": "delivered", "read": "read",
    "failed": "failed", "undelivered": "failed", "canceled": "failed",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TwilioChannel(Channel):
    """`secrets` are auth tokens, `shared_keys` secrets by key id (beta). `account` is the AccountSid: when
    given, items of another one are rejected. The account of a message is the number that was written to."""

    name: ClassVar[str] = "twilio"
    signs_url: ClassVar[bool] = True

    secrets: tuple[str, ...] = field(repr=False)
    shared_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    account: str = ""

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        keys_of([*self.secrets, *self.shared_keys.values()], self.name)
        offered = raw(header(request, "X-Twilio-Signature"))
        keys, digest = self._signed_with(request)
        tail = _signed_fields(request)
        accepted = [
            base64.b64encode(hmac.digest(key, url + tail, digest))
            for key in keys
            for url in _urls(request.url)
        ]
        if not same(offered, accepted):
            raise BadSignature("no signature matches this URL and these fields")

    def _signed_with(self, request: WebhookRequest) -> tuple[tuple[bytes, ...], str]:
        """Auth tokens and SHA-1, or what the settings header names. Unknown keys and algorithms fail."""
        if not values_of(request, SETTINGS):
            return tuple(key_of(token) for token in self.secrets if token.strip()), "sha1"
        parts = [part.strip().partition("=") for part in header(request, SETTINGS).split(",")]
        given = {name: value for name, _, value in parts}
        algorithm, secret = given.get("algorithm", ""), self.shared_keys.get(given.get("key", ""), "")
        if len(parts) != 2 or algorithm not in _ALGORITHMS or not secret.strip():
            raise BadSignature("a signature key or algorithm that is not configured")
        return (key_of(secret),), _ALGORITHMS[algorithm]().name

    def read(self, request: WebhookRequest) -> Delivery:
        fields = _fields(request)
        status = fields.get("MessageStatus", "received") not in ("received", "receiving")
        work = partial(self._status if status else self._message, fields)
        return gather([("body", work)], RECEIVED if status else TWIML)

    def _status(self, fields: Mapping[str, str]) -> Item:
        reference, word_for_it = fields.get("MessageSid"), fields["MessageStatus"]
        self._check_account(fields)
        if not reference or word_for_it not in _STATES:
            return Ignored("event", reference)
        code = fields.get("ErrorCode") or None
        return StatusUpdate(f"{reference}:{word_for_it}", reference, _STATES[word_for_it], code)

    def _message(self, fields: Mapping[str, str]) -> Item:
        message_id, user = fields.get("MessageSid"), fields.get("From")
        if not message_id:
            return Ignored("event")
        self._check_account(fields)
        envelope = Envelope(
            message_id, fields.get("To", ""), user, reply_to=user or "", name=fields.get("ProfileName")
        )
        if payload := fields.get("ButtonPayload"):
            return pressed(envelope, payload, fields.get("ButtonText") or fields.get("Body"))
        if row := fields.get("ListId"):
            return pressed(envelope, row, fields.get("ListTitle") or fields.get("Body"), "list")
        text = fields.get("Body", "")
        if found := tuple(_attachments(fields)):
            return shared(envelope, found, text)
        return said(envelope, text, original=not any(fields.get(name) for name in _NOT_ORIGINAL))

    def _check_account(self, fields: Mapping[str, str]) -> None:
        if self.account and fields.get("AccountSid") != self.account:
            raise ItemError("another account")


_NOT_ORIGINAL: Final = ("Forwarded", "FrequentlyForwarded", "OriginalRepliedMessageSid")


def _urls(url: str) -> Iterator[bytes]:
    """The forms of the public URL that Twilio may have signed: without a port, and with one."""
    found = _URL.fullmatch(url)
    if found is None:
        raise BadSignature("the public URL is no URL")
    scheme, host, port, rest = found.groups()
    default = "443" if scheme == "https" else "80"
    yield raw(f"{scheme}://{host}{rest}")
    yield raw(f"{scheme}://{host}:{port or default}{rest}")


def _signed_fields(request: WebhookRequest) -> bytes:
    """What follows the URL in the signed string: the form's fields by name, each name and value.

    A body that is no form is signed by its hash in the URL alone, so a wrong or missing hash is refused here.
    """
    query = request.url.partition("#")[0].partition("?")[2]
    hashes = [part[len("bodySHA256=") :] for part in query.split("&") if part.startswith("bodySHA256=")]
    form = content_type(request) == FORM
    if hashes or (request.body and not form):
        body = hashlib.sha256(request.body).hexdigest().encode()
        if len(hashes) != 1 or not same(raw(hashes[0]), [body]):
            raise BadSignature("bodySHA256 in the URL is not the hash of the body")
    if not form:
        return b""
    if len(request.body) > LONGEST_FORM:
        raise BadSignature("a form too long to be Twilio's")
    try:
        return b"".join(name + value for name, value in sorted(set(form_pairs(request.body))))
    except Malformed as error:
        raise BadSignature(error.detail) from None


def _fields(request: WebhookRequest) -> dict[str, str]:
    if request.method.upper() == "GET":
        query = request.url.partition("#")[0].partition("?")[2]
        return form_fields(form_pairs(raw(query)))
    if content_type(request) == FORM:
        return form_fields(form_pairs(request.body))
    values = json_object(request.body)
    return {name: text for name, value in values.items() if (text := word(value)) is not None}


def _attachments(fields: Mapping[str, str]) -> Iterator[Attachment]:
    count = fields.get("NumMedia", "0")
    for index in range(min(int(count), _MOST_MEDIA) if re.fullmatch(r"[0-9]{1,2}", count) else 0):
        media_type = fields.get(f"MediaContentType{index}")
        yield attachment((media_type or "file").partition("/")[0], media_type, fields.get(f"MediaUrl{index}"))
    if "Latitude" in fields or "Longitude" in fields:
        where = " ".join(filter(None, (fields.get("Label"), fields.get("Address"))))
        yield place(fields.get("Latitude"), fields.get("Longitude"), where)
