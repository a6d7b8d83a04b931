"""Health, readiness, the edge around every route: hosts, request ids, headers, documentation."""

from pathlib import Path
from typing import Any

import pytest

from llm_planner.llm.scripted import ScriptedModel
from llm_planner.storage.database import Database
from llm_planner.version import __version__

from ..harness import Client, operator
from ..tools import plan
from .conftest import ServeSqlite
from .raw import ask, assert_problem, get, post


async def test_health_says_ok_and_the_version(client: Client) -> None:
    assert await client.get("/health") == (200, {"status": "ok", "version": __version__})


@pytest.mark.covers("http.health")
async def test_health_touches_nothing_outside(client: Client) -> None:
    path = Path(str(client.parts.database.url.database))
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    assert (await client.get("/health"))[0] == 200


async def test_ready_when_database_migrations_and_worker_are_there(serve: Any) -> None:
    client = await serve(tools=[], model=ScriptedModel([]))
    assert await client.get("/ready") == (200, {"status": "ready"})


@pytest.mark.covers("http.ready")
async def test_ready_names_the_migrations_that_are_missing(serve: Any, db_url: str) -> None:
    client = await serve(tools=[], model=ScriptedModel([]))
    before = (await client.rows("SELECT version_num FROM alembic_version"))[0].version_num
    await client.rows("UPDATE alembic_version SET version_num = '0000'")
    found = await client.get("/ready")
    await client.rows("UPDATE alembic_version SET version_num = :v", v=before)
    assert found == (503, {"status": "unready", "failing": "migrations"})


async def test_ready_names_the_database_when_its_file_is_spoiled(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(workers_inline=False)
    _spoil(client.parts.database)
    assert await client.get("/ready") == (503, {"status": "unready", "failing": "database"})
    answer = await ask(client, post("/agent", b'{"message":"hola","session_id":"s"}'))
    assert_problem(answer, 503, "database_unavailable")
    assert (await client.get("/health"))[0] == 200


def _spoil(database: Database) -> None:
    """From now on every connection finds something that is no database."""
    for engine in (database._write_engine, database._read_engine):  # type: ignore[attr-defined]
        engine.dispose()
    path = Path(str(database.url.database))
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    path.write_bytes(b"this is no database, and long enough to be taken for one" * 40)


@pytest.mark.covers("http.problem")
async def test_an_unknown_path_is_a_404_problem(client: Client) -> None:
    for path in ["/nothing", "/agent/more", "/page/secret.txt"]:
        assert_problem(await ask(client, get(path)), 404, "not_found")


async def test_a_wrong_method_is_a_405_problem_that_says_which_are_right(client: Client) -> None:
    for path in ["/agent", "/wa/agent", "/approvals/x/resolve"]:
        answer = await ask(client, get(path))
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "post"


async def test_a_foreign_host_is_misdirected_and_health_is_exempt(client: Client) -> None:
    for host in ("evil.example", "localhost.evil.example", "evil.example:8000", "[::2]:80", ""):
        assert_problem(await ask(client, get("/docs", host=host)), 421, "unknown_host")
        assert (await ask(client, get("/health", host=host))).status == 200
    for host in ("localhost", "LOCALHOST:9999", "127.0.0.1:1", "[::1]:8000"):
        assert (await ask(client, get("/docs", host=host))).status == 200


async def test_allowed_hosts_and_the_public_address_are_what_counts(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(allowed_hosts="chat.example.com")
    assert (await ask(client, get("/docs", host="chat.example.com"))).status == 200
    assert (await ask(client, get("/docs", host="localhost"))).status == 421


@pytest.mark.covers("http.docs")
async def test_documentation_is_there_in_development(client: Client) -> None:
    assert (await ask(client, get("/docs"))).status == 200
    status, schema = await client.get("/openapi.json")
    assert status == 200
    assert {"/health", "/ready", "/agent", "/wa/agent", "/approvals", "/audit", "/metrics"} <= set(
        schema["paths"]
    )
    body = schema["paths"]["/agent"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(body["properties"]) == {"message", "session_id", "message_id", "locale"}


@pytest.mark.covers("http.docs")
async def test_documentation_is_not_there_in_production(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(environment="production", allowed_hosts="localhost")
    assert (await ask(client, get("/docs"))).status == 404
    assert (await ask(client, get("/openapi.json"))).status == 404
    assert (await ask(client, get("/page-mail"))).status == 404


async def test_every_answer_carries_the_security_headers(client: Client) -> None:
    for path in ["/health", "/nothing", "/agent", "/docs"]:
        headers = (await ask(client, get(path))).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "deny"
        assert "no-store" in headers["cache-control"]
        assert "server" not in headers or "uvicorn" in headers["server"]


async def test_the_page_may_load_nothing_from_elsewhere(client: Client) -> None:
    policy = (await ask(client, get("/chat"))).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


async def test_a_request_id_is_echoed_and_a_strange_one_replaced(client: Client) -> None:
    assert (await ask(client, get("/health", "X-Request-Id: abc-1.2_Z"))).headers[
        "x-request-id"
    ] == "abc-1.2_z"
    for strange in ("x" * 65, "a b", 'a"b', "<script>"):
        given = (await ask(client, get("/health", f"X-Request-Id: {strange}"))).headers["x-request-id"]
        assert given != strange
        assert len(given) == 16
    assert (await ask(client, get("/nothing", "X-Request-Id: q1"))).headers["x-request-id"] == "q1"


@pytest.mark.covers("http.operators")
async def test_metrics_count_what_waits_and_only_readers_see_them(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(model=ScriptedModel([plan(("ledger_add", {"what": "a"}))]))
    await client.say("write a")
    async with client.http.get(client.url + "/metrics", headers=operator("viewer")) as answer:
        assert answer.content_type == "text/plain"
        lines = (await answer.text()).splitlines()
    assert "llm_planner_pending_confirmations 1" in lines
    assert "llm_planner_open_turns 0" in lines
    assert_problem(await ask(client, get("/metrics")), 401, "unauthorized")
