"""Owns the values that can be told by their form: addresses, codes, numbers, dates, members, yes or no."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

from .carriers import EDGE, Carriers
from .dates import Moment
from .lexicon import ARTICLES, AT_LEAST, AT_MOST, NEGATIONS, PREPOSITIONS, STOP
from .members import find_members
from .message import Message, Span
from .numbers import Number
from .schema import Field
from .text import fold

_PHONE: Final = re.compile(r"\+?\(?\d[\d\s().\-]{5,}\d")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CLOCK: Final = re.compile(r"(\d{1,2})(?::(\d\d))?(am|pm)?")
_OF: Final = frozenset({"of", "de", "sobre", "/"})


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value that a field could take, where it stands, and how sure that is (0.5 is needed, or 0)."""

    value: object
    span: Span
    score: float


def candidates(field: Field, carriers: Carriers, message: Message) -> list[Candidate]:
    """What a message offers a field that is told by form, best first, then by place."""
    finders = {
        "email": _emails, "phone": _phones, "url": _urls, "uuid": _uuids, "pattern": _patterned,
        "code": _codes,
        "date": _dates, "datetime": _dates, "moment": _moments, "enum": _members, "boolean": _booleans,
        "integer": _numbers, "number": _numbers,
    }  # fmt: skip
    finder = finders.get(field.kind)
    found = [] if finder is None else list(finder(field, carriers, message))
    return sorted(found, key=lambda candidate: (-candidate.score, candidate.span.first))


def _around(field: Field, carriers: Carriers, message: Message, span: Span) -> float:
    """Evidence from the words next to a place: what the examples had there, and the field's own nouns."""
    left, right = message.word(span.first - 1), message.word(span.last + 1)
    earlier = message.word(span.first - 2)
    score = carriers.before(left or EDGE, earlier or EDGE)
    score += carriers.after(right, message.word(span.last + 2)) if right.isalnum() else 0.0
    near = [message.word(place) for place in range(span.first - 3, span.first)] + [right]
    return score + (0.8 if any(_names(word, field) for word in near) else 0.0)


def _names(word: str, field: Field) -> bool:
    return word in field.nouns or (len(word) > 4 and word.rstrip("s") in field.nouns)


