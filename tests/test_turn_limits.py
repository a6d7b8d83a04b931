"""What one turn may take: steps at once, steps, time and bytes; and a turn that is stopped stops its tools."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from llm_planner import Tool, ToolContext
from llm_planner.i18n import text
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.turn.digest import MORE, digest
from llm_planner.turn.record import LIMITS, StepResult

from .harness import sqlite_servers
from .tools import LEDGER, Echo, Ledger, plan
from .turn_kit import always, eventually, kinds, message, process, token

Serve = Any


@pytest.fixture
async def serve_once(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Serve]:
    async with sqlite_servers(sqlite_template, tmp_path) as start:
        yield start


class NoInput(BaseModel):
    n: int = 0


class Busy(Tool):
    """A read that counts how many of its kind are at work, and works until it is told to stop."""

    name = "busy"
    title = "Busy"
    description = "Works."
    input_model = NoInput
    write = False
    at_work: ClassVar[int] = 0
    most: ClassVar[int] = 0
    stopped: ClassVar[int] = 0
    full: ClassVar[asyncio.Event]
    go_on: ClassVar[asyncio.Event]

    async def run(self, args: NoInput, ctx: ToolContext) -> dict[str, int]:
        Busy.at_work += 1
        Busy.most = max(Busy.most, Busy.at_work)
        Busy.full.set()
        try:
            await Busy.go_on.wait()
        except asyncio.CancelledError:
            Busy.stopped += 1
            raise
        finally:
            Busy.at_work -= 1
        return {"n": args.n}


@pytest.fixture(autouse=True)
def _idle() -> None:
    Busy.at_work = Busy.most = Busy.stopped = 0
    Busy.full, Busy.go_on = asyncio.Event(), asyncio.Event()


def statuses(turn: dict[str, Any]) -> list[str]:
    return [step["status"] for step in turn["steps"]]


async def test_no_more_steps_of_a_turn_run_at_once_than_are_allowed(serve_once: Serve) -> None:
    client = await serve_once(tools=[Busy], model=always(plan(*[("busy", {})] * 6)), tool_parallel=2)
    task = asyncio.create_task(client.say("go"))
    await Busy.full.wait()
    Busy.go_on.set()
    assert statuses(await task) == ["ok"] * 6
    assert Busy.most == 2


async def test_a_step_starts_the_moment_what_it_needs_is_there(serve_once: Serve) -> None:
    """Not wave by wave: the second step of one branch is through while the first of another still works."""

    class Opens(Echo):
        name = "opens"

        async def run(self, args: Any, ctx: ToolContext) -> dict[str, object]:
            assert Busy.at_work == 1
            Busy.go_on.set()
            return {}

    chain = {"text": {"$step": "s2", "pointer": "/text"}}
    client = await serve_once(
        tools=[Busy, Echo, Opens], model=always(plan(("busy", {}), ("echo", {"text": "x"}), ("opens", chain)))
    )
    assert statuses(await client.say("go")) == ["ok"] * 3


async def test_a_turn_out_of_time_stops_its_tools_and_answers_with_what_it_has(serve_once: Serve) -> None:
    steps: list[tuple[str, dict[str, Any]]] = [
        ("echo", {"text": "found it"}),
        ("busy", {}),
        ("echo", {"text": {"$step": "s2", "pointer": "/n"}}),
    ]
    model = ScriptedModel([plan(*steps, then="replan")])
    client = await serve_once(tools=[Busy, Echo], model=model, budget_turn_s=1.5, answerer="on")
    turn = await client.say("go", locale="en")
    assert (turn["status"], turn["code"], statuses(turn)) == (
        "failed",
        "turn_time",
        ["ok", "timeout", "skipped"],
    )
    assert "found it" in turn["reply"]
    assert "the time for this message is over" in turn["reply"]
    assert Busy.stopped == 1
    assert len(model.requests) == 1
    assert "stopped" in await kinds(client)


async def test_a_model_that_thinks_longer_than_the_turn_may_take_is_not_waited_for(serve_once: Serve) -> None:
    client = await serve_once(tools=[Echo], model=ScriptedModel([plan()], latency_s=30), budget_turn_s=0.2)
    turn = await client.say("go", locale="en")
    assert (turn["status"], turn["code"], turn["steps"]) == ("failed", "turn_time", [])
    assert "the time for this message is over" in turn["reply"]


async def test_results_beyond_the_bytes_of_a_turn_are_dropped_and_nothing_more_is_begun(
    serve_once: Serve,
) -> None:
    steps = [("echo", {"text": "a" * 300}), ("echo", {"text": "b" * 300})]
    answer = json.loads(plan(*steps, ("echo", {"text": "later"}), then="replan"))
    answer["tool_calls"][1]["after"], answer["tool_calls"][2]["after"] = ["s1"], ["s2"]
    model = ScriptedModel([json.dumps(answer)])
    client = await serve_once(tools=[Echo], model=model, budget_turn_result_bytes=500)
    turn = await client.say("go", locale="en")
    assert (turn["status"], turn["code"], statuses(turn)) == ("failed", "turn_bytes", ["ok", "ok", "skipped"])
    assert turn["steps"][1]["result"] == {"truncated": True, "preview": ""}
    assert "I could not complete “Echo”: the results of this message are too large." in turn["reply"]
    assert "I could not go on: the results of this message are too large." in turn["reply"]


async def test_the_steps_of_all_rounds_count_together(serve_once: Serve) -> None:
    def steps(first: int, many: int, then: str) -> str:
        calls = [{"id": f"s{n}", "tool": "echo", "args": {"text": "x"}} for n in range(first, first + many)]
        return json.dumps({"tool_calls": calls, "then": then})

    model = ScriptedModel([steps(0, 3, "replan"), steps(3, 3, "answer"), steps(3, 2, "answer")])
    client = await serve_once(tools=[Echo], model=model, budget_steps=5)
    turn = await client.say("go")
    assert statuses(turn) == ["ok"] * 5
    assert "at most 2 steps" in model.requests[2].messages[-1].content


async def test_a_write_that_waits_is_shown_although_the_time_is_over(serve_once: Serve) -> None:
    model = ScriptedModel([plan(("ledger_add", {"what": "tea"}), ("busy", {}))])
    client = await serve_once(tools=[Busy, Ledger], model=model, budget_turn_s=1.5)
    await client.rows(LEDGER)
    turn = await client.say("go", locale="en")
    assert turn["status"] == "needs_confirmation"
    assert "the time for this message is over" in turn["reply"]
    assert (await client.say(f"confirm {token(turn)}"))["status"] == "executed"


async def test_a_turn_whose_lane_is_lost_stops_its_tools(serve: Serve) -> None:
    client = await serve(tools=[Busy], model=always(plan(("busy", {}))))
    task = asyncio.create_task(client.say("go"))
    await Busy.full.wait()
    await client.rows("UPDATE sessions SET epoch = epoch + 1, lease_until = NULL")  # another worker took it
    Busy.full.clear()
    await client.parts.worker.renew()
    (session,) = await client.rows("SELECT id FROM sessions")

    async def taken_back() -> bool:
        client.parts.engine.notify(session.id)
        return Busy.full.is_set()

    await eventually(taken_back)
    assert Busy.stopped == 1
    Busy.go_on.set()
    assert statuses(await task) == ["ok"]


async def test_a_process_that_is_drained_stops_the_tools_of_turns_it_can_not_finish(
    db_url: str, tmp_path: Path
) -> None:
    async with process(db_url, tmp_path, [Busy], always(plan(("busy", {})))) as parts:
        accepted = await parts.inbox.accept(message("ann", "m1", "go"), take=True)
        parts.engine.notify(accepted.session_id, accepted.claimed)
        await Busy.full.wait()
        await parts.engine.drain(0)
        assert Busy.stopped == 1


@pytest.mark.parametrize("code", ["no_plan", "model_away", "over_budget", *sorted(LIMITS)])
@pytest.mark.parametrize("locale", ["es", "en", "pt"])
def test_every_reason_for_which_a_turn_stops_can_be_said(code: str, locale: str) -> None:
    assert text(f"why_{code}", locale) in text("stopped", locale, why=text(f"why_{code}", locale))


def step(result: Any) -> StepResult:
    return StepResult("s1", "look", "ok", result)


def test_a_digest_keeps_what_fits_and_says_what_is_missing_of_what_does_not() -> None:
    small = {"a": [1, 2, {"b": "c"}]}
    assert digest([step(small)], 1000)[0]["result"] == small
    rows = [{"id": n, "text": "lorem ipsum " * 40} for n in range(300)]
    shown = digest([step({"rows": rows, "total": 300})], 4000)[0]["result"]
    assert shown["total"] == 300
    assert [row["id"] for row in shown["rows"][:-1]] == list(range(len(shown["rows"]) - 1))
    assert shown["rows"][-1].endswith("more")
    assert shown["rows"][0]["text"].endswith("(480 characters)")


def test_a_digest_of_anything_fits() -> None:
    deep: Any = "x" * 50
    for _ in range(6):
        deep = [deep] * 5
    wide = {str(n): "y" * 100 for n in range(5000)}
    found = digest([step(deep), step(wide), step("short")], 2000)
    assert len(json.dumps(found, ensure_ascii=False).encode()) <= 2000
    assert MORE in json.dumps(found, ensure_ascii=False)
    assert found[2]["result"] == "short"
