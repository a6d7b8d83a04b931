"""The two synchronous doors, `/agent` and `/wa/agent`: a turn request in, the turn out."""

import json
import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from ..engine import Load
from ..errors import Busy, InvalidRequest
from ..ids import is_uuid4, new_id
from ..messages import InboundMessage, TurnView
from ..turn.inbox import Inbox
from .agui import Telling
from .auth import Asked, Caller, Doorkeeper
from .describing import takes
from .edge import json_body
from .feed import Feed, Patience, Sources
from .limits import RateLimits
from .streaming import TurnStream, wants_stream
from .views import turn_json

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

    def __init__(self, inbox: Inbox, sources: Sources, patience: Patience | None = None) -> None:
        self._inbox = inbox
        self._sources = sources
        self._patience = patience or Patience()
        self.refused = 0
        """Messages that were not taken, since this process began."""

    async def submit(self, message: InboundMessage, *, urgent: bool = False) -> tuple[TurnView, bool]:
        """The message's turn, and whether it is a repeat. What is `urgent` is taken above the process' bound.
        Raises Conflict, Busy, DatabaseUnavailable."""
        feed = await self.open(message, listening=False, urgent=urgent)
        try:
            view = None
            while view is None:
                _, view = await feed.next()
        finally:
            feed.leave()
        return view, feed.accepted.duplicate

    @property
    def load(self) -> Load:
        return self._sources.engine.load

    async def open(self, message: InboundMessage, *, listening: bool, urgent: bool = False) -> Feed:
        """The message is durable when this returns. Raises as above."""
        engine = self._sources.engine
        room = urgent or not engine.load.full
        try:
            accepted = await self._inbox.accept(message, take=engine.claims, room=room)
        except Busy:
            self.refused += 1
            raise
        feed = Feed(self._sources, accepted, self._patience, listening)
        if accepted.claimed is not None or not accepted.duplicate:
            engine.notify(accepted.session_id, accepted.claimed)
        return feed


@dataclass(frozen=True, slots=True)
class Doors:
    """What the routes need."""

    desk: Desk
    doorkeeper: Doorkeeper
    limits: RateLimits


def router(doors: Doors) -> APIRouter:
    """The routes of both doors."""
    routes = APIRouter(tags=["turns"])

    @routes.post("/agent", openapi_extra=takes(TurnRequest))
    async def agent(request: Request) -> Response:
        """One message of a web user; the answer is its whole turn."""
        body = _parsed(TurnRequest, await json_body(request))
        message_id = _message_id(request, body)
        caller = await doors.doorkeeper.web(request, Asked(body.session_id, message_id))
        await doors.limits.turn(caller.key)
        return await _answer(request, doors.desk, caller, body, message_id)

    @routes.post("/wa/agent", openapi_extra=takes(WhatsAppRequest))
    async def whatsapp_agent(request: Request) -> Response:
        """One message that a trusted backend relays, with its API key."""
        doors.doorkeeper.whatsapp(request, Asked(None, None))
        body = _parsed(WhatsAppRequest, await json_body(request))
        message_id = _message_id(request, body)
        caller = doors.doorkeeper.whatsapp(request, Asked(body.session_id, message_id, body.user))
        await doors.limits.turn(caller.key)
        return await _answer(request, doors.desk, caller, body, message_id)

    return routes


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


async def _answer(
    request: Request, desk: Desk, caller: Caller, body: TurnRequest, message_id: str | None
) -> Response:
    message = InboundMessage(caller.key, message_id or new_id(), body.message, body.locale)
    if wants_stream(request):
        return await _stream(desk, caller, message)
    view, duplicate = await desk.submit(message)
    data = turn_json(view, session_id=caller.session_id, duplicate=duplicate)
    return Response(json.dumps(data, ensure_ascii=False), media_type="application/json")


async def _stream(desk: Desk, caller: Caller, message: InboundMessage) -> Response:
    feed = await desk.open(message, listening=True)
    session, duplicate = caller.session_id, feed.accepted.duplicate
    told = Telling(session, feed.accepted.turn_id)
    return TurnStream(feed, told, partial(turn_json, session_id=session, duplicate=duplicate))
