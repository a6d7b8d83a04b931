"""What operators see and decide: approvals, sessions, turns, the audit trail, the numbers."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from ..errors import Conflict, Forbidden, InvalidRequest, NotFound
from ..ids import new_id
from ..messages import Decision, InboundMessage, Json
from ..storage.database import Database, now
from ..storage.repositories import audit, confirmations, operators, sessions, turns, writes
from ..storage.repositories.audit import AuditRow
from ..storage.repositories.confirmations import ConfirmationRow
from ..storage.states import ConfirmationState
from ..turn.rulings import may_decide
from .auth import Doorkeeper, Operator
from .describing import asks, takes
from .edge import json_body
from .turns import Desk
from .views import approval_json, audit_json, session_json, stored_turn_json

PAGE, LARGEST_PAGE = 50, 200
DEEPEST = 64
"""Levels of arrays and objects in an edit's arguments."""
PAGED = ("limit", "cursor")
AUDIT_FILTERS = ("session_id", "turn_id", "kind")
Body = TypeVar("Body", bound=BaseModel)
_FORBIDDEN = frozenset(["forbidden", "user_only", "own_request"])


class Resolution(BaseModel):
    """The body of `POST /approvals/{id}/resolve`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    decision: Literal["approve", "reject", "edit"]
    digest: str | None = None
    args: dict[str, Any] | None = None
    reason: Annotated[str, Field(max_length=1000)] | None = None


@dataclass(frozen=True, slots=True)
class Office:
    """What the routes need."""

    database: Database
    doorkeeper: Doorkeeper
    desk: Desk


def router(office: Office) -> APIRouter:
    """The routes; every one asks for an operator first."""
    routes = APIRouter(tags=["operators"])

    @routes.get("/approvals", openapi_extra=asks("status", *PAGED))
    async def approvals(request: Request) -> Response:
        """Parked writes, newest first."""
        operator = await office.doorkeeper.operator(request, "approvals")
        after, limit = page_of(request)
        state = request.query_params.get("status")
        if state is not None and state not in ConfirmationState.__members__.values():
            raise InvalidRequest(f"status: one of {', '.join(ConfirmationState)}")
        where = {"state": state} if state is not None else {}
        if not operator.sees_everything:
            where["approver"] = operator.role
        rows = await office.database.read(lambda conn: confirmations.page(conn, where, after, limit))
        return listed([approval_json(row) for row in rows], rows[-1].id if len(rows) == limit else None)

    @routes.get("/approvals/{confirmation_id}")
    async def approval(request: Request, confirmation_id: str) -> Response:
        """One parked write."""
        return as_json(approval_json(await _seen(office, request, confirmation_id)))

    @routes.post("/approvals/{confirmation_id}/resolve", openapi_extra=takes(Resolution))
    async def resolve(request: Request, confirmation_id: str) -> Response:
        """Approve, reject or edit. The decision runs in the session's own lane, like a message."""
        operator = await office.doorkeeper.operator(request, "approvals")
        row = await _seen(office, request, confirmation_id)
        body = parsed(Resolution, await json_body(request))
        decision = Decision(
            row.id, body.decision, operator.name, (operator.role,), body.digest, body.args, body.reason
        )
        await resolve_approval(office, row, decision)
        return as_json(approval_json(await _seen(office, request, confirmation_id)))

    @routes.get("/sessions", openapi_extra=asks(*PAGED))
    async def all_sessions(request: Request) -> Response:
        """Sessions, newest first."""
        await office.doorkeeper.reader(request, "sessions")
        after, limit = page_of(request)
        rows = await office.database.read(lambda conn: sessions.page(conn, after, limit))
        return listed([session_json(row) for row in rows], rows[-1].id if len(rows) == limit else None)

    @routes.get("/sessions/{session_id}")
    async def session(request: Request, session_id: str) -> Response:
        """One session with its latest turns."""
        await office.doorkeeper.reader(request, "sessions")
        row = await office.database.read(lambda conn: sessions.by_id(conn, session_id))
        if row is None:
            raise NotFound("there is no such session")
        found = await office.database.read(lambda conn: turns.page(conn, session_id, None, PAGE))
        return as_json({**session_json(row), "turns": [stored_turn_json(turn) for turn in found]})

    @routes.get("/turns/{turn_id}")
    async def turn(request: Request, turn_id: str) -> Response:
        """One turn: its plan, its results, its state."""
        await office.doorkeeper.reader(request, "sessions")
        row = await office.database.read(lambda conn: turns.find(conn, turn_id))
        if row is None:
            raise NotFound("there is no such turn")
        return as_json(stored_turn_json(row))

    @routes.get("/audit", openapi_extra=asks(*AUDIT_FILTERS, *PAGED))
    async def trail(request: Request) -> Response:
        """Audit events, newest first; `session_id`, `turn_id` and `kind` filter."""
        await office.doorkeeper.reader(request, "audit")
        cursor, limit = page_of(request)
        below = place_of(cursor) if cursor is not None else None
        where = {name: request.query_params[name] for name in AUDIT_FILTERS if name in request.query_params}
        rows = await office.database.read(lambda conn: audit.page(conn, where, below, limit))
        last = rows[-1] if len(rows) == limit else None
        following = cursor_of(last) if last is not None else None
        return listed([audit_json(row) for row in rows], following)

    @routes.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Gauges in the Prometheus text format."""
        await office.doorkeeper.reader(request, "metrics")
        found = await office.database.read(
            lambda conn: (
                sessions.count_open(conn), confirmations.count_pending(conn), writes.count_unknown(conn),
            )
        )  # fmt: skip
        load, refused = office.desk.load, office.desk.refused
        names = (
            "open_turns", "pending_confirmations", "unknown_writes", "sessions_in_flight", "turn_slots",
        )  # fmt: skip
        gauges = zip(names, [*found, load.sessions, load.places], strict=True)
        lines = [_metric(name, "gauge", value) for name, value in gauges]
        lines.append(_metric("messages_refused_total", "counter", refused))
        return Response("".join(lines), media_type="text/plain; version=0.0.4")

    return routes


def _metric(name: str, kind: str, value: int) -> str:
    return f"# TYPE llm_planner_{name} {kind}\nllm_planner_{name} {value}\n"


async def resolve_approval(office: Office, row: ConfirmationRow, decision: Decision) -> None:
    """Check what can be said at once, then decide in the lane. Raises what the lane answered."""
    session, names = await office.database.read(
        lambda conn: (sessions.by_id(conn, row.session_id), operators.names_of(conn, decision.operator))
    )
    if session is None:
        raise NotFound("there is no such approval")
    decision = replace(decision, also=tuple(sorted(names)))
    may_decide(row, decision, session.principal)
    moment = await office.database.read(now)
    if row.expires_at <= moment:
        raise Conflict("it has expired", code="already_resolved")
    message = InboundMessage(
        session.key, f"{turns.DECISION}{new_id()}", "", session.locale, decision=decision
    )
    view, _ = await office.desk.submit(message, urgent=True)
    if view.status == "refused":
        if view.code == "invalid_request":
            raise InvalidRequest("the tool does not take these arguments")
        raise (Forbidden if view.code in _FORBIDDEN else Conflict)(view.reply, code=view.code)


def sees(operator: Operator, row: ConfirmationRow) -> bool:
    """Whether this operator may know of the row: a role that tools name sees its own."""
    return operator.sees_everything or row.approver == operator.role


async def _seen(office: Office, request: Request, confirmation_id: str) -> ConfirmationRow:
    """The row, if this operator may see it. Raises NotFound for both reasons alike."""
    operator = await office.doorkeeper.operator(request, "approvals")
    row = await office.database.read(lambda conn: confirmations.find(conn, confirmation_id))
    if row is None or not sees(operator, row):
        raise NotFound("there is no such approval")
    return row


def parsed(model: type[Body], data: Mapping[str, Any]) -> Body:
    """The body of an operator's request. Raises InvalidRequest."""
    if not storable(data):
        raise InvalidRequest(f"no lone surrogates, and at most {DEEPEST} levels")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        item = error.errors(include_input=False, include_url=False)[0]
        raise InvalidRequest(f"{'.'.join(map(str, item['loc']))}: {item['msg']}") from None


