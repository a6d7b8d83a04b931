"""The ChatModel that says what it is told to: for tests and demonstrations."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable

from ..errors import ModelUnavailable
from .base import ChatReply, ChatRequest

Answers = str | Exception | Callable[[ChatRequest], str]


class ScriptedModel:
    """Gives `answers` one after the other: a text, an exception to raise, or a function of the request.

    `requests` holds every request seen. After the last answer it is ModelUnavailable. `latency_s` passes
    before each.
    """

    def __init__(self, answers: Iterable[Answers], latency_s: float = 0.0) -> None:
        self.name = "scripted/script"
        self.requests: list[ChatRequest] = []
        self._answers = iter(answers)
        self._latency_s = latency_s

    async def complete(self, request: ChatRequest) -> ChatReply:
        """See ChatModel."""
        started = time.monotonic()
        self.requests.append(request)
        answer = next(self._answers, None)
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        if answer is None:
            raise ModelUnavailable("the script has no more answers")
        if isinstance(answer, Exception):
            raise answer
        text = answer if isinstance(answer, str) else answer(request)
        return ChatReply(text, "script", None, None, round((time.monotonic() - started) * 1000), "stop", 1)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        """The same answers, word by word."""
        reply = await self.complete(request)
        for number, word in enumerate(reply.text.split(" ")):
            yield word if number == 0 else f" {word}"

    async def close(self) -> None:
        """Nothing to close."""
