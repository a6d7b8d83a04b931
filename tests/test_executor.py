"""The executor and the guard: order, references, failures; nothing a tool does gets past them."""

import asyncio
import itertools
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from llm_planner import ToolContext, ToolFailed, ToolRetry
from llm_planner.context import Facts

from .harness import Client, serving, settings_for
from .hostile.evil import (
    Evil,
    EvilInThread,
    EvilWrite,
    Fatal,
    Meet,
    Stubborn,
    Unspeakable,
    cancels_itself,
    cyclic,
    deep,
    listens_to_nobody,
    not_text,
    raising,
)
from .tools import LEDGER, Echo, Ledger, plan
from .turn_kit import always, token

Serve = Any


@pytest.fixture
async def serve_once(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Serve]:
    """Like `serve`, on SQLite alone: what a tool does to its own process is the same on every server."""
    path = tmp_path / "once.db"
    shutil.copy(sqlite_template, path)
    async with AsyncExitStack() as stack:

        async def start(*, tools: Any, model: Any, **more: Any) -> Client:
            made = settings_for(f"sqlite:///{path}", tmp_path, **more)
            return await stack.enter_async_context(serving(made, tools, model))

        yield start


DEADLY = [
    raising(SystemExit),
    raising(KeyboardInterrupt),
    raising(asyncio.CancelledError),
    raising(GeneratorExit),
    raising(Fatal),
    raising(StopIteration),
    raising(BaseExceptionGroup("many", [SystemExit()])),
    raising(RecursionError),
    raising(Unspeakable()),
    raising(ValueError("x" * 100_000)),
    raising(not_text()),
    raising(ToolRetry("\ud800")),
    raising(MemoryError),
]
UNKEEPABLE = [
    lambda ctx: object(),
    lambda ctx: "\ud800",
    lambda ctx: cyclic(),
    lambda ctx: deep(),
    lambda ctx: b"\xff",
    lambda ctx: 10**5000,
    lambda ctx: itertools.count(),
    lambda ctx: (n for n in itertools.count()),
    lambda ctx: ctx,
]


@pytest.mark.parametrize("does", DEADLY, ids=range(len(DEADLY)))
@pytest.mark.parametrize("tool", [Evil, EvilInThread], ids=["async", "thread"])
async def test_whatever_a_read_raises_is_a_failed_step_and_the_next_message_is_served(
    serve_once: Serve, tool: type[Evil], does: Callable[[ToolContext], Any]
) -> None:
    client = await serve_once(
        tools=[tool, Echo], model=always(plan((tool.name, {}), ("echo", {"text": "still here"})))
    )
    tool.does = staticmethod(does)
    for _ in range(2):
        turn = await client.say("go")
        assert [step["status"] for step in turn["steps"]] == ["error", "ok"]
        assert "still here" in turn["reply"]
        assert turn["code"] != "gave_up"


@pytest.mark.covers("rule.7")
@pytest.mark.parametrize("does", DEADLY[:8], ids=range(8))
async def test_whatever_else_a_write_raises_is_unknown_and_never_nothing_was_done(
    serve_once: Serve, does: Callable[[ToolContext], Any]
) -> None:
    client = await serve_once(tools=[EvilWrite], model=always(plan(("evil_write", {}))))
    EvilWrite.does = staticmethod(does)
    turn = await client.say("go", locale="en")
    done = await client.say(f"confirm {token(turn)}", locale="en")
    assert (done["status"], done["steps"][0]["status"]) == ("failed", "unknown")
    assert "Nothing was done" not in done["reply"]
    assert (await client.say("pending", locale="en"))["status"] == "answered"


