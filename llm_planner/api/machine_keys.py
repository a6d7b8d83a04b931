"""Keys of machines: minted by the command line, with scopes and an expiry, stored hashed."""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from ..ids import new_id
from ..storage.database import Database, now
from ..storage.repositories import operators
from ..storage.repositories.operators import KeyRow

SCOPES = ("approvals", "sessions", "audit", "metrics")
"""What a key may reach: `/approvals` with `/writes`, `/sessions` with `/turns`, `/audit`, `/metrics`."""
_KEY = re.compile(r"lpk_([0-9a-f-]{36})_([A-Za-z0-9_-]{43})")
_NOBODY = "0" * 64


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key, whole: it can be shown once."""

    row: KeyRow
    text: str


def minted(name: str, role: str, scopes: tuple[str, ...], moment: datetime, expires: datetime) -> Minted:
    """A key with 256 random bits."""
    key_id, secret = new_id(), secrets.token_urlsafe(32)
    row = KeyRow(key_id, name, role, ",".join(scopes), _hash(secret), moment, expires)
    return Minted(row, f"lpk_{key_id}_{secret}")


class MachineKeys:
    """Finds the key that was given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, given: str) -> KeyRow | None:
        """The row of a key that is good now; None for every other text."""
        parts = _KEY.fullmatch(given)
        if parts is None:
            return None
        row, moment = await self._database.read(lambda conn: (operators.key(conn, parts[1]), now(conn)))
        same = hmac.compare_digest(_hash(parts[2]).encode(), (row.secret if row else _NOBODY).encode())
        if row is None or not same or row.disabled_at is not None:
            return None
        return row if row.expires_at is None or row.expires_at > moment else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
