"""Provenance: where each argument of a step came from (rule 12)."""

import re
from collections.abc import Iterator, Mapping, Sequence

from ..messages import Json
from .plan import CheckedStep

USER, PLAN, TOOL = "user", "plan", "tool"


def origins(step: CheckedStep, own_words: Sequence[str], tool_text_seen: bool) -> dict[str, str]:
    """The origin of each argument: `user`, `plan`, `tool:<step>`, or `tool` for a literal that the user did
    not write, planned after text from a tool was in the planner's sight."""
    spoken = [_squeezed(words) for words in own_words]
    return {name: _origin(value, spoken, tool_text_seen) for name, value in step.args.items()}


def from_tool(origin: str) -> bool:
    return origin.partition(":")[0] == TOOL


def _origin(value: Json, spoken: Sequence[str], tool_text_seen: bool) -> str:
    found = set(_leaves(value, spoken, tool_text_seen))
    return next((origin for origin in sorted(found, key=_rank)), PLAN)


def _rank(origin: str) -> tuple[int, str]:
    """Tools before plan before user: a value is as trustworthy as its worst part."""
    return (0 if from_tool(origin) else 1 if origin == PLAN else 2), origin


def _leaves(value: Json, spoken: Sequence[str], tool_text_seen: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "$step" in value:
            yield f"{TOOL}:{value['$step']}"
            return
        for item in value.values():
            yield from _leaves(item, spoken, tool_text_seen)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, spoken, tool_text_seen)
    elif value is not None and _verbatim(value, spoken):
        yield USER
    else:
        yield TOOL if tool_text_seen and value is not None else PLAN


def _verbatim(value: Json, spoken: Sequence[str]) -> bool:
    """Whether the value stands in the user's own words, as whole words, in any case."""
    if isinstance(value, bool):
        return False
    written = _squeezed(str(value))
    if not written:
        return False
    pattern = re.compile(rf"(?<!\w){re.escape(written)}(?!\w)")
    return any(pattern.search(words) for words in spoken)


def _squeezed(text: str) -> str:
    return " ".join(text.casefold().split())