@pytest.mark.covers("rule.7")
@pytest.mark.parametrize("does", UNKEEPABLE, ids=range(len(UNKEEPABLE)))
async def test_a_write_that_returned_was_done_even_if_its_result_can_not_be_kept(
    serve_once: Serve, does: Callable[[ToolContext], Any]
) -> None:
    client = await serve_once(tools=[EvilWrite, Evil], model=always(plan(("evil_write", {}))))
    EvilWrite.does = staticmethod(does)
    done = await client.say(f"confirm {token(await client.say('go'))}", locale="en")
    assert (done["status"], done["steps"][0]["status"], done["steps"][0]["result"]) == (
        "executed",
        "ok",
        None,
    )
    assert done["reply"].startswith("Done:")


@pytest.mark.parametrize("does", UNKEEPABLE, ids=range(len(UNKEEPABLE)))
async def test_a_read_whose_result_can_not_be_kept_failed(
    serve_once: Serve, does: Callable[[ToolContext], Any]
) -> None:
    client = await serve_once(tools=[Evil], model=always(plan(("evil", {}))))
    Evil.does = staticmethod(does)
    assert (await client.say("go"))["steps"][0]["status"] == "error"


async def test_what_is_no_number_becomes_null_and_a_large_result_is_cut(serve_once: Serve) -> None:
    client = await serve_once(tools=[Evil], model=always(plan(("evil", {}))), budget_result_bytes=1000)
    Evil.does = staticmethod(lambda ctx: {"a": float("nan"), "b": float("inf")})
    assert (await client.say("go"))["steps"][0]["result"] == {"a": None, "b": None}
    Evil.does = staticmethod(lambda ctx: {"a": "x" * 5000})
    cut = (await client.say("go"))["steps"][0]["result"]
    assert cut["truncated"] is True
    assert len(cut["preview"]) <= 250


@pytest.mark.parametrize(
    "does",
    [lambda ctx: asyncio.Event().wait(), lambda ctx: listens_to_nobody(), raising(TimeoutError)],
    ids=["waits", "deaf", "raises"],
)
async def test_a_read_out_of_time_is_a_timeout_even_if_it_listens_to_nobody(
    serve_once: Serve, does: Any
) -> None:
    client = await serve_once(tools=[Evil, Echo], model=always(plan(("evil", {}), ("echo", {"text": "x"}))))
    Evil.does = staticmethod(does)
    assert [step["status"] for step in (await client.say("go"))["steps"]] == ["timeout", "ok"]


async def test_a_tool_that_cancels_itself_does_not_cancel_the_turn(serve_once: Serve) -> None:
    client = await serve_once(tools=[Evil, Echo], model=always(plan(("evil", {}), ("echo", {"text": "x"}))))
    Evil.does = staticmethod(lambda ctx: cancels_itself())
    assert [step["status"] for step in (await client.say("go"))["steps"]] == ["error", "ok"]


@pytest.mark.covers("rule.7")
async def test_a_thread_that_outlives_its_time_can_write_nothing_any_more(serve_once: Serve) -> None:
    client = await serve_once(tools=[EvilInThread], model=always(plan(("evil_in_thread", {}))))
    go_on, refused = threading.Event(), threading.Event()

    def late(ctx: ToolContext) -> None:
        go_on.wait(10)
        try:
            ctx.db.run_sync(lambda conn: None)
        except RuntimeError:
            refused.set()

    EvilInThread.does = staticmethod(late)
    turn = await client.say("go")
    assert turn["steps"][0]["status"] == "timeout"
    go_on.set()
    assert await asyncio.to_thread(refused.wait, 10)


@pytest.mark.covers("tool.plain-def")
@pytest.mark.covers("tool.context")
async def test_a_plain_def_runs_in_a_thread_with_its_own_doors(serve: Serve) -> None:
    client = await serve(tools=[EvilInThread], model=always(plan(("evil_in_thread", {}))))
    await client.rows(LEDGER)

    def works(ctx: ToolContext) -> dict[str, object]:
        assert threading.current_thread() is not threading.main_thread()
        ctx.mail_sync("a@example.com", "hello", "text")
        ctx.facts["seen"] = {"n": 1}
        return {
            "lines": ctx.db.run_sync(lambda conn: len(conn.exec_driver_sql("SELECT * FROM ledger").all()))
        }

    EvilInThread.does = staticmethod(works)
    turn = await client.say("go")
    assert turn["steps"][0]["result"] == {"lines": 0}
    assert [row.destination for row in await client.rows("SELECT destination FROM outbox")] == [
        "a@example.com"
    ]
    assert '"seen"' in (await client.rows("SELECT facts FROM sessions"))[0].facts


