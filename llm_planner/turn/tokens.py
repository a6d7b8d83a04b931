"""Tokens of confirmations: derived, never stored, and recognisable as ours wherever they turn up.

A token is eight characters of Crockford's base32 (no I, L, O, U). Five come from
HMAC(SECRET_KEY, confirmation id), three are a keyed check over those five: whoever has no key must guess
all 40 bits, and we can tell any token of this server from an order number that merely looks like one.
"""

import hashlib
import hmac
import re
import unicodedata
from functools import lru_cache
from typing import Final

from ..keys import Keyring

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARACTERS: Final = frozenset(ALPHABET)
LENGTH: Final = 8
_BODY: Final = 5
_FOLD: Final = str.maketrans(
    {"I": "1", "L": "1", "O": "0", "-": None, " ": None, "\u2010": None, "\u2011": None}
)
_BETWEEN: Final = r"[\s\-\u00ad\u200b-\u200f\u2010-\u2015\u2060-\u2064\u2212\ufeff]{0,3}"
_CANDIDATE = re.compile(rf"(?<![^\W_])(?=([^\W_](?:{_BETWEEN}[^\W_]){{7}})(?![^\W_]))")
"""Every place where eight letters or digits stand, with what a person may type between them."""
_GLUED = re.compile(r"(?<![^\W_])[^\W_]{9,20}(?![^\W_])")
"""Words in which a token may be stuck: a letter too many, no space behind the verb."""


def _letters(digest: bytes, count: int) -> str:
    number = int.from_bytes(digest[:8], "big")
    return "".join(ALPHABET[number >> 5 * place & 31] for place in range(count))


class Tokens:
    """Makes, folds, compares and recognises tokens."""

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys

    def of(self, confirmation_id: str) -> str:
        """The token to show for this confirmation."""
        return self._under(self._keys.current("confirmation-token"), confirmation_id)

    def matches(self, token: str, confirmation_id: str) -> bool:
        """Whether a folded token is this confirmation's, in constant time; the previous key counts too."""
        found = False
        for key in self._keys.accepted("confirmation-token"):
            found |= hmac.compare_digest(self._under(key, confirmation_id).encode(), token.encode())
        return found

    def ours(self, token: str) -> bool:
        """Whether some confirmation of this server could have this folded token (else: one in 32,768)."""
        if len(token) != LENGTH or not _CHARACTERS.issuperset(token):
            return False
        keys = self._keys.accepted("confirmation-token")
        return any(hmac.compare_digest(_check(key, token[:_BODY]), token[_BODY:].encode()) for key in keys)

    def redact(self, text: str) -> str:
        """The text with every token of ours blacked out, before a model, a log or a trace sees it."""
        text = _GLUED.sub(lambda found: "████" if self._holds_one(found.group()) else found.group(), text)
        out, done = [], 0
        for found in _CANDIDATE.finditer(text):
            start, end = found.span(1)
            if start >= done and self._is_token(found.group(1)):
                out += [text[done:start], "████"]
                done = end
        return "".join([*out, text[done:]])

    def _holds_one(self, word: str) -> bool:
        if word.isalpha() and word.islower():
            return False  # what most words are, and none of its parts is coded
        parts = (word[place : place + LENGTH] for place in range(len(word) - LENGTH + 1))
        return any(_coded(part) and self.ours(fold(part)) for part in parts)

    def _is_token(self, written: str) -> bool:
        """Ordinary words in a row are no token, whatever their check says by chance."""
        code = "".join(char for char in written if char.isalnum())
        one_word = len(code) == len(written)
        return (one_word or _coded(code)) and self.ours(fold(code))

    @staticmethod
    def _under(key: bytes, confirmation_id: str) -> str:
        digest = hmac.digest(key, b"token:" + confirmation_id.encode(), hashlib.sha256)
        body = _letters(digest, _BODY)
        return body + _check(key, body).decode()


def _coded(word: str) -> bool:
    """Whether letters and digits stand together as in no ordinary word."""
    return word.isupper() or any(map(str.isdigit, word))


@lru_cache(maxsize=8192)  # history and prompts bring the same words again with every turn
def _check(key: bytes, body: str) -> bytes:
    return _letters(hmac.digest(key, b"check:" + body.encode(), hashlib.sha256), LENGTH - _BODY).encode()


def fold(text: str) -> str:
    """What a person typed, as a token is written: upper case, no hyphens or spaces, look-alikes folded."""
    return unicodedata.normalize("NFKC", text).upper().translate(_FOLD)
