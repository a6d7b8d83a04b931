"""The HTTP client of tools: it reaches the hosts that a tool declares, at public addresses, and no others."""

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from .errors import PlannerError

REDIRECTS = 3
LARGEST = 2 * 1024 * 1024
_READ_DIFFERENTLY = re.compile(r"[\x00-\x20\x7f\\]")
"""Characters that URL parsers disagree about: what we check must be what is reached."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PROTOCOL_ASSIGNMENTS = ipaddress.ip_network("192.0.0.0/24")
_OWN_TO_A_HOST = frozenset(["authorization", "cookie", "proxy-authorization"])


class EgressRefused(PlannerError):
    """The request was not sent: its host is not declared, or its address is not public.

    No `ToolFailed`: what the tool had done before is not undone by it.
    """

    code = "egress_refused"


class EgressCut(PlannerError):
    """The request was sent, and its answer was not taken: too large, or it leads where we don't follow."""

    code = "egress_cut"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, whole: at most 2 MiB of body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class PublicResolver(AbstractResolver):
    """Resolves names and drops every address that is not public, at the moment of the connection."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [entry for entry in found if is_public(entry["host"])]
        if not public:
            raise EgressRefused(f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._inner.close()


def is_public(address: str) -> bool:
    """Whether an IP address is globally reachable (IANA special-purpose registries), v4 in v6 included."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv4Address):
        return ip.is_global and not ip.is_multicast and ip not in _PROTOCOL_ASSIGNMENTS
    inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped or ip.sixtofour
    if inner is not None:
        return is_public(str(inner))
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_site_local)


@dataclass(frozen=True, slots=True)
class _Sending:
    """One request as it goes out."""

    method: str
    url: str
    params: Mapping[str, str] | None
    headers: Mapping[str, str]
    json: Any
    data: Any


class Egress:
    """`ctx.http` of one tool: no cookies, no proxies, each redirect checked like the first request."""

    def __init__(
        self, hosts: Sequence[str], timeout_s: float, resolver: AbstractResolver | None = None
    ) -> None:
        self._hosts = frozenset(host.lower() for host in hosts)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._resolver = resolver

    async def get(self, url: str, **options: Any) -> Fetched:
        return await self.request("GET", url, **options)

    async def post(self, url: str, **options: Any) -> Fetched:
        return await self.request("POST", url, **options)

    async def request(
        self, method: str, url: str, *, params: Mapping[str, str] | None = None, json: Any = None,
        data: Any = None, headers: Mapping[str, str] | None = None,
    ) -> Fetched:  # fmt: skip
        """Send one request; follow at most 3 redirects, each to a declared host.

        Raises EgressRefused where the tool's `egress` does not name the host (nothing was sent), EgressCut
        where the answer is larger than 2 MiB or leads elsewhere, aiohttp.ClientError, TimeoutError.
        """
        sending = _Sending(method.upper(), url, params, dict(headers or {}), json, data)
        self._check(url)
        connector = aiohttp.TCPConnector(resolver=self._resolver or PublicResolver(), force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=self._timeout, trust_env=False
        ) as session:
            for _ in range(REDIRECTS + 1):
                found = await self._send(session, sending)
                if isinstance(found, Fetched):
                    return found
                sending = found
        raise EgressCut(f"more than {REDIRECTS} redirects")

    async def _send(self, session: aiohttp.ClientSession, sending: _Sending) -> "Fetched | _Sending":
        async with session.request(
            sending.method, sending.url, params=sending.params, headers=sending.headers, json=sending.json,
            data=sending.data, allow_redirects=False,
        ) as answer:  # fmt: skip
            target = answer.headers.get("Location")
            if answer.status not in (301, 302, 303, 307, 308) or target is None:
                return Fetched(answer.status, dict(answer.headers), await _body(answer))
            return self._redirected(sending, answer.status, target)

    def _redirected(self, sending: _Sending, status: int, target: str) -> _Sending:
        """The next request. Raises EgressCut for one that may not be sent: the first one was."""
        try:
            url = urljoin(sending.url, target)
            before, after = urlsplit(sending.url), self._check(url)
        except (EgressRefused, ValueError) as error:
            raise EgressCut(f"redirected to an address that can't be reached: {error}") from error
        if before.scheme == "https" and after.scheme != "https":
            raise EgressCut("redirected from https to http")
        headers = sending.headers
        if before.netloc.lower() != after.netloc.lower():
            headers = {name: value for name, value in headers.items() if name.lower() not in _OWN_TO_A_HOST}
        moved = replace(sending, url=url, headers=headers, params=None)
        return moved if status in (307, 308) else replace(moved, method="GET", json=None, data=None)

    def _check(self, url: str) -> SplitResult:
        if _READ_DIFFERENTLY.search(url):
            raise EgressRefused("spaces, control characters and backslashes in an address must be encoded")
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise EgressRefused(f"not an address: {error}") from error
        host = (parts.hostname or "").lower()
        if parts.scheme not in ("http", "https") or "@" in parts.netloc:
            raise EgressRefused("only http and https addresses without credentials can be reached")
        if host not in self._hosts:
            raise EgressRefused(f"{host or 'no host'} is not in this tool's egress")
        if _is_address(host) and not is_public(host):
            raise EgressRefused(f"{host} is not a public address")
        return parts


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        body += chunk
        if len(body) > LARGEST:
            raise EgressCut(f"the answer is larger than {LARGEST} bytes")
    return bytes(body)
