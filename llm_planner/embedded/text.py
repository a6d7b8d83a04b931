"""Owns how a message is read: tokens with their places, folding, and masks for similarity."""

import re
import unicodedata
from dataclasses import dataclass
from itertools import islice
from typing import Final

EMAIL: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._%+\-]*@[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9\-]+)+"
)
URL: Final = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]|www\.[^\s<>\"']+[^\s<>\"'.,;:!?)]")
_WORD: Final = re.compile(r"[^\W_]+(?:(?:[-'’/_&]|(?<=\d)[.,:](?=\d))[^\W_]+)*")
_TOKEN: Final = re.compile(f"{EMAIL.pattern}|{URL.pattern}|{_WORD.pattern}|\\S")
_CODE: Final = re.compile(r"[^\W_]*\d[^\W_]*(?:[-'’/_.,:&][^\W_]+)*|[^\W\d_]+[-_/]\d[^\s]*\b")
_COURTESY: Final = re.compile(r"\b(?:please|pls|plz|por favor|porfa(?:vor)?)\b[,.!]?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number, address or sign; `start` and `end` are places, `fold` is for comparing."""

    text: str
    fold: str
    start: int
    end: int

    @property
    def is_word(self) -> bool:
        return self.text[0].isalnum()

    @property
    def has_digit(self) -> bool:
        return any(char.isdigit() for char in self.text)


def fold(text: str) -> str:
    """Lower case without accents, and with plain apostrophes."""
    spread = unicodedata.normalize("NFKD", text.replace("’", "'").casefold())
    return "".join(char for char in spread if not unicodedata.combining(char))


def tokenize(text: str, most: int | None = None) -> list[Token]:
    """The first tokens of a message, all by default; each one's `text` is its verbatim piece."""
    found = islice(_TOKEN.finditer(text), most)
    return [Token(match.group(), fold(match.group()), match.start(), match.end()) for match in found]


def plain(text: str) -> str:
    """A text as it is compared: without courtesy, and with addresses and all that has a digit hidden."""
    hidden = _CODE.sub("123", URL.sub("www", EMAIL.sub("e-mail", text)))
    return _COURTESY.sub("", hidden).strip() or hidden or " "


def stem(word: str) -> str:
    """A word without its plural ending."""
    for ending in ("es", "s"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            return word[: -len(ending)]
    return word
