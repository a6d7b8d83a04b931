"""The doors that no role opens: what a user, a backend and a provider get, and everybody else."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import jwt
import pytest

from ..authorisation import AGENT_MODES, USERS_CALLERS, USERS_DOORS, Users
from ..harness import INTERNAL_KEY, Client, operator
from .conftest import ServeSqlite

SECRET = "a-webhook-secret-for-the-tests"
JWT_KEY = "a-shared-key-of-64-bytes-or-more-" + "0123456789" * 4
SETTINGS: dict[str, Any] = {
    "provider": "generic",
    "provider_hmac_secret": SECRET,
    "whatsapp_app_secret": SECRET,
    "whatsapp_verify_token": "a-verify-token-of-the-tests",
    "jwt_issuer": "https://id.example",
    "jwt_audience": "chat",
    "jwt_key": JWT_KEY,
}
COUNT = "SELECT (SELECT COUNT(*) FROM turns) AS turns, (SELECT COUNT(*) FROM dedupe_messages) AS messages"
"""What is written when somebody is let in; a door that refuses writes neither."""


def bearer(key: str, **claims: Any) -> dict[str, str]:
    made = {"sub": "ana", "iss": "https://id.example", "aud": "chat", "exp": int(time.time()) + 300, **claims}
    return {"Authorization": f"Bearer {jwt.encode(made, key, algorithm='HS256')}"}


def signed(body: bytes, at: float, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(at))
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Provider-Timestamp": stamp, "X-Provider-Signature": f"sha256={mac}"}


def credentials(door: Users, caller: str, body: bytes) -> Mapping[str, str]:
    """The headers of this caller at this door."""
    now = time.time()
    good, expired, forged = {
        "jwt": (bearer(JWT_KEY), bearer(JWT_KEY, exp=1), bearer(JWT_KEY[::-1])),
        "x-api-key": ({"x-api-key": INTERNAL_KEY}, {}, {"x-api-key": INTERNAL_KEY[::-1]}),
        "signature": (signed(body, now), signed(body, now - 3600), signed(body, now, SECRET[::-1])),
    }.get(door.by, ({}, {}, {}))
    return {
        "nobody": {},
        "good": good,
        "expired": expired,
        "forged": forged,
        "operator": operator("admin"),
        "other origin": {**good, "Origin": "https://evil.example"},
    }[caller]


async def minted(client: Client) -> str:
    """A session that the server began."""
    return str((await client.say("hola", session=None))["session_id"])


async def body_of(client: Client, door: Users, caller: str) -> bytes:
    """A message that was never sent before."""
    if door.by == "signature":
        return json.dumps({"message_id": uuid4().hex, "from": "u1", "text": "hola"}).encode()
    session: str | None = "s"
    if door.by == "minted id":
        token = await minted(client)
        forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
        session = {"nobody": None, "operator": None, "forged": forged}.get(caller, token)
    return json.dumps({"message": "hola", **({"session_id": session} if session else {})}).encode()


def query_of(door: Users, caller: str) -> str:
    if door.by != "verify token" or caller == "nobody":
        return ""
    right = caller in ("good", "other origin")
    token = SETTINGS["whatsapp_verify_token"] if right else "another-verify-token"
    return f"?hub.mode=subscribe&hub.challenge=7&hub.verify_token={token}"


async def knock(client: Client, door: Users, caller: str) -> int:
    posts = door.method == "POST"
    body = await body_of(client, door, caller) if posts else b""
    path = door.path.replace("{provider}", "meta" if door.by == "verify token" else "generic")
    headers = {**credentials(door, caller, body), **({"Content-Type": "application/json"} if posts else {})}
    before = (await client.rows(COUNT))[0]
    async with client.http.request(
        door.method, client.url + path + query_of(door, caller), data=body if posts else None, headers=headers
    ) as answer:
        await answer.read()
    let_in = posts and answer.status in (200, 202)
    assert ((await client.rows(COUNT))[0] != before) == let_in, (door, caller, answer.status)
    return answer.status


@pytest.mark.covers("http.agent", "http.wa-agent", "http.provider-shut", "rule.15")
@pytest.mark.parametrize("mode", AGENT_MODES)
async def test_the_doors_of_users_and_providers(serve_sqlite: ServeSqlite, mode: str) -> None:
    client = await serve_sqlite(web_auth=mode, **SETTINGS)
    for door in USERS_DOORS:
        if door.mode in (None, mode):
            for caller, expected in zip(USERS_CALLERS, door.expected, strict=True):
                if expected != "–":
                    found = await knock(client, door, caller)
                    assert ("yes" if found in (200, 202) else str(found)) == expected, (door.told, caller)
