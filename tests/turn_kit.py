"""What the tests of a turn share: models that always plan the same, rows by table, and processes that die."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from llm_planner.application import Blueprint, running
from llm_planner.assembly import Ingredients, Parts
from llm_planner.clock import SystemClock
from llm_planner.llm.base import ChatModel, ChatRequest
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.messages import Decision, InboundMessage, SessionKey
from llm_planner.storage.database import Database
from llm_planner.tools import Tool, ToolRegistry
from llm_planner.turn.tokens import Tokens

from .harness import PROMPTS, Client, rows, settings_for
from .tools import LEDGER, plan

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def always(answer: str | Callable[[ChatRequest], str]) -> ScriptedModel:
    """A model that gives the same answer to everything."""
    return ScriptedModel(itertools.repeat(answer))


def ledger(what: str = "tea", amount: int = 1, tool: str = "ledger_add") -> str:
    """A plan with one write."""
    return plan((tool, {"what": what, "amount": amount}))


async def with_ledger(client: Client) -> Client:
    await client.rows(LEDGER)
    return client


async def parked(
    client: Client, session: str = "demo", message: str = "please", **more: Any
) -> dict[str, Any]:
    """Say something that parks writes; the turn."""
    turn = await client.say(message, session=session, **more)
    assert turn["status"] == "needs_confirmation", turn
    return turn


def token(turn: dict[str, Any], place: int = 0) -> str:
    """The token of a parked write."""
    found: str = turn["confirmations"][place]["token"]
    return found


async def states(client: Client) -> list[str]:
    """The states of all confirmations, oldest first."""
    return [
        row.state
        for row in await client.rows("SELECT state FROM pending_confirmations ORDER BY created_at, id")
    ]


async def effects(client: Client) -> list[tuple[str, int]]:
    """What was written into the ledger."""
    return [
        (row.what, row.amount) for row in await client.rows("SELECT what, amount FROM ledger ORDER BY what")
    ]


async def kinds(client: Client) -> list[str]:
    return [row.kind for row in await client.rows("SELECT kind FROM audit_events ORDER BY session_id, seq")]


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition on the rows holds; ten seconds are never."""
    async with asyncio.timeout(10):
        while not await true():  # noqa: ASYNC110 - what is waited for happens in the database
            await asyncio.sleep(0.01)


async def there_are(client: Client, number: int, query: str) -> bool:
    return len(await client.rows(query)) == number


async def move_back(client: Client, table: str, column: str) -> None:
    """Let a time in every row of a table be long ago."""
    await client.rows(f"UPDATE {table} SET {column} = :t WHERE {column} IS NOT NULL", t=LONG_AGO)


def key_of(label: str) -> SessionKey:
    """The key of a session of the open web."""
    return SessionKey("web", "web", f"anon:{label}", label)


def message(
    label: str, message_id: str, text: str, *, verbs: bool = True, decision: Decision | None = None
) -> InboundMessage:
    return InboundMessage(key_of(label), message_id, text, "en", verbs, decision)


async def run_in(parts: Parts, inbound: InboundMessage) -> str:
    """Accept a message and work on its session until nothing is left; the id of the turn."""
    accepted = await parts.inbox.accept(inbound, take=True)
    more = await parts.worker.run_next(accepted.session_id, accepted.claimed)
    while more:
        more = await parts.worker.run_next(accepted.session_id, None)
    return accepted.turn_id


@asynccontextmanager
async def process(
    db_url: str,
    data_dir: Path,
    tools: Sequence[type[Tool] | Tool],
    model: ChatModel,
    doubles: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> AsyncIterator[Parts]:
    """A process without HTTP and without a sweep: the test drives its handlers. `doubles` are other Ingredients."""
    made = settings_for(db_url, data_dir, **settings)
    ingredients = Ingredients(made, ToolRegistry(tools), PROMPTS, SystemClock(), model, **doubles)
    async with running(Blueprint(ingredients, ()), background=False) as parts:
        yield parts


def live_token(parts: Parts, confirmation_id: str) -> str:
    return Tokens(parts.keys).of(confirmation_id)


class Stopped:
    """A database of a process that is stopped for some time right after one of its transactions."""

    def __init__(self, inner: Any, after: str, seconds: float) -> None:
        self.url, self.read, self.close = inner.url, inner.read, inner.close
        self._inner, self._after, self._seconds = inner, after, seconds

    async def run(self, fn: Any) -> Any:
        found = await self._inner.run(fn)
        if fn.__qualname__.startswith(self._after):
            time.sleep(self._seconds)  # noqa: ASYNC251 - nothing of the process runs meanwhile
        return found


class Dead(Exception):
    """Not DatabaseUnavailable: a process that is dead does not try again until its lease is over."""


class Death:
    """Stands before a process' database. Once armed, transaction number `at` is the last thing it sees:
    `before` it is not begun, `after` it is committed and the answer is lost, `hang` it never answers."""

    def __init__(self, database: Any) -> None:
        self._run, self._read = database.run, database.read
        database.run, database.read = self.run, self.read
        self._at = 0
        self._how = ""
        self._count = 0
        self.reached = asyncio.Event()

    def arm(self, at: int, how: str) -> None:
        self._at, self._how, self._count = at, how, 0
        self.reached = asyncio.Event()

    def disarm(self) -> None:
        self._at = 0

    async def run(self, fn: Any) -> Any:
        return await self._through(self._run, fn)

    async def read(self, fn: Any) -> Any:
        return await self._through(self._read, fn)

    async def _through(self, way: Any, fn: Any) -> Any:
        self._count += 1
        if not self._at or self._count < self._at:
            return await way(fn)
        if self._count == self._at:
            self.reached.set()
            if self._how == "after":
                await way(fn)
        if self._how == "hang":
            await asyncio.Event().wait()
        raise Dead("this process is dead")


async def die(parts: Parts, death: Death, inbound: InboundMessage, at: int, how: str) -> bool:
    """Work on a message and die at a transaction. False: it was over before that."""
    death.arm(at, how)
    task = asyncio.ensure_future(run_in(parts, inbound))
    fatal = asyncio.ensure_future(death.reached.wait())
    if how == "hang":
        await asyncio.wait([task, fatal], return_when=asyncio.FIRST_COMPLETED)
        task.cancel()
    await asyncio.wait([task])
    fatal.cancel()
    died = death.reached.is_set()
    if not task.cancelled() and task.exception() is not None:
        assert isinstance(task.exception(), Dead), task.exception()
    death.disarm()
    return died


POINTS = 24
"""More transactions than a turn has."""


async def die_everywhere(
    parts: Parts, ways: Sequence[str], last_words: Callable[[str], Awaitable[InboundMessage]]
) -> list[str]:
    """Die at every transaction of a turn, in each of these ways, in sessions of their own; the labels.

    The last of each way is a turn that was over before its death.
    """
    death, labels = Death(parts.database), list[str]()
    for how in ways:
        for at in range(1, POINTS):
            labels.append(f"{how}{at}")
            if not await die(parts, death, await last_words(labels[-1]), at, how):
                break
        assert 4 < at < POINTS - 1, "not every transaction was seen"
    await bury(parts.database)
    return labels


async def bury(database: Database) -> None:
    """As if a dead process' leases and deadlines had run out."""
    await rows(database, "UPDATE sessions SET lease_until = :t WHERE lease_until IS NOT NULL", t=LONG_AGO)
    await rows(database, "UPDATE tool_runs SET deadline_at = :t", t=LONG_AGO)
