"""Owns the choice of the tool: how near a message is to each tool's examples and to the bank."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .arguments import Tool
from .bank import BANK, Topic
from .cards import ToolCard
from .message import Message
from .schema import Field, split_name
from .similarity import Embedder
from .values import bounded, candidates

_WEIGHT: Final = 0.05  # of each fact about the values in a message, beside similarities of 0.2 to 0.9
_SURE: Final = 0.7
_CODED: Final = frozenset({"code", "pattern", "text", "uuid", "phone"})
_TOLD: Final = frozenset(
    {"email", "code", "pattern", "uuid", "url", "phone", "date", "datetime", "integer", "number"}
)


@dataclass(frozen=True, slots=True)
class Ranked:
    """The nearest tool with its score, and the nearest topic with that of the class "no tool"."""

    tool: Tool
    score: float
    topic: Topic
    none: float
    nearest: float  # similarity to the nearest single line of the bank
    enough: float

    @property
    def fits(self) -> bool:
        """Whether the tool is what the message asks for."""
        return self.score >= self.enough and self.score >= self.none


class Ranking:
    """All examples of all tools and the bank, embedded once."""

    def __init__(self, tools: Sequence[Tool], embedder: Embedder) -> None:
        self.thresholds = embedder.thresholds
        self._tools = tools
        lines, owners = example_lines([tool.card for tool in tools])
        bank = [(topic, line) for topic, texts in BANK.items() for line in texts]
        bank = _unclaimed(bank, lines, embedder)
        self._owners = owners
        self._topics = [topic for topic, _ in bank]
        self._index = embedder.fit([*lines, *(line for _, line in bank)])

    def rank(self, messages: Sequence[Message]) -> list[Ranked]:
        """The nearest tool for each message."""
        return [
            self._ranked(message, row)
            for message, row in zip(messages, self._index.similar([m.text for m in messages]), strict=True)
        ]

    def _ranked(self, message: Message, row: Sequence[float]) -> Ranked:
        own: list[list[float]] = [[] for _ in self._tools]
        for owner, score in zip(self._owners, row, strict=False):
            own[owner].append(score)
        rest = row[len(self._owners) :]
        scores = [
            best_two(scores) + _evidence(tool, message) for tool, scores in zip(self._tools, own, strict=True)
        ]
        best = max(range(len(scores)), key=lambda place: scores[place])
        nearest = max(range(len(rest)), key=lambda place: rest[place])
        return Ranked(
            self._tools[best], scores[best], self._topics[nearest], best_two(rest), rest[nearest],
            self.thresholds.tool,
        )  # fmt: skip


def example_lines(cards: Sequence[ToolCard]) -> tuple[list[str], list[int]]:
    """What is compared with a message: each tool's examples, then its description; and whose each line is."""
    lines: list[str] = []
    owners: list[int] = []
    for place, card in enumerate(cards):
        texts = [text for text, _ in card.examples]
        texts.append(card.description or " ".join(split_name(card.name)))
        lines += texts
        owners += [place] * len(texts)
    return lines, owners


def _unclaimed(
    bank: Sequence[tuple[Topic, str]], lines: Sequence[str], embedder: Embedder
) -> list[tuple[Topic, str]]:
    """The bank without those out-of-scope requests that mean the same as some tool's example."""
    rows = embedder.fit(lines).similar([line for _, line in bank])
    known = embedder.thresholds.known
    return [entry for entry, row in zip(bank, rows, strict=True) if entry[0] != "other" or max(row) < known]


def best_two(scores: Sequence[float]) -> float:
    """The mean of the two highest scores."""
    best = sorted(scores, reverse=True)[:2]
    return sum(best) / len(best)


def _evidence(tool: Tool, message: Message) -> float:
    """What the values in a message say for or against a tool, whatever its words."""
    kinds = {field.kind for field in tool.fields}
    score = 0.0
    if message.emails and "email" not in kinds:
        score -= _WEIGHT
    if any(len(message.tokens[place].text) > 2 for place in message.codes) and not kinds & _CODED:
        score -= _WEIGHT
    if any(field.bound and bounded(field, message) for field in tool.fields):
        score += _WEIGHT
    return score + (_WEIGHT if _served(tool, message) else 0.0)


def _served(tool: Tool, message: Message) -> bool:
    """Whether a message holds every value told by form that a tool must have."""
    needed = [field for field in tool.fields if field.required and field.kind in _TOLD]
    return bool(needed) and all(_has(field, tool, message) for field in needed)


def _has(field: Field, tool: Tool, message: Message) -> bool:
    return any(found.score >= _SURE for found in candidates(field, tool.carriers[field.path], message))
