"""The HTTP client of tools: it reaches the hosts that a tool declares, at public addresses, and no others (rule 13)."""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from .errors import ToolFailed

REDIRECTS = 3
LARGEST = 2 * 1024 * 1024


class EgressRefused(ToolFailed):
    """The request was not sent: its host is not declared, or its address is not public."""

    code = "egress_refused"


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

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        public = [entry for entry in found if is_public(entry["host"])]
        if not public:
            raise EgressRefused(f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._inner.close()


def is_public(address: str) -> bool:
    """Whether an IP address is globally reachable (IANA special-purpose registries), v4-in-v6 included."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    return ip.is_global and not ip.is_multicast and (mapped is None or mapped.is_global)


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

    async def request(self, method: str, url: str, **options: Any) -> Fetched:
        """Send one request; `options` are aiohttp's `params`, `json`, `data`, `headers`.

        Raises EgressRefused where the tool's `egress` does not name the host, aiohttp.ClientError, TimeoutError.
        """
        connector = aiohttp.TCPConnector(resolver=self._resolver or PublicResolver(), force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=self._timeout, trust_env=False
        ) as session:
            for _ in range(REDIRECTS + 1):
                self._check(url)
                async with session.request(method, url, allow_redirects=False, **options) as answer:
                    target = answer.headers.get("Location")
                    if answer.status not in (301, 302, 303, 307, 308) or target is None:
                        return Fetched(answer.status, dict(answer.headers), await _body(answer))
                    url = urljoin(url, target)
                    if answer.status not in (307, 308):
                        method, options = "GET", {"headers": options.get("headers")}
        raise EgressRefused(f"more than {REDIRECTS} redirects")

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if parts.scheme not in ("http", "https") or parts.username is not None:
            raise EgressRefused("only http and https addresses without credentials can be reached")
        if host not in self._hosts:
            raise EgressRefused(f"{host or 'no host'} is not in this tool's egress")
        if _is_address(host) and self._resolver is None and not is_public(host):
            raise EgressRefused(f"{host} is not a public address")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65536):
        body += chunk
        if len(body) > LARGEST:
            raise EgressRefused(f"the answer is larger than {LARGEST} bytes")
    return bytes(body)
