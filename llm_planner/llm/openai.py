"""The client for OpenAI-compatible endpoints, `/chat/completions`: OpenAI, vLLM, llama.cpp and their like."""

import json
import re
from collections.abc import AsyncIterator, Mapping

from yarl import URL

from ..errors import ModelBadAnswer
from .adapting import AdaptingHttp
from .base import PLAN_FUNCTION, ChatReply, ChatRequest, JsonSchema, OutputMode, plan_function
from .http import ModelHttp, Post
from .strict import to_strict, without_filled_nulls
from .wire import (
    Answer,
    called,
    checked_base_url,
    checked_key,
    count,
    first,
    mapping,
    parsed,
    refusal,
    refuses_mode,
    said,
    text_of,
    understood,
)

_REASONS = re.compile(r"(?:gpt-[5-9]|gpt-oss|o\d)", re.IGNORECASE)
_DATA = b"data:"


class OpenAIModel:
    """A ChatModel on an OpenAI-compatible endpoint. `base_url` often ends in `/v1`."""

    def __init__(
        self,
        http: ModelHttp,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        timeout_s: float = 60.0,
    ) -> None:
        self.name = f"openai/{model}"
        self._http = http
        self._asks = AdaptingHttp(http, self._adapts_to)
        root = checked_base_url(base_url, "/chat/completions")
        self._url = f"{root}/chat/completions"
        self._model = model
        self._key = checked_key(api_key)
        self._timeout_s = timeout_s
        # Which of these an endpoint takes differs by model; what it refuses is left out from then on.
        self._extras = {"temperature", "max_tokens"}
        if URL(root).host == "api.openai.com":
            self._extras = {"temperature", "max_completion_tokens"}
        if _REASONS.match(model.rpartition("/")[2]):
            self._extras.add("reasoning_effort")

    async def complete(self, request: ChatRequest) -> ChatReply:
        """See ChatModel. An endpoint that refuses an optional parameter is asked again without it."""
        started = self._http.clock.monotonic()
        strict = _strict(request)
        answer = await self._asks.post_json(lambda: self._post(request, strict, stream=False))
        data = understood(answer, request.mode, self._key)
        text = _text(data, request.mode)
        if strict is not None and request.schema is not None:
            text = without_filled_nulls(text, request.schema)
        usage = mapping(data.get("usage"))
        return ChatReply(
            text=text,
            model=text_of(data.get("model")) or self._model,
            input_tokens=count(usage.get("prompt_tokens")),
            output_tokens=count(usage.get("completion_tokens")),
            ms=round((self._http.clock.monotonic() - started) * 1000),
            finish=text_of(mapping(first(data.get("choices"))).get("finish_reason")) or None,
            attempts=answer.attempts,
        )

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        """See ChatModel. Server-sent events, `[DONE]` at the end. A schema is not sent in the strict form."""
        finished = False
        async for line in self._asks.post_lines(lambda: self._post(request, None, stream=True)):
            if isinstance(line, Answer):
                raise refusal(line, request.mode, self._key)
            event = line.removeprefix(_DATA).strip() if line.startswith(_DATA) else b""
            if event == b"[DONE]":
                return
            if not event:
                continue
            data = parsed(event)
            if data.get("error"):
                raise ModelBadAnswer(f"the server broke off with an error: {said(event, self._key)}")
            choice = mapping(first(data.get("choices")))
            if piece := _streamed(mapping(choice.get("delta")), request.mode):
                yield piece
            finished = finished or choice.get("finish_reason") is not None
        if not finished:
            raise ModelBadAnswer("the stream ended before the answer did")

    async def close(self) -> None:
        """Close the connections that this model was given."""
        await self._http.close()

    def _post(self, request: ChatRequest, strict: JsonSchema | None, stream: bool) -> Post:
        body: dict[str, object] = {
            "model": self._model,
            "messages": [{"role": m.role, "content": m.content} for m in request.messages],
            "stream": stream,
            **self._chosen_extras(request),
        }
        if request.schema is not None and request.mode == "schema":
            schema = {"name": "plan", "strict": strict is not None, "schema": strict or request.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.schema is not None and request.mode == "tool":
            body["tools"] = [plan_function(request.schema)]
            body["tool_choice"] = {"type": "function", "function": {"name": PLAN_FUNCTION}}
        return Post(
            self._url,
            body,
            self._key,
            self._timeout_s,
            request.deadline_s,
            lambda status, answer: refuses_mode(status, answer, request.mode),
        )

    def _chosen_extras(self, request: ChatRequest) -> dict[str, object]:
        wanted: dict[str, object] = {
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "max_completion_tokens": request.max_tokens,
            "reasoning_effort": "low",
        }
        return {k: v for k, v in wanted.items() if k in self._extras and v is not None}

    def _adapts_to(self, answer: Answer) -> bool:
        if answer.status not in {400, 422}:
            return False
        complaint = said(answer.body, self._key)
        if "max_tokens" in self._extras and "max_completion_tokens" in complaint:
            self._extras = (self._extras - {"max_tokens"}) | {"max_completion_tokens"}
            return True
        for name in ("temperature", "reasoning_effort"):
            if name in self._extras and name in complaint:
                self._extras = self._extras - {name}
                return True
        return False


def _strict(request: ChatRequest) -> JsonSchema | None:
    """The schema in the form that `strict` wants; None where there is none, or it can't be put that way."""
    if request.schema is None or request.mode != "schema":
        return None
    return to_strict(request.schema)


def _text(data: Mapping[str, object], mode: OutputMode) -> str:
    choice = mapping(first(data.get("choices")))
    message = mapping(choice.get("message"))
    text = _piece(message, mode)
    if text.strip():
        return text
    what = "a refusal" if message.get("refusal") else "no content" if message else "no message"
    raise ModelBadAnswer(f"the answer holds {what} (finish_reason {choice.get('finish_reason')!r:.40})")


def _piece(message: Mapping[str, object], mode: OutputMode) -> str:
    call = called(message, PLAN_FUNCTION) if mode == "tool" else None
    if call is not None:
        arguments = call.get("arguments")
        return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    content = message.get("content")
    if isinstance(content, list):
        return "".join(text_of(mapping(part).get("text")) for part in content)
    return text_of(content)


def _streamed(delta: Mapping[str, object], mode: OutputMode) -> str:
    """As `_piece`; only the first part of a streamed call names its function, and there is one to call."""
    call = mapping(mapping(first(delta.get("tool_calls"))).get("function"))
    return text_of(call.get("arguments")) if mode == "tool" and call else _piece(delta, mode)
