"""Owns names of people in a message: capitalised runs, and what follows "soy", "my name is" and the like."""

from typing import Final

from .lexicon import COURTESY, PERSON, REQUEST, STOP, word_set
from .message import Message, Span

_PARTICLES: Final = word_set("de da do dos das del la las los van von di y e")
_LONGEST: Final = 5


def find_person(message: Message, taken: frozenset[int], words: frozenset[str]) -> Span | None:
    """The best name; `words` are the tool's own example words, which are no names when in small letters."""
    best: Span | None = None
    top = 0.0
    for first in range(len(message.tokens)):
        if first in taken or not _nominal(message, first):
            continue
        carried = _carrier(message, first)
        span = _reach(message, first, taken, carried)
        score = _score(message, span, carried, words) if span else 0.0
        if span and score > top:
            best, top = span, score
    return best


def _nominal(message: Message, place: int) -> bool:
    token = message.tokens[place]
    return (
        token.text[0].isalpha()
        and not token.has_digit
        and "@" not in token.text
        and token.text.lower() != "i'm"
    )


def _carrier(message: Message, first: int) -> str:
    """The longest carrier that ends right before a place."""
    best = ""
    for phrase in PERSON:
        words = phrase.split()
        before = [message.word(place) for place in range(first - len(words), first)]
        if before == words and len(phrase) > len(best):
            best = phrase
    if not best and first and message.tokens[first - 1].text == ":":
        return _carrier(message, first - 1)
    return best


def _reach(message: Message, first: int, taken: frozenset[int], carried: str) -> Span | None:
    """How far a name goes on from its first word."""
    capital = message.tokens[first].text[0].isupper()
    last = first - 1
    for place in range(first, min(first + _LONGEST, len(message.tokens))):
        if place in taken or not _nominal(message, place):
            break
        token = message.tokens[place]
        particle = token.fold in _PARTICLES and place > first
        if particle and not _goes_on(message, place, capital):
            break
        if not particle and (token.fold in STOP | COURTESY or (capital and not token.text[0].isupper())):
            break
        if not particle:
            last = place
    return Span(first, last) if last >= first and (capital or carried) else None


def _goes_on(message: Message, place: int, capital: bool) -> bool:
    if message.word(place) in ("y", "e"):
        return False
    following = message.tokens[place + 1 : place + 3]
    return any(token.text[0].isupper() for token in following) if capital else True


def _score(message: Message, span: Span, carried: str, words: frozenset[str]) -> float:
    tokens = message.tokens[span.first : span.last + 1]
    capital = tokens[0].text[0].isupper()
    strong = len(carried) > 3 or carried in ("i'm", "im", "soy", "sou")
    followed = span.last + 1 in message.emails and len(tokens) > 1 and bool(carried)
    if not capital and (not (strong or followed) or any(token.fold in words | REQUEST for token in tokens)):
        return 0.0
    if not carried and span.first == 0 and (len(tokens) == 1 or tokens[0].fold in words | REQUEST):
        return 0.0
    if any(token.fold in words for token in tokens) and not carried:
        return 0.0
    score = 1.0 + (1.0 if strong else 0.5 if carried else 0.0) + (0.6 if capital else 0.0)
    return score + 0.1 * min(len(tokens), 3)
