"""Retries, pauses, deadlines and the circuit breaker."""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_planner.errors import ModelUnavailable
from llm_planner.llm.breaker import Breaker
from llm_planner.llm.http import ModelHttp, Post, new_session
from llm_planner.llm.wire import retry_after_s, said
from llm_planner.testing.servers import FakeOllama
from llm_planner.testing.servers_script import Hang, Held, Status, rate_limited

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def post(server: FakeOllama, deadline_s: float = 60.0) -> Post:
    return Post(f"{server.url}/api/chat", {"model": "m"}, "secret-key", 30.0, deadline_s)


async def test_retry_after_in_seconds_is_waited_for_plus_jitter(make_http, fake_time):
    async with FakeOllama(rate_limited("7"), Status(503, "", {"Retry-After": "3"})) as server:
        answer = await make_http(backoff_s=0.5).post_json(post(server))
    assert answer.attempts == 3
    assert fake_time.slept == [7.5, 3.5]


async def test_retry_after_as_a_date_is_waited_for(make_http, fake_time):
    async with FakeOllama(rate_limited("Mon, 23 Nov 2026 12:00:09 GMT")) as server:
        await make_http(backoff_s=0.5).post_json(post(server))
    assert fake_time.slept == [9.5]


async def test_retry_after_is_capped(make_http, fake_time):
    async with FakeOllama(rate_limited("86400")) as server:
        await make_http(backoff_s=0.5, retry_after_cap_s=20.0).post_json(post(server))
    assert fake_time.slept == [20.5]


async def test_a_pause_that_would_outlive_the_deadline_is_not_begun(make_http, fake_time):
    async with FakeOllama(default=rate_limited("9")) as server:
        with pytest.raises(ModelUnavailable, match="HTTP 429 slow down"):
            await make_http().post_json(post(server, deadline_s=5.0))
    assert fake_time.slept == []
    assert len(server.requests) == 1


async def test_the_deadline_counts_over_all_attempts(make_http, fake_time):
    def slow(_request):
        fake_time.advance(4.0)
        return Status(500)

    async with FakeOllama(default=slow) as server:
        with pytest.raises(ModelUnavailable, match="2 attempts"):
            await make_http(attempts=9, backoff_s=1.0).post_json(post(server, deadline_s=10.0))
    assert fake_time.slept == [1.0]


