"""The doors of the console: every route of the table, behind one check of who, role and form."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import ModuleType
from urllib.parse import urlencode

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from ..api.auth import same_origin
from ..clock import Clock
from ..errors import Forbidden, PlannerError, Unauthorized
from ..i18n import LANGUAGES
from . import approvals, chat, deliveries, doubts, entrance, health, sessions, tools, trail
from .access import DOORS, Door, Role
from .house import House
from .reception import GUEST, LOCALE, Guest, Reception
from .rendering import MISSING, Rendering, available
from .visits import PREFIX, Visit, form_of

AWAY = Door("entrance.away", "GET", "/{rest:path}", Role.NAMED)
"""Every other address: nothing is there, for who is logged in."""
logger = logging.getLogger("llm_planner.console")
MODULES: dict[str, ModuleType] = {
    module.__name__.rpartition(".")[2]: module
    for module in (entrance, chat, approvals, sessions, deliveries, doubts, trail, tools, health)
}
Handler = Callable[[Visit], Awaitable[Response]]


def router(house: House, clock: Clock) -> APIRouter:
    """All routes of the console, or one that says what is missing."""
    routes = APIRouter()
    if not available():
        routes.add_route(PREFIX + "{rest:path}", _unavailable, methods=["GET"], include_in_schema=False)
        return routes
    porter = Porter(
        house,
        Rendering(house.zone, clock),
        Reception(house.settings, house.keys, house.office.database),
    )
    for door in (*DOORS, AWAY):
        page, _, action = door.name.partition(".")
        handler: Handler = getattr(MODULES[page], action)
        routes.add_route(
            PREFIX + door.path, porter.behind(door, handler), methods=[door.method], include_in_schema=False
        )
    return routes


async def _unavailable(request: Request) -> Response:
    return PlainTextResponse(MISSING, 503)


@dataclass(frozen=True, slots=True)
class Porter:
    """Stands at every door."""

    house: House
    rendering: Rendering
    reception: Reception

    def behind(self, door: Door, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The route's function: what the table says is checked before the handler is called."""

        async def route(request: Request) -> Response:
            guest = await self.reception.guest(request)
            visit = self._visit(request, guest)
            try:
                if guest.who is None and door.least > Role.ANYONE:
                    return _to_the_entrance(request)
                if visit.role < door.least:
                    raise Forbidden(f"this needs the role {door.least.name.lower()}")
                response = await handler(await self._checked(visit) if door.method == "POST" else visit)
            except PlannerError as error:
                response = self._refusal(visit, error)
            self._cookies(request, response, guest)
            return response

        return route

    def _visit(self, request: Request, guest: Guest) -> Visit:
        locale = _locale(request, self.house.settings.default_locale)
        return Visit(request, self.house, self.rendering, self.reception, guest, locale)

    async def _checked(self, visit: Visit) -> Visit:
        """The visit with its form. Raises Forbidden for one that another page may have sent."""
        same_origin(visit.request)
        form = await form_of(visit.request)
        if not self.reception.brings(visit.guest, form.pop("csrf", "")):
            raise Forbidden("the form is too old: load the page again", code="csrf")
        return replace(visit, form=form)

    def _refusal(self, visit: Visit, error: PlannerError) -> Response:
        if error.status >= 500:
            logger.warning("console %s: %s: %s", visit.request.url.path, type(error).__name__, error)
        detail = error.detail if error.status < 500 or error.retryable else ""
        return visit.page("error.html", error.status, wrong=error.status, code=error.reason, detail=detail)

    def _cookies(self, request: Request, response: Response, guest: Guest) -> None:
        """Give a browser that has none its id; nothing at all for files."""
        if guest.fresh and response.headers.get("content-type", "").startswith("text/html"):
            self.reception.keep(request, response, GUEST, guest.id)


def _to_the_entrance(request: Request) -> Response:
    """The login form, and from there back; htmx and forms are told in their own way."""
    if request.method != "GET":
        raise Unauthorized("log in first")
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    target = f"{PREFIX}/login?{urlencode({'next': path})}"
    if request.headers.get("hx-request") == "true":
        return Response(status_code=401, headers={"HX-Redirect": target})
    return RedirectResponse(target, 303)


def _locale(request: Request, default: str) -> str:
    """The language that was chosen, else the browser's first that we speak, else the configured one."""
    chosen = request.cookies.get(LOCALE)
    if chosen in LANGUAGES:
        return chosen
    wanted = [part.split(";")[0].strip() for part in request.headers.get("accept-language", "").split(",")]
    spoken = [tag for tag in wanted if tag.partition("-")[0].lower() in LANGUAGES]
    return spoken[0][:35] if spoken else default
