"""`python dev.py bench plans [--plans FILE] [--quick]`: a plan's wall time against the ideal, and against other loops.

Each plan runs three times as a whole turn (inbox, planner, check, executor, answerer, close; SQLite; in this
process, without HTTP) in a session of its own, with tools that sleep and a model that thinks 300, 1,000 and
3,000 ms a call: as it is, one step after the other, and with one tool a model call. The ideal is the model's two
calls and the critical path, with nothing in between. Latencies are real and not scaled; `--at-once` sessions
share the process, as they would in a server. Without FILE the plans are generated, always the same ones.
Exit code 1 below 95 % of the ideal speed-up.
"""

import argparse
import asyncio
import itertools
import json
import re
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel

from llm_planner import Tool, ToolContext
from llm_planner.application import Blueprint, running
from llm_planner.assembly import Ingredients, Parts
from llm_planner.clock import SystemClock
from llm_planner.llm.base import ChatReply, ChatRequest
from llm_planner.messages import InboundMessage, SessionKey
from llm_planner.settings import load_settings
from llm_planner.storage.migrate import core_migrations
from llm_planner.tools import ToolRegistry

from .plan_shapes import Shape, generated, load

PROMPTS = Path(__file__).parent.parent / "app" / "prompts"
THINKS_MS = (300, 1000, 3000)
WAYS = ("planned", "serial", "react")
ENOUGH = 0.95


class SleepInput(BaseModel):
    ms: int
    context: list[Any] = []


class Sleeper(Tool):
    """A read that takes its time."""

    name = "search"
    description = "Looks something up."
    input_model = SleepInput
    write = False

    async def run(self, args: SleepInput, ctx: ToolContext) -> dict[str, int]:
        await asyncio.sleep(args.ms / 1000)
        return {"found": args.ms}


class Math(Sleeper):
    name = "math"
    description = "Works something out."


class Thinker:
    """The scripted model: thinks for a while, then says the plan that the message names."""

    name = "bench/thinker"

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self._shapes = {shape.name: shape for shape in shapes}

    async def complete(self, request: ChatRequest) -> ChatReply:
        asked = request.messages[-1].content
        await asyncio.sleep(int(re.findall(r"thinks (\d+)", asked)[-1]) / 1000)
        text = "It is done." if request.mode == "text" else self._plan(asked)
        return ChatReply(text, self.name, 1, 1, 0, "stop", 1)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        yield (await self.complete(request)).text

    async def close(self) -> None:
        """Nothing to close."""

    def _plan(self, asked: str) -> str:
        way, name = asked.rsplit("\n", 1)[-1].split()[:2]
        steps = [_call(step) for step in self._shapes[name].steps]
        if way == "serial":
            for before, step in itertools.pairwise(steps):
                step["after"] = [before["id"]]
        if way == "react":
            known = asked.count('"step": ')
            if known == len(steps):
                return json.dumps({"reply": "It is done."})
            return json.dumps({"tool_calls": [steps[known]], "then": "replan"})
        return json.dumps({"tool_calls": steps})


def _call(step: Any) -> dict[str, Any]:
    context = [{"$step": name, "pointer": "/found"} for name in step.needs]
    return {"id": step.id, "tool": step.tool, "args": {"ms": step.ms, "context": context}}


@dataclass(frozen=True, slots=True)
class Run:
    """One turn to take."""

    shape: Shape
    way: str
    thinks_ms: int

    @property
    def ideal_s(self) -> float:
        calls = len(self.shape.steps) + 1 if self.way == "react" else 2
        tools = self.shape.path_ms if self.way == "planned" else self.shape.whole_ms
        return (calls * self.thinks_ms + tools) / 1000


async def took(parts: Parts, run: Run) -> float:
    """Seconds from the message to its closed turn."""
    key = SessionKey("web", "web", "bench", f"{run.way}-{run.thinks_ms}-{run.shape.name}")
    message = InboundMessage(key, "m", f"{run.way} {run.shape.name} thinks {run.thinks_ms}", "en")
    began = time.perf_counter()
    accepted = await parts.inbox.accept(message, take=True)
    await parts.worker.run_next(accepted.session_id, accepted.claimed)
    took_s = time.perf_counter() - began
    view = await parts.views.turn(accepted.session_id, accepted.turn_id, owner=True)
    if (
        view is None
        or view.status != "answered"
        or [step.status for step in view.steps].count("ok") != len(run.shape.steps)
    ):
        raise RuntimeError(f"{run.way} {run.shape.name} did not work: {view}")
    return took_s


