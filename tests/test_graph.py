"""Any graph of steps: each runs once, after what it needs, and a failure skips what depends on it and no more."""

import asyncio
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llm_planner.context import Caller
from llm_planner.messages import InboundMessage
from llm_planner.storage.repositories.sessions import SessionRow
from llm_planner.tools import ToolRegistry, ToolSpec
from llm_planner.turn.executor import Executor
from llm_planner.turn.guard import Outcome
from llm_planner.turn.plan import PlannerOutput, Rules, check
from llm_planner.turn.record import Held, Lane, Round, TurnRecord

from .test_provenance import Anything
from .turn_kit import key_of


class Look(Anything):
    name = "look"
    write = False


REGISTRY = ToolRegistry([Look])


@dataclass
class Stage:
    """A guard whose calls last as many ticks, and end as badly, as they are told; it remembers their order."""

    failing: frozenset[str]
    ticks: dict[str, int]
    running: set[str] = field(default_factory=set)
    ended: list[str] = field(default_factory=list)
    most: int = 0
    seen: dict[str, frozenset[str]] = field(default_factory=dict)

    async def within_rate(self, spec: ToolSpec, caller: Caller) -> bool:
        return True

    async def run(self, spec: ToolSpec, args: Any, caller: Caller, key: str) -> Outcome:
        name = key.rpartition(":")[2]
        assert name not in self.seen
        self.seen[name] = frozenset(self.ended)
        self.running.add(name)
        self.most = max(self.most, len(self.running))
        for _ in range(self.ticks[name]):
            await asyncio.sleep(0)
        self.running.remove(name)
        self.ended.append(name)
        return Outcome("failed", error="no") if name in self.failing else Outcome("ok", {"n": 1})


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, set[str]], frozenset[str], dict[str, int]]:
    """Steps in any order with what they need, those that fail, how long each takes."""
    names = [f"s{n}" for n in range(draw(st.integers(1, 10)))]
    needs = {name: draw(st.sets(st.sampled_from(names[:n]))) if n else set() for n, name in enumerate(names)}
    shuffled = draw(st.permutations(names))
    return (
        {name: needs[name] for name in shuffled},
        frozenset(draw(st.sets(st.sampled_from(names)))),
        {name: draw(st.integers(0, 5)) for name in names},
    )


def output(needs: dict[str, set[str]]) -> PlannerOutput:
    """Half of the edges as references, half as `after`."""
    calls = []
    for name, before in needs.items():
        refers, after = sorted(before)[::2], sorted(before)[1::2]
        args = {"value": [{"$step": other, "pointer": "/n"} for other in refers]}
        calls.append({"id": name, "tool": "look", "args": args, "after": after})
    return PlannerOutput.model_validate({"tool_calls": calls})


def record() -> TurnRecord:
    key, moment = key_of("ann"), datetime(2026, 11, 26, tzinfo=UTC)
    session = SessionRow(
        "s", key.digest(), key.channel, key.account, key.principal, key.label, "en", 0, None, 1, 0, {}, 0, "", 0,
        None, None, moment,
    )  # fmt: skip
    message = InboundMessage(key, "m", "go")
    return TurnRecord(Lane("s", "t", 1, 0, 1), message, session, (), Held(math.inf))


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(1, 4))
def test_every_graph_runs_in_order_within_its_bound_and_fails_no_further_than_it_must(
    graph: tuple[dict[str, set[str]], frozenset[str], dict[str, int]], parallel: int
) -> None:
    needs, failing, ticks = graph
    stage = Stage(failing, ticks)
    plan, round_ = check(output(needs), Rules(REGISTRY, "web", 99)), Round({}, {}, ("t", 0))

    async def run() -> None:
        parked = await Executor(stage, parallel).run(record(), round_, plan, [])  # type: ignore[arg-type]
        assert parked == ()

    asyncio.run(run())
    assert list(round_.results) == list(needs)
    good: set[str] = set()
    for name in sorted(needs, key=lambda name: int(name[1:])):
        status = round_.results[name].status
        if needs[name] <= good:
            assert status == ("error" if name in failing else "ok")
            assert needs[name] <= stage.seen[name], "it ran before what it needs was through"
        else:
            assert (status, name in stage.seen) == ("skipped", False)
        good |= {name} if status == "ok" else set()
    assert stage.most <= parallel
