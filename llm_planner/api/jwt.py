"""JSON Web Tokens (RFC 7519) of `WEB_AUTH=jwt`: issuer, audience, and a key or a JWKS address (RFC 7517)."""

import asyncio
import json
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from ..errors import StartError, Unauthorized, Unavailable
from ..settings import Settings

logger = logging.getLogger("llm_planner.jwt")
ASYMMETRIC = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"]
SYMMETRIC = ["HS256", "HS384", "HS512"]
_SUBJECT = re.compile(r"[^\x00\ud800-\udfff]{1,190}")
KEEP_S = 3600.0
ASK_AGAIN_S = 30.0
"""An unknown key id refreshes the set, at most this often."""

Fetch = Callable[[str], Awaitable[bytes]]


class JwtVerifier:
    """Verifies tokens. A PEM key or a JWKS takes asymmetric algorithms only, so none can be confused."""

    def __init__(self, settings: Settings, fetch: Fetch) -> None:
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._url = settings.jwt_jwks_url
        self._fetch = fetch
        self._key = settings.jwt_key.get_secret_value().replace("\\n", "\n") if settings.jwt_key else None
        self._is_pem = self._key is not None and "-----BEGIN" in self._key
        if self._key is not None and not self._is_pem and len(self._key.encode()) < 32:
            raise StartError("JWT_KEY: a shared key needs at least 32 bytes")
        if self._key is not None and self._is_pem and not _loads(self._key):
            raise StartError("JWT_KEY: neither a public key in PEM nor a shared key")
        self._keys: dict[str, Any] = {}
        self._asked: float | None = None
        self._lock = asyncio.Lock()

    async def subject(self, token: str | None) -> str:
        """The `sub` of a valid token. Raises Unauthorized; Unavailable when the key set can't be had."""
        if token is None:
            raise Unauthorized("a JSON Web Token is needed, as Bearer")
        try:
            key: Any = self._key if self._url is None else await self._from_set(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=SYMMETRIC if self._url is None and not self._is_pem else ASYMMETRIC,
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "sub", "iss", "aud"]},
                leeway=30,
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthorized(f"the token is not valid ({type(error).__name__})") from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
            raise Unauthorized("the token's subject is not usable")
        return subject

    async def _from_set(self, token: str) -> Any:
        name = jwt.get_unverified_header(token).get("kid")
        if not isinstance(name, str):
            raise Unauthorized("the token names no key")
        async with self._lock:
            age = math.inf if self._asked is None else time.monotonic() - self._asked
            if age > KEEP_S or (name not in self._keys and age > ASK_AGAIN_S):
                await self._refresh()
        if not self._keys:
            raise Unavailable("the key set of JWT_JWKS_URL can't be had")
        if name not in self._keys:
            raise Unauthorized("the token's key is not known")
        return self._keys[name]

    async def _refresh(self) -> None:
        """Fetch the set; when that fails, what is known stays, and the next try waits like any other."""
        self._asked = time.monotonic()
        try:
            found = json.loads(await self._fetch(str(self._url)))
            known = jwt.PyJWKSet.from_dict(found)
        except (OSError, ValueError, TypeError, AttributeError, jwt.PyJWTError) as error:
            logger.warning("JWT_JWKS_URL: no key set (%s)", type(error).__name__)
            return
        self._keys = {key.key_id: key.key for key in known.keys if key.key_id and key.key_type != "oct"}


def _loads(pem: str) -> bool:
    try:
        load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return False
    return True
