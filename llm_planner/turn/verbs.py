"""The user's verbs: `confirm <token>`, `cancel [<token>]`, `pending`, matched before any model sees the text."""

import unicodedata
from dataclasses import dataclass
from typing import Final, Literal

from .tokens import ALPHABET, LENGTH, fold

_CONFIRM: Final = frozenset(["confirm", "confirmar"])
_CANCEL: Final = frozenset(["cancel", "cancelar"])
_PENDING: Final = frozenset(["pending", "pendientes", "pendentes"])


@dataclass(frozen=True, slots=True)
class Verb:
    """What the user said. `token` is folded; None where none was given, or nothing that could be one."""

    name: Literal["confirm", "cancel", "pending"]
    token: str | None = None


def parse(text: str) -> Verb | None:
    """The verb of a whole message, or None for an ordinary one.

    A message whose first word is confirm or confirmar is always a verb, whatever follows.
    """
    words = _bare(text).split(" ", 1)
    first, rest = _plain_word(words[0]), words[1] if len(words) > 1 else ""
    token = _token(rest)
    if first in _CONFIRM:
        return Verb("confirm", token)
    if first in _CANCEL and (not rest or token is not None):
        return Verb("cancel", token)
    if first in _PENDING and not rest:
        return Verb("pending")
    return None


def _bare(text: str) -> str:
    """NFKC, one space between words, quotes and punctuation off both ends, hidden characters gone."""
    text = unicodedata.normalize("NFKC", text)
    shown = "".join(char for char in text if unicodedata.category(char) not in ("Cf", "Cc") or char.isspace())
    start, end = 0, len(shown)
    while start < end and not shown[start].isalnum():
        start += 1
    while end > start and not shown[end - 1].isalnum():
        end -= 1
    return " ".join(shown[start:end].split())


def _plain_word(word: str) -> str:
    """Lower case, no accents, and without punctuation that clings to it (`confirmar:`)."""
    letters = unicodedata.normalize("NFKD", word.casefold())
    return "".join(char for char in letters if char.isalnum())


def _token(rest: str) -> str | None:
    folded = fold("".join(char for char in rest if char.isalnum() or char in " -"))
    return folded if len(folded) == LENGTH and all(char in ALPHABET for char in folded) else None
