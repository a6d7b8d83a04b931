"""Keys: every key of the program, derived from `SECRET_KEY` with a label for its purpose."""

import hashlib
import hmac
from functools import lru_cache

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Keyring:
    """The current master key and, while rotating, the one before it.

    Derivation is HKDF-SHA256 (RFC 5869) with the purpose as `info`; 32 bytes a key.
    """

    def __init__(self, current: bytes, previous: bytes | None = None) -> None:
        self._masters = (current, previous) if previous else (current,)
        self._derived = lru_cache(maxsize=64)(self._derive)

    def __repr__(self) -> str:
        return "Keyring()"

    def _derive(self, purpose: str) -> tuple[bytes, ...]:
        info = b"llm-planner/" + purpose.encode()
        return tuple(HKDF(SHA256(), 32, None, info).derive(master) for master in self._masters)

    def current(self, purpose: str) -> bytes:
        """The key that signs now."""
        return self._derived(purpose)[0]

    def accepted(self, purpose: str) -> tuple[bytes, ...]:
        """All keys that verify, the current one first."""
        return self._derived(purpose)

    def mac(self, purpose: str, message: bytes) -> bytes:
        """HMAC-SHA256 of `message` under the current key of `purpose`: 32 bytes."""
        return hmac.digest(self.current(purpose), message, hashlib.sha256)

    def macs(self, purpose: str, message: bytes) -> tuple[bytes, ...]:
        """The same under every accepted key."""
        return tuple(hmac.digest(key, message, hashlib.sha256) for key in self.accepted(purpose))

    def ids(self, purpose: str) -> tuple[str, ...]:
        """Short public names of the accepted keys (8 hex digits), to store beside what they signed."""
        return tuple(hashlib.sha256(b"id" + key).hexdigest()[:8] for key in self.accepted(purpose))
