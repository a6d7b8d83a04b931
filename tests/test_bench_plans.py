"""The benchmark of plans: its shapes, its arithmetic, and that all three ways do the same work."""

import asyncio
import json
from pathlib import Path

import pytest

from bench.plan_shapes import Shape, Step, generated, load
from bench.plans import WAYS, Run, measure, share, table

DIAMOND = Shape(
    "diamond",
    (
        Step("a", "search", (), 30),
        Step("b", "math", ("a",), 20),
        Step("c", "math", ("a",), 40),
        Step("d", "math", ("b", "c"), 10),
    ),
)


def test_the_ideal_is_the_models_calls_and_the_longest_chain_of_tools() -> None:
    assert (DIAMOND.whole_ms, DIAMOND.path_ms) == (100, 80)
    assert [Run(DIAMOND, way, 1000).ideal_s for way in WAYS] == [2.08, 2.1, 5.1]


def test_generated_shapes_are_always_the_same_and_in_an_order_that_can_run() -> None:
    shapes = generated(160)
    assert shapes == generated(160)
    assert len({shape.name for shape in shapes}) == 160
    for shape in shapes:
        done: set[str] = set()
        for step in shape.steps:
            assert done.issuperset(step.needs)
            done.add(step.id)
        assert shape.path_ms <= shape.whole_ms


def test_shapes_are_read_from_a_file_and_what_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "plans.json"
    step = {"id": "a", "tool": "search", "depends_on": [], "latency_ms": 5, "args": {}}
    path.write_text(json.dumps({"plans": [{"id": "p", "steps": [step]}]}))
    assert load(path) == [Shape("p", (Step("a", "search", (), 5),))]
    for text in ("", "[]", '{"plans": [{"id": "p"}]}'):
        path.write_text(text)
        with pytest.raises(SystemExit, match=r"plans\.json: no file of plans"):
            load(path)


def test_a_plan_runs_as_planned_one_step_at_a_time_and_one_tool_a_call() -> None:
    told: list[int] = []
    found = asyncio.run(measure([DIAMOND], [20], 3, told.append))
    assert {run.way for run in found} == set(WAYS)
    assert sum(told) == 3
    assert all(seconds >= run.ideal_s for run, seconds in found.items())
    assert 0 < share(found) < 1
    assert [line.split("|")[1].strip() for line in table(found, [20])] == ["model ms", "---", "20", "all"]
