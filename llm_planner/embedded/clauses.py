"""Owns the splitting of one message into the requests it holds."""

from collections.abc import Sequence
from typing import Final

from .lexicon import word_set
from .text import Token

_JOINTS: Final = word_set(", ; ? ! . and y e then also plus too ademas tambien luego despues depois alem")
_MOST: Final = 6


def split(tokens: Sequence[Token]) -> list[tuple[int, int]]:
    """The pieces of a message between joints as places in its text; none when there are more than six."""
    pieces: list[tuple[int, int]] = []
    open_at: int | None = None
    end = 0
    for token in tokens:
        if token.fold in _JOINTS:
            if open_at is not None:
                pieces.append((open_at, end))
            open_at = None
        elif open_at is not None or token.is_word:
            open_at = token.start if open_at is None else open_at
            end = token.end
    if open_at is not None:
        pieces.append((open_at, end))
    return pieces if len(pieces) <= _MOST else []
