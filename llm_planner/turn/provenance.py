"""Provenance: where each argument of a step came from (rule 12)."""

import re
from collections.abc import Iterator, Mapping, Sequence

from ..messages import Json
from .plan import CheckedStep

USER, PLAN, TOOL = "user", "plan", "tool"


def origins(step: CheckedStep, own_words: Sequence[str], tool_text_seen: bool) -> dict[str, str]:
    """The origin of each argument: `user`, `plan`, `tool:<step>`, or `tool` for a literal that the user did
    not write, planned after text from a tool was in the planner's sight."""
    spoken = "\x00".join(map(_squeezed, own_words))
    fields = frozenset(_fields(step.spec.schema))
    return {name: _origin(value, spoken, fields, tool_text_seen) for name, value in step.args.items()}


def from_tool(origin: str) -> bool:
    return origin.partition(":")[0] == TOOL


def _origin(value: Json, spoken: str, fields: frozenset[str], tool_text_seen: bool) -> str:
    """As trustworthy as the worst part: a reference, then what nobody said, then the user's own words."""
    steps = sorted(_steps(value))
    if steps:
        return f"{TOOL}:{steps[0]}"
    parts = set(_parts(value, fields))
    if not parts:
        return PLAN
    if all(part is not None and _verbatim(part, spoken) for part in parts):
        return USER
    return TOOL if tool_text_seen else PLAN


def _steps(value: Json) -> Iterator[str]:
    """The steps whose results are in a value."""
    if isinstance(value, Mapping):
        if "$step" in value:
            yield value["$step"]
            return
        for item in value.values():
            yield from _steps(item)
    elif isinstance(value, list):
        for item in value:
            yield from _steps(item)


def _parts(value: Json, fields: frozenset[str]) -> Iterator[str | None]:
    """What is said in a value: scalars, and keys that the tool's schema does not name; None for a truth
    value, which nobody can be quoted with. An absent value says nothing."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in fields:
                yield name
            yield from _parts(item, fields)
    elif isinstance(value, list):
        for item in value:
            yield from _parts(item, fields)
    elif value is not None:
        yield None if isinstance(value, bool) else _squeezed(str(value))


def _fields(schema: Json) -> Iterator[str]:
    """Every name that a schema gives to a property, at any depth."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for item in schema.values():
            yield from _fields(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _fields(item)


def _verbatim(written: str, spoken: str) -> bool:
    """Whether something stands in the user's own words, as whole words, in any case."""
    if not written or written not in spoken:
        return False
    return re.search(rf"(?<!\w){re.escape(written)}(?!\w)", spoken) is not None


def _squeezed(text: str) -> str:
    return " ".join(text.casefold().split())
