"""The providers' door: raw bytes in, verified; every message durable; then the answer that the provider wants."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from ..channels import BadSignature, Channel, Delivery, Incoming, NotReady, Rejected, Reply, WebhookRequest
from ..clock import Clock
from ..delivery.statuses import Statuses
from ..engine import TurnEngine
from ..errors import BodyTooLarge, Conflict, NotFound, UnsupportedMedia
from ..messages import AuditEvent, SessionKey
from ..turn.inbox import Accepted, Inbox
from .describing import asks, takes_anything
from .edge import problem
from .patience import Patience

T = TypeVar("T")
logger = logging.getLogger("llm_planner.provider")
AT_ONCE: Final = 16
"""Sessions of one delivery that are written to at the same time."""
AT_A_TIME: Final = 50
"""Messages of one session that are stored in one transaction."""
MOST_AUDITED: Final = 100
"""Bad items of one delivery that the audit names one by one."""
HANDSHAKE: Final = ("hub.mode", "hub.challenge", "hub.verify_token")
LATE_S: Final = 0.02
"""A turn that waits for the rest of its burst is looked at a little after its time rather than before it."""
THE_PROVIDER: Final = "the provider"
"""Whose session the bad items are audited in: with a space in it, so that no user can be called this."""


@dataclass(frozen=True, slots=True)
class Policy:
    """`provider` is what `/provider/inbound` is, `base_url` our public address (no closing slash; None: not
    known), `largest`
    the longest body in bytes; `secret_setting` names the variables of a provider's secret."""

    provider: str
    base_url: str | None
    largest: int
    verifies: bool
    secret_setting: Callable[[str], str]