async def test_without_retry_after_the_ceiling_of_the_jitter_doubles_up_to_its_cap(make_http, fake_time):
    async with FakeOllama(default=Status(500)) as server:
        with pytest.raises(ModelUnavailable):
            await make_http(attempts=5, backoff_s=1.0, backoff_cap_s=3.0, breaker_failures=99).post_json(
                post(server)
            )
    assert fake_time.slept == [1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("1.5", 1.5),
        ("Mon, 23 Nov 2026 12:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 12:01:00 -0000", 60.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Mon, 99 Nov 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after_is_read_or_ignored(header, seconds):
    assert retry_after_s(header, NOON) == seconds


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_retry_after_header_breaks_the_client(header):
    seconds = retry_after_s(header, NOON)
    assert seconds is None or seconds >= 0


@settings(deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["hush 0123456789", None]))
def test_what_a_server_said_is_one_short_line_without_the_key(body, key):
    line = said(body + (key or "").encode(), key)
    assert len(line) <= 200
    assert line.isprintable()
    assert key is None or key not in line


async def test_a_closed_client_opens_again(make_http):
    async with FakeOllama() as server:
        http = make_http()
        await http.post_json(post(server))
        await http.close()
        assert (await http.post_json(post(server))).status == 200


async def test_no_redirect_is_followed(make_http):
    elsewhere = Status(307, "", {"Location": "http://127.0.0.1:1/"})
    async with FakeOllama(elsewhere) as server:
        assert (await make_http().post_json(post(server))).status == 307


async def test_a_repr_of_a_post_holds_neither_key_nor_messages():
    shown = repr(Post("http://host/", {"messages": "private"}, "secret-key", 1.0, 1.0))
    assert "secret-key" not in shown
    assert "private" not in shown


async def test_failures_in_a_row_open_the_circuit_and_a_probe_closes_it(make_http, fake_time):
    http = make_http(attempts=1, breaker_failures=3, breaker_pause_s=10.0)
    async with FakeOllama(Status(500), Status(500), Status(500)) as server:
        for _ in range(3):
            with pytest.raises(ModelUnavailable, match="HTTP 500"):
                await http.post_json(post(server))
        with pytest.raises(ModelUnavailable, match="resting") as caught:
            await http.post_json(post(server))
        assert caught.value.reason == "model_resting"
        assert len(server.requests) == 3
        fake_time.advance(10.0)
        assert (await http.post_json(post(server))).status == 200
        assert (await http.post_json(post(server))).status == 200


async def test_a_success_in_between_starts_the_count_again(make_http):
    http = make_http(attempts=1, breaker_failures=2)
    async with FakeOllama(Status(500), "ok", Status(500), "ok", Status(500)) as server:
        for fails in (True, False, True, False, True, False):
            with pytest.raises(ModelUnavailable) if fails else nullcontext():
                await http.post_json(post(server))
    assert len(server.requests) == 6


async def test_a_429_does_not_open_the_circuit(make_http):
    http = make_http(attempts=1, breaker_failures=2)
    async with FakeOllama(default=Status(429)) as server:
        for _ in range(4):
            with pytest.raises(ModelUnavailable, match="429"):
                await http.post_json(post(server))
    assert len(server.requests) == 4


async def test_another_endpoint_has_its_own_circuit(make_http):
    http = make_http(attempts=1, breaker_failures=1)
    async with FakeOllama(default=Status(500)) as broken, FakeOllama() as good:
        with pytest.raises(ModelUnavailable):
            await http.post_json(post(broken))
        assert (await http.post_json(post(good))).status == 200


async def test_one_probe_at_a_time_passes_and_a_cancelled_one_makes_room(make_http, fake_time):
    http = make_http(attempts=1, breaker_failures=1, breaker_pause_s=10.0)
    gate = asyncio.Event()
    async with FakeOllama(Status(500), Hang(), Held("x", gate)) as server:
        with pytest.raises(ModelUnavailable):
            await http.post_json(post(server))
        fake_time.advance(10.0)
        for number in (2, 3):
            probe = asyncio.create_task(http.post_json(post(server)))
            await server.arrived(number)
            with pytest.raises(ModelUnavailable, match="resting"):
                await http.post_json(post(server))
            if number == 2:
                probe.cancel()
                await asyncio.wait([probe])
        gate.set()
        assert (await probe).status == 200


def test_a_failed_probe_opens_the_circuit_for_another_pause(fake_time):
    breaker = Breaker(fake_time, failures=2, pause_s=5.0)
    for _ in range(2):
        breaker.leave(breaker.enter(), healthy=False)
    fake_time.advance(5.0)
    breaker.leave(breaker.enter(), healthy=False)
    assert breaker.enter() is None
    fake_time.advance(4.9)
    assert breaker.enter() is None
    fake_time.advance(0.1)
    assert breaker.enter() is not None


def test_calls_of_before_the_opening_neither_close_the_circuit_nor_prolong_it(fake_time):
    breaker = Breaker(fake_time, failures=1, pause_s=5.0)
    first, late, later = breaker.enter(), breaker.enter(), breaker.enter()
    breaker.leave(first, healthy=False)
    breaker.leave(late, healthy=True)
    assert breaker.enter() is None
    fake_time.advance(4.0)
    breaker.leave(later, healthy=False)
    fake_time.advance(1.0)
    assert breaker.enter() is not None


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["enter", "ok", "bad", "none", "wait"]), st.integers(0, 5)), max_size=60
    )
)
def test_a_circuit_never_lets_two_probes_through_and_never_stays_shut(steps):
    class Tick:
        seconds = 0.0

        def monotonic(self):
            return self.seconds

        def now(self):
            raise NotImplementedError

    tick = Tick()
    breaker = Breaker(tick, failures=2, pause_s=3.0)
    out: list[int] = []
    for step, which in steps:
        if step == "wait":
            tick.seconds += which
        elif step == "enter":
            was_open = breaker._rests_until is not None
            ticket = breaker.enter()
            if ticket is not None:
                assert not was_open or ticket not in out
                out.append(ticket)
        elif out:
            breaker.leave(out.pop(which % len(out)), {"ok": True, "bad": False, "none": None}[step])
    for ticket in out:
        breaker.leave(ticket, None)
    tick.seconds += 3.0
    assert breaker.enter() is not None


async def test_the_session_has_room_for_many_connections_and_none_for_cookies():
    async with new_session() as session:
        assert session.connector.limit >= 500
        assert session.timeout.sock_connect
        assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)


async def test_an_unused_client_opens_nothing():
    made = []
    http = ModelHttp(session_factory=lambda: made.append(1))
    await http.close()
    assert made == []
