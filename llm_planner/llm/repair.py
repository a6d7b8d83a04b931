"""Small slips in a plan's JSON, mended by a library, and only where nothing of the text is lost by it."""

import json
import re
from collections.abc import Iterator

import json_repair

from .strict_json import check

PLAN_KEYS = frozenset({"reply", "tool_calls", "then"})
_REPAIRED_CHARS = 16_000
QUOTED = r'"(?:[^"\\]++|\\.)*+"'
QUOTED_ANYHOW = rf"{QUOTED}|'(?:[^'\\]++|\\.)*+'|“[^”]*+”"
# Left out by the model ("..."), no JSON number, or no JSON at all: the library would make something of each.
_UNREPAIRABLE = re.compile(r"\bNaN\b|\bInfinity\b|\.\.\.|…|\(")
_STRINGS = re.compile(QUOTED_ANYHOW, re.DOTALL)
_COMMENTS = re.compile(rf"({QUOTED_ANYHOW})|//[^\n]*|#[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_ESCAPES = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_WORDS = re.compile(r"\w+")
_KEYS = re.compile(r"""\b(reply|tool_calls|then|tool)["'”]?\s*:""")
_PYTHON = {"None": "null", "True": "true", "False": "false"}


def repaired(text: str) -> dict[str, object] | None:
    """What the library makes of `text`, if nothing of it is lost on the way."""
    if len(text) > _REPAIRED_CHARS:
        return None
    bare = _COMMENTS.sub(lambda found: found[1] or " ", text)
    if _UNREPAIRABLE.search(_STRINGS.sub(" ", bare)):
        return None
    try:
        value = json_repair.loads(text, skip_json_loads=True, strict=True)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    if not isinstance(value, dict):
        return None
    check(value)
    return value if _is_all_of(_ESCAPES.sub(_unescaped, bare), value) else None


def _is_all_of(text: str, value: dict[str, object]) -> bool:
    """Whether `value` has every word of `text`, in order, and the calls and keys of its plan."""
    if [_PYTHON.get(word, word) for word in _WORDS.findall(text)] != list(_words(value)):
        return False
    keys = _KEYS.findall(text)
    calls = value.get("tool_calls", [])
    return (
        isinstance(calls, list)
        and keys.count("tool") == len(calls)
        and all(keys.count(name) == (name in value) for name in PLAN_KEYS)
    )


def _words(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _words(key)
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
    else:
        text = value if isinstance(value, str) else json.dumps(value)
        yield from (_PYTHON.get(word, word) for word in _WORDS.findall(text))


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _ESCAPED.get(found[2], found[2])
