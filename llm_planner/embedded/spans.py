"""Owns free-text values: which spans of the message a text field may copy, by the carriers the examples taught."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from llm_planner.embedded.carriers import EDGE, SLOT, Carriers
from llm_planner.embedded.lexicon import (
    ARTICLES,
    AT_LEAST,
    AT_MOST,
    COURTESY,
    DEICTICS,
    NAMING,
    POSSESSIVES,
    PREPOSITIONS,
    REQUEST,
    STOP,
)  # fmt: skip
from llm_planner.embedded.message import Message, Span, capitalised
from llm_planner.embedded.schema import Field
from llm_planner.embedded.text import fold, stem

Path = tuple[str, ...]
Choice = Mapping[Path, Span]
_LONGEST: Final = 9
_KEPT: Final = 6
_ENOUGH: Final = 0.95
_LEANING: Final = 0.3
_BREAKS: Final = frozenset(',;?!.()"“”¿¡')
_LIMITS: Final = frozenset(word for phrase in (*AT_MOST, *AT_LEAST) for word in phrase.split())


@dataclass(frozen=True, slots=True)
class Offer:
    """A span that a field could take; `leaning` when another field's value has to stand right before it."""

    field: Path
    span: Span
    score: float
    leaning: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """One clause as the free-text fields of one tool see it: `taken` are the tokens that other values hold."""

    message: Message
    fields: Sequence[Field]
    carriers: Mapping[Path, Carriers]
    taken: Mapping[int, Path]
    nouns: frozenset[str]
    words: frozenset[str]

    def label(self, place: int) -> str:
        """The neighbour at a place: a word, an edge, or the mark of a value."""
        if place in self.taken:
            return SLOT + ".".join(self.taken[place])
        if not 0 <= place < len(self.message.tokens) or self.message.tokens[place].text in _BREAKS:
            return EDGE
        return self.message.word(place)


def choose(scene: Scene) -> dict[Path, Span]:
    """The best set of spans that don't overlap, one a field; a field without enough evidence gets none."""
    offers = {field.path: _offers(scene, field) for field in scene.fields}
    best: dict[Path, Span] = {}
    top = 0.0
    for chosen in _combinations(list(offers.values()), ()):
        if any(offer.leaning and not _follows(offer, chosen) for offer in chosen):
            continue
        score = sum(offer.score for offer in chosen) + _adjacency(scene, chosen)
        if score > top + 1e-9:
            best, top = {offer.field: offer.span for offer in chosen}, score
    return best


def _combinations(
    offers: Sequence[Sequence[Offer]], chosen: tuple[Offer, ...]
) -> Iterator[tuple[Offer, ...]]:
    if not offers:
        yield chosen
        return
    for offer in offers[0]:
        if all(offer.span.last < other.span.first or offer.span.first > other.span.last for other in chosen):
            yield from _combinations(offers[1:], (*chosen, offer))
    yield from _combinations(offers[1:], chosen)


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
    return text in _BREAKS and not (text == "." and last > first and len(message.tokens[last - 1].text) <= 2)


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
    if not last.is_word or (last.fold in STOP | _LIMITS and not _titled(message, span)):
        return None
    right = _right(scene, field, span)
    if right is None or _hollow(scene, span):
        return None
    score = left + right + _shape(scene, carriers, span) + (0.3 if field.required else 0.0)
    return score + _familiar(message, carriers, span)


def _familiar(message: Message, carriers: Carriers, span: Span) -> float:
    """What a span gains for being a value of the examples, or of the kind of one ("TV show", "talk show")."""
    if fold(message.piece(span)) in carriers.values:
        return 0.8
    return 0.9 if stem(message.word(span.last)) in carriers.heads else 0.0


def _titled(message: Message, span: Span) -> bool:
    """Whether a span is written as a title, so that a stop word may end it ("To Me")."""
    return span.first > 0 and all(capitalised(message.tokens[i]) for i in (span.first, span.last))


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
    if word in PREPOSITIONS or word in STOP or word in scene.nouns or word in _LIMITS | COURTESY:
        return 0.1
    before, after = message.tokens[span.last], message.tokens[place]
    return 0.1 if capitalised(before) != after.text[0].isupper() and after.text[0].isalpha() else None


def _hollow(scene: Scene, span: Span) -> bool:
    """Whether a span says nothing of its own: only stop words, nouns of the fields, words of asking."""
    words = [scene.message.word(place) for place in range(span.first, span.last + 1)]
    empty = STOP | COURTESY | REQUEST | scene.nouns | scene.words
    if len(words) > 1 and span.first and _titled(scene.message, span):
        return False
    return all(word in empty or stem(word) in scene.words or not word.isalnum() for word in words)


def _shape(scene: Scene, carriers: Carriers, span: Span) -> float:
    """How much a span looks like one value: its case, and no carriers of other fields inside."""
    message = scene.message
    tokens = message.tokens[span.first : span.last + 1]
    words = [token for token in tokens if token.is_word]
    score = 0.0
    if message.cased and carriers.proper:
        score += 0.35 if all(capitalised(word) for word in words if word.fold not in STOP) else -0.35
        score += 0.3 if span in capital_runs(scene) else 0.0
        score -= 0.5 * _torn(scene, span)
    if not capitalised(words[0]) and stem(words[0].fold) in scene.words:
        score -= 0.5
    if not capitalised(words[-1]) and len(words) > 1 and _is_noun(words[-1].fold, scene.nouns):
        score -= 0.5
    if carriers.heads and any(capitalised(word) and not word.text.isupper() for word in words):
        score -= 1.0
    for before, token in zip(words, words[1:], strict=False):
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


def capital_runs(scene: Scene) -> list[Span]:
    """The longest runs of capitalised words, small stop words and signs between them included."""
    tokens = scene.message.tokens
    runs: list[Span] = []
    place = 0
    while place < len(tokens):
        if not _opens(scene, place):
            place += 1
            continue
        last = place
        for index in range(place + 1, len(tokens)):
            if index in scene.taken or tokens[index].text in _BREAKS:
                break
            if capitalised(tokens[index]):
                last = index
            elif tokens[index].is_word and (tokens[index].fold not in STOP or index - last > 2):
                break
        runs.append(Span(place, last))
        place = last + 1
    return runs


def _opens(scene: Scene, place: int) -> bool:
    """Whether a run of capitals may begin at a place; the first word of a message is capital anyway."""
    token = scene.message.tokens[place]
    return place > 0 and place not in scene.taken and token.is_word and capitalised(token)


def lone_title(scene: Scene) -> Span | None:
    """The only run of capitalised words, when there is exactly one."""
    runs = [run for run in capital_runs(scene) if not _hollow(scene, run)]
    return runs[0] if len(runs) == 1 and scene.message.cased else None


def residue(scene: Scene) -> Span | None:
    """What is left of a clause for the one text field that must be filled: its longest run without asking words."""
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
        closed = place == len(tokens) or place in scene.taken or tokens[place].text in _BREAKS
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
    tail = empty | _LIMITS
    while last >= first and (scene.message.word(last) in tail or not scene.message.tokens[last].is_word):
        last -= 1
    return Span(first, last) if first <= last else None
