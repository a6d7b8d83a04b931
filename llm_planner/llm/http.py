"""HTTP to model servers: one session, retries within a deadline, bounded answers, a circuit per endpoint."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import aiohttp
from yarl import URL

from ..clock import Clock, SystemClock
from ..errors import ModelBadAnswer, ModelUnavailable
from .breaker import Breaker
from .wire import Answer, lines_of, retry_after_s, said

_RETRIED = frozenset({408, 425, 429})
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """How patient the client is. Seconds and bytes."""

    attempts: int = 3
    backoff_s: float = 0.5
    backoff_cap_s: float = 8.0
    retry_after_cap_s: float = 30.0
    max_bytes: int = 4 * 1024 * 1024
    breaker_failures: int = 5
    breaker_pause_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Nature:
    """Time, sleep and chance, as one thing that tests replace."""

    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = field(default_factory=lambda: random.SystemRandom().uniform)


@dataclass(frozen=True, slots=True)
class Post:
    """One request. `key` goes out as Bearer and nowhere else.

    `timeout_s` bounds one attempt, `deadline_s` all of them. `is_final(status, body)` may say that a 5xx
    answer is the server's last word, not to be tried again.
    """

    url: str
    body: Mapping[str, object] = field(repr=False)
    key: str | None = field(repr=False)
    timeout_s: float
    deadline_s: float
    is_final: Callable[[int, bytes], bool] = field(default=lambda _status, _body: False, repr=False)


@dataclass(frozen=True, slots=True)
class _Trouble:
    """An attempt that gave no answer worth handing on."""

    why: str
    healthy: bool = False
    retry_after_s: float | None = None


def new_session() -> aiohttp.ClientSession:
    """The session for all model calls: no cookies, no compression, room for a thousand calls at once."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=1000),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0),
        auto_decompress=False,
        skip_auto_headers=("User-Agent",),
        headers={"User-Agent": "llm-planner", "Accept-Encoding": "identity"},
    )


