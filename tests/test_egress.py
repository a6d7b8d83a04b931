"""Egress: declared hosts at public addresses and nothing else, whatever an address looks like or leads to."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from llm_planner import Tool, ToolContext
from llm_planner.egress import LARGEST, Egress, EgressCut, EgressRefused, PublicResolver, is_public
from llm_planner.errors import ToolError

from .tools import EchoInput, plan
from .turn_kit import always, token

Serve = Any


class Names(AbstractResolver):
    """A resolver that says what the test wants; each name's answers are used up, the last one stays."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        self.asked.append(host)
        known = self.answers[host.replace(".", "_")]
        address = known.pop(0) if len(known) > 1 else known[0]
        return [{"hostname": host, "host": address, "port": port, "family": 2, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def site(
    *routes: tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]],
) -> AsyncIterator[int]:
    app = web.Application()
    for path, handler in routes:
        app.router.add_route("*", path, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def local(*hosts: str) -> Egress:
    """An egress whose names are all the loopback, unchecked: only tests have this resolver."""
    names = {host.replace(".", "_"): ["127.0.0.1"] for host in ("a.test", "b.test", "c.test")}
    return Egress(hosts, 5, Names(**names))


@pytest.mark.covers("tool.egress", "rule.13")
@pytest.mark.parametrize(
    "url",
    [
        "https://other.test/",
        "http://a.test.other.test/",
        "http://user@a.test/",
        "http://user:pw@a.test/",
        "http://a.test@other.test/",
        "ftp://a.test/",
        "file:///etc/passwd",
        "//a.test/",
        "a.test",
        "",
        "http://",
        "http://a.test\\@other.test/",
        "http://other.test#@a.test",
        "http://other.test\\a.test/",
        "http://a.te\nst/",
        " http://a.test/",
        "http://a.test /",
        "http://ａ.test/",
        "http://a。test/",
        "http://[::1]/",
        "http://127.0.0.1/",
        "http://[bad/",
        "javascript:alert(1)",
        "http://a.test%00.other.test/",
        "http://A.test./",
    ],
)
async def test_an_address_that_is_not_plainly_a_declared_host_is_refused_unsent(url: str) -> None:
    names = Names(a_test=["127.0.0.1"], other_test=["127.0.0.1"])
    with pytest.raises(EgressRefused):
        await Egress(["a.test"], 5, names).get(url)
    assert names.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.0.8",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "::7f00:1",
        "fec0::1",
        "2001:db8::1",
        "not an address",
        "",
        "2001::1",
        "100::1",
        "4000::1",
    ],
)
def test_addresses_that_are_not_public_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"],
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.covers("rule.13")
@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fd00::1"])
async def test_a_declared_name_that_leads_inside_is_refused_at_the_connection(address: str) -> None:
    with pytest.raises(EgressRefused, match="no public address"):
        await Egress(["a.test"], 5, PublicResolver(Names(a_test=[address]))).get("http://a.test/")


async def test_a_name_that_changes_its_mind_between_two_requests_is_refused() -> None:
    rebinding = PublicResolver(Names(a_test=["93.184.215.14", "127.0.0.1"]))
    assert [entry["host"] for entry in await rebinding.resolve("a.test", 80)] == ["93.184.215.14"]
    with pytest.raises(EgressRefused):
        await Egress(["a.test"], 5, rebinding).get("http://a.test/")


async def test_a_declared_literal_address_is_still_refused_when_it_is_not_public() -> None:
    for host in ("127.0.0.1", "::1", "169.254.169.254"):
        with pytest.raises(EgressRefused, match="not a public address"):
            await Egress([host], 5).get(f"http://[{host}]/" if ":" in host else f"http://{host}/")


async def test_what_a_declared_host_answers_comes_back_without_cookies_being_kept() -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie"))
        reply = web.json_response({"q": request.query.get("q"), "body": (await request.read()).decode()})
        reply.set_cookie("id", "1")
        return reply

    async with site(("/", answer)) as port:
        http = local("a.test")
        found = await http.post(f"http://A.test:{port}/", params={"q": "é"}, json={"n": 1})
        await http.get(f"http://a.test:{port}/")
    assert (found.status, found.json()) == (200, {"q": "é", "body": '{"n": 1}'})
    assert seen == [None, None]


async def moved(request: web.Request) -> web.Response:
    return web.Response(status=int(request.query["as"]), headers={"Location": request.query["to"]})


@pytest.mark.covers("rule.13")
@pytest.mark.parametrize(
    "target",
    [
        "http://other.test/",
        "http://169.254.169.254/",
        "//other.test/",
        "ftp://a.test/",
        "http://u@a.test/",
        "http://[bad/",
    ],
)
async def test_a_redirect_is_checked_like_the_first_request_and_the_request_counts_as_sent(
    target: str,
) -> None:
    async with site(("/", moved)) as port:
        with pytest.raises(EgressCut) as cut:
            await local("a.test").get(f"http://a.test:{port}/", params={"as": "302", "to": target})
    assert not isinstance(cut.value, ToolError)


async def test_a_redirect_to_another_declared_host_loses_keys_and_keeps_a_body_only_where_it_must() -> None:
    seen: list[tuple[str, str, str | None, str | None]] = []

    async def end(request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        seen.append(
            (request.method, body, request.headers.get("Authorization"), request.headers.get("X-Mine"))
        )
        return web.Response(text="end")

    async with site(("/", moved), ("/end", end)) as port:
        http = local("a.test", "b.test")
        for status, host in ((307, "a.test"), (307, "b.test"), (302, "b.test")):
            query = {"as": str(status), "to": f"http://{host}:{port}/end"}
            headers = {"Authorization": "Bearer x", "X-Mine": "1"}
            await http.post(f"http://a.test:{port}/", params=query, data="body", headers=headers)
    assert seen == [("POST", "body", "Bearer x", "1"), ("POST", "body", None, "1"), ("GET", "", None, "1")]


async def test_redirects_and_bodies_have_an_end() -> None:
    async def again(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/"})

    async def large(request: web.Request) -> web.Response:
        reply = web.Response(body=b"x" * (LARGEST + 1))
        reply.enable_compression()
        return reply

    async with site(("/", again), ("/large", large)) as port:
        with pytest.raises(EgressCut, match="redirects"):
            await local("a.test").get(f"http://a.test:{port}/")
        with pytest.raises(EgressCut, match="larger"):
            await local("a.test").get(f"http://a.test:{port}/large")


async def test_there_is_no_way_round_through_options() -> None:
    options: list[dict[str, Any]] = [
        {"proxy": "http://10.0.0.1"},
        {"allow_redirects": True},
        {"ssl": False},
        {"auth": None},
        {"cookies": {}},
    ]
    for option in options:
        with pytest.raises(TypeError):
            await local("a.test").get("http://a.test/", **option)


class Sends(Tool):
    """A write that posts, and then asks somewhere it may not."""

    name = "sends"
    description = "Sends."
    input_model = EchoInput
    write = True
    egress = ("declared.test",)

    async def run(self, args: EchoInput, ctx: ToolContext) -> str:
        return (await ctx.http.get("http://elsewhere.test/")).text


@pytest.mark.covers("rule.7")
async def test_a_refused_request_promises_nothing_about_what_the_tool_did_before(serve: Serve) -> None:
    client = await serve(tools=[Sends], model=always(plan(("sends", {"text": "x"}))))
    done = await client.say(f"confirm {token(await client.say('send'))}", locale="en")
    assert done["steps"][0]["status"] == "unknown"
    assert "Nothing was done" not in done["reply"]
