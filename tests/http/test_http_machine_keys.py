"""Keys of machines: scopes, expiry, and how they are shut."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from llm_planner.api.machine_keys import minted
from llm_planner.storage.repositories import operators

from ..harness import Client, operator
from .conftest import ServeSqlite

PATHS = {
    "approvals": ("/approvals", "/writes"),
    "sessions": ("/sessions",),
    "audit": ("/audit",),
    "metrics": ("/metrics",),
}


async def mint(client: Client, *scopes: str, role: str = "viewer", days: float = 1) -> str:
    moment = datetime.now(UTC)
    made = minted("reports", role, scopes, moment, moment + timedelta(days=days))
    await client.parts.database.run(lambda conn: operators.mint(conn, made.row))
    return made.text


async def status(client: Client, path: str, key: str) -> tuple[int, Any]:
    async with client.http.get(client.url + path, headers={"Authorization": f"Bearer {key}"}) as answer:
        return answer.status, await answer.text()


async def test_a_key_reaches_what_its_scopes_name_and_nothing_else(client: Client) -> None:
    for scope in PATHS:
        key = await mint(client, scope)
        for other, paths in PATHS.items():
            for path in paths:
                assert (await status(client, path, key))[0] == (200 if other == scope else 403), (scope, path)
    both = await mint(client, "audit", "sessions")
    assert [(await status(client, path, both))[0] for path in ("/audit", "/sessions", "/metrics")] == [
        200,
        200,
        403,
    ]


async def test_a_keys_role_counts_as_an_operators(client: Client) -> None:
    key = await mint(client, "approvals", "sessions", role="billing")
    assert (await status(client, "/approvals", key))[0] == 200
    assert (await status(client, "/sessions", key))[0] == 403


async def test_a_key_that_has_expired_or_was_disabled_is_no_key(client: Client) -> None:
    old, gone = await mint(client, "audit", days=-0.001), await mint(client, "audit")
    moment = datetime.now(UTC)
    key_id = gone.split("_")[1]
    assert await client.parts.database.run(lambda conn: operators.disable_key(conn, key_id, moment))
    for key in (old, gone):
        assert (await status(client, "/audit", key))[0] == 401


async def test_a_wrong_half_is_no_key_and_the_secret_is_not_stored(client: Client) -> None:
    key = await mint(client, "audit")
    head, secret = key[:41], key[41:]
    for wrong in (head + secret[::-1], key[:-1], key + "x", key.upper(), "lpk_", head + "é" * 43):
        assert (await status(client, "/audit", wrong))[0] == 401, wrong
    rows = str(await client.rows("SELECT * FROM api_keys"))
    assert secret not in rows
    assert re.search(r"[0-9a-f]{64}", rows)


async def test_the_environments_keys_stay_good_everywhere(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite()
    for paths in PATHS.values():
        for path in paths:
            assert (await client.http.get(client.url + path, headers=operator("viewer"))).status == 200
