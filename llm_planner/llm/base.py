"""The ChatModel protocol: one question to a language model, and one answer."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ..errors import ModelError

Role = Literal["system", "user", "assistant"]
OutputMode = Literal["schema", "tool", "prompt", "text"]
JsonSchema = Mapping[str, object]

PLAN_FUNCTION = "submit_plan"
"""The name of the one function that mode `tool` offers."""


class ModelRejected(ModelError):
    """Understood and refused: a wrong key, an unknown model, a request too long. Trying again is no use."""

    code = "model_rejected"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the conversation that the model sees."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call. `schema` (reduced dialect) is sent in the modes `schema` and `tool` alone.

    `deadline_s` bounds everything, retries and pauses included; `max_tokens` bounds the answer.
    """

    messages: tuple[ChatMessage, ...]
    schema: JsonSchema | None = None
    mode: OutputMode = "prompt"
    max_tokens: int | None = None
    temperature: float = 0.0
    deadline_s: float = 60.0


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What came back. In mode `tool`, `text` is the JSON of the function's arguments.

    `text` is what a model wrote: it may be anything at all. Token counts are None where the server gives
    none; `finish` is the server's own word, `length` when the answer was cut.
    """

    text: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    ms: int
    finish: str | None
    attempts: int


class ChatModel(Protocol):
    """A language model. `name` is `provider/model`, for logs and records.

    Raises ModelUnavailable (nothing answered in time), ModelRejected (wrong key, unknown model),
    ModelRefusedMode (this endpoint takes no schema, or no tools) and ModelBadAnswer (HTTP 200 with something
    that is no chat answer).
    """

    @property
    def name(self) -> str: ...

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The whole answer."""

    def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        """The answer in pieces, as they arrive. Errors after the first piece are raised in the middle."""

    async def close(self) -> None:
        """Close the connections. Calling it again does nothing."""


def plan_function(schema: JsonSchema) -> dict[str, object]:
    """The one function that mode `tool` offers, in the form that Ollama and OpenAI share."""
    return {
        "type": "function",
        "function": {
            "name": PLAN_FUNCTION,
            "description": "Submit the plan that answers the user's message.",
            "parameters": schema,
        },
    }
