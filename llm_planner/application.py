"""The application: create_app() puts the parts together behind the HTTP doors; they go down in order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from alembic.util.exc import CommandError
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .api import health, operators, provider, turns, writes
from .api.auth import Doorkeeper
from .api.edge import Edge, problem, problem_of
from .api.feed import Sources
from .api.jwt import JwtVerifier
from .api.limits import RateLimits, rate_limits
from .api.machine_keys import MachineKeys
from .api.turnstile import Turnstile
from .assembly import PROMPTS, Ingredients, Parts, assemble, sqlite_lock, tool_registry
from .clock import Clock, SystemClock
from .console import doors as console
from .console.house import House, Outside
from .embedded import SmallModel
from .errors import DatabaseUnavailable, PlannerError
from .exporting import start_exporting
from .llm.base import ChatModel
from .logs import configure_logs
from .plugins import load_plugins
from .prompts import load_prompt
from .providers import public_base, secret_setting
from .settings import Settings, load_settings
from .storage.database import connect
from .storage.migrate import Migrations, app_migrations, core_migrations
from .tools import Tool
from .version import __version__

logger = logging.getLogger("llm_planner")
DRAIN_S = 25.0
"""How long running turns may finish after SIGTERM; platforms grant about 30 seconds."""

LARGEST_KEY_SET = 1_000_000
UPGRADE_TRIES = 6


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What `create_app` was given, for the command line to build the same from."""

    ingredients: Ingredients
    migrations: Sequence[Migrations]


def create_app(
    *,
    tools: Iterable[Tool | type[Tool]],
    prompts: Path,
    migrations: Path | None = None,
    settings: Settings | None = None,
    model: ChatModel | None = None,
    clock: Clock | None = None,
) -> FastAPI:
    """The ASGI application.

    `prompts` is the folder of planner.md, answerer.md and summary.md; `migrations` the app's own Alembic scripts.
    `settings`, `model` and `clock` stand in for the environment, the configured model and the machine's
    clock in tests. Raises StartError for wrong settings or tools; nothing is opened before the server starts.
    """
    settings = settings or load_settings()
    registry = tool_registry(settings, tools)
    ruled = model is None and settings.llm == "embedded" and settings.embedded_model is None
    copier = SmallModel if ruled else None
    ingredients = Ingredients(settings, registry, prompts, clock or SystemClock(), model, copier=copier)
    ingredients = replace(ingredients, plugins=load_plugins(settings))
    return app_of(Blueprint(ingredients, [core_migrations(), *app_migrations(migrations)]))


