"""The writes in doubt: calls whose outcome nobody knows, and a person's word for what became of them."""

from starlette.responses import Response

from ..errors import InvalidRequest, NotFound
from ..messages import Decision
from ..storage.database import now
from ..storage.repositories import sessions, writes
from ..storage.repositories.writes import Write
from ..storage.states import RunState
from ..turn.settling import OUTCOMES, settled, settlement
from .approvals import origin_of
from .visits import Visit

PAGE = 50


async def listed(visit: Visit) -> Response:
    """Unknown writes, newest first; or all of the journal."""
    everything, after = visit.asked("all") == "1", visit.asked("after") or None
    where = {} if everything else {"state": RunState.UNKNOWN.value}
    found = await visit.read(lambda conn: writes.page(conn, where, after, PAGE))
    following = found[-1].run.id if len(found) == PAGE else None
    titles = {item.row.tool: _title(visit, item) for item in found}
    return visit.page(
        "doubts.html", found=found, everything=everything, after=after, following=following, titles=titles
    )


def _title(visit: Visit, write: Write) -> str:
    spec = visit.house.registry.get(write.row.tool)
    return spec.title if spec is not None else write.row.tool


async def shown(visit: Visit) -> Response:
    """What is known of one write."""
    write, moment = await _write(visit), await visit.read(now)
    session = await visit.read(lambda conn: sessions.by_id(conn, write.row.session_id))
    spec = visit.house.registry.get(write.row.tool)
    args = [
        (name, value, origin_of(visit, write.row.origins.get(name, "")))
        for name, value in write.row.args.items()
    ]
    return visit.page(
        "doubt.html", write=write, session=session, title=_title(visit, write), args=args,
        reconciles=spec is not None and spec.reconciles,
        running=write.run.state == RunState.INTENT or write.run.deadline_at > moment,
    )  # fmt: skip


async def _write(visit: Visit) -> Write:
    write: Write | None = await visit.read(lambda conn: writes.find(conn, visit.id))
    if write is None:
        raise NotFound("there is no such write")
    return write


async def settle(visit: Visit) -> Response:
    """Done or not done, in the session's own lane; the user is told."""
    write, outcome = await _write(visit), visit.field("outcome", 20)
    if outcome not in OUTCOMES:
        raise InvalidRequest("outcome: done or not_done")
    operator = visit.operator
    decision = Decision(
        write.run.id, "done" if outcome == "done" else "not_done", operator.name, (operator.role,),
        reason=visit.field("reason", 1000) or None,
    )  # fmt: skip
    office = visit.house.office
    view, _ = await office.desk.submit(await settlement(office.database, write.run.id, decision))
    settled(view)
    return visit.back(f"/doubts/{write.run.id}", "doubts.said")
