"""A chat model that is seen: a span, a duration and the tokens of each call, around any other model."""

from collections.abc import AsyncIterator

from ..telemetry import Value, count_tokens, measured
from .base import ChatModel, ChatReply, ChatRequest


class ObservedModel:
    """Does what `model` does. What was asked and answered is in no span."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        provider, _, name = model.name.partition("/")
        self._named: dict[str, Value] = {"gen_ai.provider.name": provider, "gen_ai.request.model": name}

    @property
    def name(self) -> str:
        return self._model.name

    async def complete(self, request: ChatRequest) -> ChatReply:
        """See ChatModel."""
        with measured("chat", str(self._named["gen_ai.request.model"]), self._named) as told:
            reply = await self._model.complete(request)
            told["gen_ai.response.model"] = reply.model
            if reply.input_tokens is not None:
                told["gen_ai.usage.input_tokens"] = reply.input_tokens
            if reply.output_tokens is not None:
                told["gen_ai.usage.output_tokens"] = reply.output_tokens
        count_tokens(self._named, {"input": reply.input_tokens, "output": reply.output_tokens})
        return reply

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        """See ChatModel. A stream has no token counts."""
        with measured("chat", str(self._named["gen_ai.request.model"]), self._named):
            async for piece in self._model.stream(request):
                yield piece

    async def close(self) -> None:
        await self._model.close()
