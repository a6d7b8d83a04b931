"""The audit trail: append-only, hash-chained per session, redacted (rule 17).

Each row commits to its payload with a random salt: commitment = SHA-256(salt | payload). The chain is
HMAC(key, previous hash | the row's own columns | commitment), so that erasing a person's payload and salt
leaves it verifiable. `key_id` names the key, derived from SECRET_KEY.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from ..errors import LaneLost
from ..keys import Keyring
from ..messages import AuditEvent, Json, canonical
from ..storage.repositories import audit, sessions
from ..storage.repositories.audit import AuditRow
from .tokens import Tokens

PURPOSE = "audit-chain"
TRIES = 50
_SECRET_NAME = re.compile(
    r"pass(word|wd)|secret|token|api_?key|authorization|cookie|\bcode\b|^pin$", re.IGNORECASE
)
_SECRET_TEXT = re.compile(r"\b(?:Bearer\s+[\w.~+/-]{8,}=*|sk-[\w-]{12,}|whsec_[\w+/=]{8,})")


@dataclass(frozen=True, slots=True)
class Broken:
    """The first row of a chain that does not verify, and why."""

    session_id: str
    seq: int
    reason: str


class Audit:
    """Makes rows from events, and checks rows."""

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys
        self._tokens = Tokens(keys)

    def chained(
        self, seen: tuple[str, int, str], events: Sequence[AuditEvent], moment: datetime
    ) -> tuple[AuditRow, ...]:
        """The rows that continue a chain; `seen` is (session id, seq, head)."""
        session_id, seq, head = seen
        key, key_id = self._keys.current(PURPOSE), self._keys.ids(PURPOSE)[0]
        rows = []
        for event in events:
            seq += 1
            payload, salt = self.redacted(event.payload), secrets.token_hex(16)
            commitment = _commitment(salt, payload)
            fields = (session_id, seq, event.turn_id, moment, event.kind, event.actor, commitment)
            head = _link(key, head, fields)
            rows.append(
                AuditRow(
                    session_id, seq, event.turn_id, moment, event.kind, event.actor,
                    payload, salt, commitment, head, key_id,
                )
            )  # fmt: skip
        return tuple(rows)

    def append(
        self, conn: Connection, session_id: str, events: Sequence[AuditEvent], moment: datetime
    ) -> None:
        """Append outside the lane, or in a transaction that does not close it: compare-and-set on the head.

        Raises LaneLost when the session is gone or never free.
        """
        for _ in range(TRIES):
            row = sessions.by_id(conn, session_id)
            if row is None:
                break
            rows = self.chained((row.id, row.audit_seq, row.audit_head), events, moment)
            if not rows:
                return
            if sessions.move_head(conn, row.id, row.audit_seq, rows[-1].seq, rows[-1].hash):
                audit.add(conn, rows)
                return
        raise LaneLost(f"session {session_id}: the audit chain could not be continued")

    def redacted(self, value: Mapping[str, Json]) -> dict[str, Json]:
        """A payload without secrets: values under telling names, keys in text, and our tokens."""
        return {
            name: "[redacted]" if _SECRET_NAME.search(name) else self._clean(item)
            for name, item in value.items()
        }

    def _clean(self, value: Json) -> Json:
        if isinstance(value, Mapping):
            return self.redacted(value)
        if isinstance(value, list | tuple):
            return [self._clean(item) for item in value]
        if isinstance(value, str):
            return _SECRET_TEXT.sub("[redacted]", self._tokens.redact(value))
        return value

    def verify(self, rows: Iterable[AuditRow], head: tuple[int, str]) -> Broken | None:
        """Check one chain from its first row to the head that the session's row holds."""
        known = dict(zip(self._keys.ids(PURPOSE), self._keys.accepted(PURPOSE), strict=True))
        seq, previous, session_id = 0, "", ""
        for row in rows:
            seq, session_id = seq + 1, row.session_id
            reason = _fault(row, seq, previous, known)
            if reason is not None:
                return Broken(session_id, row.seq, reason)
            previous = row.hash
        if (seq, previous) != head:
            return Broken(session_id, seq + 1, f"the chain ends at {seq}, the session says {head[0]}")
        return None

    def checkpoint(self, heads: Iterable[tuple[str, int, str]], at: datetime) -> dict[str, Json]:
        """A signed digest over all heads, to keep elsewhere: a tail that was cut shows against it."""
        digest, count = hashlib.sha256(), 0
        for session_id, seq, head in heads:
            digest.update(canonical([session_id, seq, head]))
            count += 1
        body = {"at": at.isoformat(), "sessions": count, "digest": digest.hexdigest()}
        return {
            **body,
            "key_id": self._keys.ids(PURPOSE)[0],
            "signature": self._keys.mac(PURPOSE, canonical(body)).hex(),
        }


def _commitment(salt: str, payload: Mapping[str, Json]) -> str:
    return hashlib.sha256(bytes.fromhex(salt) + canonical(payload)).hexdigest()


def _link(key: bytes, previous: str, fields: tuple[str, int, str | None, datetime, str, str, str]) -> str:
    session_id, seq, turn_id, at, kind, actor, commitment = fields
    stamp = at.astimezone(UTC).isoformat(timespec="microseconds")
    message = canonical([previous, session_id, seq, turn_id, stamp, kind, actor, commitment])
    return hmac.digest(key, message, hashlib.sha256).hex()


def _fault(row: AuditRow, seq: int, previous: str, known: Mapping[str, bytes]) -> str | None:
    key = known.get(row.key_id)
    if row.seq != seq:
        return f"row {seq} is missing"
    if key is None:
        return f"signed with key {row.key_id}, which is not ours"
    fields = (row.session_id, row.seq, row.turn_id, row.at, row.kind, row.actor, row.commitment)
    if not hmac.compare_digest(_link(key, previous, fields), row.hash):
        return "the row, or one before it, was changed"
    if (
        row.payload is not None
        and row.salt is not None
        and _commitment(row.salt, row.payload) != row.commitment
    ):
        return "the payload was changed"
    return None


def in_all_chains(read: Callable[[str], Sequence[tuple[str, int, str]]]) -> Iterable[tuple[str, int, str]]:
    """Walk all heads by key: `read(after)` gives the next batch."""
    after = ""
    while batch := read(after):
        yield from batch
        after = batch[-1][0]
