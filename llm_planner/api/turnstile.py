"""The turnstile before the doors: requests counted by address, and wrong keys."""

from collections.abc import Sequence

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..engine_settings import Network
from ..errors import RateLimited
from .edge import ALWAYS_OPEN, problem_of
from .limits import RateLimits, address_of

NEVER_DROPPED = "/provider/"
"""Webhooks that pass their own check are stored, whatever their number; each session's turns run one by one."""


class Turnstile:
    """A layer around every route but the probes and the providers' doors."""

    def __init__(self, app: ASGIApp, limits: RateLimits, proxies: Sequence[Network]) -> None:
        self._app = app
        self._limits = limits
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or path in ALWAYS_OPEN or path.startswith(NEVER_DROPPED):
            await self._app(scope, receive, send)
            return
        address = address_of(HTTPConnection(scope), self._proxies)
        refused = False

        async def tell(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] == 401:
                try:
                    await self._limits.spend("wrong_key", address)
                except RateLimited as error:
                    refused = True
                    await problem_of(error)(scope, receive, send)
            if not refused:
                await send(message)

        try:
            await self._limits.spend("address", address)
        except RateLimited as error:
            await problem_of(error)(scope, receive, send)
        else:
            await self._app(scope, receive, tell)
