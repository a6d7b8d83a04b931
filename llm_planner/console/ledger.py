"""The ledger: what operators did outside any session, in an audit chain of the console's own."""

from sqlalchemy import Connection

from ..messages import AuditEvent, Json, SessionKey
from ..storage.database import now
from .visits import Visit

LEDGER = SessionKey("console", "console", "console", "ledger")


async def note(visit: Visit, kind: str, actor: str, **payload: Json) -> None:
    """Audit one thing that belongs to no session."""
    await visit.house.inbox.note(LEDGER, AuditEvent(kind, actor, payload))


def note_in(conn: Connection, visit: Visit, session_id: str, kind: str, **payload: Json) -> None:
    """Audit what this operator does to a session, in the transaction that does it."""
    event = AuditEvent(kind, visit.operator.name, payload)
    visit.house.audit.append(conn, session_id, [event], now(conn))
