"""Tools for tests: reads and writes whose every effect is a row, and which fail in every way a tool can."""

import asyncio
from typing import Any, ClassVar

from pydantic import BaseModel, Field
from sqlalchemy import Connection, text

from llm_planner import Tool, ToolContext, ToolFailed, ToolRetry

LEDGER = (
    "CREATE TABLE IF NOT EXISTS ledger "
    "(call_key VARCHAR(64) NOT NULL, what VARCHAR(200) NOT NULL, amount INTEGER NOT NULL)"
)


class LedgerInput(BaseModel):
    what: str = Field(description="what to write down", max_length=200)
    amount: int = Field(1, ge=0)


class Ledger(Tool):
    """A write. `what` also says how it ends: fail, retry, raise, hang, or raise-after / hang-after the effect."""

    name = "ledger_add"
    title = "Add to the ledger"
    description = "Write one line into the ledger."
    input_model = LedgerInput
    write = True
    timeout_s = 0.5
    calls: ClassVar[list[str]] = []

    async def run(self, args: LedgerInput, ctx: ToolContext) -> dict[str, object]:
        self.calls.append(ctx.idempotency_key)
        if args.what == "fail":
            raise ToolFailed("the ledger is closed")
        if args.what == "retry":
            raise ToolRetry("say it in other words")
        if args.what == "raise":
            raise RuntimeError("boom")
        if args.what == "hang":
            await asyncio.sleep(60)
        await ctx.db.run(lambda conn: add_line(conn, ctx.idempotency_key, args.what, args.amount))
        if args.what == "raise-after":
            raise ConnectionResetError("the connection was reset after the write left")
        if args.what == "hang-after":
            await asyncio.sleep(60)
        return {"written": args.what, "amount": args.amount}


class IdempotentLedger(Ledger):
    """The same, safe to call again with the same key."""

    name = "ledger_add_once"
    idempotent = True

    async def run(self, args: LedgerInput, ctx: ToolContext) -> dict[str, object]:
        self.calls.append(ctx.idempotency_key)
        key = ctx.idempotency_key
        first = await ctx.db.run(lambda conn: count_lines(conn, key)) == 0
        if first:
            await ctx.db.run(lambda conn: add_line(conn, key, args.what, args.amount))
        if first and args.what == "raise-after":
            raise ConnectionResetError("the connection was reset after the write left")
        return {"written": args.what, "amount": args.amount}


class ReconcilingLedger(Ledger):
    """The same as Ledger, and it can say afterwards what happened."""

    name = "ledger_add_checked"

    async def reconcile(self, args: LedgerInput, ctx: ToolContext) -> Any:
        if await ctx.db.run(lambda conn: count_lines(conn, ctx.idempotency_key)):
            return {"written": args.what, "amount": args.amount}
        raise ToolFailed("it never arrived")


class EchoInput(BaseModel):
    text: str = Field(description="what to repeat")


class Echo(Tool):
    """A read that repeats its argument."""

    name = "echo"
    title = "Echo"
    description = "Repeat a text."
    input_model = EchoInput
    write = False

    async def run(self, args: EchoInput, ctx: ToolContext) -> dict[str, object]:
        return {"text": args.text, "length": len(args.text)}


class Undeclared(Tool):
    """A tool whose author forgot to say whether it writes."""

    name = "undeclared"
    title = "Undeclared"
    description = "Does something."
    input_model = EchoInput

    async def run(self, args: EchoInput, ctx: ToolContext) -> dict[str, object]:
        return {"text": args.text}


def add_line(conn: Connection, key: str, what: str, amount: int) -> None:
    conn.execute(
        text("INSERT INTO ledger (call_key, what, amount) VALUES (:k, :w, :a)"),
        {"k": key, "w": what, "a": amount},
    )


def count_lines(conn: Connection, key: str) -> int:
    return int(conn.execute(text("SELECT COUNT(*) FROM ledger WHERE call_key = :k"), {"k": key}).scalar_one())


def plan(*calls: tuple[str, dict[str, Any]], reply: str | None = None, then: str = "answer") -> str:
    """The JSON of a plan with steps s1, s2, …"""
    import json

    steps = [{"id": f"s{n}", "tool": tool, "args": args} for n, (tool, args) in enumerate(calls, 1)]
    return json.dumps({"reply": reply, "tool_calls": steps, "then": then})
