"""Owns how the free-text fields of one tool see a clause: neighbours, empty spans, runs of capitals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .carriers import EDGE, SLOT, Carriers
from .lexicon import AT_LEAST, AT_MOST, COURTESY, REQUEST, STOP
from .message import Message, Span, capitalised
from .schema import Field
from .text import stem

Path = tuple[str, ...]
BREAKS: Final = frozenset(',;?!.()"“”¿¡')
LIMITS: Final = frozenset(word for phrase in (*AT_MOST, *AT_LEAST) for word in phrase.split())


@dataclass(frozen=True, slots=True)
class Scene:
    """A clause as the free-text fields of a tool see it: `taken` are the tokens that other values hold."""

    message: Message
    fields: Sequence[Field]
    carriers: Mapping[Path, Carriers]
    taken: Mapping[int, Path]
    nouns: frozenset[str]
    words: frozenset[str]
    runs: Sequence[Span]

    def label(self, place: int) -> str:
        """The neighbour at a place: a word, an edge, or the mark of a value."""
        if place in self.taken:
            return SLOT + ".".join(self.taken[place])
        if not 0 <= place < len(self.message.tokens) or self.message.tokens[place].text in BREAKS:
            return EDGE
        return self.message.word(place)


def titled(message: Message, span: Span) -> bool:
    """Whether a span is written as a title, so that a stop word may end it ("To Me")."""
    return span.first > 0 and all(capitalised(message.tokens[i]) for i in (span.first, span.last))


def hollow(scene: Scene, span: Span) -> bool:
    """Whether a span says nothing of its own: only stop words, nouns of the fields, words of asking."""
    words = [token for token in scene.message.tokens[span.first : span.last + 1] if token.is_word]
    empty = STOP | COURTESY | REQUEST | scene.nouns | scene.words
    if len(words) > 1 and span.first and titled(scene.message, span):
        return False
    return all(word.fold in empty or stem(word.fold) in scene.words for word in words)


def capital_runs(message: Message, taken: Mapping[int, Path]) -> list[Span]:
    """The longest runs of capitalised words with the small stop words and signs between them.

    The first word of a message begins none: it is capital anyway.
    """
    tokens = message.tokens
    runs: list[Span] = []
    place = 0
    while place < len(tokens):
        if not place or place in taken or not tokens[place].is_word or not capitalised(tokens[place]):
            place += 1
            continue
        last = place
        for index in range(place + 1, len(tokens)):
            if index in taken or tokens[index].text in BREAKS:
                break
            if capitalised(tokens[index]):
                last = index
            elif tokens[index].is_word and (tokens[index].fold not in STOP or index - last > 2):
                break
        runs.append(Span(place, last))
        place = last + 1
    return runs
