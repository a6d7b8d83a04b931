"""The two synchronous doors, `/agent` and `/wa/agent`: a turn request in, the turn out."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from ..engine import TurnEngine
from ..errors import Busy, InvalidRequest
from ..ids import is_uuid4, new_id
from ..messages import InboundMessage, TurnView
from ..turn.inbox import Accepted, Inbox
from ..turn.view import Views
from ..worker import Waiters
from .auth import Asked, Caller, Doorkeeper
from .edge import json_body
from .views import turn_json

WAIT_S = 120.0
"""How long a first request waits for its turn; the same id asked again goes on waiting."""
REPEAT_WAIT_S = 30.0
POLL_S = 0.25
FIRST_POLL_S = 0.02
"""Where another process works on the turn from the start; growing up to POLL_S."""
_ID = re.compile(r"[!-~]{1,128}")


def _text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not hold NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold lone surrogates") from None
    return value


def _id(value: str) -> str:
    if not _ID.fullmatch(value):
        raise ValueError("must be 1 to 128 characters from ! to ~")
    return value


Body = TypeVar("Body", bound=BaseModel)
Id = Annotated[str, AfterValidator(_id)]


class TurnRequest(BaseModel):
    """The body of `/agent`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    message: Annotated[str, Field(min_length=1, max_length=8000), AfterValidator(_text)]
    session_id: Id | None = None
    message_id: Id | None = None
    locale: Annotated[str, Field(max_length=35, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = (
        None
    )


class WhatsAppRequest(TurnRequest):
    """The body of `/wa/agent`."""

    user: Id | None = None


class Desk:
    """Accepts a message, tells the engine, and waits for the turn."""

    def __init__(
        self,
        inbox: Inbox,
        engine: TurnEngine,
        waiters: Waiters,
        views: Views,
        repeat_wait_s: float = REPEAT_WAIT_S,
    ) -> None:
        self._inbox = inbox
        self._engine = engine
        self._waiters = waiters
        self._views = views
        self._repeat_wait_s = repeat_wait_s

    async def submit(self, message: InboundMessage) -> tuple[TurnView, bool]:
        """The message's turn, and whether it is a repeat. Raises Conflict, Busy, DatabaseUnavailable."""
        accepted = await self._inbox.accept(message, take=self._engine.claims)
        done = self._waiters.expect(accepted.turn_id)
        if accepted.claimed is not None or not accepted.duplicate:
            self._engine.notify(accepted.session_id, accepted.claimed)
        try:
            view = await self._wait(accepted, done)
        finally:
            self._waiters.leave(accepted.turn_id)
        return view, accepted.duplicate

    async def _wait(self, accepted: Accepted, done: "asyncio.Future[TurnView]") -> TurnView:
        """The view from this process, or, where another one works on the turn, from the database."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (self._repeat_wait_s if accepted.duplicate else WAIT_S)
        pause = POLL_S if self._engine.claims else FIRST_POLL_S
        pause = pause if accepted.claimed is None else WAIT_S
        if accepted.duplicate:
            view = await self._views.turn(accepted.session_id, accepted.turn_id, owner=True)
            if view is not None:
                return view
        while (left := deadline - loop.time()) > 0:
            finished, _ = await asyncio.wait([done], timeout=min(left, pause))
            if finished:
                return done.result()
            pause = min(POLL_S, pause * 1.5)
            if self._engine.claims:
                self._engine.notify(accepted.session_id)
            view = await self._views.turn(accepted.session_id, accepted.turn_id, owner=True)
            if view is not None:
                return view
        raise Busy("the turn is still in progress; ask again with the same message id")


@dataclass(frozen=True, slots=True)
class Doors:
    """What the routes need."""

    desk: Desk
    doorkeeper: Doorkeeper


def router(doors: Doors) -> APIRouter:
    """The routes of both doors."""
    routes = APIRouter(tags=["turns"])

    @routes.post("/agent", openapi_extra=_described(TurnRequest))
    async def agent(request: Request) -> Response:
        """One message of a web user; the answer is its whole turn."""
        body = _parsed(TurnRequest, await json_body(request))
        message_id = _message_id(request, body)
        caller = await doors.doorkeeper.web(request, Asked(body.session_id, message_id))
        return await _answer(doors.desk, caller, body, message_id)

    @routes.post("/wa/agent", openapi_extra=_described(WhatsAppRequest))
    async def whatsapp_agent(request: Request) -> Response:
        """One message that a trusted backend relays, with its API key."""
        doors.doorkeeper.whatsapp(request, Asked(None, None))
        body = _parsed(WhatsAppRequest, await json_body(request))
        message_id = _message_id(request, body)
        caller = doors.doorkeeper.whatsapp(request, Asked(body.session_id, message_id, body.user))
        return await _answer(doors.desk, caller, body, message_id)

    return routes


def _described(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _parsed(model: type[Body], data: dict[str, Any]) -> Body:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        raise InvalidRequest(
            "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in found[:5])
        ) from None


def _message_id(request: Request, body: TurnRequest) -> str | None:
    """`message_id` or `Idempotency-Key`, which must agree; a UUIDv4 where it also has to find the session."""
    headers = request.headers.getlist("idempotency-key")
    given = {value for value in (*headers, body.message_id) if value is not None}
    if len(given) > 1:
        raise InvalidRequest("Idempotency-Key and message_id are two different ids")
    found = given.pop() if given else None
    if found is not None and not _ID.fullmatch(found):
        raise InvalidRequest("Idempotency-Key: must be 1 to 128 characters from ! to ~")
    if found is not None and body.session_id is None and not is_uuid4(found):
        raise InvalidRequest("message_id: without a session_id it must be a UUIDv4")
    return found


async def _answer(desk: Desk, caller: Caller, body: TurnRequest, message_id: str | None) -> Response:
    message = InboundMessage(caller.key, message_id or new_id(), body.message, body.locale)
    view, duplicate = await desk.submit(message)
    data = turn_json(view, session_id=caller.session_id, duplicate=duplicate)
    return Response(json.dumps(data, ensure_ascii=False), media_type="application/json")
