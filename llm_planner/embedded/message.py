"""Owns one read message: its tokens with the numbers, dates, addresses and codes found among them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from .dates import Moment, find_moments
from .lexicon import CURRENCY
from .numbers import Number, find_numbers
from .text import EMAIL, URL, Token, tokenize

MAX_TOKENS: Final = 160
_CODE: Final = re.compile(r"(?=[^\s]*\d)[^\W_]+(?:[-_/][^\W_]+)*")
_ORDINAL: Final = re.compile(r"\d+(?:st|nd|rd|th|er|do|ro|to)|\d+(?:am|pm|hs|k|kg|cm|mm|gb|usd)")


@dataclass(frozen=True, slots=True)
class Span:
    """The tokens [first, last]."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Message:
    """A message, or a clause of one, ready for the rules; everything in it refers to `tokens` by index."""

    text: str
    locale: str
    tokens: tuple[Token, ...]
    numbers: tuple[Number, ...]
    moments: tuple[Moment, ...]
    emails: tuple[int, ...]
    urls: tuple[int, ...]
    codes: tuple[int, ...]
    cased: bool

    def piece(self, span: Span) -> str:
        """The verbatim text of a span."""
        return self.text[self.tokens[span.first].start : self.tokens[span.last].end]

    def word(self, place: int) -> str:
        """The folded word at a place, empty beyond the ends."""
        return self.tokens[place].fold if 0 <= place < len(self.tokens) else ""

    def money(self, number: Number) -> bool:
        """Whether a currency stands next to a number."""
        around = {self.word(number.first - 1), self.word(number.last + 1)}
        return bool(around & CURRENCY)


def read_message(text: str, today: date, locale: str) -> Message:
    """Read a text; what follows its first 160 tokens is left unread."""
    tokens = tuple(tokenize(text, MAX_TOKENS))
    moments = tuple(find_moments(tokens, today, locale))
    numbers = tuple(find_numbers(tokens))
    emails = tuple(i for i, token in enumerate(tokens) if EMAIL.fullmatch(token.text))
    urls = tuple(i for i, token in enumerate(tokens) if URL.fullmatch(token.text))
    dated = {i for moment in moments for i in range(moment.first, moment.last + 1)}
    codes = tuple(
        i for i, token in enumerate(tokens) if i not in dated and i not in urls and _is_code(tokens, i, token)
    )
    cased = any(token.text[0].isupper() for token in tokens[1:])
    return Message(text, locale, tokens, numbers, moments, emails, urls, codes, cased)


def _is_code(tokens: Sequence[Token], place: int, token: Token) -> bool:
    if not _CODE.fullmatch(token.text) or _ORDINAL.fullmatch(token.fold):
        return False
    around = {tokens[i].fold for i in (place - 1, place + 1) if 0 <= i < len(tokens)}
    return not around & CURRENCY


def capitalised(token: Token) -> bool:
    """Whether a word begins with a capital letter or a digit."""
    return token.text[0].isupper() or token.text[0].isdigit()
