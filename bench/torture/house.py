"""The application under torture: its orders, its settings, its tools and a model that plans what it is told."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy import Connection, event, text

from llm_planner import Tool, ToolContext, ToolFailed
from llm_planner.application import Blueprint
from llm_planner.assembly import Ingredients
from llm_planner.clock import SystemClock
from llm_planner.llm.base import ChatReply, ChatRequest
from llm_planner.settings import Settings, load_settings
from llm_planner.storage.database import SqliteDatabase, connect
from llm_planner.tools import ToolRegistry

from .deaths import DyingDatabase, Points

SECRET = "a-secret-key-for-the-torture-0123456789"
OPERATOR_KEY = "operator-key-of-the-torture-0123456789"
OPERATOR, ROLE = "olga", "approver"
PROMPTS = Path(__file__).parent.parent.parent / "app" / "prompts"
CALL_S = 4.0
"""How long a call of a tool may take."""
LEDGER = "CREATE TABLE torture_ledger (call_key VARCHAR(64) NOT NULL, line VARCHAR(200) NOT NULL)"


@dataclass(frozen=True, slots=True)
class Orders:
    """What one process is told. `dies_at` is the number of the point at which it sends itself `by`."""

    url: str
    folder: str
    reply_url: str
    port: int = 0
    lease_s: float = 3.0
    model_s: float = 0.03
    dies_at: int = 0
    by: int = signal.SIGKILL
    settings: Mapping[str, Any] = field(default_factory=dict)


class LineInput(BaseModel):
    line: str


class Look(Tool):
    """A read."""

    name = "look"
    description = "Look at one line."
    input_model = LineInput
    write = False
    timeout_s = CALL_S

    async def run(self, args: LineInput, ctx: ToolContext) -> dict[str, str]:
        reach("the read has begun")
        return {"line": args.line}


class Ledger(Tool):
    """A write that appends one line: the effect that happens once a confirmation, or is not known."""

    name = "ledger"
    description = "Write one line."
    input_model = LineInput
    timeout_s = CALL_S

    async def run(self, args: LineInput, ctx: ToolContext) -> dict[str, str]:
        reach("the write has begun")
        await ctx.db.run(lambda conn: append(conn, ctx.idempotency_key, args.line))
        return {"line": args.line}


class CheckedLedger(Ledger):
    """The same, and it can say afterwards what happened."""

    name = "ledger_checked"

    async def reconcile(self, args: LineInput, ctx: ToolContext) -> Any:
        if await ctx.db.run(lambda conn: lines(conn, ctx.idempotency_key)):
            return {"line": args.line}
        raise ToolFailed("it never arrived")


class RepeatableLedger(Ledger):
    """The same, safe to call again with the same key."""

    name = "ledger_once"
    idempotent = True

    async def run(self, args: LineInput, ctx: ToolContext) -> dict[str, str]:
        reach("the write has begun")
        await ctx.db.run(
            lambda conn: lines(conn, ctx.idempotency_key) or append(conn, ctx.idempotency_key, args.line)
        )
        return {"line": args.line}


class OperatorsLedger(Ledger):
    """The same, and an operator decides."""

    name = "ledger_approved"
    approver = ROLE


class Poison(Tool):
    """A read that takes its process with it, as the kernel does with one that is out of memory."""

    name = "poison"
    description = "Eat all memory."
    input_model = LineInput
    write = False

    async def run(self, args: LineInput, ctx: ToolContext) -> dict[str, str]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


TOOLS = [Look, Ledger, CheckedLedger, RepeatableLedger, OperatorsLedger, Poison]


def append(conn: Connection, key: str, line: str) -> None:
    conn.execute(
        text("INSERT INTO torture_ledger (call_key, line) VALUES (:key, :line)"), {"key": key, "line": line}
    )


def lines(conn: Connection, key: str) -> int:
    return int(
        conn.execute(
            text("SELECT COUNT(*) FROM torture_ledger WHERE call_key = :key"), {"key": key}
        ).scalar_one()
    )


def reach(what: str) -> None:
    """A point of this process, if it has been given any."""
    if Reached.points is not None:
        Reached.points.reach(what)


class Reached:
    """The points of this process: tools are made by name, so they can't be handed any."""

    points: ClassVar[Points | None] = None


class TorturedModel:
    """Plans one call from the last two words of a message, after a pause, and notes that it was asked."""

    name = "scripted/torture"

    def __init__(self, pause_s: float, asked: Path) -> None:
        self._pause_s = pause_s
        self._asked = asked

    async def complete(self, request: ChatRequest) -> ChatReply:
        tool, line = request.messages[-1].content.split()[-2:]
        with self._asked.open("a") as file:
            file.write(f"{line}\n")
        await asyncio.sleep(self._pause_s)
        if tool == "poisonous":
            os.kill(os.getpid(), signal.SIGKILL)
        plan = {"reply": None, "tool_calls": [{"id": "s1", "tool": tool, "args": {"line": line}}]}
        reach("the model has answered")
        return ChatReply(json.dumps(plan), self.name, 10, 10, 0, "stop", 1)

    def stream(self, request: ChatRequest) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return


class MovedClock(SystemClock):
    """The machine's clock, moved by as many seconds as a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=moved(self._file))


def moved(file: Path) -> float:
    return float(file.read_text()) if file.exists() else 0.0


def settings_of(orders: Orders) -> Settings:
    """Settings that nothing of the machine changes."""
    values: dict[str, Any] = {
        "environment": "development", "db_url": orders.url, "data_dir": orders.folder, "secret_key": SECRET,
        "db_auto_migrate": False, "log_level": "warning", "host": "127.0.0.1", "port": orders.port or 8000,
        "provider": "generic", "provider_hmac_secret": SECRET, "generic_reply_url": orders.reply_url,
        "operator_api_keys": f"{OPERATOR}:{ROLE}:{OPERATOR_KEY}", "default_locale": "en",
        "budget_session_calls": 0, "budget_account_calls": 0, "budget_queued_messages": 1000,
        "rate_limit_session": 0, "rate_limit_key": 0, "rate_limit_address": 0,
    }  # fmt: skip
    return load_settings(_env_file=None, **{**values, **orders.settings})


def _may_be_full(database: SqliteDatabase, file: Path) -> None:
    """Let the database have as many pages as a file says, while there is one."""

    @event.listens_for(database._write_engine, "begin")
    def _limit(conn: Connection) -> None:
        most = file.read_text() if file.exists() else "1073741823"
        conn.exec_driver_sql(f"PRAGMA max_page_count = {most}")


def blueprint(orders: Orders) -> Blueprint:
    """The application that these orders describe."""
    folder, points = Path(orders.folder), Points(orders.dies_at, orders.by)
    Reached.points = points
    clock = MovedClock(folder / "clock")
    model = TorturedModel(orders.model_s, folder / "asked")
    inner = connect(orders.url, clock)
    if isinstance(inner, SqliteDatabase):
        _may_be_full(inner, folder / "pages")
    database = DyingDatabase(inner, points)
    made_of = Ingredients(
        settings_of(orders), ToolRegistry(TOOLS), PROMPTS, clock, model, orders.lease_s, database=database
    )  # fmt: skip
    return Blueprint(made_of, ())
