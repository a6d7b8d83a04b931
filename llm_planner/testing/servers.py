"""Model servers to test against: a fake Ollama and a fake OpenAI over real HTTP, failing as real ones do."""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import ClassVar, Self

from aiohttp import web

from .servers_script import (
    PLAIN_REPLY,
    Behaviour,
    Content,
    Hang,
    Held,
    JsonObject,
    Reset,
    Status,
    dumped,
)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as it arrived. Header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, object]


class FakeServer:
    """A server on a free loopback port: `async with FakeOllama(...) as server`. Use one of the two below.

    `script` is used up request by request, then `default` answers. `requests` holds what arrived, `url` is
    what a client is configured with. `latency_s` passes before each answer. `models` are the names that it
    lists (None: it has no list), to whoever knows `key`.
    """

    path: ClassVar[str]
    listing: ClassVar[str]
    base: ClassVar[str] = ""

    def __init__(self, *script: Behaviour, default: Behaviour = PLAIN_REPLY, latency_s: float = 0.0) -> None:
        self.requests: list[Seen] = []
        self.url = ""
        self.models: Sequence[str] | None = ()
        self.key: str | None = None
        self._script = list(script)
        self._default = default
        self._latency_s = latency_s
        self._arrival = asyncio.Condition()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post(self.base + self.path, self._handle)
        app.router.add_get(self.base + self.listing, self._list)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}{self.base}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def arrived(self, count: int) -> None:
        """Wait until `count` requests have arrived."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: len(self.requests) >= count)

    def listed(self, models: Sequence[str]) -> dict[str, object]:
        """The JSON of the list of models."""
        raise NotImplementedError

    def plain(self, request: JsonObject, text: str) -> dict[str, object]:
        """The JSON of an answer whose content is `text`."""
        raise NotImplementedError

    def in_mode(self, request: JsonObject, text: str) -> dict[str, object]:
        """The JSON of an answer that holds `text` where the request's mode wants it."""
        raise NotImplementedError

    def streamed(self, request: JsonObject, pieces: Sequence[str]) -> list[bytes]:
        """The lines of a streamed answer."""
        raise NotImplementedError

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": "unauthorized"}, status=401)
        if self.models is None:
            return web.Response(status=404, text="404 page not found")
        return web.json_response(self.listed(self.models))

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        seen = Seen(request.path, {name.lower(): value for name, value in request.headers.items()}, body)
        async with self._arrival:
            self.requests.append(seen)
            self._arrival.notify_all()
        behaviour = self._script.pop(0) if self._script else self._default
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        return await self._do(behaviour, request, body)

    async def _do(
        self, behaviour: Behaviour, request: web.Request, body: dict[str, object]
    ) -> web.StreamResponse:
        while callable(behaviour) or isinstance(behaviour, Held):
            if isinstance(behaviour, Held):
                await behaviour.gate.wait()
                behaviour = behaviour.answer
            else:
                behaviour = behaviour(body)
        if isinstance(behaviour, Hang):
            await self._closing.wait()
            return web.Response(status=503)
        if isinstance(behaviour, Reset):
            return await self._reset(request, body, behaviour.after)
        if isinstance(behaviour, Status):
            return web.Response(
                status=behaviour.status,
                text=behaviour.body,
                headers=behaviour.headers,
                content_type="application/json",
            )
        return await self._say(behaviour, request, body)

    async def _say(
        self, answer: str | JsonObject | Content, request: web.Request, body: dict[str, object]
    ) -> web.StreamResponse:
        text = answer.text if isinstance(answer, Content) else dumped(answer)
        if body.get("stream"):
            response = web.StreamResponse()
            await response.prepare(request)
            for line in self.streamed(body, _in_pieces(text)):
                await response.write(line)
            return response
        said = self.plain(body, text) if isinstance(answer, Content) else self.in_mode(body, text)
        return web.json_response(said)

    async def _reset(
        self, request: web.Request, body: dict[str, object], after: int | None
    ) -> web.StreamResponse:
        response = web.StreamResponse()
        if after is not None:
            lines = self.streamed(body, ["Hola, ", "¿qué tal?"]) if body.get("stream") else []
            whole = b"".join(lines) or dumped(self.plain(body, "Hola")).encode()
            response.content_length = len(whole)
            await response.prepare(request)
            await response.write(whole[:after])
        if request.transport is not None:
            peer = request.transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.transport.abort()
        return response


class FakeOllama(FakeServer):
    """Ollama's `/api/chat`."""

    path = "/api/chat"
    listing = "/api/tags"

    def listed(self, models: Sequence[str]) -> dict[str, object]:
        return {"models": [{"name": name, "model": name} for name in models]}

    def plain(self, request: JsonObject, text: str) -> dict[str, object]:
        return self._envelope(request, {"role": "assistant", "content": text})

    def in_mode(self, request: JsonObject, text: str) -> dict[str, object]:
        arguments = _object(text)
        if not request.get("tools") or arguments is None:
            return self.plain(request, text)
        call = {"function": {"name": _function_name(request), "arguments": arguments}}
        return self._envelope(request, {"role": "assistant", "content": "", "tool_calls": [call]})

    def streamed(self, request: JsonObject, pieces: Sequence[str]) -> list[bytes]:
        parts = [{"message": {"role": "assistant", "content": piece}, "done": False} for piece in pieces]
        return [f"{dumped(part)}\n".encode() for part in [*parts, self.plain(request, "")]]

    @staticmethod
    def _envelope(request: JsonObject, message: JsonObject) -> dict[str, object]:
        counts = {"prompt_eval_count": 21, "eval_count": 7}
        return {
            "model": request["model"],
            "message": message,
            "done": True,
            "done_reason": "stop",
            **counts,
        }


class FakeOpenAI(FakeServer):
    """An OpenAI-compatible `/v1/chat/completions`."""

    path = "/chat/completions"
    base = "/v1"
    listing = "/models"

    def listed(self, models: Sequence[str]) -> dict[str, object]:
        return {"object": "list", "data": [{"id": name, "object": "model"} for name in models]}

    def plain(self, request: JsonObject, text: str) -> dict[str, object]:
        return self._envelope(request, {"role": "assistant", "content": text}, "stop")

    def in_mode(self, request: JsonObject, text: str) -> dict[str, object]:
        if not request.get("tools") or not text.startswith("{"):
            return self.plain(request, text)
        function = {"name": _function_name(request), "arguments": text}
        call = {"id": "call_1", "type": "function", "function": function}
        return self._envelope(
            request, {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        )

    def streamed(self, request: JsonObject, pieces: Sequence[str]) -> list[bytes]:
        parts: list[JsonObject] = [
            {"choices": [{"index": 0, "delta": {"content": p}, "finish_reason": None}]} for p in pieces
        ]
        parts.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        events = [f"data: {dumped(part)}\n\n".encode() for part in parts]
        return [b": keep-alive\n\n", *events, b"data: [DONE]\n\n"]

    @staticmethod
    def _envelope(request: JsonObject, message: JsonObject, finish: str) -> dict[str, object]:
        return {
            "model": request["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {"prompt_tokens": 21, "completion_tokens": 7},
        }


def _in_pieces(text: str) -> list[str]:
    return [text[start : start + 12] for start in range(0, len(text), 12)]


def _object(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _function_name(request: JsonObject) -> str:
    tools = request["tools"]
    return str(tools[0]["function"]["name"]) if isinstance(tools, list) else ""
