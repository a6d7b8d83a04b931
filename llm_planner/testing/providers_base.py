"""A fake messaging provider over real HTTP: takes messages, keeps its limits, and fails as real ones do."""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that the provider took. `buttons` are (title, payload) pairs, `body` the whole request."""

    to: str
    text: str
    reference: str
    buttons: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived. Header names are in lower case; `body` is a form's fields or JSON."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Throttle:
    """Not taken: too many messages, come back in so many seconds (None: it doesn't say)."""

    retry_after_s: int | None = 7


@dataclass(frozen=True, slots=True)
class Fail:
    """Not taken, with one of the provider's own error codes."""

    code: int | str


@dataclass(frozen=True, slots=True)
class Down:
    """Not taken: this status, and a page that is no JSON; a redirect leads to another address here."""

    status: int = 503


@dataclass(frozen=True, slots=True)
class Lost:
    """Taken, and then the connection is cut before the answer (`taken=False`: cut, and not taken)."""

    taken: bool = True


@dataclass(frozen=True, slots=True)
class Slow:
    """Taken, and answered once `gate` is set; when there is none, never."""

    gate: asyncio.Event | None = None


@dataclass(frozen=True, slots=True)
class Garbled:
    """Taken, and answered with 200 and something that is no JSON."""


Behaviour = Throttle | Fail | Down | Lost | Slow | Garbled | None
"""What happens to one request; None takes it as the provider would."""


class Refusal(Exception):
    """The provider's own answer to a message that it does not take."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(f"refused with {response.status}")
        self.response = response


class FakeProvider:
    """A provider on a free loopback port: `async with FakeTelegram() as provider`.

    `url` is the API address to configure, `sent` what was taken, `asked` every request. `then(...)` says what
    happens to the next requests, in order; after that each is taken if it is as the provider wants it.
    """

    base: ClassVar[str] = ""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.asked: list[Asked] = []
        self.url = ""
        self._script: list[Behaviour] = []
        self._arrival = asyncio.Condition()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.router.add_post("/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{self.base}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def then(self, *behaviours: Behaviour) -> None:
        """What happens to the next requests, one each."""
        self._script += behaviours

    async def arrived(self, count: int) -> None:
        """Wait until `count` requests have arrived."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.asked) >= count)

    def check(self, asked: Asked) -> None:
        """Raise Refusal for wrong credentials or an address that is not there."""
        raise NotImplementedError

    def read(self, asked: Asked, reference: str) -> Sent | None:
        """The message in a request, within the limits (Refusal if not); None for a request that is none."""
        raise NotImplementedError

    def taken(self, sent: Sent) -> web.Response:
        """The success answer."""
        raise NotImplementedError

    def refused(self, code: int | str) -> web.Response:
        """The answer with this error code."""
        raise NotImplementedError

    def throttled(self, retry_after_s: int | None) -> web.Response:
        """The answer to one message too many."""
        raise NotImplementedError

    def other(self, asked: Asked) -> web.Response:
        """The answer to a request that is no message."""
        raise Refusal(web.Response(status=404))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(request.raw_path, headers, await _parsed(request, raw), raw)
        async with self._arrival:
            self.asked.append(asked)
            self._arrival.notify_all()
        try:
            self.check(asked)
            sent = self.read(asked, self.reference(len(self.asked)))
            if sent is None:
                return self.other(asked)
            return await self._do(self._script.pop(0) if self._script else None, request, sent)
        except Refusal as refusal:
            return refusal.response

    def reference(self, number: int) -> str:
        """The id of the message that request number `number` brings."""
        return str(1000 + number)

    async def _do(self, behaviour: Behaviour, request: web.Request, sent: Sent) -> web.StreamResponse:
        if isinstance(behaviour, Throttle):
            return self.throttled(behaviour.retry_after_s)
        if isinstance(behaviour, Fail):
            return self.refused(behaviour.code)
        if isinstance(behaviour, Down):
            status, headers = behaviour.status, {"Location": "/elsewhere"} if behaviour.status < 400 else {}
            return web.Response(status=status, text="<p>no</p>", content_type="text/html", headers=headers)
        if not (isinstance(behaviour, Lost) and not behaviour.taken):
            self.sent.append(sent)
        if isinstance(behaviour, Lost):
            return _cut(request)
        if isinstance(behaviour, Slow):
            await (behaviour.gate or self._closing).wait()
        if isinstance(behaviour, Garbled):
            return web.Response(text="<html>a proxy says hello</html>", content_type="text/html")
        return self.taken(sent)


async def _parsed(request: web.Request, raw: bytes) -> Mapping[str, Any]:
    if request.content_type == "application/x-www-form-urlencoded":
        return {name: str(value) for name, value in (await request.post()).items()}
    try:
        value = json.loads(raw)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        peer = request.transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.StreamResponse()
