"""Owns the catalogue of a large registry: which tools, and which of their examples, come nearest to a message."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from .cards import ToolCard
from .clauses import split
from .message import MAX_TOKENS
from .ranking import best_two, example_lines
from .similarity import Embedder, load_embedder
from .text import tokenize

_EARLIER: Final = 0.8
"""What nearness to an earlier message counts, beside that to the message itself."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """Names of tools, and (tool, what was said, arguments) of examples; both nearest first."""

    tools: tuple[str, ...]
    examples: tuple[tuple[str, str, Mapping[str, object]], ...]


class Catalogue:
    """All examples of all tools, embedded once."""

    def __init__(self, cards: Sequence[ToolCard], embedder: Embedder | None = None) -> None:
        self._cards = tuple(cards)
        lines, self._owners = example_lines(self._cards)
        self._index = (embedder or load_embedder()).fit(lines)

    def nearest(self, message: str, earlier: Sequence[str], allowed: Set[str]) -> Nearest:
        """All `allowed` tools in the order of how near they are to the message, to one of its clauses, or,
        less, to an earlier message; and their examples."""
        tokens = tokenize(message, MAX_TOKENS)
        clauses = [message[start:end] for start, end in split(tokens)]
        texts = list(dict.fromkeys([message, *clauses]))
        rows = self._index.similar([*texts, *earlier])
        rows = [[_EARLIER * score for score in row] if n >= len(texts) else row for n, row in enumerate(rows)]
        own = [self._by_tool(row) for row in rows]
        scores = [max(best_two(scores[place]) for scores in own) for place in range(len(self._cards))]
        ranked = sorted(range(len(scores)), key=lambda place: -scores[place])
        best = [max(column) for column in zip(*rows, strict=True)]
        return Nearest(
            tuple(self._cards[place].name for place in ranked if self._cards[place].name in allowed),
            tuple(example for example in self._examples(best) if example[0] in allowed),
        )

    def _by_tool(self, row: Sequence[float]) -> list[list[float]]:
        own: list[list[float]] = [[] for _ in self._cards]
        for owner, score in zip(self._owners, row, strict=True):
            own[owner].append(score)
        return own

    def _examples(self, best: Sequence[float]) -> list[tuple[str, str, Mapping[str, object]]]:
        """The examples, nearest first; `best` holds a score for each line, a tool's last being its description."""
        scored = iter(best)
        found = []
        for card in self._cards:
            found += [(next(scored), card.name, said, args) for said, args in card.examples]
            next(scored)
        found.sort(key=lambda entry: -entry[0])
        return [entry[1:] for entry in found]
