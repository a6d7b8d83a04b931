"""What a provider would send: the URL and headers that make a body pass its adapter, to try things out."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from . import messagebird, twilio
from .reading import form_pairs
from .verifying import base64_mac, hex_mac, raw

_JSON: Final = "application/json"
_LIFE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A request before signing: the secret as configured, the public URL, the body, and Unix seconds.

    `message_id` goes into the header of schemes that have it there (Standard Webhooks); "" makes one up.
    """

    secret: str
    url: str
    body: bytes
    now: int
    message_id: str = ""

    @property
    def key(self) -> bytes:
        return self.secret.encode()

    @property
    def content_type(self) -> str:
        return _JSON if self.body.lstrip()[:1] in (b"{", b"[") else twilio.FORM

    def timed(self, start: bytes = b"", between: bytes = b".") -> str:
        """Hex HMAC-SHA256 over `start`, the time, `between` and the body."""
        return hex_mac(self.key, start + str(self.now).encode() + between + self.body).decode()


Signer = Callable[[Unsigned], tuple[str, dict[str, str]]]


def sign(provider: str, request: Unsigned) -> tuple[str, dict[str, str]]:
    """The URL to post to (Twilio's carries the hash of a JSON body) and the headers, content type included.

    Raises KeyError for a provider that is not there, ValueError for a secret that can't be one.
    """
    url, headers = SIGNERS[provider](request)
    return url, {"Content-Type": request.content_type, **headers}


def _generic(request: Unsigned) -> tuple[str, dict[str, str]]:
    signature = f"sha256={request.timed()}"
    return request.url, {"X-Provider-Timestamp": str(request.now), "X-Provider-Signature": signature}


def _chatwoot(request: Unsigned) -> tuple[str, dict[str, str]]:
    signature = f"sha256={request.timed()}"
    return request.url, {"X-Chatwoot-Timestamp": str(request.now), "X-Chatwoot-Signature": signature}


def _ycloud(request: Unsigned) -> tuple[str, dict[str, str]]:
    return request.url, {"YCloud-Signature": f"t={request.now},s={request.timed()}"}


def _slack(request: Unsigned) -> tuple[str, dict[str, str]]:
    signature = f"v0={request.timed(b'v0:', b':')}"
    return request.url, {"X-Slack-Request-Timestamp": str(request.now), "X-Slack-Signature": signature}


def _meta(request: Unsigned) -> tuple[str, dict[str, str]]:
    return request.url, {"X-Hub-Signature-256": "sha256=" + hex_mac(request.key, request.body).decode()}


def _telegram(request: Unsigned) -> tuple[str, dict[str, str]]:
    return request.url, {"X-Telegram-Bot-Api-Secret-Token": request.secret}


def _d360(request: Unsigned) -> tuple[str, dict[str, str]]:
    return request.url, {"X-Callback-Token": request.secret}


def _standard(request: Unsigned) -> tuple[str, dict[str, str]]:
    key = base64.b64decode(request.secret.removeprefix("whsec_"), validate=True)
    message_id = request.message_id or "msg_" + hashlib.sha256(request.body).hexdigest()[:24]
    content = b".".join([message_id.encode(), str(request.now).encode(), request.body])
    signature = "v1," + base64_mac(key, content).decode()
    names = ("webhook-id", "webhook-timestamp", "webhook-signature")
    return request.url, dict(zip(names, (message_id, str(request.now), signature), strict=True))


def _twilio(request: Unsigned) -> tuple[str, dict[str, str]]:
    url, tail = request.url.partition("#")[0], b""
    if request.content_type == _JSON:
        url += ("&" if "?" in url else "?") + "bodySHA256=" + hashlib.sha256(request.body).hexdigest()
    else:
        tail = b"".join(name + value for name, value in sorted(set(form_pairs(request.body))))
    mac = base64.b64encode(hmac.digest(request.key, raw(url) + tail, "sha1"))
    return url, {"X-Twilio-Signature": mac.decode()}


def _bird(request: Unsigned) -> tuple[str, dict[str, str]]:
    timestamp, digest = str(request.now), hashlib.sha256(request.body).digest()
    mac = base64_mac(request.key, b"\n".join([timestamp.encode(), raw(request.url), digest]))
    return request.url, {"messagebird-request-timestamp": timestamp, "messagebird-signature": mac.decode()}


def _messagebird(request: Unsigned) -> tuple[str, dict[str, str]]:
    claims = {
        "iss": messagebird.ISSUER,
        "nbf": request.now,
        "exp": request.now + _LIFE_S,
        "jti": hashlib.sha256(request.body + str(request.now).encode()).hexdigest()[:32],
        "url_hash": hashlib.sha256(raw(request.url)).hexdigest(),
    }
    if request.body:
        claims["payload_hash"] = hashlib.sha256(request.body).hexdigest()
    parts = [_segment(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    signed = b".".join(parts)
    token = signed + b"." + _segment(hmac.digest(request.key, signed, "sha256"))
    return request.url, {messagebird.HEADER: token.decode()}


def _segment(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


SIGNERS: Final[dict[str, Signer]] = {
    "generic": _generic,
    "twilio": _twilio,
    "meta": _meta,
    "ycloud": _ycloud,
    "standard": _standard,
    "telegram": _telegram,
    "slack": _slack,
    "chatwoot": _chatwoot,
    "n8n": _generic,
    "360dialog": _d360,
    "bird": _bird,
    "messagebird": _messagebird,
}
