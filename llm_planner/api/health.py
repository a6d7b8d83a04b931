"""Liveness and readiness, and the users' page at `/chat`."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from fastapi import APIRouter
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from ..errors import DatabaseUnavailable, NotFound
from ..storage.database import Database, now
from ..storage.migrate import Migrations, behind
from ..storage.repositories import heartbeats, outbox
from .auth import trusted_loopback
from .patience import Patience
from .views import letter_json

PAGE = Path(__file__).parent / "page"
FILES = {"page.css": "text/css", **dict.fromkeys(["page.js", "stream.js", "words.js"], "text/javascript")}
SILENT = timedelta(seconds=60)
"""A worker that has not said for so long that it lives does not."""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Vitals:
    """What the routes need. `local` shows the mailbox to this machine's own browser (development); `works`:
    this process is a worker itself."""

    version: str
    database: Database
    migrations: Sequence[Migrations]
    local: bool
    works: bool


def router(vitals: Vitals) -> APIRouter:
    """The routes; none of them says anything about anybody."""
    routes, patience, born = APIRouter(tags=["health"]), Patience(), time.monotonic()

    @routes.get("/health")
    async def health() -> Response:
        """The process lives. Touches nothing outside."""
        return _json({"status": "ok", "version": vitals.version})

    @routes.get("/ready")
    async def ready() -> Response:
        """Database, migrations, worker; 503 names the one that fails."""
        young = vitals.works and time.monotonic() - born < SILENT.total_seconds()
        try:
            failing = await patience.wait(
                vitals.database.read(lambda conn: _failing(conn, vitals.migrations, young))
            )
        except DatabaseUnavailable:
            failing = "database"
        if failing is not None:
            return _json({"status": "unready", "failing": failing}, 503)
        return _json({"status": "ready"})

    @routes.get("/", include_in_schema=False)
    async def root() -> Response:
        """Who runs this looks at the console first; users are sent to `/chat`."""
        return RedirectResponse("/console", 307)

    @routes.get("/chat", include_in_schema=False)
    async def page() -> Response:
        """A plain page to talk to the agent."""
        return FileResponse(
            PAGE / "page.html", media_type="text/html", headers={"Content-Security-Policy": _POLICY}
        )

    @routes.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name not in FILES:
            raise NotFound("there is no such file")
        return FileResponse(PAGE / name, media_type=FILES[name])

    @routes.get("/page-mail", include_in_schema=False)
    async def mailbox(request: Request) -> Response:
        """The mail that waits in the outbox, in development, for this machine's own browser."""
        if not (vitals.local and trusted_loopback(request)):
            raise NotFound("there is no such page")
        rows = await vitals.database.read(lambda conn: outbox.page(conn, None, None, 20))
        return _json({"items": [letter_json(row) for row in rows if row.kind == "mail"]})

    return routes


def _failing(conn: Connection, migrations: Sequence[Migrations], young: bool) -> str | None:
    """`young`: the first sweep of this very process is still to come, or just over."""
    if behind(conn, migrations):
        return "migrations"
    if young:
        return None
    beat = heartbeats.latest(conn)
    return "worker" if beat is None or beat < now(conn) - SILENT else None


def _json(data: object, status: int = 200) -> Response:
    return Response(json.dumps(data), status, media_type="application/json")
