"""Owns free-text values: which spans of a message a field may copy, by the carriers the examples taught."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from .carriers import EDGE, SLOT, Carriers
from .lexicon import (
    ARTICLES,
    COURTESY,
    DEICTICS,
    NAMING,
    POSSESSIVES,
    PREPOSITIONS,
    STOP,
)
from .message import Message, Span, capitalised
from .scene import BREAKS, LIMITS, Path, Scene, hollow, titled
from .schema import Field
from .text import fold, stem

_LONGEST: Final = 9
_KEPT: Final = 6
_BEAM: Final = 400
_ENOUGH: Final = 0.95
_LEANING: Final = 0.3


@dataclass(frozen=True, slots=True)
class Offer:
    """A span that a field could take; `leaning` when another field's value has to stand right before it."""

    field: Path
    span: Span
    score: float
    leaning: bool = False


def choose(scene: Scene) -> dict[Path, Span]:
    """The best set of spans that don't overlap, one a field; a field without enough evidence gets none."""
    offers = {field.path: _offers(scene, field) for field in scene.fields}
    best: dict[Path, Span] = {}
    top = 0.0
    for chosen in _combinations(offers.values()):
        if any(offer.leaning and not _follows(offer, chosen) for offer in chosen):
            continue
        score = sum(offer.score for offer in chosen) + _adjacency(scene, chosen)
        if score > top + 1e-9:
            best, top = {offer.field: offer.span for offer in chosen}, score
    return best


def _combinations(offers: Iterable[Sequence[Offer]]) -> list[tuple[Offer, ...]]:
    """The sets of offers that don't overlap, at most one a field; of very many only the best."""
    partial: list[tuple[Offer, ...]] = [()]
    for options in offers:
        wider = [(*chosen, offer) for chosen in partial for offer in options if _free(offer, chosen)]
        partial = sorted([*wider, *partial], key=lambda chosen: -sum(offer.score for offer in chosen))[:_BEAM]
    return partial


def _free(offer: Offer, chosen: Sequence[Offer]) -> bool:
    return all(offer.span.last < other.span.first or offer.span.first > other.span.last for other in chosen)


def _follows(offer: Offer, chosen: Sequence[Offer]) -> bool:
    return any(other.span.last + 1 == offer.span.first for other in chosen)


def _adjacency(scene: Scene, chosen: Sequence[Offer]) -> float:
    """What two text values gain by standing next to each other as they did in an example."""
    gain = 0.0
    for offer in chosen:
        for other in chosen:
            if other.span.last + 1 == offer.span.first:
                seen = scene.carriers[offer.field].left[SLOT + ".".join(other.field)]
                gain += 0.9 if seen else 0.2
    return gain


def _offers(scene: Scene, field: Field) -> list[Offer]:
    found: list[Offer] = []
    count = len(scene.message.tokens)
    for first in range(count):
        left = _left(scene, field, first)
        leaning = left <= 0 and _may_lean(scene, field, first)
        if left <= 0 and not leaning:
            continue
        for last in range(first, min(first + _LONGEST, count)):
            if last in scene.taken or _breaks(scene.message, first, last):
                break
            score = _score(scene, field, Span(first, last), left)
            if score is not None and score >= (_LEANING if leaning else _ENOUGH):
                found.append(Offer(field.path, Span(first, last), score, leaning))
    found.sort(key=lambda offer: (-offer.score, offer.span.first, -offer.span.last))
    return found[:_KEPT]


def _breaks(message: Message, first: int, last: int) -> bool:
    text = message.tokens[last].text
    return text in BREAKS and not (text == "." and last > first and len(message.tokens[last - 1].text) <= 2)


def _left(scene: Scene, field: Field, first: int) -> float:
    """Evidence on the left of a span, zero when no value can begin there."""
    message = scene.message
    token = message.tokens[first]
    if first in scene.taken or not token.is_word or not _may_begin(message, first):
        return 0.0
    index = first - 1
    while index > 0 and message.word(index) in (ARTICLES | POSSESSIVES) - {"a"}:
        index -= 1
    word, earlier = scene.label(index), scene.label(index - 1)
    carriers = scene.carriers[field.path]
    if message.word(index) in DEICTICS and index not in scene.taken:
        return 0.0
    score = carriers.before(word, earlier)
    if word in field.nouns or (word in NAMING and index >= 0):
        score = max(score, 1.2)
    elif carriers.heads and message.word(first - 1) in ARTICLES:
        score = max(score, 0.1)
    if message.word(first - 1) in ("a", "an", "un", "una", "um", "uma") and carriers.proper:
        score -= 0.5
    return score


