"""What only asking tells: database and worker, the planner's model, the mail server. Each answers in seconds."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from sqlalchemy import URL, Connection

from ..application import Blueprint
from ..assembly import OLLAMA_CLOUD, OLLAMA_LOCAL, OPENAI, Parts, sqlite_lock
from ..clock import SystemClock
from ..delivery.pace import Pace
from ..errors import DatabaseUnavailable, StartError
from ..llm.wire import mapping
from ..mail import SmtpCourier
from ..settings import Settings
from ..storage.database import normal_url, now
from ..storage.migrate import behind
from ..storage.repositories import outbox, turns, writes
from ..storage.states import OutboxState
from ..turn.outbox import Refused
from .checks import LOCAL
from .findings import Finding, finding

ASKED_S: Final = 10.0
OVERDUE: Final = timedelta(seconds=60)
MOST_SKEW_S: Final = 30.0


async def of_database(blueprint: Blueprint, parts: Parts) -> AsyncIterator[Finding]:
    """Whether it answers, its schema, its clock, and what in it waits for somebody."""
    settings, url = parts.settings, normal_url(parts.settings.database_url)
    where = url.render_as_string(hide_password=True)
    if _not_made(url):
        yield finding("database", "note", "database_new", where=where)
        return
    try:
        missing = await parts.database.read(lambda conn: behind(conn, blueprint.migrations))
        if missing:
            yield _behind(settings, ", ".join(missing))
            return
        seen = await parts.database.read(_seen)
    except DatabaseUnavailable as error:
        yield finding("database", "broken", "database_away", where=where, why=error.detail)
        return
    yield finding("database", "ok", "database", where=where)
    for found in _told(seen, abs((seen.moment - blueprint.ingredients.clock.now()).total_seconds())):
        yield found
    for found in [*_tls(url), *_lock(settings)]:
        yield found


def _not_made(url: URL) -> bool:
    """Whether it is an SQLite file that nobody has made yet; looking into it would make it."""
    return url.get_backend_name() == "sqlite" and not Path(url.database or "").exists()


def _behind(settings: Settings, tables: str) -> Finding:
    if settings.migrates:
        return finding("database", "note", "migrations_at_start", tables=tables)
    return finding("database", "broken", "migrations", tables=tables)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What stands in the database."""

    moment: Any
    neglected: bool
    dead: int
    unknown: int
    writes: int


def _seen(conn: Connection) -> _Seen:
    moment = now(conn)
    return _Seen(
        moment,
        turns.neglected(conn, moment - OVERDUE) or outbox.neglected(conn, moment - OVERDUE),
        outbox.count(conn, OutboxState.DEAD),
        outbox.count(conn, OutboxState.UNKNOWN),
        writes.count_unknown(conn),
    )


def _told(seen: _Seen, skew_s: float) -> Iterator[Finding]:
    if skew_s > MOST_SKEW_S:
        yield finding("database", "broken", "clock", seconds=round(skew_s))
    if seen.neglected:
        yield finding("worker", "broken", "no_worker")
    else:
        yield finding("worker", "ok", "worker")
    for state, count in ((OutboxState.DEAD, seen.dead), (OutboxState.UNKNOWN, seen.unknown)):
        if count:
            yield finding("outbox", "note", "dead_letters", count=count, kind=state.value)
    if seen.writes:
        yield finding("writes", "note", "unknown_writes", count=seen.writes)


def _tls(url: URL) -> Iterator[Finding]:
    if url.host and url.host not in LOCAL and "ssl_ca" not in url.query:
        yield finding("database", "note", "database_no_tls")


def _lock(settings: Settings) -> Iterator[Finding]:
    """On SQLite the lock of the engine process says whether there is one."""
    lock = sqlite_lock(settings)
    if lock is None:
        return
    try:
        lock.acquire()
    except StartError:
        yield finding("worker", "ok", "running")
    else:
        lock.release()
        yield finding("worker", "note", "not_running")


async def of_planner(settings: Settings, given: str | None) -> Finding:
    """Whether the configured model's server answers, takes the key, and has the model."""
    if given is not None:
        return finding("planner", "ok", "given_model", name=given)
    if settings.llm == "embedded":
        return finding("planner", "ok", "embedded")
    asked = _ollama(settings) if settings.llm == "ollama" else _openai(settings)
    where, status, names = urlsplit(asked.url).netloc.rpartition("@")[2], 0, None
    headers = {"Authorization": f"Bearer {asked.key}"} if asked.key else {}
    try:
        timeout = aiohttp.ClientTimeout(total=ASKED_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(asked.url, headers=headers, allow_redirects=False) as answer,
        ):
            status, names = answer.status, _names(await answer.json(content_type=None))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        why, variable = type(error).__name__, f"{asked.prefix}_BASE_URL"
        return finding("planner", "broken", "model_away", where=where, why=why, variable=variable)
    except ValueError:
        names = None
    return _judged(asked, where, status, names)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Where a server lists its models, and which one we want."""

    prefix: str
    url: str
    key: str
    model: str


def _ollama(settings: Settings) -> _Asked:
    key = settings.ollama_api_key.get_secret_value() if settings.ollama_api_key else ""
    base = settings.ollama_base_url or (OLLAMA_CLOUD if key else OLLAMA_LOCAL)
    return _Asked("OLLAMA", f"{base.rstrip('/')}/api/tags", key, settings.ollama_model)


def _openai(settings: Settings) -> _Asked:
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
    base = settings.openai_base_url or OPENAI
    return _Asked("OPENAI", f"{base.rstrip('/')}/models", key, settings.openai_model)


def _names(listed: object) -> set[str] | None:
    """The names in Ollama's `models` or OpenAI's `data`; None where there is no such list."""
    found = mapping(listed)
    rows = found.get("models", found.get("data"))
    if not isinstance(rows, list):
        return None
    return {str(mapping(row).get("name") or mapping(row).get("id")) for row in rows}


def _judged(asked: _Asked, where: str, status: int, names: set[str] | None) -> Finding:
    if status in (401, 403):
        return finding("planner", "broken", "model_key", where=where, variable=f"{asked.prefix}_API_KEY")
    if status != 200 or names is None:
        return finding("planner", "note", "model_unsure", where=where, status=status)
    if not {asked.model, f"{asked.model}:latest"} & names:
        variable = f"{asked.prefix}_MODEL"
        return finding(
            "planner", "broken", "model_missing", where=where, model=asked.model, variable=variable
        )
    return finding("planner", "ok", "model", where=where, model=asked.model)


async def of_mail(settings: Settings) -> Finding:
    """Whether the mail server answers and takes the credentials; no letter is sent."""
    if settings.smtp_url is None:
        return finding("mail", "note", "no_mail")
    url = settings.smtp_url.get_secret_value()
    where = urlsplit(url).hostname or "?"
    try:
        await asyncio.to_thread(SmtpCourier(url, settings.mail_from, Pace(SystemClock())).probe)
    except Refused as error:
        return finding("mail", "broken", "mail_away", where=where, why=error)
    return finding("mail", "ok", "mail", where=where)
