"""From what a model wrote to the JSON object in it: fences, thinking, prose, small slips; never a guess."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .repair import PLAN_KEYS, QUOTED, QUOTED_ANYHOW, repaired
from .strict_json import MAX_DEPTH, NoJson, strict_loads

__all__ = ["MAX_CHARS", "Extracted", "NoJson", "extract_plan_json"]

MAX_CHARS = 200_000
_TRIED_OBJECTS = 32

_TAGS = r"(?:think|thinking|thought|reasoning|analysis|reflection)"
_THINKING_OPENS = re.compile(rf"<{_TAGS}>", re.IGNORECASE)
_THINKING_CLOSES = re.compile(rf"</{_TAGS}>", re.IGNORECASE)
_BEGINS_OBJECT = re.compile(r"\{\s*(?:[\"'“”‘’/#}]|[\w$-]+\s*:|\Z)")
_BEGINS_STRICTLY = re.compile(r'\{\s*["}]')
_STRICT_MARKS = re.compile(rf'{QUOTED}|["{{}}\[\]]', re.DOTALL)
_LOOSE_MARKS = re.compile(rf"{QUOTED_ANYHOW}|[\"'“{{}}\[\]]", re.DOTALL)
_ONLY_CLOSERS = re.compile(r"[\s}\])`.]*\Z")
# A whole object is followed by prose or another one. This is the rest of one, cut at a brace inside of it.
_TORN = re.compile(
    r"""[\s}\]]*(?:["':]|,\s*["'])|[\s}\]]*+.*?(?:\}|["'](?:reply|tool_calls|then)["']\s*:)""", re.DOTALL
)


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


def _chosen(text: str, pieces: list[_Piece]) -> Extracted | None:
    """The first plan that is JSON, else the first that can be repaired, else the first object of any kind."""
    strict = [None if p.open else _parsed(p.text) for p in pieces]
    for number, value in enumerate(strict):
        if isinstance(value, dict) and value.keys() & PLAN_KEYS:
            _refuse_torn(text, pieces, number)
            return Extracted(value, repaired=False)
    for number, piece in enumerate(pieces):
        value = _closed(piece) if piece.open else repaired(piece.text)
        if value is not None and value.keys() & PLAN_KEYS:
            _refuse_torn(text, pieces, number)
            if any(later.open for later in pieces[number + 1 :]):
                raise NoJson("truncated")
            return Extracted(value, repaired=True)
    if any(p.open for p in pieces):
        raise NoJson("truncated")
    return next((Extracted(v, repaired=False) for v in strict if isinstance(v, dict) and v), None)


def _refuse_torn(text: str, pieces: list[_Piece], number: int) -> None:
    """Refuse an object that ended too early: then its rest stands between the objects after it."""
    starts = [piece.start for piece in pieces[number + 1 :]]
    for piece, start in zip(pieces[number:], [*starts, len(text)], strict=True):
        if _TORN.match(text[piece.end : start]):
            raise NoJson("unreadable")


def _pieces(text: str) -> Iterator[_Piece]:
    """The outermost objects of `text`, in order. One that is never closed reaches to the end.

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
            position = piece.end


def _piece(text: str, start: int) -> _Piece:
    marks = _STRICT_MARKS if _BEGINS_STRICTLY.match(text, start) else _LOOSE_MARKS
    stack: list[str] = []
    for token in marks.finditer(text, start):
        mark = token.group()
        if mark in "\"'“":
            return _Piece(text[start:], start, len(text), "".join(stack))
        if mark in "{[":
            stack.append(mark)
            if len(stack) > MAX_DEPTH:
                raise NoJson("too_deep")
        elif mark in "}]":
            _close(stack, "{" if mark == "}" else "[")
        if not stack:
            return _Piece(text[start : token.end()], start, token.end(), "")
    return _Piece(text[start:], start, len(text), "".join(stack))


def _close(stack: list[str], opener: str) -> None:
    """Close up to the nearest `opener`; a closer that nothing opened is passed over."""
    if opener in stack:
        while stack.pop() != opener:
            pass


def _closed(piece: _Piece) -> dict[str, object] | None:
    """A plan that lacks its last brace and nothing else: all of its keys are there, whole."""
    if piece.open != "{":
        return None
    value = _parsed(piece.text.rstrip("` \r\n\t") + "}")
    return value if isinstance(value, dict) and value.keys() >= PLAN_KEYS else None


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
