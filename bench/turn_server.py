"""The server under test of `bench turn`: an application with one read and one write tool, counting its SQL.

`GET /bench` gives CPU seconds, resident bytes, statements and transactions since the start.
"""

import os
import resource
import sys
from collections import Counter
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import event
from sqlalchemy.engine import Engine

from llm_planner import Tool, ToolContext, create_app

COUNTED: Counter[str] = Counter()


class LookupInput(BaseModel):
    order_id: str


class Lookup(Tool):
    name = "lookup"
    description = "Status of one order."
    input_model = LookupInput
    write = False

    async def run(self, args: LookupInput, ctx: ToolContext) -> dict[str, str]:
        return {"order_id": args.order_id, "state": "shipped"}


class Note(Tool):
    name = "note"
    description = "Write a note."
    input_model = LookupInput
    write = True

    async def run(self, args: LookupInput, ctx: ToolContext) -> dict[str, str]:
        return {"order_id": args.order_id}


def resident_bytes() -> int:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def made() -> FastAPI:
    """The application, with a route that tells what it used."""
    app = create_app(tools=[Lookup, Note], prompts=Path(__file__).parent.parent / "app" / "prompts")

    @app.get("/bench")
    async def used() -> dict[str, float]:
        spent = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "cpu_s": spent.ru_utime + spent.ru_stime,
            "resident": resident_bytes(),
            "statements": COUNTED["statements"],
            "transactions": COUNTED["transactions"],
        }

    return app


@event.listens_for(Engine, "before_cursor_execute")
def _statement(conn: object, cursor: object, statement: str, *rest: object) -> None:
    if not statement.startswith(("BEGIN", "COMMIT", "PRAGMA")):
        COUNTED["statements"] += 1


@event.listens_for(Engine, "commit")
def _transaction(conn: object) -> None:
    COUNTED["transactions"] += 1


if __name__ == "__main__":
    uvicorn.run(made(), host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_config=None)
