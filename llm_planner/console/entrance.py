"""The entrance: log in, log out, choose a language, and the static files."""

from starlette.responses import RedirectResponse, Response

from ..errors import NotFound
from ..i18n import LANGUAGES
from .ledger import note
from .reception import COOKIE, LOCALE
from .rendering import PAGES
from .visits import PREFIX, Visit


async def home(visit: Visit) -> Response:
    """The first page that this role may see."""
    first = next(name for name, least in PAGES if visit.role >= least)
    return visit.back(f"/{first}")


async def form(visit: Visit) -> Response:
    return await _form(visit, 200, "", visit.asked("next"))


async def _form(visit: Visit, status: int, name: str, target: str) -> Response:
    nobody = await visit.reception.nobody_can()
    return visit.page(
        "login.html", status, wrong=status != 200, name=name, target=_target(target), nobody=nobody
    )


async def enter(visit: Visit) -> Response:
    """Check name and password; every reason to say no reads the same."""
    name, target = visit.field("name", 200), _target(visit.field("next"))
    login_id = await visit.reception.log_in(visit.request, name, visit.form.get("password", ""))
    if login_id is None:
        await note(visit, "login_refused", "system", login=name[:64])
        return await _form(visit, 401, name, target)
    await note(visit, "logged_in", name)
    response = RedirectResponse(target, 303)
    visit.reception.keep(visit.request, response, COOKIE, login_id)
    return response


async def leave(visit: Visit) -> Response:
    """End this login, here and in the database."""
    await visit.reception.log_out(visit.guest)
    await note(visit, "logged_out", visit.operator.name)
    response = visit.back("/login")
    response.delete_cookie(COOKIE, path=PREFIX)
    return response


async def speak(visit: Visit) -> Response:
    """Another language for this browser."""
    response = RedirectResponse(_target(visit.field("next")), 303)
    if visit.field("locale") in LANGUAGES:
        visit.reception.keep(visit.request, response, LOCALE, visit.field("locale"))
    return response


async def file(visit: Visit) -> Response:
    return visit.rendering.file(visit.request.path_params["file"])


async def away(visit: Visit) -> Response:
    """Every address below `/console` that is none."""
    raise NotFound("there is no such page")


def _target(wanted: str) -> str:
    """Where to go afterwards: a page of ours, never another site's."""
    ours = wanted == PREFIX or wanted.startswith((f"{PREFIX}/", f"{PREFIX}?"))
    return wanted if ours and "\\" not in wanted and wanted.isprintable() else PREFIX
