"""Rate limits at the doors: 429 with Retry-After, per session, key, address and wrong keys; nothing is stored."""

import asyncio
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from starlette.requests import Request

from llm_planner.api.limits import RateLimits, address_of, rate_limits
from llm_planner.api.shared_limits import SharedCounters
from llm_planner.engine_settings import Network
from llm_planner.errors import RateLimited, StartError
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.settings import load_settings

from ..harness import INTERNAL_KEY, operator
from ..tools import Echo, plan
from .conftest import ServeSqlite

KEY = {"x-api-key": INTERNAL_KEY}


async def served(serve_sqlite: ServeSqlite, **limits: Any) -> Any:
    return await serve_sqlite(tools=[Echo], model=ScriptedModel([plan(reply="hi")] * 20), **limits)


async def say(client: Any, session: str, path: str = "/agent", headers: Any = None) -> int:
    status, _ = await client.post(path, {"message": "hello", "session_id": session}, headers)
    found: int = status
    return found


async def test_a_session_above_its_rate_is_told_when_to_come_back_and_nothing_is_stored(
    serve_sqlite: ServeSqlite,
) -> None:
    client = await served(serve_sqlite, rate_limit_session=3)
    assert [await say(client, "one") for _ in range(4)] == [200, 200, 200, 429]
    assert await say(client, "two") == 200
    body = {"message": "hello", "session_id": "one"}
    async with client.http.post(client.url + "/agent", json=body) as answer:
        assert (answer.status, answer.content_type) == (429, "application/problem+json")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert (await answer.json(content_type=None))["code"] == "rate_limited"
    assert len(await client.rows("SELECT * FROM turns")) == 4


async def test_a_key_above_its_rate_is_limited_whatever_sessions_it_names(serve_sqlite: ServeSqlite) -> None:
    client = await served(serve_sqlite, rate_limit_key=2)
    found = [await say(client, f"s{number}", "/wa/agent", KEY) for number in range(3)]
    assert found == [200, 200, 429]
    assert await say(client, "s0") == 200


async def test_an_address_above_its_rate_is_limited_but_probes_and_webhooks_are_not(
    serve_sqlite: ServeSqlite,
) -> None:
    client = await served(serve_sqlite, rate_limit_address=2)
    assert [(await client.get("/approvals", operator("admin")))[0] for _ in range(3)] == [200, 200, 429]
    assert await say(client, "one") == 429
    assert (await client.get("/health"))[0] == 200
    assert (await client.post("/provider/nothing/inbound", {}))[0] == 404


async def test_many_wrong_keys_are_429_and_the_right_one_still_passes(serve_sqlite: ServeSqlite) -> None:
    client = await served(serve_sqlite, rate_limit_wrong_keys=2)
    wrong = {"Authorization": "Bearer wrong"}
    assert [(await client.get("/approvals", wrong))[0] for _ in range(3)] == [401, 401, 429]
    assert (await client.post("/wa/agent", {"message": "x"}, {"x-api-key": "wrong"}))[0] == 429
    assert (await client.get("/approvals", operator("admin")))[0] == 200
    assert await say(client, "one", "/wa/agent", KEY) == 200


def request(peer: str, *forwarded: str) -> Request:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return Request({"type": "http", "client": (peer, 1), "headers": headers})


NETWORKS = load_settings(_env_file=None, trusted_proxies="10.0.0.0/8, ::1").trusted_proxies
ADDRESSES: list[tuple[str, tuple[str, ...], tuple[Network, ...], str]] = [
    ("203.0.113.9", (), (), "203.0.113.9"),
    ("203.0.113.9", ("198.51.100.1",), (), "203.0.113.9"),
    ("203.0.113.9", ("198.51.100.1",), NETWORKS, "203.0.113.9"),
    ("10.0.0.1", ("198.51.100.1",), NETWORKS, "198.51.100.1"),
    ("10.0.0.1", ("6.6.6.6, 198.51.100.1, 10.2.2.2",), NETWORKS, "198.51.100.1"),
    ("10.0.0.1", ("6.6.6.6", "198.51.100.1"), NETWORKS, "198.51.100.1"),
    ("10.0.0.1", ("not an address",), NETWORKS, "10.0.0.1"),
    ("10.0.0.1", ("",), NETWORKS, "10.0.0.1"),
    ("::1", ("2001:db8:1:2:3:4:5:6",), NETWORKS, "2001:db8:1:2::/64"),
    ("::ffff:203.0.113.9", (), (), "203.0.113.9"),
]


@pytest.mark.parametrize(("peer", "forwarded", "proxies", "expected"), ADDRESSES)
def test_who_sent_it_is_believed_only_behind_proxies_of_ours(
    peer: str, forwarded: tuple[str, ...], proxies: tuple[Network, ...], expected: str
) -> None:
    assert address_of(request(peer, *forwarded), proxies) == expected


def test_a_proxy_that_is_no_network_stops_the_start() -> None:
    with pytest.raises(StartError, match="TRUSTED_PROXIES"):
        load_settings(_env_file=None, trusted_proxies="the-proxy")


async def test_names_that_were_not_used_lately_are_forgotten_first() -> None:
    limits = RateLimits({"session": 1}, remembered=2)
    for name in ("a", "b", "c"):
        await limits.spend("session", name)
    assert len(limits._buckets) == 2
    await limits.spend("session", "a")
    with pytest.raises(RateLimited):
        await limits.spend("session", "c")


async def test_processes_that_share_a_redis_count_together() -> None:
    server = FakeServer()
    one, two = (RateLimits({"session": 3}, SharedCounters(FakeAsyncRedis(server=server))) for _ in range(2))
    for limits in (one, two, one):
        await limits.spend("session", "a")
    for limits in (one, two):
        with pytest.raises(RateLimited) as refused:
            await limits.spend("session", "a")
        assert 1 <= refused.value.retry_after_s <= 60
    await two.spend("session", "b")
    await asyncio.gather(one.aclose(), two.aclose())


async def test_while_redis_is_away_nothing_is_counted_and_nobody_is_shut_out() -> None:
    settings = load_settings(
        _env_file=None, rate_limit_session=1, rate_limit_redis_url="redis://127.0.0.1:1/0"
    )
    limits = rate_limits(settings)
    for _ in range(3):
        await limits.spend("session", "a")
    await limits.aclose()


def test_an_address_that_is_none_of_redis_stops_the_start() -> None:
    with pytest.raises(StartError, match="RATE_LIMIT_REDIS_URL"):
        rate_limits(load_settings(_env_file=None, rate_limit_redis_url="http://127.0.0.1"))
