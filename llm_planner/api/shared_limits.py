"""The counters of rate limits in Redis, for all processes; needs the extra [redis]."""

from collections.abc import Awaitable
from typing import Any

from pyrate_limiter import Decision, RedisStateStore, StateAlgorithm
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ..errors import StartError

PREFIX = "llm-planner:rate:"
PATIENCE_S = 1.0
"""For one count: the caller waits for it."""


def connected(url: str) -> Redis:
    """A client that opens its connections when they are needed. Raises StartError for an address of another kind."""
    try:
        return Redis.from_url(url, socket_timeout=PATIENCE_S, socket_connect_timeout=PATIENCE_S)
    except ValueError as error:
        raise StartError(
            "RATE_LIMIT_REDIS_URL: is an address such as redis://redis.example.com:6379/0"
        ) from error


class SharedCounters:
    """A key a name; Redis forgets a key by itself once its bucket is full again."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def store(self, name: str) -> RedisStateStore:
        return _Store(self._client, PREFIX + name)

    async def close(self) -> None:
        await self._client.aclose()


class _Store(RedisStateStore):
    """Says in the standard library's words that Redis is away."""

    async def check(self, algorithm: StateAlgorithm, rates: Any, now: int, weight: int) -> Decision:
        pending: Awaitable[Decision] = super().check(algorithm, rates, now, weight)  # type: ignore[no-untyped-call]
        try:
            return await pending
        except RedisError as error:
            raise ConnectionError(f"Redis: {type(error).__name__}") from error
