"""The window: the newest lines of a conversation that a model is shown, whole ones only."""

from collections.abc import Sequence

from ..llm.counting import estimated_tokens
from ..storage.repositories.turns import Line


def within(lines: Sequence[Line], tokens: int) -> tuple[Line, ...]:
    """The last of these lines that together have no more than about so many tokens, oldest first."""
    start = len(lines)
    while start and (tokens := tokens - estimated_tokens(lines[start - 1].text)) >= 0:
        start -= 1
    return tuple(lines[start:])
