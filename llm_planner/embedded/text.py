"""Owns how a message is read: tokens with their places, folding of case and accents, and masks for similarity."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

EMAIL: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._%+\-]*@[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9\-]+)+"
)
URL: Final = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)]|www\.[^\s<>\"']+[^\s<>\"'.,;:!?)]")
_WORD: Final = re.compile(r"[^\W_]+(?:(?:[-'’/_&]|(?<=\d)[.,:](?=\d))[^\W_]+)*")
_TOKEN: Final = re.compile(f"{EMAIL.pattern}|{URL.pattern}|{_WORD.pattern}|\\S")
_CODE: Final = re.compile(r"[^\W_]*\d[^\W_]*(?:[-'’/_.,:&][^\W_]+)*|[^\W\d_]+[-_/]\d[^\s]*\b")
_COURTESY: Final = re.compile(
    r"\b(?:please|pls|plz|thanks|thank you|por favor|porfa(?:vor)?|gracias|obrigad[oa])\b[,.!]?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number, address or sign; `start` and `end` are places in the message, `fold` is for comparing."""

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


def tokenize(text: str) -> list[Token]:
    """Split a message into tokens; each one's `text` is the verbatim piece of the message."""
    found = _TOKEN.finditer(text)
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