async def test_the_blocking_door_refuses_an_async_tool_instead_of_stopping_the_server(
    serve_once: Serve,
) -> None:
    client = await serve_once(tools=[Evil], model=always(plan(("evil", {}))))
    Evil.does = staticmethod(lambda ctx: ctx.db.run_sync(lambda conn: None))
    assert (await client.say("go"))["steps"][0]["status"] == "error"


@pytest.mark.parametrize("does", ["fact", "mail"])
@pytest.mark.parametrize(
    "bad", [object(), "\ud800", float("nan"), {1: object()}], ids=["object", "text", "nan", "nested"]
)
async def test_what_can_not_be_kept_fails_in_the_tool_and_not_in_the_turn(
    serve_once: Serve, does: str, bad: Any
) -> None:
    client = await serve_once(tools=[Evil], model=always(plan(("evil", {}))))
    facts = lambda ctx: ctx.facts.update(x=bad)  # noqa: E731
    letters = lambda ctx: ctx.mail("a@example.com", "x", bad)  # noqa: E731
    Evil.does = staticmethod(facts if does == "fact" else letters)
    turn = await client.say("go")
    assert turn["steps"][0]["status"] == "error"
    assert turn["code"] != "gave_up"


def test_facts_behave_like_a_mapping_and_keep_copies() -> None:
    facts = Facts({"a": {"value": 1}, "gone": {"value": None}})
    assert dict(facts) == {"a": 1}
    listed = [1]
    facts["b"] = listed
    listed.append(2)
    del facts["a"]
    assert dict(facts) == {"b": [1]}
    assert facts.changed == {"b": [1], "a": None}
    with pytest.raises(KeyError):
        del facts["a"]
    with pytest.raises(TypeError):
        facts["x" * 200] = 1


@pytest.mark.covers("plan.after")
async def test_independent_steps_are_at_work_at_the_same_time_and_dependent_ones_follow(serve: Serve) -> None:
    Meet.barrier, Meet.order = asyncio.Barrier(3), []
    three = [("meet", {"name": name}) for name in "abc"]
    client = await serve(
        tools=[Meet, Echo],
        model=always(plan(*three, ("echo", {"text": {"$step": "s2", "pointer": "/name"}}))),
    )
    turn = await client.say("go")
    assert [step["status"] for step in turn["steps"]] == ["ok"] * 4
    assert sorted(Meet.order) == ["a", "b", "c"]
    assert turn["steps"][3]["result"]["text"] == "b"


@pytest.mark.covers("plan.references")
async def test_a_failed_step_skips_only_what_depends_on_it_and_a_resolved_value_is_checked_again(
    serve: Serve,
) -> None:
    Evil.does = staticmethod(raising(ToolFailed("no")))
    steps: list[tuple[str, dict[str, Any]]] = [
        ("evil", {}),
        ("echo", {"text": {"$step": "s1", "pointer": ""}}),
        ("echo", {"text": "alone"}),
        ("echo", {"text": {"$step": "s3", "pointer": "/length"}}),
        ("echo", {"text": {"$step": "s3", "pointer": "/nothing"}}),
        ("echo", {"text": {"$step": "s4", "pointer": ""}}),
    ]
    client = await serve(tools=[Evil, Echo], model=always(plan(*steps)))
    turn = await client.say("go")
    assert [step["status"] for step in turn["steps"]] == [
        "error",
        "skipped",
        "ok",
        "error",
        "error",
        "skipped",
    ]
    assert "valid string" in turn["steps"][3]["error"]


