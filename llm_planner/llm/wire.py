"""What a model server's bytes mean: its JSON, its errors without our key, its refusals, its lines."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from yarl import URL

from ..errors import ModelBadAnswer, ModelError, ModelRefusedMode
from .base import ModelRejected, OutputMode

_SAID_LENGTH = 200
_REFUSAL = re.compile(
    r"response_format|json_schema|\bformat\b|grammar|schema|structured|\btools?\b|tool_choice|function",
    re.IGNORECASE,
)
_KEY_SHAPED = re.compile(r"\b(?:sk|key|gsk|api)[-_][\w*-]{6,}|\bbearer\s+\S+", re.IGNORECASE)
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?")


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read whole. `attempts` counts the requests that it took."""

    status: int
    body: bytes
    attempts: int


def checked_base_url(base_url: str, *endings: str) -> str:
    """`base_url` without a closing slash and without any of `endings` (paths that we add ourselves).

    Raises ValueError unless it is plain http(s) without user, query or fragment; never repeats the address.
    """
    url = URL(base_url.strip())
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("the model's address must begin with http:// or https:// and name a host")
    if url.user or url.password or url.query_string or url.fragment:
        raise ValueError("the model's address must not hold a user, a password, a query or a fragment")
    text = str(url).rstrip("/")
    for ending in endings:
        text = text.removesuffix(ending).rstrip("/")
    return text


def checked_key(api_key: str | None) -> str | None:
    """The key without white space around it, None if nothing is left. ValueError if no header can hold it."""
    key = (api_key or "").strip()
    if not (key.isascii() and key.isprintable()):
        raise ValueError("the model's API key must be printable ASCII")
    return key or None


def parsed(body: bytes) -> dict[str, object]:
    """The JSON object in `body`; ModelBadAnswer if there is none."""
    if not body.strip():
        raise ModelBadAnswer("the server sent an empty answer")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ModelBadAnswer("the server's answer is not a JSON object")
    return value


def understood(answer: Answer, mode: OutputMode, key: str | None) -> dict[str, object]:
    """The JSON object of a 200 answer that holds no error; else the ModelError that says what went wrong."""
    if answer.status != 200:
        raise refusal(answer, mode, key)
    data = parsed(answer.body)
    if data.get("error"):
        raise ModelBadAnswer(f"the server answered with an error: {said(answer.body, key)}")
    return data


def refusal(answer: Answer, mode: OutputMode, key: str | None) -> ModelError:
    """What an answer other than 200 means. Nothing of what the server says about a key is repeated."""
    if answer.status in {401, 403}:
        return ModelRejected(f"HTTP {answer.status}: the API key is missing, wrong or not allowed this model")
    text = f"HTTP {answer.status} {said(answer.body, key)}".rstrip()
    if refuses_mode(answer.status, answer.body, mode):
        return ModelRefusedMode(text)
    return ModelRejected(text)


def refuses_mode(status: int, body: bytes, mode: OutputMode) -> bool:
    """Whether the endpoint says it can't do `mode`: a 4xx that names it, or a grammar that won't compile."""
    if mode not in {"schema", "tool"} or status in {401, 403, 408, 413, 425, 429}:
        return False
    text = body[:4096].decode("utf-8", "replace")
    if status >= 500 and status != 501:
        return "grammar" in text.lower()
    return status >= 400 and _REFUSAL.search(text) is not None


def said(body: bytes, key: str | None) -> str:
    """The server's own words for an error: one short printable line without `key` or what looks like one."""
    text = _message(body[:65536])
    if key:
        text = text.replace(key, "[key]")
    text = _KEY_SHAPED.sub("[key]", text)
    line = " ".join("".join(c if c.isprintable() else " " for c in text[:2000]).split())
    return line if len(line) <= _SAID_LENGTH else line[: _SAID_LENGTH - 1] + "…"


def _message(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for name in ("error", "message", "detail"):
        while isinstance(value, Mapping) and name in value:
            value = value[name]
    return value if isinstance(value, str) else text


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, 0 for a date gone by; None where it can't be read."""
    text = (header or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())


async def lines_of(chunks: AsyncIterator[bytes], max_bytes: int) -> AsyncIterator[bytes]:
    """The non-empty lines of a byte stream, without their ends; ModelBadAnswer past `max_bytes` in all."""
    rest, total = b"", 0
    async for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise ModelBadAnswer(f"the answer is larger than {max_bytes} bytes")
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line.strip()
    if rest.strip():
        yield rest.strip()


def first(value: object) -> object:
    """The first item of a list; None for anything else."""
    return value[0] if isinstance(value, list) and value else None


def mapping(value: object) -> Mapping[str, object]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def called(message: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    """The first call of the function `name` in a chat message; None if there is none."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = mapping(mapping(call).get("function"))
        if function.get("name") == name:
            return function
    return None


def text_of(value: object) -> str:
    """`value` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int | None:
    """`value` if it is a count, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
