"""The client for Ollama's own API, `/api/chat`: local servers and the cloud."""

import json
from collections.abc import AsyncIterator, Mapping

from ..errors import ModelBadAnswer
from .adapting import AdaptingHttp
from .base import PLAN_FUNCTION, ChatReply, ChatRequest, OutputMode, plan_function
from .counting import BYTES_PER_TOKEN
from .http import ModelHttp, Post
from .wire import (
    Answer,
    called,
    checked_base_url,
    checked_key,
    count,
    mapping,
    parsed,
    refusal,
    refuses_mode,
    said,
    text_of,
    understood,
)

_SMALLEST_CONTEXT = 8192
_LARGEST_CONTEXT = 32768
_ANSWER_TOKENS = 1024


class OllamaModel:
    """A ChatModel on an Ollama server. `base_url` is the server's root (a closing `/api` is understood)."""

    def __init__(
        self,
        http: ModelHttp,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        self.name = f"ollama/{model}"
        self._http = http
        self._asks = AdaptingHttp(http, self._adapts_to)
        self._url = checked_base_url(base_url, "/chat", "/api") + "/api/chat"
        self._model = model
        self._key = checked_key(api_key)
        self._timeout_s = timeout_s
        self._num_ctx = _SMALLEST_CONTEXT
        # Thinking costs seconds, and several versions don't constrain what follows it. gpt-oss can't stop
        # thinking and loses the head of its answer when told to: it takes levels instead.
        self._think: bool | str | None = "low" if "gpt-oss" in model.lower() else False

    async def complete(self, request: ChatRequest) -> ChatReply:
        """See ChatModel. A server that refuses `think` is asked once more without it; that is remembered."""
        started = self._http.clock.monotonic()
        answer = await self._asks.post_json(lambda: self._post(request, stream=False))
        data = understood(answer, request.mode, self._key)
        return ChatReply(
            text=_text(data, request.mode),
            model=text_of(data.get("model")) or self._model,
            input_tokens=count(data.get("prompt_eval_count")),
            output_tokens=count(data.get("eval_count")),
            ms=round((self._http.clock.monotonic() - started) * 1000),
            finish=text_of(data.get("done_reason")) or None,
            attempts=answer.attempts,
        )

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        """See ChatModel. One JSON object a line; the last one says `done`."""
        async for line in self._asks.post_lines(lambda: self._post(request, stream=True)):
            if isinstance(line, Answer):
                raise refusal(line, request.mode, self._key)
            data = parsed(line)
            if data.get("error"):
                raise ModelBadAnswer(f"the server broke off with an error: {said(line, self._key)}")
            if piece := _piece(data, request.mode):
                yield piece
            if data.get("done"):
                return
        raise ModelBadAnswer("the stream ended before the answer did")

    async def close(self) -> None:
        """Close the connections that this model was given."""
        await self._http.close()

    def _post(self, request: ChatRequest, stream: bool) -> Post:
        body: dict[str, object] = {
            "model": self._model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "stream": stream,
            "options": self._options(request),
        }
        if self._think is not None:
            body["think"] = self._think
        if request.schema is not None and request.mode == "schema":
            body["format"] = request.schema
        if request.schema is not None and request.mode == "tool":
            body["tools"] = [plan_function(request.schema)]
        return Post(
            self._url,
            body,
            self._key,
            self._timeout_s,
            request.deadline_s,
            lambda status, answer: refuses_mode(status, answer, request.mode),
        )

    def _options(self, request: ChatRequest) -> dict[str, object]:
        options: dict[str, object] = {"temperature": request.temperature, "num_ctx": self._context(request)}
        if request.max_tokens is not None:
            options["num_predict"] = request.max_tokens
        return options

    def _context(self, request: ChatRequest) -> int:
        """The context to ask for. A change reloads the model, so it only grows, by doubling."""
        prompt = sum(len(m.content.encode("utf-8", "replace")) for m in request.messages)
        needed = prompt // BYTES_PER_TOKEN + (request.max_tokens or _ANSWER_TOKENS)
        while self._num_ctx < min(needed, _LARGEST_CONTEXT):
            self._num_ctx *= 2
        return self._num_ctx

    def _adapts_to(self, answer: Answer) -> bool:
        if self._think is None or answer.status != 400 or "think" not in said(answer.body, self._key).lower():
            return False
        self._think = None
        return True


def _text(data: Mapping[str, object], mode: OutputMode) -> str:
    text = _piece(data, mode)
    if text.strip():
        return text
    message = mapping(data.get("message"))
    what = "only thinking" if message.get("thinking") else "no content"
    raise ModelBadAnswer(f"the answer holds {what} (done_reason {data.get('done_reason')!r:.40})")


def _piece(data: Mapping[str, object], mode: OutputMode) -> str:
    message = mapping(data.get("message"))
    call = called(message, PLAN_FUNCTION) if mode == "tool" else None
    if call is None:
        return text_of(message.get("content"))
    arguments = call.get("arguments")
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
