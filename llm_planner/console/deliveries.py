"""The deliveries: what leaves the house, what did not arrive, and the local mailbox in development."""

from sqlalchemy import Connection
from starlette.responses import Response

from ..errors import Conflict, InvalidRequest, NotFound
from ..storage.database import now
from ..storage.repositories import outbox
from ..storage.repositories.outbox import OutboxRow
from ..storage.states import OutboxState
from ..turn.view import without_tokens
from .ledger import note_in
from .visits import Visit

PAGE = 50
_OUTCOMES = {"arrived": OutboxState.DELIVERED, "lost": OutboxState.DEAD}


async def listed(visit: Visit) -> Response:
    """Deliveries of all sessions, newest first, of one state or of all."""
    state, after = visit.asked("state"), visit.asked("after") or None
    if state and state not in OutboxState.__members__.values():
        raise InvalidRequest(f"state: one of {', '.join(OutboxState)}")
    rows = await visit.read(lambda conn: outbox.page(conn, state or None, after, PAGE))
    following = rows[-1].id if len(rows) == PAGE else None
    return visit.page(
        "deliveries.html", rows=rows, state=state, states=list(OutboxState), after=after, following=following,
        mailbox=not visit.house.outside.mail,
    )  # fmt: skip


async def shown(visit: Visit) -> Response:
    row = await _row(visit)
    return visit.page(
        "delivery.html",
        row=row,
        text=without_tokens(str(row.body.get("text", ""))),
        readable=_readable(visit, row),
    )


def _readable(visit: Visit, row: OutboxRow) -> bool:
    """Whether a letter's text is shown: it may hold a code that proves who somebody is. In development the
    console is the mailbox."""
    return row.kind != "mail" or (not visit.house.settings.production and not visit.house.outside.mail)


async def _row(visit: Visit) -> OutboxRow:
    row: OutboxRow | None = await visit.read(lambda conn: outbox.find(conn, visit.id))
    if row is None:
        raise NotFound("there is no such delivery")
    return row


async def retry(visit: Visit) -> Response:
    """Queue it again; one that may have arrived may then arrive twice."""
    row = await _row(visit)

    def transaction(conn: Connection) -> None:
        if not outbox.requeue(conn, row, now(conn)):
            raise Conflict("only what is dead, unknown or waiting can be queued again")
        note_in(conn, visit, row.session_id, "delivery_requeued", delivery=row.id, before=row.state)

    await visit.database.run(transaction)
    visit.house.nudge.soon(row.session_id)
    return visit.back(f"/deliveries/{row.id}", "deliveries.said.retry")


async def settle(visit: Visit) -> Response:
    """Write down what a person found out about it."""
    row, outcome = await _row(visit), visit.field("outcome", 20)
    if outcome not in _OUTCOMES:
        raise InvalidRequest("outcome: arrived or lost")

    def transaction(conn: Connection) -> None:
        told = f"{visit.operator.name}: {outcome}"
        if not outbox.settle_by_hand(conn, row, _OUTCOMES[outcome], told, now(conn)):
            raise Conflict("only what is dead or unknown can be settled")
        note_in(
            conn,
            visit,
            row.session_id,
            "delivery_settled",
            delivery=row.id,
            before=row.state,
            outcome=outcome,
        )

    await visit.database.run(transaction)
    return visit.back(f"/deliveries/{row.id}", "deliveries.said.settle")
