"""From what a model wrote to the JSON object in it: fences, thinking, prose, small slips; never a guess."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

import json_repair

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

MAX_CHARS = 200_000
MAX_DEPTH = 64
_REPAIRED_CHARS = 16_000
_TRIED_OBJECTS = 32
_PLAN_KEYS = frozenset({"reply", "tool_calls", "then"})

_TAGS = r"(?:think|thinking|thought|reasoning|analysis|reflection)"
_THINKING_OPENS = re.compile(rf"<{_TAGS}>", re.IGNORECASE)
_THINKING_CLOSES = re.compile(rf"</{_TAGS}>", re.IGNORECASE)
_BEGINS_OBJECT = re.compile(r"\{\s*(?:[\"'“”‘’/#}]|[\w$-]+\s*:|\Z)")
_BEGINS_STRICTLY = re.compile(r'\{\s*["}]')
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_QUOTED_ANYHOW = rf"{_QUOTED}|'(?:[^'\\]++|\\.)*+'|“[^”]*+”"
_STRICT_MARKS = re.compile(rf'{_QUOTED}|["{{}}\[\]]', re.DOTALL)
_LOOSE_MARKS = re.compile(rf"{_QUOTED_ANYHOW}|[\"'“{{}}\[\]]", re.DOTALL)
_ONLY_CLOSERS = re.compile(r"[\s}\])`.]*\Z")
# Signs that an object ended too early, at a brace inside a string: what follows is the rest of it, not prose.
_TORN = re.compile(
    r"""[\s}\]]*(?:["':]|,\s*["'])|[\s}\]]*+.*?(?:\}|["'](?:reply|tool_calls|then)["']\s*:)""", re.DOTALL
)
# Left out by the model ("..."), no JSON number, or no JSON at all: the library would make something of each.
_UNREPAIRABLE = re.compile(r"\bNaN\b|\bInfinity\b|\.\.\.|…|\(")
_COMMENTS = re.compile(rf"({_QUOTED_ANYHOW})|//[^\n]*|#[^\n]*|/\*.*?\*/", re.DOTALL)
_ESCAPES = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_WORDS = re.compile(r"\w+")
_KEYS = re.compile(r"""\b(reply|tool_calls|then|tool)["'”]?\s*:""")
_PYTHON = {"None": "null", "True": "true", "False": "false"}


class NoJson(ValueError):
    """There is no plan to be had from this text; `reason` says why, in a word."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Extracted:
    """The JSON object found. `repaired` when its text was not valid JSON as the model wrote it."""

    value: dict[str, object]
    repaired: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of the text that begins with a brace. `open` holds the brackets that nothing closed."""

    text: str
    start: int
    end: int
    open: str
    in_string: bool


def extract_plan_json(text: str) -> Extracted:
    """The first object in `text` that looks like a plan, else the first object: the caller validates it.

    Raises NoJson: nothing there, too large, too deep (more than 64 levels), a key twice, NaN or a number out
    of range, a lone surrogate, or an answer that stopped before its end (`truncated`: ask again).
    """
    if len(text) > MAX_CHARS:
        raise NoJson("too_long")
    text = text.strip().removeprefix("\ufeff")
    if not text:
        raise NoJson("empty")
    whole = _parsed(text)
    if isinstance(whole, str):
        text, whole = whole, _parsed(whole)
    if isinstance(whole, dict) and whole:
        return Extracted(whole, repaired=False)
    outside, inside = _without_thinking(text)
    pieces = list(_pieces(outside))
    found = _chosen(outside, pieces)
    if found is None and inside:
        # Nothing marks the end of the thinking: only what it ends with can be the answer.
        pieces = [p for p in _pieces(inside) if p.open or _ONLY_CLOSERS.match(inside, p.end)]
        found = _chosen(inside, pieces)
    if found is None:
        raise NoJson("truncated" if any(p.open for p in pieces) else "unreadable" if pieces else "no_json")
    return found


def strict_loads(text: str) -> object:
    """`json.loads` that refuses a key given twice, NaN, infinity, lone surrogates, deep nesting: NoJson."""
    try:
        value = json.loads(
            text, object_pairs_hook=_unique_keys, parse_constant=_bad_number, parse_float=_finite
        )
    except RecursionError:
        raise NoJson("too_deep") from None
    except NoJson:
        raise
    except ValueError:
        raise NoJson("unreadable") from None
    _check(value)
    return value


def _chosen(text: str, pieces: list[_Piece]) -> Extracted | None:
    """The first plan that is JSON, else the first that can be repaired, else the first object of any kind."""
    strict = [None if p.open else _parsed(p.text) for p in pieces]
    for number, value in enumerate(strict):
        if isinstance(value, dict) and value.keys() & _PLAN_KEYS:
            _refuse_torn(text, pieces, number)
            return Extracted(value, repaired=False)
    for number, piece in enumerate(pieces):
        value = _closed(piece) if piece.open else _repaired(piece.text)
        if value is not None and value.keys() & _PLAN_KEYS:
            _refuse_torn(text, pieces, number)
            return Extracted(value, repaired=True)
    if any(p.open for p in pieces):
        raise NoJson("truncated")
    return next((Extracted(v, repaired=False) for v in strict if isinstance(v, dict) and v), None)


def _refuse_torn(text: str, pieces: list[_Piece], number: int) -> None:
    follows = pieces[number + 1].start if number + 1 < len(pieces) else len(text)
    if _TORN.match(text[pieces[number].end : follows]):
        raise NoJson("unreadable")


def _pieces(text: str) -> Iterator[_Piece]:
    """The outermost objects of `text`, in order. One that is never closed ends the search.

    Its inside is not searched: an argument of a cut plan must not be taken for a plan.
    """
    position = 0
    for _ in range(_TRIED_OBJECTS):
        start = text.find("{", position)
        if start < 0:
            return
        position = start + 1
        if _BEGINS_OBJECT.match(text, start):
            piece = _piece(text, start)
            yield piece
            if piece.open:
                return
            position = piece.end


def _piece(text: str, start: int) -> _Piece:
    marks = _STRICT_MARKS if _BEGINS_STRICTLY.match(text, start) else _LOOSE_MARKS
    stack: list[str] = []
    for token in marks.finditer(text, start):
        mark = token.group()
        if mark in "\"'“":
            return _Piece(text[start:], start, len(text), "".join(stack), in_string=True)
        if mark in "{[":
            stack.append(mark)
            if len(stack) > MAX_DEPTH:
                raise NoJson("too_deep")
        elif mark in "}]":
            _close(stack, "{" if mark == "}" else "[")
        if not stack:
            return _Piece(text[start : token.end()], start, token.end(), "", in_string=False)
    return _Piece(text[start:], start, len(text), "".join(stack), in_string=False)


def _close(stack: list[str], opener: str) -> None:
    """Close up to the nearest `opener`; a closer that nothing opened is passed over."""
    if opener in stack:
        while stack.pop() != opener:
            pass


def _closed(piece: _Piece) -> dict[str, object] | None:
    """A plan that lacks its last brace and nothing else: all of its keys are there, whole."""
    if piece.in_string or piece.open != "{":
        return None
    value = _parsed(piece.text.rstrip("` \r\n\t") + "}")
    return value if isinstance(value, dict) and value.keys() >= _PLAN_KEYS else None


def _repaired(text: str) -> dict[str, object] | None:
    """What the library makes of `text`, if nothing of it is lost on the way."""
    if len(text) > _REPAIRED_CHARS:
        return None
    bare = _COMMENTS.sub(lambda found: found[1] or " ", text)
    if _UNREPAIRABLE.search(_LOOSE_MARKS.sub(" ", bare)):
        return None
    try:
        value = json_repair.loads(text, skip_json_loads=True, strict=True)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    if not isinstance(value, dict):
        return None
    _check(value)
    return value if _is_all_of(_ESCAPES.sub(_unescaped, bare), value) else None


def _is_all_of(text: str, value: dict[str, object]) -> bool:
    """Whether `value` has every word of `text`, in order, and its calls and the keys of a plan in their places."""
    if [_PYTHON.get(word, word) for word in _WORDS.findall(text)] != list(_words(value)):
        return False
    keys = _KEYS.findall(text)
    calls = value.get("tool_calls", [])
    return (
        isinstance(calls, list)
        and keys.count("tool") == len(calls)
        and all(keys.count(name) == (name in value) for name in _PLAN_KEYS)
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


def _parsed(text: str) -> object:
    """The strict value of `text`; None when it is no JSON. What is JSON and must be refused raises NoJson."""
    try:
        return strict_loads(text)
    except NoJson as error:
        if error.reason != "unreadable":
            raise
    return None


def _without_thinking(text: str) -> tuple[str, str]:
    """The text outside thinking blocks, and the inside of a last block that is never closed."""
    outside, position = [], 0
    while opened := _THINKING_OPENS.search(text, position):
        outside.append(text[position : opened.start()])
        closed = _THINKING_CLOSES.search(text, opened.end())
        if closed is None:
            return _after_last_close("".join(outside)), text[opened.end() :]
        position = closed.end()
    outside.append(text[position:])
    return _after_last_close("".join(outside)), ""


def _after_last_close(text: str) -> str:
    """Some servers swallow the tag that opens the thinking: then all before the closing one was thinking."""
    return _THINKING_CLOSES.split(text)[-1]


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise NoJson("duplicate_key")
    return value


def _bad_number(_name: str) -> NoReturn:
    raise NoJson("bad_number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise NoJson("bad_number")
    return number


def _check(value: object) -> None:
    """Depth, numbers and strings of a parsed value, without recursion."""
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
