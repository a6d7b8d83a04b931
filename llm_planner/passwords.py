"""Passwords: Argon2id (RFC 9106) in the PHC string format."""

import secrets

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

SHORTEST, LONGEST = 12, 256
"""Characters of a new password."""
_ITERATIONS, _LANES, _MEMORY_KIB = 3, 4, 64 * 1024
"""The second recommended choice of RFC 9106, section 4."""


def hashed(password: str) -> str:
    """A password as it is stored; about 0.1 s of one core."""
    maker = Argon2id(
        salt=secrets.token_bytes(16),
        length=32,
        iterations=_ITERATIONS,
        lanes=_LANES,
        memory_cost=_MEMORY_KIB,
    )
    return maker.derive_phc_encoded(password.encode(errors="replace"))


def matches(password: str, phc: str) -> bool:
    """Whether this is the password; as long as for a right one where it is not."""
    try:
        Argon2id.verify_phc_encoded(password.encode(errors="replace"), phc)
    except (InvalidKey, ValueError):
        return False
    return True