def _may_lean(scene: Scene, field: Field, first: int) -> bool:
    """Whether a value may begin here because in the examples it followed another one directly."""
    if (
        first in scene.taken
        or not scene.message.tokens[first].is_word
        or not _may_begin(scene.message, first)
    ):
        return False
    return any(word.startswith(SLOT) for word in scene.carriers[field.path].left)


def _may_begin(message: Message, first: int) -> bool:
    token = message.tokens[first]
    if token.fold in DEICTICS:
        return False
    if token.fold not in STOP:
        return True
    following = message.tokens[first + 1 : first + 3]
    return first > 0 and token.text[0].isupper() and any(capitalised(token) for token in following)


def _score(scene: Scene, field: Field, span: Span, left: float) -> float | None:
    message, carriers = scene.message, scene.carriers[field.path]
    last = message.tokens[span.last]
    if not last.is_word or (last.fold in STOP | LIMITS and not titled(message, span)):
        return None
    right = _right(scene, field, span)
    if right is None or hollow(scene, span):
        return None
    score = left + right + _shape(scene, carriers, span) + (0.3 if field.required else 0.0)
    return score + _familiar(message, carriers, span)


def _familiar(message: Message, carriers: Carriers, span: Span) -> float:
    """What a span gains for being a value of the examples, or of the kind of one ("TV show", "talk show")."""
    if fold(message.piece(span)) in carriers.values:
        return 0.8
    return 0.9 if stem(message.word(span.last)) in carriers.heads else 0.0


def _right(scene: Scene, field: Field, span: Span) -> float | None:
    """Evidence on the right of a span, None when no value can end there."""
    message, place = scene.message, span.last + 1
    carriers = scene.carriers[field.path]
    word = scene.label(place)
    if word == EDGE:
        return 0.1 + carriers.after(EDGE) / 2
    if word in field.nouns:
        return 0.9
    seen = carriers.after(word, scene.label(place + 1))
    if seen:
        return seen
    if word.startswith(SLOT):
        return 0.3
    skipped = place + 1 if message.word(place) in ARTICLES else place
    if skipped in scene.taken:
        return 0.3
    if any(scene.carriers[other.path].left[word] for other in scene.fields if other is not field):
        return 0.3
    if word in PREPOSITIONS or word in STOP or word in scene.nouns or word in LIMITS | COURTESY:
        return 0.1
    before, after = message.tokens[span.last], message.tokens[place]
    return 0.1 if capitalised(before) != after.text[0].isupper() and after.text[0].isalpha() else None


def _shape(scene: Scene, carriers: Carriers, span: Span) -> float:
    """How much a span looks like one value: its case, and no carriers of other fields inside."""
    message = scene.message
    tokens = message.tokens[span.first : span.last + 1]
    words = [token for token in tokens if token.is_word]
    score = 0.0
    if message.cased and carriers.proper:
        score += 0.35 if all(capitalised(word) for word in words if word.fold not in STOP) else -0.35
        score += 0.3 if span in scene.runs else 0.0
        score -= 0.5 * _torn(scene, span)
    if not capitalised(words[0]) and stem(words[0].fold) in scene.words:
        score -= 0.5
    if not capitalised(words[-1]) and len(words) > 1 and _is_noun(words[-1].fold, scene.nouns):
        score -= 0.5
    if carriers.heads and any(capitalised(word) and not word.text.isupper() for word in words):
        score -= 1.0
    for before, token in pairwise(words):
        joined = capitalised(token) and capitalised(before)
        foreign = any(scene.carriers[field.path].left[token.fold] for field in scene.fields)
        if foreign and token.fold in STOP and not joined:
            score -= 0.5
        if capitalised(before) != capitalised(token) and not {token.fold, before.fold} & STOP:
            score -= 0.3
    return score


def _is_noun(word: str, nouns: frozenset[str]) -> bool:
    return word in nouns or word.removesuffix("s") in nouns


def _torn(scene: Scene, span: Span) -> int:
    """At how many ends a span is cut out of a run of capitalised words."""
    tokens = scene.message.tokens
    before = span.first > 1 and capitalised(tokens[span.first - 1]) and span.first - 1 not in scene.taken
    after = (
        span.last + 1 < len(tokens)
        and capitalised(tokens[span.last + 1])
        and span.last + 1 not in scene.taken
    )
    return int(before) + int(after)
