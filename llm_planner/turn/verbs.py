"""The user's verbs: `confirm <token>`, `cancel [<token>]`, `pending`, matched before any model sees it."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from ..neutral import bare_word, hidden
from .tokens import ALPHABET, LENGTH, fold

_CONFIRM: Final = frozenset(["confirm", "confirmar"])
_CANCEL: Final = frozenset(["cancel", "cancelar"])
_PENDING: Final = frozenset(["pending", "pendientes", "pendentes"])
_FIRST = re.compile(r"(?:[^\W_][\u0300-\u036f]*)+")
_GROUPED = re.compile(r"[^\W_]+(?:[\s\-\u2010-\u2015\u2212]+[^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Verb:
    """What the user said. `token` is folded; None where none was given, or nothing that could be one."""

    name: Literal["confirm", "cancel", "pending"]
    token: str | None = None


def parse(text: str) -> Verb | None:
    """The verb of a whole message, or None for an ordinary one.

    A message whose first word is confirm or confirmar is always a verb, whatever follows.
    """
    said = _trimmed(unicodedata.normalize("NFKC", _shown(text)))
    word = _FIRST.match(said)
    if word is None:
        return None
    first, rest = bare_word(word.group()), _trimmed(said[word.end() :])
    token = _token(rest)
    if first in _CONFIRM:
        return Verb("confirm", token)
    if first in _CANCEL and (not rest or token is not None):
        return Verb("cancel", token)
    if first in _PENDING and not rest:
        return Verb("pending")
    return None


def _shown(text: str) -> str:
    return "".join(char for char in text if char.isspace() or not hidden(char))


def _trimmed(text: str) -> str:
    """Quotes, punctuation and spaces off both ends."""
    start, end = 0, len(text)
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return text[start:end]


def _token(rest: str) -> str | None:
    if _GROUPED.fullmatch(rest) is None:
        return None
    folded = fold("".join(char for char in rest if char.isalnum()))
    return folded if len(folded) == LENGTH and all(char in ALPHABET for char in folded) else None
