"""The checks that every adapter shares: one header, a fresh timestamp, a MAC compared in constant time."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from .base import BadSignature, NotReady, WebhookRequest

MOST_SIGNATURES: Final = 16
"""Signatures looked at in one header: rotation needs two or three."""

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_HEX_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Signed:
    """What a request claims: these bytes, at this time (Unix seconds, as text), with one of these MACs."""

    timestamp: str
    content: bytes
    offered: tuple[bytes, ...]


def raw(value: str) -> bytes:
    """The bytes of a header or URL that ASGI decoded as latin-1; other text (never on the wire) as UTF-8."""
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def values_of(request: WebhookRequest, name: str) -> list[str]:
    """Every value of a header, in order."""
    return [value for key, value in request.headers if key.lower() == name.lower()]


def header(request: WebhookRequest, name: str) -> str:
    """The one value of a security header. Raises BadSignature when it is missing, empty or given twice."""
    found = values_of(request, name)
    if len(found) != 1:
        raise BadSignature(f"{name} is {'missing' if not found else 'there twice'}")
    if not found[0]:
        raise BadSignature(f"{name} is empty")
    return found[0]


def content_type(request: WebhookRequest) -> str:
    """The media type, lower case, without parameters; "" when it is not clear."""
    found = values_of(request, "content-type")
    return found[0].partition(";")[0].strip().lower() if len(found) == 1 else ""


def key_of(secret: str) -> bytes:
    """A secret as the bytes to sign with."""
    return secret.encode("utf-8", "surrogatepass")


def keys_of(secrets: Iterable[str], provider: str) -> tuple[bytes, ...]:
    """The secrets as bytes, blanks dropped. Raises NotReady when none is left: never open for lack of one."""
    keys = tuple(key_of(secret) for secret in secrets if secret.strip())
    if not keys:
        raise NotReady(f"{provider}: no secret is configured")
    return keys


def same(offered: bytes, accepted: Iterable[bytes]) -> bool:
    """Whether `offered` is one of `accepted`; all are compared, each in constant time."""
    found = False
    for value in accepted:
        found |= hmac.compare_digest(offered, value)
    return found


def hex_mac(key: bytes, content: bytes) -> bytes:
    """HMAC-SHA256 as 64 lower-case hex digits."""
    return hmac.digest(key, content, hashlib.sha256).hex().encode()


def base64_mac(key: bytes, content: bytes) -> bytes:
    """HMAC-SHA256 as padded base64, the one canonical form."""
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256))


def hex_offer(value: str, prefix: str) -> tuple[bytes, ...]:
    """The MAC in `<prefix><64 lower-case hex>`, or none in anything else."""
    digits = value[len(prefix) :]
    return (digits.encode(),) if value.startswith(prefix) and _HEX_SHA256.fullmatch(digits) else ()


def hex_offers(value: str, prefix: str) -> tuple[bytes, ...]:
    """The MACs of a comma-separated list of the same; whatever else stands in it is skipped."""
    parts = value.split(",")[:MOST_SIGNATURES]
    return tuple(offer for part in parts for offer in hex_offer(part.strip(" "), prefix))


def seconds(value: str) -> int:
    """A timestamp of digits `0` to `9` alone. Raises BadSignature: `int()` would take far more."""
    if not _TIMESTAMP.fullmatch(value):
        raise BadSignature("the timestamp is not a number of seconds")
    return int(value)


def check_timed(signed: Signed, expected: Iterable[bytes], now: datetime, tolerance_s: int) -> None:
    """The one verifier of schemes with a signed timestamp. `expected` holds a MAC for each of our keys.

    Raises BadSignature when no offered MAC matches, or the authentic timestamp is further from `now` than
    `tolerance_s` seconds, either way (the edge is still inside).
    """
    made = seconds(signed.timestamp)
    accepted = tuple(expected)
    found = False
    for offer in signed.offered:
        found |= same(offer, accepted)
    if not found:
        raise BadSignature("no signature matches")
    age = int(now.timestamp()) - made
    if abs(age) > tolerance_s:
        raise BadSignature(f"authentic, but signed {age} s ago")


def check_static(offered: str, keys: Iterable[bytes]) -> None:
    """A shared secret sent as it is: no body integrity, so nothing but equality. Raises BadSignature."""
    if not same(raw(offered), keys):
        raise BadSignature("the secret in the header is not ours")
