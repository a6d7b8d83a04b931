"""The write journal for operators: what was called, how it ended, and settling what nobody knows (rule 7)."""

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ..errors import InvalidRequest, NotFound
from ..messages import Decision
from ..storage.repositories import writes
from ..storage.repositories.writes import Write
from ..storage.states import RunState
from ..turn.settling import settled, settlement
from .auth import Operator
from .describing import asks, takes
from .edge import json_body
from .operators import PAGED, Office, as_json, listed, page_of, parsed, sees
from .views import write_json


class Settlement(BaseModel):
    """The body of `POST /writes/{id}/settle`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    outcome: Literal["done", "not_done"]
    reason: Annotated[str, Field(max_length=1000)] | None = None


def router(office: Office) -> APIRouter:
    """The routes; every one asks for an operator first."""
    routes = APIRouter(tags=["operators"])

    @routes.get("/writes", openapi_extra=asks("state", *PAGED))
    async def all_writes(request: Request) -> Response:
        """Calls of confirmed writes, newest first; `state` filters, and `unknown` needs a person."""
        operator = await office.doorkeeper.operator(request, "approvals")
        after, limit = page_of(request)
        state = request.query_params.get("state")
        if state is not None and state not in RunState.__members__.values():
            raise InvalidRequest(f"state: one of {', '.join(RunState)}")
        where = {"state": state} if state is not None else {}
        if not operator.sees_everything:
            where["approver"] = operator.role
        found = await office.database.read(lambda conn: writes.page(conn, where, after, limit))
        return listed([write_json(item) for item in found], found[-1].run.id if len(found) == limit else None)

    @routes.get("/writes/{write_id}")
    async def one_write(request: Request, write_id: str) -> Response:
        """One call."""
        operator = await office.doorkeeper.operator(request, "approvals")
        return as_json(write_json(await _seen(office, operator, write_id)))

    @routes.post("/writes/{write_id}/settle", openapi_extra=takes(Settlement))
    async def settle(request: Request, write_id: str) -> Response:
        """Say what became of a write whose outcome is unknown. It runs in the session's own lane."""
        operator = await office.doorkeeper.operator(request, "approvals")
        await _seen(office, operator, write_id)
        body = parsed(Settlement, await json_body(request))
        decision = Decision(write_id, body.outcome, operator.name, (operator.role,), reason=body.reason)
        order = await settlement(office.database, write_id, decision)
        view, _ = await office.desk.submit(order, urgent=True)
        settled(view)
        return as_json(write_json(await _seen(office, operator, write_id)))

    return routes


async def _seen(office: Office, operator: Operator, write_id: str) -> Write:
    """The write, if this operator may see it. Raises NotFound for both reasons alike."""
    write = await office.database.read(lambda conn: writes.find(conn, write_id))
    if write is None or not sees(operator, write.row):
        raise NotFound("there is no such write")
    return write
