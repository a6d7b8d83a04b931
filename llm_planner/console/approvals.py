"""The approvals: what waits for a person, and what was decided by whom (rule 5 to the letter)."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection
from starlette.responses import Response

from ..api.operators import resolve_approval, sees
from ..errors import Conflict, InvalidRequest, NotFound, RequestError
from ..messages import Decision
from ..storage.database import now
from ..storage.repositories import confirmations, console, operators, sessions
from ..storage.repositories.confirmations import ConfirmationRow, RunRow
from ..storage.repositories.sessions import SessionRow
from ..storage.states import ConfirmationState
from ..turn.provenance import from_tool
from ..turn.rulings import may_decide
from .forms import arguments, fields
from .visits import Visit

PAGE = 50
_WHY_NOT = {"user_only": "approvals.approve.user", "own_request": "approvals.approve.own"}
_ORIGINS = ("user", "plan", "operator")


@dataclass(frozen=True, slots=True)
class Seen:
    """One parked write with all that an operator may look at."""

    row: ConfirmationRow
    session: SessionRow
    run: RunRow | None
    names: frozenset[str]
    live: bool
    """Whether it can still be decided."""


async def listed(visit: Visit) -> Response:
    return visit.page("approvals.html", **await _list(visit))


async def rows(visit: Visit) -> Response:
    """The list alone, for the page that keeps itself current."""
    return visit.page("approvals_rows.html", **await _list(visit))


async def _list(visit: Visit) -> dict[str, Any]:
    pending, after = visit.asked("status") != "decided", visit.asked("after") or None
    approver = None if visit.operator.sees_everything else visit.operator.role
    found, moment = await visit.read(
        lambda conn: (
            console.approvals(conn, now(conn) if pending else None, approver, after, PAGE),
            now(conn),
        )
    )
    following = found[-1].row.id if len(found) == PAGE else None
    titles = {item.row.tool: _title(visit, item.row) for item in found}
    return {
        "items": found, "pending": pending, "after": after, "following": following, "moment": moment, "titles": titles,
    }  # fmt: skip


async def shown(visit: Visit) -> Response:
    seen = await _seen(visit)
    spec = visit.house.registry.get(seen.row.tool)
    return visit.page(
        "approval.html",
        seen=seen,
        title=_title(visit, seen.row),
        args=[(name, value, origin_of(visit, seen.row.origins.get(name, ""))) for name, value in seen.row.args.items()],
        why_not=_why_not(seen, visit, "approve"),
        decides=_why_not(seen, visit, "reject") is None,
        fields=fields(spec, seen.row.args) if spec is not None else None,
    )  # fmt: skip


def origin_of(visit: Visit, origin: str) -> tuple[str, bool]:
    """Where a value came from, in words, and whether it came out of a tool."""
    tainted = from_tool(origin)
    key = origin if origin in _ORIGINS else "tool" if tainted else "plan"
    return visit.text(f"origin.{key}"), tainted


def _title(visit: Visit, row: ConfirmationRow) -> str:
    spec = visit.house.registry.get(row.tool)
    return spec.title if spec is not None else row.tool


async def approve(visit: Visit) -> Response:
    return await _decide(visit, "approve")


async def reject(visit: Visit) -> Response:
    return await _decide(visit, "reject")


async def edit(visit: Visit) -> Response:
    return await _decide(visit, "edit")


async def _decide(visit: Visit, what: Literal["approve", "reject", "edit"]) -> Response:
    seen = await _seen(visit)
    decision = _decision(seen, visit, what)
    await resolve_approval(visit.house.office, seen.row, decision)
    target = seen.row.id
    if what == "edit":
        target = await visit.read(lambda conn: console.edition_after(conn, seen.row)) or target
    return visit.back(f"/approvals/{target}", f"approvals.said.{what}")


def _decision(seen: Seen, visit: Visit, what: Literal["approve", "reject", "edit"]) -> Decision:
    args = None
    if what == "edit":
        spec = visit.house.registry.get(seen.row.tool)
        if spec is None:
            raise Conflict(visit.text("approvals.edit.gone"))
        args = arguments(spec, visit.form)
    operator, digest = visit.operator, visit.form.get("digest")
    if digest is None:
        raise InvalidRequest("deciding needs the digest that was looked at")
    reason = visit.field("reason", 1000) or None
    return Decision(
        seen.row.id, what, operator.name, (operator.role,), digest, args, reason, tuple(sorted(seen.names))
    )


async def _seen(visit: Visit) -> Seen:
    """The parked write, if this operator may see it. Raises NotFound for both reasons alike."""
    seen: Seen | None = await visit.read(lambda conn: _find(conn, visit.id, visit.operator.name))
    if seen is None or not sees(visit.operator, seen.row):
        raise NotFound("there is no such approval")
    return seen


def _find(conn: Connection, confirmation_id: str, operator: str) -> Seen | None:
    row = confirmations.find(conn, confirmation_id)
    session = sessions.by_id(conn, row.session_id) if row is not None else None
    if row is None or session is None:
        return None
    run = confirmations.run_of(conn, row.session_id, row.id)
    live = row.state == ConfirmationState.PENDING and row.expires_at > now(conn)
    return Seen(row, session, run, operators.names_of(conn, operator), live)


def _why_not(seen: Seen, visit: Visit, what: Literal["approve", "reject"]) -> str | None:
    """Why this operator may not decide so, in words; None where they may."""
    operator = visit.operator
    decision = Decision(
        seen.row.id, what, operator.name, (operator.role,), seen.row.digest, also=tuple(seen.names)
    )
    try:
        may_decide(seen.row, decision, seen.session.principal)
    except RequestError as error:
        reason = "user_only" if seen.row.approver == "user" else error.reason
        key = _WHY_NOT.get(reason)
        return visit.text(key) if key else visit.text("approvals.approve.role", role=seen.row.approver)
    return None
