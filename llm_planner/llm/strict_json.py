"""JSON read strictly: no key twice, no NaN, no lone surrogates, bounded depth."""

import json
import math
from typing import Literal

Reason = Literal[
    "empty",
    "too_long",
    "too_deep",
    "no_json",
    "truncated",
    "unreadable",
    "duplicate_key",
    "bad_number",
    "bad_text",
]

MAX_DEPTH = 64


class NoJson(ValueError):
    """There is no plan to be had from this text; `reason` says why, in a word."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


def strict_loads(text: str) -> object:
    """`json.loads` that refuses a key given twice, NaN, infinity, lone surrogates, deep nesting: NoJson."""
    try:
        value = json.loads(text, object_pairs_hook=_unique_keys)
    except RecursionError:
        raise NoJson("too_deep") from None
    except NoJson:
        raise
    except ValueError:
        raise NoJson("unreadable") from None
    check(value)
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NoJson("duplicate_key")
    return value


def check(value: object) -> None:
    """Refuse a parsed value with what `strict_loads` refuses. Without recursion. Raises NoJson."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise NoJson("too_deep")
        for item in level:
            if isinstance(item, float) and not math.isfinite(item):
                raise NoJson("bad_number")
            if isinstance(item, str) and not _is_text(item):
                raise NoJson("bad_text")
        level = [part for item in level for part in _parts(item)]


def _parts(item: object) -> list[object]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    return item if isinstance(item, list) else []


def _is_text(text: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in text)
