"""What a fake model server does with one request: answers, failures, and the shapes that plans come in."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

JsonObject = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Content:
    """Answer with this text as the message's content, whatever mode was asked for."""

    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """Answer with this status, body and headers. The body is sent as it is."""

    status: int
    body: str = '{"error":"no"}'
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing until the server is closed."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection: after `after` bytes of the body of a proper answer, or before any answer."""

    after: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Answer once `gate` is set."""

    answer: "Behaviour"
    gate: asyncio.Event


Behaviour = (
    str | JsonObject | Content | Status | Hang | Reset | Held | Callable[[dict[str, object]], "Behaviour"]
)
"""A mapping (a plan) or a text is the answer, in the form that the request's mode asks for; a function is
given the request's JSON and says what to do."""

EMPTY_BODY = Status(200, "")
PLAIN_REPLY: JsonObject = {"reply": "Hola, ¿en qué te ayudo?", "tool_calls": [], "then": "answer"}


def in_prose(plan: JsonObject) -> Content:
    """The plan in the middle of talk."""
    return Content(f"Claro, este es el plan:\n\n{dumped(plan)}\n\n¿Te sirve?")


def fenced(plan: JsonObject) -> Content:
    """The plan in a Markdown code fence."""
    return Content(f"```json\n{json.dumps(plan, ensure_ascii=False, indent=2)}\n```")


def after_thinking(plan: JsonObject) -> Content:
    """The plan behind a thinking block that holds another one."""
    draft = dumped({"reply": "a draft", "tool_calls": [], "then": "answer"})
    return Content(f"<think>Maybe {draft}? No.</think>\n{dumped(plan)}")


def truncated(plan: JsonObject, share: float = 0.6) -> Content:
    """The first part of the plan's JSON."""
    text = dumped(plan)
    return Content(text[: int(len(text) * share)])


def rate_limited(retry_after: str) -> Status:
    """429 with a Retry-After header, in seconds or as an HTTP date."""
    return Status(429, '{"error":"slow down"}', {"Retry-After": retry_after})


def refusing(*modes: str, otherwise: Behaviour = PLAIN_REPLY) -> Behaviour:
    """400 to requests in one of these modes (`schema`, `tool`), `otherwise` to others."""

    def answer(request: dict[str, object]) -> Behaviour:
        for mode, keys in {"schema": ("format", "response_format"), "tool": ("tools",)}.items():
            if mode in modes and any(key in request for key in keys):
                return Status(400, dumped({"error": {"message": f"this model does not support {keys[-1]}"}}))
        return otherwise

    return answer


def dumped(value: str | JsonObject) -> str:
    """A text as it is, an object as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
