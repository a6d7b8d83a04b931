"""One worker process of `bench torture`: a scripted model with latency, and a ledger whose every line is a row.

`python -m bench.torture_worker MILLISECONDS`, with DB_URL, DATA_DIR and SECRET_KEY in the environment.
"""

import asyncio
import json
import sys
from pathlib import Path

from pydantic import BaseModel
from sqlalchemy import Connection, text

from llm_planner import Tool, ToolContext
from llm_planner.application import Blueprint, running
from llm_planner.assembly import Ingredients
from llm_planner.clock import SystemClock
from llm_planner.llm.base import ChatReply, ChatRequest
from llm_planner.settings import load_settings
from llm_planner.storage.migrate import core_migrations
from llm_planner.tools import ToolRegistry

LEASE_S = 3.0
PLAN = {
    "reply": None,
    "tool_calls": [{"id": "s1", "tool": "ledger", "args": {}, "after": []}],
    "then": "answer",
}


class LedgerInput(BaseModel):
    line: str


class Ledger(Tool):
    """Appends one line: the effect that must happen at most once a confirmation."""

    name = "ledger"
    description = "Write one line."
    input_model = LedgerInput
    timeout_s = 2.0

    async def run(self, args: LedgerInput, ctx: ToolContext) -> dict[str, str]:
        await ctx.db.run(lambda conn: append(conn, ctx.idempotency_key, args.line))
        return {"line": args.line}


def append(conn: Connection, key: str, line: str) -> None:
    conn.execute(
        text("INSERT INTO torture_ledger (call_key, line) VALUES (:key, :line)"), {"key": key, "line": line}
    )


class SlowModel:
    """Plans one ledger line for every message, after a pause."""

    name = "scripted/torture"

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s

    async def complete(self, request: ChatRequest) -> ChatReply:
        await asyncio.sleep(self._pause_s)
        line = request.messages[-1].content.rsplit(maxsplit=1)[-1]
        call = {**PLAN["tool_calls"][0], "args": {"line": line}}  # type: ignore[index, dict-item]
        return ChatReply(json.dumps({**PLAN, "tool_calls": [call]}), self.name, 10, 10, 0, "stop", 1)

    def stream(self, request: ChatRequest) -> object:
        raise NotImplementedError

    async def close(self) -> None:
        return


def blueprint(pause_ms: float) -> Blueprint:
    prompts = Path(__file__).parent.parent / "app" / "prompts"
    made_of = Ingredients(
        load_settings(_env_file=None),
        ToolRegistry([Ledger]),
        prompts,
        SystemClock(),
        SlowModel(pause_ms / 1000),
        LEASE_S,  # type: ignore[arg-type]
    )
    return Blueprint(made_of, [core_migrations()])


async def work(pause_ms: float) -> None:
    async with running(blueprint(pause_ms), background=True):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(float(sys.argv[1])))