async def test_a_read_is_tried_again_as_often_as_it_allows_and_a_promise_is_not(serve_once: Serve) -> None:
    client = await serve_once(tools=[Stubborn], model=always(plan(("stubborn", {}))))
    Stubborn.calls = []
    outcomes = iter([ValueError("1"), TimeoutError("2")])

    def twice_wrong(ctx: ToolContext) -> dict[str, int]:
        error = next(outcomes, None)
        if error is not None:
            raise error
        return {"tries": len(Stubborn.calls)}

    Stubborn.does = staticmethod(twice_wrong)
    assert (await client.say("go"))["steps"][0]["result"] == {"tries": 3}
    Stubborn.calls = []
    Stubborn.does = staticmethod(raising(ToolFailed("closed")))
    turn = await client.say("go")
    assert (turn["steps"][0]["error"], len(Stubborn.calls)) == ("closed", 1)


class Typed(BaseModel):
    n: int


class TypedWrite(EvilWrite):
    name = "typed_write"
    output_model = Typed


class TypedRead(Evil):
    name = "typed_read"
    output_model = Typed


@pytest.mark.covers("rule.7")
async def test_a_result_of_another_type_fails_a_read_and_not_a_write_that_was_done(serve_once: Serve) -> None:
    answers = iter([plan(("typed_read", {})), plan(("typed_read", {})), plan(("typed_write", {}))])
    client = await serve_once(tools=[TypedRead, TypedWrite], model=always(lambda request: next(answers)))
    TypedRead.does = staticmethod(lambda ctx: {"n": "7"})
    assert (await client.say("go"))["steps"][0]["result"] == {"n": 7}
    TypedRead.does = TypedWrite.does = staticmethod(lambda ctx: {"m": 1})
    assert (await client.say("go"))["steps"][0]["status"] == "error"
    done = await client.say(f"confirm {token(await client.say('go'))}")
    assert (done["status"], done["steps"][0]["result"]) == ("executed", None)


class Rude(Ledger):
    """Its texts fail in every way."""

    name = "rude"
    fault: ClassVar[Any] = SystemExit

    def summary(self, args: Any, locale: str) -> str:
        raise self.fault

    async def render(self, result: Any, locale: str) -> str:  # type: ignore[override]
        return "never"


@pytest.mark.parametrize("fault", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, ValueError])
async def test_a_summary_or_render_that_fails_falls_back_to_the_default(
    serve_once: Serve, fault: Any
) -> None:
    Rude.fault = fault
    client = await serve_once(tools=[Rude], model=always(plan(("rude", {"what": "x"}))))
    await client.rows(LEDGER)
    turn = await client.say("go", locale="en")
    assert turn["status"] == "needs_confirmation"
    done = await client.say(f"confirm {token(turn)}", locale="en")
    assert done["status"] == "executed"
    assert "written: x" in done["reply"]


@pytest.mark.covers("plan.blocked-write")
async def test_a_write_that_needs_another_writes_result_is_blocked_then_parked_with_that_value(
    serve: Serve,
) -> None:
    second = {"what": {"$step": "s1", "pointer": "/written"}, "amount": 2}
    client = await serve(
        tools=[Ledger], model=always(plan(("ledger_add", {"what": "first"}), ("ledger_add", second)))
    )
    await client.rows(LEDGER)
    turn = await client.say("both")
    assert [step["status"] for step in turn["steps"]] == ["awaiting_confirmation", "blocked"]
    done = await client.say(f"confirm {token(turn)}")
    assert [card["args"] for card in done["confirmations"]] == [{"what": "first", "amount": 2}]
    await client.say(f"confirm {token(done)}")
    assert [row.amount for row in await client.rows("SELECT amount FROM ledger ORDER BY amount")] == [1, 2]
