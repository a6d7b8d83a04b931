"""A turn as server-sent events: news while it runs, the whole turn at its end, comments to keep it open."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterable

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..errors import PlannerError
from ..messages import Json, TurnView
from .agui import Event, Telling
from .edge import told_of
from .feed import Feed

logger = logging.getLogger("llm_planner.http")
STREAM = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Neither a cache nor a proxy in between may hold events back."""
COMMENT = b": \n\n"


def wants_stream(request: Request) -> bool:
    """Whether the client accepts an event stream, and likes it no less than JSON."""
    liked = {"application/json": 0.0, STREAM: 0.0}
    for part in ",".join(request.headers.getlist("accept")).split(","):
        kind, *parameters = (item.strip().lower() for item in part.split(";"))
        if kind in liked:
            liked[kind] = _quality(parameters)
    return liked[STREAM] > 0 and liked[STREAM] >= liked["application/json"]


def _quality(parameters: Iterable[str]) -> float:
    given = next((item[2:] for item in parameters if item.startswith("q=")), "1")
    try:
        return float(given)
    except ValueError:
        return 0.0


class TurnStream(StreamingResponse):
    """The response. Who goes away leaves the turn as it is: only this feed of it ends."""

    def __init__(self, feed: Feed, told: Telling, turn: Callable[[TurnView], Json]) -> None:
        super().__init__(_sent(feed, told, turn), headers=HEADERS, media_type=STREAM)
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._feed.leave()


async def _sent(feed: Feed, told: Telling, turn: Callable[[TurnView], Json]) -> AsyncIterator[bytes]:
    """The stream, in the pieces in which it is sent; a fault ends it with RUN_ERROR, whatever it was."""
    yield _written(told.started())
    view = None
    while view is None:
        (heard,) = await asyncio.gather(feed.next(), return_exceptions=True)
        if isinstance(heard, BaseException):
            yield _written(told.failed(*_fault(heard)))
            return
        news, view = heard
        events = [event for item in news for event in told.of(item)]
        if view is not None:
            events += told.finished(view, turn(view))
        yield _written(events) or COMMENT


def _fault(fault: BaseException) -> tuple[str, str]:
    """The code and the words for a stranger; the log has the rest."""
    if isinstance(fault, PlannerError):
        logger.warning("stream: %s: %s", type(fault).__name__, fault)
    else:
        logger.error("stream: %s", type(fault).__name__, exc_info=fault)
    return told_of(fault)


def _written(events: Iterable[Event]) -> bytes:
    return b"".join(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in events)
