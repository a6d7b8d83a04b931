"""HTTP to the providers: one session, deadlines, bounded answers; tells apart what surely did not arrive.

Nothing that is raised here holds an address, a header or a body: Telegram's token stands in its URL.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from ..clock import Clock, SystemClock
from ..llm.wire import mapping, retry_after_s
from ..turn.outbox import Ambiguous, Refused

_CHUNK = 16384
_LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class HttpPolicy:
    """How patient the client is (seconds), how many connections it keeps, how much of an answer it reads."""

    connect_s: float = 10.0
    answer_s: float = 20.0
    connections: int = 100
    connections_per_host: int = 20
    max_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """One POST. All of it may hold secrets or a person's words."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the provider said. `data` is the JSON object in it, empty where there is none; `retry_after_s` at
    most an hour."""

    status: int
    data: Mapping[str, object] = field(repr=False)
    retry_after_s: float | None = None


def as_json(url: str, body: Mapping[str, object], headers: Mapping[str, str]) -> Request:
    """A POST of JSON."""
    data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    return Request(url, data, {"Content-Type": "application/json; charset=utf-8", **headers})


class Outlet:
    """POSTs to providers. Make one for the process; it opens its session at the first call."""

    def __init__(
        self,
        clock: Clock | None = None,
        policy: HttpPolicy | None = None,
        session_factory: Callable[[HttpPolicy], aiohttp.ClientSession] | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._policy = policy or HttpPolicy()
        self._session_factory = session_factory or new_session
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, request: Request) -> Answer:
        """The answer, whatever its status.

        Raises Refused where nothing was sent, Ambiguous where it was and no answer came back.
        """
        fault: Exception
        try:
            async with asyncio.timeout(self._policy.connect_s + self._policy.answer_s):
                return await self._post(request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            fault = Refused(f"no connection ({type(error).__name__})")
        except (aiohttp.NonHttpUrlClientError, ValueError) as error:
            fault = Refused(f"no request can be made of this ({type(error).__name__})", final=True)
        except (aiohttp.ClientError, OSError) as error:
            fault = Ambiguous(f"no answer came back ({type(error).__name__})")
        # Raised out here so that the library's error, which may hold the address, is not its context.
        raise fault

    async def _post(self, request: Request) -> Answer:
        if self._session is None:
            self._session = self._session_factory(self._policy)
        async with self._session.post(
            URL(request.url, encoded=True),
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
        ) as response:
            body = await self._read(response)
            after = retry_after_s(response.headers.get("Retry-After"), self._clock.now())
            return Answer(
                response.status, _object(body), None if after is None else min(after, _LONGEST_WAIT_S)
            )

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """The body; of an error only its status counts, so that a broken one is as good as none."""
        body = bytearray()
        try:
            async for chunk in response.content.iter_chunked(_CHUNK):
                body += chunk
                if len(body) > self._policy.max_bytes:
                    return b""
        except (aiohttp.ClientError, OSError):
            if response.status < 400:
                raise
        return bytes(body)


def new_session(policy: HttpPolicy) -> aiohttp.ClientSession:
    """The session for all providers: no cookies, no compression, and connections that idle no longer than the
    other sides let them: of a message on one that was just closed nobody knows whether it arrived."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=policy.connections, limit_per_host=policy.connections_per_host, keepalive_timeout=8.0
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=policy.connect_s, sock_read=policy.answer_s),
        auto_decompress=False,
        skip_auto_headers=("User-Agent",),
        headers={"User-Agent": "llm-planner", "Accept-Encoding": "identity"},
    )


def _object(body: bytes) -> Mapping[str, object]:
    try:
        return mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}