async def measure(
    shapes: Sequence[Shape], thinks: Sequence[int], at_once: int, told: Callable[[int], None]
) -> "dict[Run, float]":
    """Seconds of every run; at most `at_once` at a time, the longest first."""
    runs = [Run(shape, way, ms) for ms in thinks for way in WAYS for shape in shapes]
    places, found = asyncio.Semaphore(at_once), dict[Run, float]()

    async def one(parts: Parts, run: Run) -> None:
        async with places:
            found[run] = await took(parts, run)
            told(1)

    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            _env_file=None, db_url=f"sqlite:///{folder}/bench.db", data_dir=Path(folder), log_level="error",
            secret_key="a-secret-key-for-the-benchmark-0123", max_plan_rounds=10, answerer="on",
            llm_output_mode="prompt", budget_session_calls=0, budget_account_calls=0,
        )  # fmt: skip
        made_of = Ingredients(
            settings, ToolRegistry([Sleeper, Math]), PROMPTS, SystemClock(), Thinker(shapes)
        )
        process = running(Blueprint(made_of, (core_migrations(),)), background=False)
        async with process as parts, asyncio.TaskGroup() as group:
            for run in sorted(runs, key=lambda run: -run.ideal_s):
                group.create_task(one(parts, run))
    return found


def table(found: "dict[Run, float]", thinks: Sequence[int]) -> list[str]:
    """A row for each thinking time and one for all: mean seconds, speed-ups measured and ideal."""
    lines = [
        "| model ms | planned s | ideal s | one step at a time s | speed-up (ideal) | one tool a call s "
        "| speed-up (ideal) | of the ideal speed-up |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [_row(f"{ms:,}", {run: s for run, s in found.items() if run.thinks_ms == ms}) for ms in thinks]
    return [*lines, _row("all", found)]


def _sums(found: "dict[Run, float]") -> tuple[dict[str, float], dict[str, float]]:
    measured = {way: sum(s for run, s in found.items() if run.way == way) for way in WAYS}
    return measured, {way: sum(run.ideal_s for run in found if run.way == way) for way in WAYS}


def _row(name: str, found: "dict[Run, float]") -> str:
    (measured, ideal), plans = _sums(found), len(found) // len(WAYS)
    cells = [f"{measured['planned'] / plans:.3f}", f"{ideal['planned'] / plans:.3f}"]
    for way in ("serial", "react"):
        speed, best = ideal[way] / measured["planned"], ideal[way] / ideal["planned"]
        cells += [f"{measured[way] / plans:.3f}", f"{speed:.2f} ({best:.2f})"]
    return f"| {name} | " + " | ".join(cells) + f" | {share(found):.1%} |"


def share(found: "dict[Run, float]") -> float:
    """The speed-up reached as a part of the ideal one. Both are over what the slower loops would take at best,
    so that nothing they lose counts for us: what is left is the ideal time over the measured one."""
    measured, ideal = _sums(found)
    return ideal["planned"] / measured["planned"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--plans", type=Path, metavar="FILE", help="plan shapes in JSON; else they are generated"
    )
    parser.add_argument("--quick", action="store_true", help="every tenth plan, and no 3,000 ms")
    parser.add_argument("--at-once", type=int, default=16, help="sessions at a time")
    chosen = parser.parse_args()
    shapes = load(chosen.plans) if chosen.plans else generated(160)
    shapes, thinks = (shapes[::10], THINKS_MS[:2]) if chosen.quick else (shapes, THINKS_MS)
    with click.progressbar(length=len(shapes) * len(thinks) * len(WAYS), label="turns") as bar:
        found = asyncio.run(measure(shapes, thinks, chosen.at_once, bar.update))
    print(f"{len(shapes)} plans of {sum(len(shape.steps) for shape in shapes)} steps")
    print("\n".join(table(found, thinks)))
    raise SystemExit(0 if share(found) >= ENOUGH else 1)


if __name__ == "__main__":
    main()
