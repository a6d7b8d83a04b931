"""Owns what is left of a clause as a value: its lone title, or the longest run without words of asking."""

from collections.abc import Iterator

from .lexicon import ARTICLES, COURTESY, REQUEST, STOP
from .message import Span
from .scene import BREAKS, LIMITS, Scene, hollow


def lone_title(scene: Scene) -> Span | None:
    """The only run of capitalised words, when there is exactly one."""
    runs = [run for run in scene.runs if not hollow(scene, run)]
    return runs[0] if len(runs) == 1 and scene.message.cased else None


def residue(scene: Scene) -> Span | None:
    """What a clause leaves for the one text field that must be filled: its longest run, trimmed."""
    best: Span | None = None
    for run in _runs(scene):
        trimmed = _trimmed(scene, run)
        if trimmed and (best is None or trimmed.last - trimmed.first > best.last - best.first):
            best = trimmed
    return best


def _runs(scene: Scene) -> Iterator[Span]:
    start: int | None = None
    tokens = scene.message.tokens
    for place in range(len(tokens) + 1):
        closed = place == len(tokens) or place in scene.taken or tokens[place].text in BREAKS
        if closed and start is not None:
            yield Span(start, place - 1)
            start = None
        elif not closed and start is None:
            start = place


def _trimmed(scene: Scene, run: Span) -> Span | None:
    """A run without stop words, words of asking and limits at its edges."""
    first, last = run.first, run.last
    empty = STOP | REQUEST | COURTESY | scene.nouns
    while first <= last and (
        scene.message.word(first) in empty
        or not scene.message.tokens[first].is_word
        or (first < last and scene.message.word(first + 1) in ARTICLES)  # a verb: "calificar los zapatos"
    ):
        first += 1
    tail = empty | LIMITS
    while last >= first and (scene.message.word(last) in tail or not scene.message.tokens[last].is_word):
        last -= 1
    return Span(first, last) if first <= last else None