class ProviderDoor:
    """Takes one webhook request."""

    def __init__(
        self, channels: Mapping[str, Channel], policy: Policy, inbox: Inbox, engine: TurnEngine, statuses: Statuses,
        clock: Clock,
    ) -> None:  # fmt: skip
        self._channels = channels
        self._policy = policy
        self._inbox = inbox
        self._engine = engine
        self._statuses = statuses
        self._clock = clock
        self._patience = Patience()

    async def take(self, request: Request, name: str | None = None) -> Response:
        """The whole way of one request. Raises the error tree's 4xx, and 503 for what the provider repeats."""
        name = name or self._policy.provider
        channel = self._channels.get(name)
        if channel is None:
            raise NotFound("this provider is not known, or not configured", code="provider_not_found")
        try:
            delivery = self._received(channel, await self._as_it_came(request))
        except BadSignature as error:
            logger.warning("%s: refused: %s", name, error.why)
            return problem(error.status, error.reason, error.detail)
        except NotReady as error:
            self._tell_shut(name, error)
            raise
        await self._patience.wait(self._keep(channel.name, delivery))
        return _answer(delivery.response)

    def _tell_shut(self, name: str, why: NotReady) -> None:
        setting = why.setting or self._policy.secret_setting(name)
        logger.error("%s: shut: %s; see %s", name, why.detail, setting)

    async def _as_it_came(self, request: Request) -> WebhookRequest:
        """The request before anything is parsed. The address is ours by configuration, never by `Host`."""
        if "content-encoding" in request.headers:
            raise UnsupportedMedia("encoded bodies are not read")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._policy.largest:
                raise BodyTooLarge(f"more than {self._policy.largest} bytes")
        path = request.scope.get("raw_path") or request.scope["path"].encode()
        query = request.scope["query_string"]
        target = (path.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")
        base = self._policy.base_url or ""
        headers = tuple(
            (key.decode("latin-1"), value.decode("latin-1")) for key, value in request.headers.raw
        )
        return WebhookRequest(request.method, base + target, headers, bytes(body))

    def _received(self, channel: Channel, request: WebhookRequest) -> Delivery:
        if not self._policy.verifies:
            return channel.read(request)
        if self._policy.base_url is None and channel.signs_url:
            why = f"{channel.name}: it signs our address, and PUBLIC_BASE_URL is not set"
            raise NotReady(why, "PUBLIC_BASE_URL")
        return channel.receive(request, self._clock.now())

    async def _keep(self, name: str, delivery: Delivery) -> None:
        """Store everything before anybody is told so; what fails and passes is raised after the rest."""
        if delivery.rejected:
            await self._note(name, delivery.rejected)
        faults: list[BaseException] = []
        for group in _bunches(_by_session(name, delivery.messages)):
            faults += await _all(self._accept_in_order(name, messages) for messages in group)
        for updates in _bunches(delivery.statuses):
            faults += await _all(self._statuses.apply(name, update) for update in updates)
        if faults:
            raise faults[0]

    async def _accept_in_order(self, name: str, messages: Sequence[Incoming]) -> None:
        """Messages of one session."""
        for few in _bunches(messages, AT_A_TIME):
            ends = await self._inbox.accept_all([message.inbound(name) for message in few])
            for message, end in zip(few, ends, strict=True):
                if isinstance(end, Conflict):
                    # Audited where it was found; an error would only make the provider repeat it.
                    logger.warning("%s: message %s came again with other content", name, message.message_id)
                elif not end.duplicate:
                    self._tell(end)

    def _tell(self, accepted: Accepted) -> None:
        """At once, or when its burst is over; what dies meanwhile, the sweep finds."""
        if accepted.wait_s > 0.0:
            loop = asyncio.get_running_loop()
            loop.call_later(accepted.wait_s + LATE_S, self._engine.notify, accepted.session_id)
        else:
            self._engine.notify(accepted.session_id)

    async def _note(self, name: str, rejected: Sequence[Rejected]) -> None:
        for item in rejected[:MOST_AUDITED]:
            logger.warning("%s: an item was not taken: %s: %s", name, item.where, item.reason)
        items = [{"where": item.where, "reason": item.reason} for item in rejected[:MOST_AUDITED]]
        event = AuditEvent("items_rejected", THE_PROVIDER, {"items": items, "count": len(rejected)})
        await self._inbox.note(SessionKey(name, "", THE_PROVIDER, ""), event)


def _by_session(name: str, messages: Iterable[Incoming]) -> list[list[Incoming]]:
    """The messages of each session, in their order."""
    found: dict[SessionKey, list[Incoming]] = {}
    for message in messages:
        found.setdefault(message.inbound(name).key, []).append(message)
    return list(found.values())


def _bunches(items: Sequence[T], most: int = AT_ONCE) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> list[BaseException]:
    """Do all of it at the same time; what went wrong."""
    ends = await asyncio.gather(*work, return_exceptions=True)
    return [end for end in ends if end is not None]


def _answer(reply: Reply) -> Response:
    headers = {"content-type": reply.content_type} if reply.content_type is not None else None
    return Response(reply.body, reply.status, headers)


def router(door: ProviderDoor) -> APIRouter:
    """The routes: of the provider that PROVIDER names, and of each one by its name."""
    routes = APIRouter(tags=["providers"])

    @routes.post("/provider/inbound", openapi_extra=takes_anything())
    async def inbound(request: Request) -> Response:
        """A webhook of the provider that PROVIDER names."""
        return await door.take(request)

    @routes.get("/provider/inbound", openapi_extra=asks(*HANDSHAKE))
    async def handshake(request: Request) -> Response:
        """The same by GET: Meta's handshake."""
        return await door.take(request)

    @routes.post("/provider/{provider}/inbound", openapi_extra=takes_anything())
    async def inbound_of(provider: str, request: Request) -> Response:
        """A webhook of this provider."""
        return await door.take(request, provider)

    @routes.get("/provider/{provider}/inbound", openapi_extra=asks(*HANDSHAKE))
    async def handshake_of(provider: str, request: Request) -> Response:
        """The same by GET."""
        return await door.take(request, provider)

    return routes
