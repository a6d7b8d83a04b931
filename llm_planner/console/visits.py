"""Visits: one request to the console, with who is there, the language, and the ways to answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..api.auth import Operator
from ..api.edge import LARGEST_BODY
from ..errors import BodyTooLarge, InvalidRequest, MalformedRequest, UnsupportedMedia
from ..storage.database import Database, Transaction
from .access import Role, rank
from .house import House
from .reception import Guest, Reception
from .rendering import Rendering

PREFIX = "/console"
MOST_FIELDS = 200
LONGEST_SEARCH = 400


@dataclass(frozen=True, slots=True)
class Visit:
    """One request. `form` is what it brought."""

    request: Request
    house: House
    rendering: Rendering
    reception: Reception
    guest: Guest
    locale: str
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def who(self) -> Operator | None:
        return self.guest.who

    @property
    def csrf(self) -> str:
        """What this browser's forms must bring."""
        return self.reception.csrf(self.guest)

    @property
    def operator(self) -> Operator:
        """Who is logged in; the table of routes has seen to it that somebody is."""
        if self.who is None:
            raise AssertionError("this route is open to everybody")
        return self.who

    @property
    def role(self) -> Role:
        return rank(self.who.role) if self.who is not None else Role.ANYONE

    @property
    def database(self) -> Database:
        return self.house.office.database

    @property
    def id(self) -> str:
        """The id in the path."""
        found: str = self.request.path_params["id"]
        return found

    @property
    def address(self) -> str:
        """The page that is being looked at."""
        if self.request.method != "GET":
            return self.came_from
        query = self.request.url.query
        return self.request.url.path + (f"?{query}" if query else "")

    @property
    def came_from(self) -> str:
        """The page of ours that led here."""
        before = urlsplit(self.request.headers.get("referer", ""))
        ours = before.netloc == self.request.headers.get("host") and before.path.startswith(f"{PREFIX}/")
        return (before.path + (f"?{before.query}" if before.query else "")) if ours else PREFIX

    def said(self, *keys: str) -> str:
        """What the query says was done, if it is one of these texts."""
        key = self.asked("said")
        return self.text(key) if key in keys else ""

    async def read(self, fn: Transaction[Any]) -> Any:
        return await self.database.read(fn)

    def asked(self, name: str) -> str:
        """One value of the query; empty where there is none."""
        return self.request.query_params.get(name, "").strip()[:LONGEST_SEARCH]

    def text(self, key: str, **values: object) -> str:
        return self.rendering.text(key, self.locale, **values)

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A page, or the part of one that htmx asked for."""
        return self.rendering.response(template, status, {"visit": self, **values})

    def back(self, path: str, said: str = "", **query: str) -> Response:
        """After something was done: another page, with one line about it (a key of the texts)."""
        pairs = {**query, **({"said": said} if said else {})}
        target = PREFIX + quote(path) + (f"?{urlencode(pairs)}" if pairs else "")
        return RedirectResponse(target, 303)

    def field(self, name: str, most: int = 2000) -> str:
        """One field of the form, without the space around it. Raises InvalidRequest above `most` characters."""
        value = self.form.get(name, "").strip()
        if len(value) > most:
            raise InvalidRequest(f"{name}: at most {most} characters")
        return value


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, each once, counted while it is read. Raises 400, 413 or 415 of the error tree."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise UnsupportedMedia("a form is needed")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge(f"more than {LARGEST_BODY} bytes")
    try:
        found = parse_qs(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise MalformedRequest("the form can't be read") from error
    if any("\x00" in value for values in found.values() for value in values):
        raise MalformedRequest("a form has no NUL in it")
    return {name: values[-1].replace("\r\n", "\n") for name, values in found.items()}
