"""Signatures made by the providers' own libraries, or others' implementations of a standard; none of it ships."""

import hashlib
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import jwt
from slack_sdk.signature import SignatureVerifier
from standardwebhooks.webhooks import Webhook
from twilio.request_validator import RequestValidator

Maker = Callable[[str, bytes, int, str], dict[str, str]]
"""The headers that sign a body: by secret, body, Unix seconds and URL."""


def twilio(secret: str, body: bytes, at: int, url: str) -> dict[str, str]:
    form = not body.startswith(b"{")
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True)) if form else {}
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    return {
        "X-Twilio-Signature": RequestValidator(secret).compute_signature(url, fields),
        "Content-Type": kind,
    }


def slack(secret: str, body: bytes, at: int, url: str) -> dict[str, str]:
    signature = SignatureVerifier(secret).generate_signature(timestamp=str(at), body=body)
    assert signature is not None
    kind = "application/json" if body.startswith(b"{") else "application/x-www-form-urlencoded"
    return {"X-Slack-Request-Timestamp": str(at), "X-Slack-Signature": signature, "Content-Type": kind}


def standard(family: str) -> Maker:
    def headers(secret: str, body: bytes, at: int, url: str) -> dict[str, str]:
        signature = Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body.decode())
        return {f"{family}-id": "msg_1", f"{family}-timestamp": str(at), f"{family}-signature": signature}

    return headers


def messagebird(secret: str, body: bytes, at: int, url: str) -> dict[str, str]:
    claims = {
        "iss": "MessageBird",
        "nbf": at,
        "exp": at + 60,
        "jti": "one-token",
        "url_hash": hashlib.sha256(url.encode()).hexdigest(),
        "payload_hash": hashlib.sha256(body).hexdigest(),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)  # their keys are as long as they are
        return {"MessageBird-Signature-JWT": jwt.encode(claims, secret, algorithm="HS256")}


MAKERS: dict[str, tuple[str, Maker]] = {
    "twilio": ("twilio", twilio),
    "slack": ("slack_sdk", slack),
    "standard": ("standardwebhooks", standard("webhook")),
    "svix": ("standardwebhooks", standard("svix")),
    "messagebird": ("PyJWT", messagebird),
}
"""By provider: the package, and the headers it makes. The others publish no library: theirs are plain HMACs."""
