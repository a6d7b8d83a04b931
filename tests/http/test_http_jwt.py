"""`WEB_AUTH=jwt`: which tokens are somebody, with a shared key, a PEM key, and a key set over HTTP."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from ..harness import Client
from .conftest import ServeSqlite

SHARED = "a-shared-key-of-64-bytes-or-more-" + "0123456789" * 4
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
CLAIMS = {"sub": "ana", "iss": "https://id.example", "aud": "chat"}
JWT = {"web_auth": "jwt", "jwt_issuer": "https://id.example", "jwt_audience": "chat"}
PEM = (
    RSA_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)


def _token(key: Any, algorithm: str, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    made = {**CLAIMS, "exp": int(time.time()) + 300, **claims}
    kept = {name: value for name, value in made.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers=headers)


async def _status(client: Client, token: str | None, session: str = "s") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    status, data = await client.post("/agent", {"message": "hola", "session_id": session}, headers)
    assert status == 200 or set(data) == {"type", "title", "status", "detail", "code"}
    return status


@pytest.mark.covers("who.jwt")
async def test_a_shared_key_makes_the_subject_the_principal(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(**JWT, jwt_key=SHARED)
    assert await _status(client, _token(SHARED, "HS256")) == 200
    assert await _status(client, _token(SHARED, "HS512", sub="beto")) == 200
    rows = await client.rows("SELECT principal, label FROM sessions ORDER BY principal")
    assert [tuple(row) for row in rows] == [("jwt:ana", "s"), ("jwt:beto", "s")]


BAD_CLAIMS: list[dict[str, Any]] = [
    {"exp": 1},
    {"exp": None},
    {"iss": "https://evil.example"},
    {"iss": None},
    {"aud": "other"},
    {"aud": None},
    {"sub": None},
    {"sub": ""},
    {"sub": "x" * 191},
    {"sub": "a\x00b"},
    {"sub": "\ud800"},
    {"nbf": int(time.time()) + 600},
]


@pytest.mark.covers("who.jwt")
async def test_wrong_expired_and_incomplete_tokens_are_401(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(**JWT, jwt_key=SHARED)
    for claims in BAD_CLAIMS:
        assert await _status(client, _token(SHARED, "HS256", **claims)) == 401, claims
    wrong_key = _token("another-shared-key-of-32-bytes-0123456789" * 2, "HS256")
    for token in (None, "", "x", "a.b.c", wrong_key, _token(None, "none"), _token(RSA_KEY, "RS256")):
        assert await _status(client, token) == 401
    assert await client.rows("SELECT 1 FROM sessions") == []


async def test_two_authorization_headers_are_nobody(serve_sqlite: ServeSqlite) -> None:
    from .raw import ask, assert_problem, post

    client = await serve_sqlite(**JWT, jwt_key=SHARED)
    line = f"Authorization: Bearer {_token(SHARED, 'HS256')}"
    body = b'{"message":"hola","session_id":"s"}'
    assert (await ask(client, post("/agent", body, line))).status == 200
    assert_problem(await ask(client, post("/agent", body, line, line)), 401, "unauthorized")


async def test_a_pem_key_takes_no_algorithm_that_would_make_it_a_shared_one(
    serve_sqlite: ServeSqlite,
) -> None:
    client = await serve_sqlite(**JWT, jwt_key=PEM.replace("\n", "\\n"))
    assert await _status(client, _token(RSA_KEY, "RS256")) == 200
    confused = _hmac_by_hand(PEM.encode())
    for token in (confused, _token(None, "none"), _token(OTHER_RSA_KEY, "RS256"), _token(EC_KEY, "ES256")):
        assert await _status(client, token) == 401


def _hmac_by_hand(key: bytes) -> str:
    """A token signed with HS256 over the bytes of a public key, which libraries refuse to make."""
    import base64
    import hashlib
    import hmac

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    claims = part({**CLAIMS, "exp": int(time.time()) + 300})
    signed = part({"alg": "HS256", "typ": "JWT", "kid": "r1"}) + b"." + claims
    mac = base64.urlsafe_b64encode(hmac.digest(key, signed, hashlib.sha256)).rstrip(b"=")
    return (signed + b"." + mac).decode()


def _jwk(key: Any, kid: str) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**json.loads(kind.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


class KeySet:
    """A key set over HTTP. `status` and `keys` may be changed while it is served."""

    def __init__(self) -> None:
        self.keys = [_jwk(RSA_KEY, "r1"), _jwk(EC_KEY, "e1")]
        self.keys.append({"kty": "oct", "kid": "o1", "k": "YS1zaGFyZWQta2V5LW9mLWF0LWxlYXN0LTMyLWJ5dGVz"})
        self.status = 200
        self.padding = ""
        self.asked = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"keys": self.keys, "padding": self.padding}, status=self.status)


@asynccontextmanager
async def _served(keys: KeySet) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/jwks", keys.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/jwks"
    finally:
        await runner.cleanup()


async def test_a_key_set_is_fetched_once_and_its_keys_verify(serve_sqlite: ServeSqlite) -> None:
    keys = KeySet()
    keys.padding = "x" * 300_000
    async with _served(keys) as url:
        client = await serve_sqlite(**JWT, jwt_jwks_url=url)
        assert await _status(client, _token(RSA_KEY, "RS256", {"kid": "r1"})) == 200
        assert await _status(client, _token(EC_KEY, "ES256", {"kid": "e1"})) == 200
        assert keys.asked == 1


async def test_confused_and_unknown_keys_of_a_set_are_401(serve_sqlite: ServeSqlite) -> None:
    keys = KeySet()
    async with _served(keys) as url:
        client = await serve_sqlite(**JWT, jwt_jwks_url=url)
        shared = "a-shared-key-of-at-least-32-bytes"
        for token in (
            _token(RSA_KEY, "RS256"),
            _token(RSA_KEY, "RS256", {"kid": "unknown"}),
            _token(RSA_KEY, "RS256", {"kid": "e1"}),
            _token(OTHER_RSA_KEY, "RS256", {"kid": "r1"}),
            _token(shared, "HS256", {"kid": "o1"}),
            _token(shared, "HS256", {"kid": "r1"}),
            _token(None, "none", {"kid": "r1"}),
            _hmac_by_hand(PEM.encode()),
        ):
            assert await _status(client, token) == 401
        assert keys.asked == 1  # an unknown name asks again, and not at once


@pytest.mark.parametrize("status", [500, 404])
async def test_a_key_set_that_cannot_be_had_is_503_and_is_not_asked_for_every_time(
    serve_sqlite: ServeSqlite, status: int
) -> None:
    keys = KeySet()
    keys.status = status
    async with _served(keys) as url:
        client = await serve_sqlite(**JWT, jwt_jwks_url=url)
        for _ in range(3):
            assert await _status(client, _token(RSA_KEY, "RS256", {"kid": "r1"})) == 503
        assert keys.asked == 1


async def test_a_key_set_that_is_none_is_503(serve_sqlite: ServeSqlite) -> None:
    keys = KeySet()
    keys.keys = [5]  # type: ignore[list-item]
    async with _served(keys) as url:
        client = await serve_sqlite(**JWT, jwt_jwks_url=url)
        assert await _status(client, _token(RSA_KEY, "RS256", {"kid": "r1"})) == 503


async def test_a_first_message_with_a_token_starts_a_session_of_its_subject(
    serve_sqlite: ServeSqlite,
) -> None:
    client = await serve_sqlite(**JWT, jwt_key=SHARED)
    bearer = {"Authorization": f"Bearer {_token(SHARED, 'HS256')}"}
    status, data = await client.post("/agent", {"message": "hola"}, bearer)
    assert status == 200
    assert len(data["session_id"]) >= 22
    assert (await client.rows("SELECT principal FROM sessions"))[0].principal == "jwt:ana"
