"""Owns the copy grammar: what a model may write about one message is what stands in it, span by span (GBNF)."""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

from .lexicon import COURTESY, STOP
from .message import Message, Span
from .scene import BREAKS, LIMITS, titled
from .schema import Field

NOTHING = "-"
"""What is written for a field that a message says nothing about."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a message that a value may hold: `taken` are those of other values, `carriers` the words
    that only lead to a value."""

    message: Message
    taken: Set[int]
    carriers: Set[str]

    def may_begin(self, place: int) -> bool:
        return self._says(place, STOP | COURTESY | self.carriers)

    def may_end(self, place: int) -> bool:
        return self._says(place, STOP | COURTESY | LIMITS | self.carriers)

    def _says(self, place: int, empty: Set[str]) -> bool:
        """Whether a word says something at the edge of a value; one written as a title does."""
        token = self.message.tokens[place]
        return token.is_word and (token.fold not in empty or titled(self.message, Span(place, place)))

    def may_hold(self, place: int) -> bool:
        return place not in self.taken and self.message.tokens[place].text not in BREAKS

    def gap(self, place: int) -> str | None:
        """What stands between a word and the next one; None where no value goes on."""
        tokens = self.message.tokens
        if place + 1 == len(tokens):
            return None
        between = self.message.text[tokens[place].end : tokens[place + 1].start]
        return between if between.isprintable() else None


def copy_grammar(fields: Sequence[Field], words: Words) -> str | None:
    """A line for each field, "name: span" (the first name stands in the prompt), of rules as many as the
    message has words; None when no span is possible."""
    rules = dict(_rules(words))
    count = len(words.message.tokens)
    starts = [f"w{place}" for place in range(count) if f"w{place}" in rules and words.may_begin(place)]
    if not starts:
        return None
    names = ["", *(f"{field.path[-1]}:" for field in fields[1:])]
    lines = " ".join(f'{_quoted(name + " ")} value "\\n"' for name in names)
    head = [f"root ::= {lines}", f'value ::= "{NOTHING}" | {" | ".join(starts)}']
    return "\n".join([*head, *(f"{name} ::= {body}" for name, body in rules.items())])


def _rules(words: Words) -> Iterator[tuple[str, str]]:
    """Rule `w3` is every span that goes on from word 3; from the last word to the first."""
    follows = False
    for place in reversed(range(len(words.message.tokens))):
        ways = []
        if words.may_hold(place):
            said, gap = _quoted(words.message.tokens[place].text), words.gap(place)
            if words.may_end(place):
                ways.append(said)
            if follows and gap is not None:
                ways.append(f"{said} {_quoted(gap)} w{place + 1}" if gap else f"{said} w{place + 1}")
        follows = bool(ways)
        if ways:
            yield f"w{place}", " | ".join(ways)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