def app_of(blueprint: Blueprint) -> FastAPI:
    """The same from all that it is made of."""
    settings = blueprint.ingredients.settings
    limits = rate_limits(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with aclosing(limits), running(blueprint, background=settings.workers_inline) as parts:
            _open_doors(app, parts, blueprint, limits)
            app.state.parts = parts
            yield

    docs = None if settings.production else "/docs"
    schema = None if settings.production else "/openapi.json"
    app = FastAPI(
        title="llm-planner",
        version=__version__,
        lifespan=lifespan,
        docs_url=docs,
        redoc_url=None,
        openapi_url=schema,
        swagger_ui_oauth2_redirect_url=None,
    )
    app.add_middleware(Turnstile, limits=limits, proxies=settings.trusted_proxies)
    app.add_middleware(Edge, hosts=settings.hosts)
    app.add_exception_handler(PlannerError, _planner_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.state.blueprint = blueprint
    return app


@asynccontextmanager
async def running(blueprint: Blueprint, *, background: bool) -> AsyncIterator[Parts]:
    """One engine process: locked, migrated, started; at the end drained and closed."""
    settings = blueprint.ingredients.settings
    configure_logs(settings.log_format or ("json" if settings.production else "pretty"), settings.log_level)
    stop_exporting = start_exporting(settings)
    lock = sqlite_lock(settings)
    parts = assemble(blueprint.ingredients)
    try:
        if lock is not None:
            lock.acquire()
        if settings.migrates:
            await upgrade(parts, blueprint.migrations)
        await parts.warm()
        await parts.engine.start(parts.worker, background=background)
        _announce(parts)
        yield parts
    finally:
        await parts.engine.drain(DRAIN_S)
        await parts.close()
        if lock is not None:
            lock.release()
        await asyncio.to_thread(stop_exporting)


async def upgrade(parts: Parts, migrations: Sequence[Migrations]) -> None:
    """Bring every schema to its head. Several processes may do so at once: who comes late looks again."""

    def transaction(conn: Connection) -> None:
        for item in migrations:
            item.upgrade(conn)

    url = parts.database.url.render_as_string(hide_password=False)
    patient = connect(url, SystemClock(), answer_s=None)
    try:
        for attempt in range(1, UPGRADE_TRIES):
            try:
                return await patient.run(transaction)
            except (DatabaseUnavailable, IntegrityError, CommandError):
                await asyncio.sleep(0.2 * attempt)
        return await patient.run(transaction)
    finally:
        await patient.close()


def _open_doors(app: FastAPI, parts: Parts, blueprint: Blueprint, limits: RateLimits) -> None:
    settings = parts.settings
    verifier = JwtVerifier(settings, _fetch) if settings.who_may_chat == "jwt" else None
    doorkeeper = Doorkeeper(settings, parts.keys, verifier, MachineKeys(parts.database))
    desk = turns.Desk(parts.inbox, Sources(parts.engine, parts.worker.waiters, parts.views))
    vitals = health.Vitals(
        __version__, parts.database, blueprint.migrations, not settings.production, settings.workers_inline
    )
    app.include_router(health.router(vitals))
    app.include_router(turns.router(turns.Doors(desk, doorkeeper, limits)))
    app.include_router(provider.router(_provider_door(parts, blueprint.ingredients.clock)))
    office = operators.Office(parts.database, doorkeeper, desk)
    app.include_router(operators.router(office))
    app.include_router(writes.router(office))
    app.include_router(console.router(_house(parts, blueprint, office), blueprint.ingredients.clock))


def _house(parts: Parts, blueprint: Blueprint, office: operators.Office) -> House:
    settings, folder = parts.settings, blueprint.ingredients.prompts
    planner = parts.model.name if parts.model is not None else "embedded"
    outside = Outside(planner, tuple(parts.channels), settings.smtp_url is not None)
    there = [name for name in PROMPTS if (folder / f"{name}.md").is_file()]
    prompts = [load_prompt(folder, name, PROMPTS[name]) for name in there]
    return House(
        settings=settings,
        keys=parts.keys,
        office=office,
        registry=parts.registry,
        audit=parts.audit,
        guard=parts.guard,
        inbox=parts.inbox,
        views=parts.views,
        nudge=parts.worker.nudge,
        prompts=prompts,
        outside=outside,
    )


def _provider_door(parts: Parts, clock: Clock) -> provider.ProviderDoor:
    settings = parts.settings
    policy = provider.Policy(
        settings.provider,
        public_base(settings),
        settings.provider_max_body_bytes,
        settings.provider_verify_signature,
        partial(secret_setting, settings),
    )
    return provider.ProviderDoor(parts.channels, policy, parts.inbox, parts.engine, parts.statuses, clock)


async def _fetch(url: str) -> bytes:
    """The body at an address of ours. Raises OSError."""
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as answer:
            answer.raise_for_status()
            body = bytearray()
            async for chunk in answer.content.iter_chunked(65536):
                body += chunk
                if len(body) > LARGEST_KEY_SET:
                    raise OSError(f"more than {LARGEST_KEY_SET} bytes from {url}")
            return bytes(body)
    except aiohttp.ClientError as error:
        raise OSError(f"{type(error).__name__} from {url}") from error


def _announce(parts: Parts) -> None:
    settings = parts.settings
    plans = (
        parts.model.name if parts.model is not None else "embedded (rules and retrieval; no key, no server)"
    )
    logger.info("planner: %s; tools: %s", plans, ", ".join(spec.name for spec in parts.registry) or "none")
    logger.info("database: %s; web: %s", parts.database.url.render_as_string(), settings.who_may_chat)
    logger.info("/provider/inbound: %s; doors: %s", settings.provider, ", ".join(parts.channels))
    if not settings.provider_verify_signature:
        logger.warning(
            "PROVIDER_VERIFY_SIGNATURE=0: NOBODY CHECKS WHO SENDS TO /provider/inbound. Anybody can speak as "
            "any user, and confirm what is pending. Never outside a closed network."
        )
    if not settings.internal_keys:
        logger.info("/wa/agent is shut: no INTERNAL_API_KEY is configured")


async def _planner_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, PlannerError):
        raise error
    if error.status >= 500:
        logger.warning("request %s: %s: %s", request.scope.get("request_id"), type(error).__name__, error)
    return problem_of(error)


async def _http_error(request: Request, error: Exception) -> Response:
    status: Any = getattr(error, "status_code", 500)
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "http_error")
    return problem(status, code, headers=getattr(error, "headers", None))


async def _validation_error(request: Request, error: Exception) -> Response:
    return problem(422, "invalid_request")
