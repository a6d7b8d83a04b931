"""Owns what the examples teach about the words around a value: the carriers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .lexicon import ARTICLES, POSSESSIVES, STOP, TWINS, word_set
from .numbers import find_numbers
from .schema import Field, value_at
from .text import Token, fold, stem, tokenize

EDGE: Final = "|"  # the beginning or end of a message, or punctuation
SLOT: Final = "<"  # prefix of a neighbouring value: "<" and its path
_CATEGORIES: Final = word_set("kind type category genre tipo clase categoria genero")
_SKIPPED: Final = (ARTICLES | POSSESSIVES) - {"a"}


@dataclass(frozen=True, slots=True)
class Carriers:
    """Words seen before a value (`left`, in `pairs` with an earlier one) and after it (`right`, `tails`)."""

    left: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)
    tails: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: frozenset[str] = frozenset()
    heads: frozenset[str] = frozenset()
    proper: bool = False

    def before(self, word: str, earlier: str) -> float:
        """How well the words left of a span fit: 0 to 1.2."""
        if self.left[word]:
            openers = {second for first, second in self.pairs if first == word}
            if earlier in openers:
                return 1.2
            return (
                0.9
                if len(openers) > 1 or EDGE in openers or any(o.startswith(SLOT) for o in openers)
                else 0.6
            )
        return 0.6 if any(self.left[twin] for twin in TWINS.get(word, ())) else 0.0

    def after(self, word: str, later: str = EDGE) -> float:
        """How well the words right of a span fit: 0 to 0.8; "de menos" says nothing about "de lluvia"."""
        if word == EDGE:
            return 0.4 if self.right[EDGE] else 0.0
        if self.right[word]:
            closers = {second for first, second in self.tails if first == word}
            loose = word not in STOP or later in closers or any(closer.startswith(SLOT) for closer in closers)
            return 0.8 if loose else 0.1
        return 0.5 if any(self.right[twin] for twin in TWINS.get(word, ())) else 0.0


def _heads(item: Field, values: Sequence[str], described: str) -> frozenset[str]:
    """For a field that names a kind of thing: last words of values, words of the description."""
    if not item.nouns & _CATEGORIES:
        return frozenset()
    words = [token.fold for token in tokenize(described) if token.fold not in STOP]
    return frozenset(stem(word) for word in [*words, *(fold(value).split()[-1] for value in values)])


def learn(
    fields: Sequence[Field], examples: Sequence[tuple[str, Mapping[str, object]]], described: str
) -> dict[tuple[str, ...], Carriers]:
    """Read all examples of a tool once."""
    found = {item.path: Carriers() for item in fields}
    values: dict[tuple[str, ...], list[str]] = {item.path: [] for item in fields}
    for text, arguments in examples:
        tokens = tokenize(text)
        places = {item.path: _locate(text, tokens, value_at(arguments, item.path)) for item in fields}
        for path, place in places.items():
            if place is not None:
                _note(found[path], tokens, place, places)
                values[path].append(text[tokens[place[0]].start : tokens[place[1]].end])
    return {item.path: _closed(found[item.path], values[item.path], item, described) for item in fields}


def _closed(carriers: Carriers, values: Sequence[str], item: Field, described: str) -> Carriers:
    proper = bool(values) and all(value[0].isupper() for value in values)
    return Carriers(
        carriers.left, carriers.pairs, carriers.right, carriers.tails,
        frozenset(fold(value) for value in values), _heads(item, values, described), proper,
    )  # fmt: skip


def _locate(text: str, tokens: Sequence[Token], value: object) -> tuple[int, int] | None:
    """The tokens of an example that hold a value: verbatim, or as the number it is."""
    if isinstance(value, list | tuple):
        value = value[0] if value else None
    if isinstance(value, bool) or value is None:
        return None
    wanted = fold(str(value))
    sought = len(tokenize(wanted))
    for first in range(len(tokens)):
        last = first + sought - 1
        if last < len(tokens) and fold(text[tokens[first].start : tokens[last].end]) == wanted:
            return first, last
    return _locate_number(tokens, value)


def _locate_number(tokens: Sequence[Token], value: object) -> tuple[int, int] | None:
    if not isinstance(value, int | float):
        return None
    for number in find_numbers(tokens):
        if number.value == value and not number.weak:
            return number.first, number.last
    return None


Places = Mapping[tuple[str, ...], "tuple[int, int] | None"]


def _note(carriers: Carriers, tokens: Sequence[Token], place: tuple[int, int], places: Places) -> None:
    left, before = neighbour_left(tokens, place[0], places)
    earlier, _ = neighbour_left(tokens, before, places) if before > 0 else (EDGE, 0)
    carriers.left[left] += 1
    carriers.pairs[left, earlier] += 1
    right, later = _name(tokens, place[1] + 1, places), _name(tokens, place[1] + 2, places)
    carriers.right[right] += 1
    carriers.tails[right, later] += 1


def neighbour_left(tokens: Sequence[Token], first: int, places: Places) -> tuple[str, int]:
    """The word before a place, articles and possessives skipped, and where it stands."""
    index = first - 1
    while index > 0 and tokens[index].fold in _SKIPPED:
        index -= 1
    return _name(tokens, index, places), index


def _name(tokens: Sequence[Token], index: int, places: Places) -> str:
    if not 0 <= index < len(tokens) or not tokens[index].is_word:
        return EDGE
    for path, place in places.items():
        if place is not None and place[0] <= index <= place[1]:
            return SLOT + ".".join(path)
    return tokens[index].fold