def storable(value: Json, depth: int = 0) -> bool:
    """Whether a JSON value can be written down: no lone surrogates, not nested too deep."""
    if isinstance(value, dict):
        return depth < DEEPEST and all(storable(k) and storable(v, depth + 1) for k, v in value.items())
    if isinstance(value, list):
        return depth < DEEPEST and all(storable(item, depth + 1) for item in value)
    return not isinstance(value, str) or value.encode(errors="replace").decode() == value


def page_of(request: Request) -> tuple[str | None, int]:
    text = request.query_params.get("limit", str(PAGE))
    if not (re.fullmatch(r"[0-9]{1,3}", text) and 1 <= int(text) <= LARGEST_PAGE):
        raise InvalidRequest(f"limit: a number from 1 to {LARGEST_PAGE}")
    return request.query_params.get("cursor"), int(text)


def cursor_of(row: AuditRow) -> str:
    """The place of an event in the list, for the page that begins after it."""
    values = [row.at.isoformat(), row.session_id, row.seq]
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def place_of(cursor: str) -> tuple[datetime, str, int]:
    """The place again. Raises InvalidRequest for a cursor that is not one of ours."""
    try:
        at, session_id, seq = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        place = datetime.fromisoformat(at).astimezone(UTC), str(session_id), int(seq)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InvalidRequest("cursor: not one of ours") from error
    if not (storable(place[1]) and 0 <= place[2] < 2**63):
        raise InvalidRequest("cursor: not one of ours")
    return place


def listed(items: Sequence[Json], following: str | None) -> Response:
    return as_json({"items": items, "next": following})


def as_json(data: Json) -> Response:
    return Response(json.dumps(data, ensure_ascii=False), media_type="application/json")