class ModelHttp:
    """POSTs JSON to model servers. Make one for the process; it opens its session at the first call."""

    def __init__(
        self,
        policy: HttpPolicy | None = None,
        nature: Nature | None = None,
        session_factory: Callable[[], aiohttp.ClientSession] = new_session,
    ) -> None:
        self._policy = policy or HttpPolicy()
        self._nature = nature or Nature()
        self._session_factory = session_factory
        self._session: aiohttp.ClientSession | None = None
        self._breakers: dict[str, Breaker] = {}
        self.clock = self._nature.clock

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post_json(self, post: Post) -> Answer:
        """The server's answer, whatever its status, once it is none that passes by itself.

        Raises ModelUnavailable when attempts or deadline are used up or the circuit is open, ModelBadAnswer
        on too many bytes.
        """
        answer, _ = await self._until_answered(post, keep_open=False)
        return answer

    async def post_lines(self, post: Post) -> AsyncIterator[bytes | Answer]:
        """The lines of a streamed 200 answer; or one Answer, when the status is another.

        Tried again only before the first line. Raises as `post_json` does, also in the middle.
        """
        ends = self.clock.monotonic() + post.deadline_s
        answer, response = await self._until_answered(post, keep_open=True)
        if response is None:
            yield answer
            return
        async with response:
            async for line in lines_of(self._chunks(response, post, ends), self._policy.max_bytes):
                yield line

    async def _chunks(
        self, response: aiohttp.ClientResponse, post: Post, ends: float
    ) -> AsyncIterator[bytes]:
        trouble = None
        while trouble is None:
            try:
                async with asyncio.timeout(min(post.timeout_s, ends - self.clock.monotonic())):
                    chunk = await response.content.readany()
            except (aiohttp.ClientError, OSError) as error:
                trouble = f"the answer broke off: {type(error).__name__}"
            else:
                if not chunk:
                    return
                yield chunk
        raise ModelUnavailable(f"{_origin(post.url)}: {trouble}")

    async def _until_answered(
        self, post: Post, keep_open: bool
    ) -> tuple[Answer, aiohttp.ClientResponse | None]:
        ends = self.clock.monotonic() + post.deadline_s
        attempt = 0
        while True:
            attempt += 1
            outcome, response = await self._attempt(post, ends, keep_open)
            if isinstance(outcome, Answer):
                return replace(outcome, attempts=attempt), response
            pause = self._pause(outcome, attempt)
            if attempt == self._policy.attempts or self.clock.monotonic() + pause >= ends:
                tries = "1 attempt" if attempt == 1 else f"{attempt} attempts"
                raise ModelUnavailable(f"{_origin(post.url)}: {outcome.why} ({tries})")
            await self._nature.sleep(pause)

    async def _attempt(
        self, post: Post, ends: float, keep_open: bool
    ) -> tuple[Answer | _Trouble, aiohttp.ClientResponse | None]:
        breaker = self._breaker(post.url)
        ticket = breaker.enter()
        if ticket is None:
            raise ModelUnavailable(
                f"{_origin(post.url)}: resting after failures in a row", code="model_resting"
            )
        healthy = None
        try:
            outcome, response = await self._send(post, ends, keep_open)
            healthy = isinstance(outcome, Answer) or outcome.healthy
        finally:
            breaker.leave(ticket, healthy)
        return outcome, response

    async def _send(
        self, post: Post, ends: float, keep_open: bool
    ) -> tuple[Answer | _Trouble, aiohttp.ClientResponse | None]:
        allowed_s = min(post.timeout_s, ends - self.clock.monotonic())
        # The library's errors can hold the request's headers: their type's name is all that is passed on.
        try:
            async with asyncio.timeout(allowed_s):
                response = await self._request(post)
                if keep_open and response.status == 200:
                    return Answer(200, b"", 0), response
                async with response:
                    body = await self._read(response)
        except aiohttp.ClientError as error:
            return _Trouble(f"no connection, or it broke off: {type(error).__name__}"), None
        except TimeoutError:
            return _Trouble(f"no answer in {allowed_s:.1f} s"), None
        except OSError as error:
            return _Trouble(f"no connection: {type(error).__name__}"), None
        return self._judged(post, response, body), None

    async def _request(self, post: Post) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = self._session_factory()
        headers = {"Content-Type": "application/json"}
        if post.key:
            headers["Authorization"] = f"Bearer {post.key}"
        data = json.dumps(post.body, separators=(",", ":")).encode()
        return await self._session.post(post.url, data=data, headers=headers, allow_redirects=False)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > self._policy.max_bytes:
                raise ModelBadAnswer(f"the answer is larger than {self._policy.max_bytes} bytes")
        return bytes(body)

    def _judged(self, post: Post, response: aiohttp.ClientResponse, body: bytes) -> Answer | _Trouble:
        status = response.status
        if status not in _RETRIED and (status < 500 or post.is_final(status, body)):
            return Answer(status, body, 0)
        after = retry_after_s(response.headers.get("Retry-After"), self.clock.now())
        return _Trouble(f"HTTP {status} {said(body, post.key)}".rstrip(), status < 500, after)

    def _pause(self, trouble: _Trouble, attempt: int) -> float:
        if trouble.retry_after_s is not None:
            jitter = self._nature.uniform(0.0, self._policy.backoff_s)
            return min(trouble.retry_after_s, self._policy.retry_after_cap_s) + jitter
        ceiling = min(self._policy.backoff_cap_s, self._policy.backoff_s * 2 ** (attempt - 1))
        return self._nature.uniform(0.0, ceiling)

    def _breaker(self, url: str) -> Breaker:
        origin = _origin(url)
        if origin not in self._breakers:
            policy = self._policy
            self._breakers[origin] = Breaker(self.clock, policy.breaker_failures, policy.breaker_pause_s)
        return self._breakers[origin]


def _origin(url: str) -> str:
    return str(URL(url).origin())
