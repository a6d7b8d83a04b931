"""Cutting a text into messages: at line and sentence ends, never in a grapheme or between verb and token."""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from enum import IntEnum
from itertools import accumulate
from typing import Final

from ..neutral import VERBS

Weigh = Callable[[str], int]
"""How much one character counts against a provider's limit."""

_ATOM: Final = re.compile(rf"(?i:\b(?:{'|'.join(sorted(VERBS))})\s+)?(?<!\w)[0-9A-Z]{{8}}(?!\w)")
"""A token, with the verb before it."""
_ENDERS: Final = frozenset(".!?…。！？؟।")
_WIDE_ENDERS: Final = frozenset("。！？")
_CLOSERS: Final = frozenset("\"')]}»”’›」』）")
_WIDE_PAUSES: Final = _WIDE_ENDERS | _CLOSERS
_LIST_NUMBER: Final = re.compile(r"\n *[0-9]{1,3}\.\Z")
_ZWJ: Final = "\u200d"
_ZWNJ: Final = "\u200c"
_VIRAMA: Final = 9
"""The canonical combining class of the signs that join two letters of an Indic script."""


class _Cut(IntEnum):
    """What a cut breaks; the higher, the better."""

    NONE = 0
    WORD = 1
    GAP = 2
    SENTENCE = 3
    LINE = 4


def characters(_char: str) -> int:
    """Every code point counts one."""
    return 1


def utf16(char: str) -> int:
    """UTF-16 code units: what lies beyond the basic plane counts two."""
    return 1 + (ord(char) > 0xFFFF)


def split(text: str, limit: int, weigh: Weigh = characters) -> list[str]:
    """The text in parts that weigh at most `limit` each; only white space at the cuts is lost.

    `limit` is at least 32. A single grapheme or token that outweighs it is cut between two code points.
    """
    paper = _Paper(text.strip(), weigh)
    parts, start = [], 0
    while paper.weight(start) > limit:
        end = paper.end_within(start, limit)
        parts.append(paper.text[start:end])
        start = paper.after_gap(end)
    return [*parts, paper.text[start:]] if paper.text[start:] else parts


def split_before_tail(text: str, limit: int, tail_limit: int, weigh: Weigh = characters) -> list[str]:
    """Like `split`, with a last part of at most `tail_limit` that begins a line if that is possible."""
    paper = _Paper(text.strip(), weigh)
    if paper.weight(0) <= tail_limit:
        return split(text, tail_limit, weigh)
    end = paper.tail_within(tail_limit)
    return [*split(paper.text[:end], limit, weigh), paper.text[paper.after_gap(end) :]]


def shortened(text: str, limit: int) -> str:
    """One line of at most `limit` characters, with an ellipsis where something was taken off."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    end = limit - 1
    while end > 1 and not boundary(line, end):
        end -= 1
    return line[:end].rstrip() + "…"


class _Paper:
    """A text with what its characters weigh and where it may be cut."""

    def __init__(self, text: str, weigh: Weigh) -> None:
        self.text = text
        self._sums = [0, *accumulate(map(weigh, text))]
        self._atoms = [found.span() for found in _ATOM.finditer(text)]
        self._atom_starts = [start for start, _ in self._atoms]

    def weight(self, start: int) -> int:
        return self._sums[-1] - self._sums[start]

    def after_gap(self, end: int) -> int:
        while end < len(self.text) and self.text[end].isspace():
            end += 1
        return end

    def end_within(self, start: int, limit: int) -> int:
        """Where the part that begins at `start` best ends: a late line or sentence end, else a gap."""
        furthest = max(bisect_right(self._sums, self._sums[start] + limit) - 1, start + 1)
        early, best, place = start + (furthest - start) // 3, _Cut.NONE, furthest
        for end in range(furthest, start, -1):
            if best >= _Cut.GAP and end < early:
                break
            if best >= _Cut.WORD and not self._pauses(end):
                continue
            kind = self._kind(end)
            if kind >= _Cut.SENTENCE and end >= early:
                return end
            if min(kind, _Cut.GAP) > best:
                best, place = min(kind, _Cut.GAP), end
        return place

    def tail_within(self, limit: int) -> int:
        """The end of what comes before the tail: the first line's end after which at most `limit` is left."""
        first = bisect_left(self._sums, self._sums[-1] - limit)
        best, place = _Cut.NONE, first
        for end in range(max(first, 1), len(self.text)):
            kind = self._kind(end)
            if kind > best:
                best, place = kind, end
            if best == _Cut.LINE:
                break
        return place

    def _pauses(self, end: int) -> bool:
        """Whether `end` can be more than the middle of a word; a quick look before `_kind`."""
        return self.text[end].isspace() or self.text[end - 1] in _WIDE_PAUSES

    def _kind(self, end: int) -> _Cut:
        """What a cut would be after which the text goes on behind the white space at `end`."""
        text, begin = self.text, self.after_gap(end)
        if text[end - 1].isspace() or not boundary(text, begin) or not boundary(text, end):
            return _Cut.NONE
        if self._in_atom(end) or self._in_atom(begin):
            return _Cut.NONE
        if "\n" in text[end:begin]:
            return _Cut.LINE
        if _ends_sentence(text[max(0, end - 12) : end], spaced=begin > end):
            return _Cut.SENTENCE
        return _Cut.GAP if begin > end else _Cut.WORD

    def _in_atom(self, place: int) -> bool:
        index = bisect_left(self._atom_starts, place) - 1
        return index >= 0 and place < self._atoms[index][1]


def _ends_sentence(last: str, *, spaced: bool) -> bool:
    if _LIST_NUMBER.search(last):
        return False
    last = last.rstrip("".join(_CLOSERS))
    return bool(last) and (last[-1] in _WIDE_ENDERS or (spaced and last[-1] in _ENDERS))


def boundary(text: str, place: int) -> bool:
    """Whether a grapheme may end before `place` (UAX #29, erring towards keeping characters together)."""
    if place <= 0 or place >= len(text):
        return True
    before, char = text[place - 1], text[place]
    if (before == "\r" and char == "\n") or before == _ZWJ or _extends(char):
        return False
    if unicodedata.combining(before) == _VIRAMA and char.isalpha():
        return False
    return not (_within(char, _FLAGS) and _odd_flags(text, place)) and not _joins_jamo(before, char)


_FLAGS: Final = ((0x1F1E6, 0x1F1FF),)
_LEADS: Final = ((0x1100, 0x115F), (0xA960, 0xA97C))
_SYLLABLES: Final = ((0xAC00, 0xD7A3),)
_VOWELS_TAILS: Final = ((0x1160, 0x11FF), (0xD7B0, 0xD7FB))
_ADDED: Final = ((0x1F3FB, 0x1F3FF), (0xE0020, 0xE007F), (0xFF9E, 0xFF9F))


def _within(char: str, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(low <= ord(char) <= high for low, high in ranges)


def _extends(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Mc", "Me") or char in (_ZWJ, _ZWNJ) or _within(char, _ADDED)


def _odd_flags(text: str, place: int) -> bool:
    """Whether the regional indicator at `place` is the second half of a flag."""
    start = place
    while start > 0 and _within(text[start - 1], _FLAGS):
        start -= 1
    return (place - start) % 2 == 1


def _joins_jamo(before: str, char: str) -> bool:
    if _within(char, _VOWELS_TAILS):
        return _within(before, (*_LEADS, *_SYLLABLES, *_VOWELS_TAILS))
    return _within(before, _LEADS) and _within(char, (*_LEADS, *_SYLLABLES))
