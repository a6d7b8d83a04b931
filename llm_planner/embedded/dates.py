"""Owns dates and times in a message: absolute and relative ones in Spanish, English and Portuguese."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from .lexicon import word_set
from .numbers import find_numbers
from .text import Token


def _table(text: str) -> dict[str, int]:
    return {word: index for index, words in enumerate(text.split()) for word in words.split(",")}


WEEKDAYS: Final = _table(
    "monday,lunes,segunda-feira,mondays tuesday,tues,martes,terca-feira,tuesdays "
    "wednesday,miercoles,quarta-feira,wednesdays thursday,thurs,jueves,quinta-feira,thursdays "
    "friday,viernes,sexta-feira,fridays saturday,sabado,sabados,saturdays sunday,domingo,domingos,sundays"
)
_SHORT_DAYS: Final = {
    "segunda": 0,
    "terca": 1,
    "quarta": 2,
    "quinta": 3,
    "sexta": 4,
}  # plain ordinals in Spanish
MONTHS: Final = {
    word: index + 1
    for word, index in _table(
        "january,jan,enero,ene,janeiro february,feb,febrero,fevereiro,fev march,mar,marzo,marco "
        "april,apr,abril,abr "
        "may,mayo,maio june,jun,junio,junho july,jul,julio,julho august,aug,agosto,ago "
        "september,sep,sept,septiembre,setiembre,setembro october,oct,octubre,outubro "
        "november,nov,noviembre,novembro december,dec,diciembre,dic,dezembro,dez"
    ).items()
}
_RELATIVE: Final = {
    ("day", "after", "tomorrow"): 2, ("pasado", "manana"): 2, ("depois", "de", "amanha"): 2,
    ("day", "before", "yesterday"): -2, ("antes", "de", "ayer"): -2, ("anteayer",): -2,
    ("today",): 0, ("hoy",): 0, ("hoje",): 0, ("tonight",): 0, ("esta", "noche"): 0, ("esta", "tarde"): 0,
    ("tomorrow",): 1, ("manana",): 1, ("amanha",): 1, ("yesterday",): -1, ("ayer",): -1, ("ontem",): -1,
    ("next", "week"): 7, ("proxima", "semana"): 7, ("semana", "que", "viene"): 7, ("semana", "que", "vem"): 7,
}  # fmt: skip
_UNITS: Final = {
    word: days
    for words, days in (
        ("day days dia dias", 1), ("week weeks semana semanas", 7), ("month months mes meses", 30),
        ("second seconds minute minutes hour hours segundo segundos minuto minutos hora horas", 0),
    )
    for word in words.split()
}  # fmt: skip
_AHEAD: Final = frozenset({"in", "within", "en", "dentro", "em", "daqui"})
_NEXT: Final = frozenset({"next", "proximo", "proxima"})
_MOMENTS: Final = word_set(
    "now noon midnight midday sunrise sunset dawn dusk morning afternoon evening night mediodia "
    "medianoche madrugada meio-dia meia-noite"
)
_CLOCK: Final = re.compile(
    r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:am|pm|hs?)?|(?:[01]?\d|2[0-3])(?:am|pm|hs?)"
)
_HALF: Final = frozenset({"am", "pm", "a.m", "p.m", "o'clock", "hs", "horas", "h"})
_ISO: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_SHORT: Final = re.compile(r"(\d{1,2})[-/.](\d{1,2})(?:[-/.](\d{4}|\d{2}))?")
_ORDINAL: Final = re.compile(r"(\d{1,2})(?:st|nd|rd|th|º|o)?")


@dataclass(frozen=True, slots=True)
class Moment:
    """A date or time at tokens [first, last]; `day` is None for a mere time of day."""

    first: int
    last: int
    day: date | None


def find_moments(tokens: Sequence[Token], today: date, locale: str) -> list[Moment]:
    """All dates and times, left to right, without overlaps; a weekday means its next coming."""
    found: list[Moment] = []
    place = 0
    while place < len(tokens):
        moment = _moment_at(tokens, place, today, locale)
        if moment is None:
            place += 1
        else:
            found.append(moment)
            place = moment.last + 1
    return found


def _moment_at(tokens: Sequence[Token], place: int, today: date, locale: str) -> Moment | None:
    return (
        _numeric(tokens, place, today, locale)
        or _named_month(tokens, place, today)
        or _relative(tokens, place, today)
        or _ahead(tokens, place, today)
        or _weekday(tokens, place, today, locale)
        or _time_of_day(tokens, place)
    )


def _safe(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _numeric(tokens: Sequence[Token], place: int, today: date, locale: str) -> Moment | None:
    text = tokens[place].fold
    if iso := _ISO.fullmatch(text):
        day = _safe(int(iso[1]), int(iso[2]), int(iso[3]))
        return Moment(place, place, day) if day else None
    short = _SHORT.fullmatch(text)
    if not short or (not short[3] and "/" not in text):
        return None
    first, second = int(short[1]), int(short[2])
    month_first = (locale.startswith("en") and first <= 12) or second > 12
    month, number = (first, second) if month_first else (second, first)
    return _dated(place, place, (short[3], month, number), today)


def _dated(first: int, last: int, parts: tuple[str | None, int, int], today: date) -> Moment | None:
    year, month, number = parts
    if year:
        day = _safe(int(year) + (2000 if len(year) == 2 else 0), month, number)
    else:
        day = _safe(today.year, month, number)
        day = _safe(today.year + 1, month, number) if day and day < today else day
    return Moment(first, last, day) if day else None


def _named_month(tokens: Sequence[Token], place: int, today: date) -> Moment | None:
    """ "5 de mayo de 2027", "May 5th, 2027", "december the 5th"."""
    words = [token.fold for token in tokens[place : place + 6]]
    index, number, month = 0, 0, 0
    used = -1
    while index < len(words) and not (number and month):
        ordinal = _ORDINAL.fullmatch(words[index])
        if words[index] in MONTHS and not month:
            month, used = MONTHS[words[index]], index
        elif ordinal and not number:
            number, used = int(ordinal[1]), index
        elif index == 0 or words[index] not in ("de", "of", "the", "do"):
            return None
        index += 1
    if not (number and month):
        return None
    while index < len(words) and words[index] in (",", "de", "of", "del"):
        index += 1
    year = words[index] if index < len(words) and re.fullmatch(r"20\d\d", words[index]) else None
    return _dated(place, place + (index if year else used), (year, month, number), today)


def _relative(tokens: Sequence[Token], place: int, today: date) -> Moment | None:
    words = tuple(token.fold for token in tokens[place : place + 3])
    for size in (3, 2, 1):
        days = _RELATIVE.get(words[:size]) if len(words) >= size else None
        if days is not None and not _is_morning(tokens, place):
            return Moment(place, place + size - 1, today + timedelta(days=days))
    return None


def _is_morning(tokens: Sequence[Token], place: int) -> bool:
    """ "mañana" is the morning after "la" or "esta", and tomorrow elsewhere."""
    before = tokens[place - 1].fold if place else ""
    return tokens[place].fold == "manana" and before in ("la", "esta")


def _ahead(tokens: Sequence[Token], place: int, today: date) -> Moment | None:
    """ "in 14 minutes", "dentro de dos semanas"."""
    if tokens[place].fold not in _AHEAD:
        return None
    start = place + 1
    if start < len(tokens) and tokens[start].fold in ("de", "a"):
        start += 1
    number = next(iter(find_numbers(tokens[start : start + 3])), None)
    if number is None or number.first != 0 or start + number.last + 1 >= len(tokens):
        return None
    days = _UNITS.get(tokens[start + number.last + 1].fold)
    if days is None or number.value > 5000:
        return None
    day = today + timedelta(days=days * int(number.value)) if days else None
    return Moment(place, start + number.last + 1, day)


def _weekday(tokens: Sequence[Token], place: int, today: date, locale: str) -> Moment | None:
    first = place
    if tokens[place].fold in _NEXT and place + 1 < len(tokens):
        place += 1
    word = tokens[place].fold
    index = WEEKDAYS.get(word, _SHORT_DAYS.get(word) if locale.startswith("pt") else None)
    if index is None:
        return None
    words = [token.fold for token in tokens[place + 1 : place + 3]]
    last = place + 2 if words in (["que", "viene"], ["que", "vem"]) else place
    return Moment(first, last, today + timedelta(days=(index - today.weekday()) % 7))


def _time_of_day(tokens: Sequence[Token], place: int) -> Moment | None:
    """ "7 pm", "06:42", "five pm", "a las 7", "noon"."""
    word = tokens[place].fold
    if _CLOCK.fullmatch(word) or word in _MOMENTS:
        half = place + 1 < len(tokens) and tokens[place + 1].fold in _HALF
        return Moment(place, place + 1 if half else place, None)
    number = next(iter(find_numbers(tokens[place : place + 2])), None)
    if number is None or number.first != 0 or number.weak or not 0 <= number.value <= 24:
        return None
    last = place + number.last
    if last + 1 < len(tokens) and tokens[last + 1].fold in _HALF:
        return Moment(place, last + 1, None)
    if place and tokens[place - 1].fold in ("las", "as"):
        return Moment(place, last, None)
    return None
