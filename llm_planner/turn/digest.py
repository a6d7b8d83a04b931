"""The digest: what steps found, made short enough for a prompt by rule; what is left keeps its place.

Lists keep their first items and texts their beginning, and say how much is missing, so that a pointer to
something shown is a pointer into the whole result.
"""

import json
from collections.abc import Iterable, Mapping

from ..messages import Json
from .record import StepResult

MORE = "…"
LEVELS = ((50, 2000), (20, 600), (10, 240), (5, 100), (2, 40))
"""Items of a list or an object, and characters of a text, from generous to strict."""


def digest(steps: Iterable[StepResult], most_bytes: int) -> list[dict[str, Json]]:
    """The steps as a planner sees them, in `most_bytes` of JSON or little more."""
    whole = [
        {"step": s.id, "tool": s.tool, "status": s.status, "result": s.result, "error": s.error}
        for s in steps
    ]
    found: list[dict[str, Json]] = whole
    for items, chars in LEVELS:
        if _size(found) <= most_bytes:
            return found
        found = [{**step, "result": _short(step["result"], items, chars)} for step in whole]
    while _size(found) > most_bytes:
        longest = max(found, key=_size)
        if _size(longest["result"]) <= len(MORE.encode()) + 2:
            break
        longest["result"] = MORE
    return found


def _short(value: Json, items: int, chars: int) -> Json:
    if isinstance(value, str) and len(value) > chars:
        return f"{value[:chars]}{MORE} ({len(value)} characters)"
    if isinstance(value, list):
        shown = [_short(item, items, chars) for item in value[:items]]
        return [*shown, f"{MORE} {len(value) - items} more"] if len(value) > items else shown
    if isinstance(value, Mapping):
        shown_fields = {name: _short(item, items, chars) for name, item in list(value.items())[:items]}
        more = {MORE: f"{len(value) - items} more"} if len(value) > items else {}
        return {**shown_fields, **more}
    return value


def _size(value: Json) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