def _emails(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    for place in message.emails:
        span = Span(place, place)
        yield Candidate(message.piece(span), span, 1.0 + _around(field, carriers, message, span) / 10)


def _urls(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    for place in message.urls:
        span = Span(place, place)
        yield Candidate(message.piece(span), span, 1.0 + _around(field, carriers, message, span) / 10)


def _covering(message: Message, start: int, end: int) -> Span | None:
    inside = [i for i, token in enumerate(message.tokens) if token.start < end and token.end > start]
    return Span(inside[0], inside[-1]) if inside else None


def _phones(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    for match in _PHONE.finditer(message.text):
        digits = sum(char.isdigit() for char in match.group())
        span = _covering(message, match.start(), match.end())
        if span and 7 <= digits <= 15:
            yield Candidate(match.group().strip(), span, 0.6 + _around(field, carriers, message, span))


def _uuids(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    for match in _UUID.finditer(message.text):
        if span := _covering(message, match.start(), match.end()):
            yield Candidate(match.group(), span, 1.0)


def _patterned(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    """Single tokens, and pairs of them, that match the schema's own pattern from end to end."""
    for first in range(len(message.tokens)):
        for last in range(first, min(first + 2, len(message.tokens))):
            span = Span(first, last)
            text = message.piece(span)
            if (
                field.pattern
                and field.pattern.fullmatch(text)
                and not (text.isalpha() and fold(text) in STOP)
            ):
                yield Candidate(text, span, 0.6 + _around(field, carriers, message, span))


def _codes(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    numbers = {place for number in message.numbers if _is_scale(message, number) for place in (number.first,)}
    for place in message.codes:
        token, span = message.tokens[place], Span(place, place)
        around = _around(field, carriers, message, span)
        digits = sum(char.isdigit() for char in token.text)
        mixed = any(char.isalpha() for char in token.text)
        alone = not message.word(place + 1).isalpha() or message.word(place + 1) in STOP
        if place in numbers or (digits < 3 and not mixed and around < 0.5 and not alone):
            continue
        yield Candidate(token.text, span, 0.5 + around + (0.3 if mixed or digits > 3 else 0.0))


def _dates(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    for index, moment in enumerate(message.moments):
        if moment.day is None:
            continue
        span = Span(moment.first, moment.last)
        score = 0.6 + _around(field, carriers, message, span)
        if field.kind == "date":
            yield Candidate(moment.day.isoformat(), span, score)
        elif clock := _clock_near(message, index):
            yield Candidate(datetime.combine(moment.day, clock).isoformat(), span, score)


def _clock_near(message: Message, index: int) -> time | None:
    """The time of day that stands in or beside a date."""
    for moment in message.moments[max(0, index - 1) : index + 2]:
        if moment.day is None and (clock := _clock(message, moment)):
            return clock
    return None


def _clock(message: Message, moment: Moment) -> time | None:
    text = "".join(message.word(place) for place in range(moment.first, moment.last + 1))
    match = _CLOCK.match(text)
    if not match:
        return None
    hour = int(match[1])
    if match[3] and hour <= 12:
        hour = hour % 12 + (12 if match[3] == "pm" else 0)
    return time(hour, int(match[2] or 0)) if hour < 24 and int(match[2] or 0) < 60 else None


def _moments(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    """Dates and times in the user's own words; neighbours ("tomorrow at 7 pm") are one value."""
    merged: list[Span] = []
    for moment in message.moments:
        between = message.tokens[merged[-1].last + 1 : moment.first] if merged else ()
        if (
            merged
            and len(between) <= 2
            and all(token.fold in PREPOSITIONS | ARTICLES | {","} for token in between)
        ):
            merged[-1] = Span(merged[-1].first, moment.last)
        else:
            merged.append(Span(moment.first, moment.last))
    for span in merged:
        yield Candidate(message.piece(span), span, 0.6 + _around(field, carriers, message, span))


def _members(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    for member, span, sure in find_members(field, message):
        yield Candidate(member, span, sure + _around(field, carriers, message, span))


def _booleans(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    """True when a field's own noun is said, False when a negation stands shortly before it."""
    for place, token in enumerate(message.tokens):
        if len(token.fold) > 2 and _names(token.fold, field):
            denied = any(message.word(before) in NEGATIONS for before in range(place - 3, place))
            yield Candidate(not denied, Span(place, place), 0.8)


def _is_scale(message: Message, number: Number) -> bool:
    """The 6 of "4 out of 6" and "out of 6", of which it is no part to take."""
    if message.word(number.first - 1) not in _OF:
        return False
    if message.word(number.first - 2) == "out":
        return True
    return any(other.last == number.first - 2 for other in message.numbers)


def _numbers(field: Field, carriers: Carriers, message: Message) -> Iterator[Candidate]:
    dated = {place for moment in message.moments for place in range(moment.first, moment.last + 1)}
    free = [
        number for number in message.numbers if number.first not in dated and not _is_scale(message, number)
    ]
    strong = [number for number in free if not number.weak]
    for number in free:
        if not _fits(field, number):
            continue
        score = _number_score(field, carriers, message, number)
        if number.weak and score < 0.8:
            continue
        lonely = len(strong) == 1 and field.bound is None and message.word(number.first - 1) in PREPOSITIONS
        value = int(number.value) if number.value.is_integer() else number.value
        yield Candidate(value, Span(number.first, number.last), score + (0.5 if lonely else 0.0))


def _fits(field: Field, number: Number) -> bool:
    if field.kind == "integer" and not number.value.is_integer():
        return False
    above = field.low is None or number.value >= field.low
    return above and (field.high is None or number.value <= field.high)


def _number_score(field: Field, carriers: Carriers, message: Message, number: Number) -> float:
    span = Span(number.first, number.last)
    score = 0.0 if number.weak else 0.1
    score += (
        _unit(field, carriers, message, number) if number.weak else _around(field, carriers, message, span)
    )
    compared = _comparison(message, number.first)
    if compared is not None:
        score += 1.5 if compared == field.bound else -1.5
    elif field.bound is not None:
        score -= 0.7
    if message.money(number):
        score += 0.6 if field.price else -1.5
    return score


def _unit(field: Field, carriers: Carriers, message: Message, number: Number) -> float:
    following = message.word(number.last + 1)
    return 1.0 if carriers.right[following] and following.isalpha() and following not in STOP else 0.0


def bounded(field: Field, message: Message) -> bool:
    """Whether a message limits something in the way of a field for a limit: "under 50" for a maximum."""
    return any(
        _comparison(message, number.first) == field.bound for number in message.numbers if not number.weak
    )


def _comparison(message: Message, first: int) -> str | None:
    """Whether the words before a number make it a limit: "under 50", "a partir de $ 20"."""
    start = first - 1 if message.word(first - 1) in ("$", "us$", "u$s", "r$", "€", "£") else first
    before = " ".join(message.word(place) for place in range(max(0, start - 3), start))
    for bound, phrases in (("max", AT_MOST), ("min", AT_LEAST)):
        if any(before == phrase or before.endswith(" " + phrase) for phrase in phrases):
            return bound
    return None
