"""The harness: a real server on a loopback port, a client, and the database's rows to assert on."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import aiohttp
from fastapi import FastAPI
from sqlalchemy import text

from llm_planner import Tool, create_app
from llm_planner.application import app_of
from llm_planner.assembly import Parts
from llm_planner.clock import Clock, SystemClock
from llm_planner.llm.base import ChatModel
from llm_planner.settings import Settings, load_settings
from llm_planner.storage.database import Database, connect
from llm_planner.testing.conversation import served

ROOT = Path(__file__).parent.parent
PROMPTS = ROOT / "app" / "prompts"
INTERNAL_KEY = "internal-key-of-the-tests"
OPERATOR_KEYS = {
    role: f"operator-key-{role}-0123456789" for role in ("viewer", "operator", "approver", "admin", "billing")
}


def settings_for(db_url: str, data_dir: Path, **more: Any) -> Settings:
    """Settings that nothing outside the test can change."""
    values: dict[str, Any] = {
        "_env_file": None,
        "db_url": db_url,
        "data_dir": data_dir,
        "secret_key": "a-secret-key-for-the-tests-0123456789",
        "internal_api_key": f"backend:{INTERNAL_KEY}",
        "operator_api_keys": ",".join(f"{role}-anne:{role}:{key}" for role, key in OPERATOR_KEYS.items()),
        "db_auto_migrate": False,
        "log_level": "error",
    }
    return load_settings(**{**values, **more})


class Client:
    """Talks to one served application."""

    def __init__(self, url: str, http: aiohttp.ClientSession, app: FastAPI) -> None:
        self.url = url
        self.http = http
        self.app = app

    @property
    def parts(self) -> Parts:
        parts: Parts = self.app.state.parts
        return parts

    async def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """Status and JSON of one POST with a JSON body."""
        async with self.http.post(self.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        async with self.http.get(self.url + path, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def say(self, message: str, session: str | None = "demo", **more: Any) -> dict[str, Any]:
        """One turn over `/agent`; it must be a 200."""
        body = {"message": message, **({"session_id": session} if session is not None else {}), **more}
        status, data = await self.post("/agent", body)
        assert status == 200, data
        found: dict[str, Any] = data
        return found

    async def rows(self, sql: str, **values: Any) -> list[Any]:
        """Rows of one SELECT, or none for another statement."""
        return await rows(self.parts.database, sql, **values)


async def rows(database: Database, sql: str, **values: Any) -> list[Any]:
    def query(conn: Any) -> list[Any]:
        result = conn.execute(text(sql), values)
        return list(result.all()) if result.returns_rows else []

    return await database.run(query)


def operator(role: str) -> dict[str, str]:
    """The header of the operator with this role."""
    return {"Authorization": f"Bearer {OPERATOR_KEYS[role]}"}


@asynccontextmanager
async def serving(
    settings: Settings,
    tools: Sequence[Tool | type[Tool]],
    model: ChatModel | None = None,
    clock: Clock | None = None,
    prompts: Path = PROMPTS,
    **more: Any,
) -> AsyncIterator[Client]:
    """Serve an application until the block ends; then it is drained and closed like on SIGTERM. `more` goes
    to its Ingredients; the small model stays away unless it is there."""
    app = create_app(tools=tools, prompts=prompts, settings=settings, model=model, clock=clock)
    blueprint = app.state.blueprint
    app = app_of(replace(blueprint, ingredients=replace(blueprint.ingredients, **{"copier": None, **more})))
    async with aiohttp.ClientSession() as http, served(app) as url:  # whoever waits is answered first
        yield Client(url, http, app)


def open_database(url: str) -> Database:
    return connect(url, SystemClock())


@asynccontextmanager
async def sqlite_servers(template: Path, folder: Path) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """`start(tools=…, model=…, **settings)` serves over one SQLite file, a copy of a migrated one; for what
    does not depend on the database."""
    path = folder / "test.db"
    shutil.copy(template, path)
    async with AsyncExitStack() as stack:

        async def start(*, tools: Any, model: ChatModel | None = None, **settings: Any) -> Client:
            made = settings_for(f"sqlite:///{path}", folder, **settings)
            return await stack.enter_async_context(serving(made, tools, model))

        yield start


@contextmanager
def in_a_thread(settings: Settings, tools: Sequence[Tool | type[Tool]], model: ChatModel) -> Iterator[Client]:
    """The same with a loop of its own, for tests that are no coroutines: only the client's address is of use."""
    ready: Queue[tuple[Client, asyncio.AbstractEventLoop, asyncio.Event]] = Queue()

    async def live() -> None:
        async with serving(settings, tools, model) as client:
            over = asyncio.Event()
            ready.put((client, asyncio.get_running_loop(), over))
            await over.wait()

    thread = Thread(target=asyncio.run, args=(live(),))
    thread.start()
    client, loop, over = ready.get(timeout=30)
    try:
        yield client
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
