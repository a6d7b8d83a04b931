"""The outlet: what surely did not leave, what may have arrived, and bounded answers."""

import asyncio

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from llm_planner.delivery.http import HttpPolicy, Outlet, Request, as_json, new_session
from llm_planner.delivery.verdicts import told
from llm_planner.testing.providers import FakeTelegram
from llm_planner.turn.outbox import Ambiguous, Refused

SECRET = "token-in-the-address"


@pytest.fixture
async def raw():
    """A server that answers whatever bytes a test hands it, and then closes."""
    answers = []

    async def talk(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(answers.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield answers, as_json(f"http://127.0.0.1:{port}/{SECRET}", {"text": "hola"}, {})
    server.close()
    await server.wait_closed()


async def test_a_name_that_nobody_knows_is_a_refusal_to_try_again(outlet):
    with pytest.raises(Refused) as caught:
        await outlet.post(as_json(f"http://nobody.invalid/{SECRET}", {}, {}))
    assert not caught.value.final
    assert SECRET not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("url", [f"http://[{SECRET}", f"nothing/{SECRET}", f"ftp://example.com/{SECRET}"])
async def test_an_address_that_is_none_is_final_and_not_shown(outlet, url):
    with pytest.raises(Refused) as caught:
        await outlet.post(Request(url, b"", {}))
    assert caught.value.final
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    ],
)
async def test_an_answer_that_breaks_off_is_unknown(outlet, raw, answer):
    answers, request = raw
    answers.append(answer)
    with pytest.raises(Ambiguous) as caught:
        await outlet.post(request)
    assert SECRET not in str(caught.value)


async def test_the_status_of_an_error_counts_though_its_body_breaks_off(outlet, raw):
    answers, request = raw
    answers.append(b"HTTP/1.1 503 No\r\nContent-Length: 100\r\nRetry-After: 5\r\n\r\n{")
    answer = await outlet.post(request)
    assert (answer.status, dict(answer.data), answer.retry_after_s) == (503, {}, 5.0)


async def test_an_answer_without_an_end_is_read_so_far_and_no_further(raw, clock):
    answers, request = raw
    answers.append(b"HTTP/1.1 200 OK\r\n\r\n" + b'{"a":"' + b"x" * 100_000 + b'"}')
    outlet = Outlet(clock, HttpPolicy(max_bytes=1000))
    answer = await outlet.post(request)
    assert (answer.status, dict(answer.data)) == (200, {})
    await outlet.close()


async def test_nothing_of_a_request_or_an_answer_is_in_its_repr(outlet, raw):
    answers, request = raw
    answers.append(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"text":"hola"}')
    answer = await outlet.post(request)
    assert answer.data == {"text": "hola"}
    assert "hola" not in repr(request) + repr(answer)
    assert SECRET not in repr(request)


async def test_one_session_serves_all_and_is_made_when_needed(clock):
    made = []

    def factory(policy: HttpPolicy) -> aiohttp.ClientSession:
        made.append(new_session(policy))
        return made[-1]

    outlet = Outlet(clock, HttpPolicy(), factory)
    assert made == []
    async with FakeTelegram() as one, FakeTelegram() as two:
        await outlet.post(as_json(f"{one.url}/x", {}, {}))
        await outlet.post(as_json(f"{two.url}/x", {}, {}))
    await outlet.close()
    assert len(made) == 1
    assert made[0].closed


async def test_cookies_of_a_provider_are_not_kept(clock):
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie"))
        return web.json_response({}, headers={"Set-Cookie": "a=1"})

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    outlet = Outlet(clock)
    for _ in range(2):
        await outlet.post(as_json(f"http://127.0.0.1:{runner.addresses[0][1]}/", {}, {}))
    await outlet.close()
    await runner.cleanup()
    assert seen == [None, None]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("Bad Request: message is too long", "Bad Request: message is too long"),
        ("The 'To' number +5215512345678 is not valid", "The 'To' number … is not valid"),
        ("no user ana@example.com", "no user …"),
        ("token EAAGm0PX4ZCpsBAKZCz3ZCexampleZBx expired", "token … expired"),
        ("two\nlines\x00", "two lines"),
        ("x " * 500, ("x " * 500)[:120]),
        ("", "not taken"),
        (None, "not taken"),
        ({"a": 1}, "not taken"),
    ],
)
def test_a_providers_words_are_told_without_numbers_addresses_and_secrets(words, shown):
    assert told(words) == shown


class _Asleep(AbstractResolver):
    """A name server that never answers."""

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return await asyncio.Event().wait()

    async def close(self) -> None:
        return None


async def test_a_connection_that_is_not_made_in_time_is_a_refusal_to_try_again(clock):
    def factory(policy: HttpPolicy) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=None, connect=policy.connect_s)
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=_Asleep()), timeout=timeout)

    outlet = Outlet(clock, HttpPolicy(connect_s=0.05), factory)
    with pytest.raises(Refused) as caught:
        await outlet.post(as_json(f"http://slow.example/{SECRET}", {}, {}))
    assert not caught.value.final
    assert SECRET not in str(caught.value)
    await outlet.close()
