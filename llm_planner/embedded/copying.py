"""Owns what the small model is asked about one message, and how far its word counts beside that of the rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from .arguments import Tool, Values, find_places
from .carriers import EDGE, SLOT
from .grammar import NOTHING, Words, copy_grammar
from .message import Message
from .scene import Path
from .schema import Field, value_at
from .text import tokenize

_LONGEST: Final = 60
"""Words of a message that the model is asked about; what is longer is no short request."""

_SHOTS: Final = 5
_FEWEST: Final = 2
_SURE: Final = -0.6
"""Logarithm of the probability from which on the model's choice of a first piece counts: 0.55. Above it, it was
hardly ever wrong where it differed from the rules; below, it mostly was."""

_STEADY: Final = -0.5


@dataclass(frozen=True, slots=True)
class Question:
    """One completion: `prefix` is the same for every message to a tool, so that it stays in the cache."""

    prefix: str
    message: str
    grammar: str
    lines: int

    @property
    def prompt(self) -> str:
        return self.prefix + self.message


@dataclass(frozen=True, slots=True)
class Line:
    """What was written for one field: the text, the log-probability of its first piece, and their mean."""

    text: str
    first: float
    mean: float

    @property
    def sure(self) -> bool:
        return self.text != NOTHING and self.first >= _SURE and self.mean >= _STEADY


class Copier(Protocol):
    """The small model. It never raises, and keeps a bounded time."""

    def answer(self, question: Question) -> Sequence[Line] | None:
        """A line for each field asked for; None when it is busy, late or not there."""

    def start(self, prefixes: Sequence[str]) -> None:
        """Load the model and read these prompts, without waiting for it."""

    def close(self) -> None:
        """Let go of the model."""


def prefix_of(tool: Tool) -> str | None:
    """A tool's fixed prompt: its examples with their free-text values; None where it has too few of them."""
    fields = _asked(tool)
    shots = [
        (said, {field.path: value_at(arguments, field.path) for field in fields})
        for said, arguments in tool.card.examples
    ]
    telling = [(said, values) for said, values in shots if any(isinstance(v, str) for v in values.values())]
    if len(telling) < _FEWEST:
        return None
    names = ", ".join(field.path[-1] for field in fields)
    head = f"Copy from each message the {names}. Write {NOTHING} for what it does not say.\n\n"
    return head + "".join(_shot(said, values, fields) for said, values in telling[:_SHOTS])


def copied(tool: Tool, message: Message, values: Values, copier: Copier) -> Values:
    """The values of a request with what the model copies better than the rules did."""
    prefix = prefix_of(tool)
    if prefix is None or len(message.tokens) > _LONGEST:
        return values
    fields = _asked(tool)
    paths = {field.path for field in fields}
    _, places = find_places(tool, message, {path: value for path, value in values.items() if path in paths})
    words = Words(message, {place for place, path in places.items() if path not in paths}, _carriers(tool))
    grammar = copy_grammar(fields, words)
    if grammar is None:
        return values
    asked = f"Message: {_one_line(message.text)}\n{fields[0].path[-1]}:"
    lines = copier.answer(Question(prefix, asked, grammar, len(fields)))
    return values if lines is None else _merged(fields, lines, values, message)


def _asked(tool: Tool) -> list[Field]:
    return [field for field in tool.fields if field.kind == "text" and not field.many]


def _shot(said: str, values: Values, fields: Sequence[Field]) -> str:
    lines = "".join(f"{field.path[-1]}: {values[field.path] or NOTHING}\n" for field in fields)
    return f"Message: {_one_line(said)}\n{lines}\n"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _carriers(tool: Tool) -> frozenset[str]:
    """The words that stood before values in the examples, unless they are in values themselves."""
    left = {word for field in _asked(tool) for word in tool.carriers[field.path].left}
    inside = {
        token.fold for carrier in tool.carriers.values() for v in carrier.values for token in tokenize(v)
    }
    return frozenset(word for word in left - inside if word != EDGE and not word.startswith(SLOT))


def _merged(fields: Sequence[Field], lines: Sequence[Line], values: Values, message: Message) -> Values:
    """A sure line beats what a rule found for that field; and for another field in the same words, if the
    model, too, gives that one something else or nothing."""
    merged = dict(values)
    said = {field.path: line for field, line in zip(fields, lines, strict=True)}
    for field in fields:
        line = said[field.path]
        if not line.sure or merged.get(field.path) == line.text or line.text not in message.text:
            continue
        others = [
            other
            for other in fields
            if other is not field and _overlap(merged, other.path, line.text, message)
        ]
        if all(_gives_way(other, said[other.path], line) for other in others):
            for other in others:
                del merged[other.path]
            merged[field.path] = line.text
    return merged


def _gives_way(other: Field, line: Line, winner: Line) -> bool:
    return not other.required and line.text != winner.text and not (line.sure and winner.text in line.text)


def _overlap(values: Mapping[Path, object], path: Path, text: str, message: Message) -> bool:
    """Whether a value stands in words that a text holds, too."""
    value = values.get(path)
    if not isinstance(value, str):
        return False
    first, second = message.text.find(value), message.text.find(text)
    return first >= 0 and first < second + len(text) and second < first + len(value)
