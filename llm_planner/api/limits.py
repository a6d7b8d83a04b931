"""Rate limits at the doors, per session, key and address: token buckets in this process, or in Redis for all."""

import ipaddress
import logging
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from inspect import isawaitable
from typing import Literal, Protocol

from pyrate_limiter import Duration, Rate, RateItem, StateBucket, StateStore, TokenBucket
from starlette.requests import HTTPConnection

from ..engine_settings import EngineSettings, Network
from ..errors import RateLimited, StartError
from ..messages import SessionKey
from .auth import WHATSAPP

logger = logging.getLogger("llm_planner.limits")
Kind = Literal["session", "key", "address", "wrong_key"]
MOST_BUCKETS = 20_000
"""Names that are remembered; the one that was used least lately is forgotten first, and begins anew."""
ONE_HOME = 64
"""Bits of an IPv6 address that one customer has: the addresses below them count as one."""


class Shared(Protocol):
    """Counters that several processes share."""

    def store(self, name: str) -> StateStore:
        """The state of one bucket. Its check raises OSError while the counters are away."""

    async def close(self) -> None:
        """Close every connection."""


class RateLimits:
    """Counts what comes through the doors. 0 requests a minute: no limit."""

    def __init__(
        self, per_minute: Mapping[Kind, int], shared: Shared | None = None, remembered: int = MOST_BUCKETS
    ) -> None:
        self._rates = {kind: [Rate(most, Duration.MINUTE)] for kind, most in per_minute.items() if most > 0}
        self._buckets: OrderedDict[tuple[Kind, str], StateBucket] = OrderedDict()
        self._remembered = remembered
        self._shared = shared

    async def turn(self, key: SessionKey) -> None:
        """One message of this session. Raises RateLimited."""
        if key.channel == WHATSAPP:
            await self.spend("key", key.account)
        await self.spend("session", key.digest())

    async def spend(self, kind: Kind, name: str) -> None:
        """Count one request. Raises RateLimited, and then it is not counted."""
        if kind not in self._rates:
            return
        bucket = self._bucket(kind, name)
        decision = bucket.put_decision(RateItem(name, bucket.now()))  # type: ignore[no-untyped-call]
        if isawaitable(decision):
            try:
                decision = await decision
            except OSError as error:
                # A limit protects; while its counters are away, the doors stay open.
                logger.warning("rate limits: nothing is counted: %s", error)
                return
        if decision.failing_rate is not None:
            wait_s = math.ceil((decision.retry_after_ms or 1000) / 1000)
            raise RateLimited("too many requests; see Retry-After", retry_after_s=max(1, wait_s))

    def _bucket(self, kind: Kind, name: str) -> StateBucket:
        bucket = self._buckets.pop((kind, name), None)
        if bucket is None:
            store = self._shared.store(f"{kind}:{name}") if self._shared is not None else None
            bucket = StateBucket(self._rates[kind], TokenBucket(), store)
            if len(self._buckets) >= self._remembered:
                self._buckets.popitem(last=False)
        self._buckets[kind, name] = bucket
        return bucket

    async def aclose(self) -> None:
        if self._shared is not None:
            await self._shared.close()


def rate_limits(settings: EngineSettings) -> RateLimits:
    """The limits of `RATE_LIMIT_*`. Raises StartError when Redis is asked for and its package is not there."""
    limits: dict[Kind, int] = {
        "session": settings.rate_limit_session,
        "key": settings.rate_limit_key,
        "address": settings.rate_limit_address,
        "wrong_key": settings.rate_limit_wrong_keys,
    }
    if settings.rate_limit_redis_url is None:
        return RateLimits(limits)
    if find_spec("redis") is None:
        raise StartError("RATE_LIMIT_REDIS_URL: needs the extra [redis]: pip install redis")
    from .shared_limits import SharedCounters, connected

    return RateLimits(limits, SharedCounters(connected(settings.rate_limit_redis_url.get_secret_value())))


def address_of(request: HTTPConnection, proxies: Sequence[Network]) -> str:
    """Who sent this: the peer, or, behind proxies of ours, the last address in X-Forwarded-For that is none of
    them. An IPv6 address stands for its whole /64."""
    peer = request.client.host if request.client is not None else ""
    hops = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
    for hop in reversed(hops):
        if not _among(peer, proxies):
            break
        if _parsed(hop) is None:
            break  # nobody that we trust wrote this
        peer = hop.strip()
    address = _parsed(peer)
    if address is None or address.version == 4:
        return peer if address is None else str(address)
    return str(ipaddress.IPv6Network((int(address), ONE_HOME), strict=False))


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    return (getattr(found, "ipv4_mapped", None) or found) if found.version == 6 else found


def _among(text: str, networks: Sequence[Network]) -> bool:
    address = _parsed(text)
    return address is not None and any(address in network for network in networks)
