"""The plan: its strict shape, the check of all of it, and references into results."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, field_validator

from llm_planner.errors import PlanRejected
from llm_planner.tools import Tool, ToolRegistry
from llm_planner.turn.plan import PlannerOutput, Rules, check, resolve
from llm_planner.turn.record import StepResult
from llm_planner.turn.references import BadPointer, point

from .hostile.machine import CALLS


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str


class Address(BaseModel):
    street: str
    number: int | None = None


class Everything(BaseModel):
    count: int = 0
    colour: Colour | None = None
    origin: str | None = Field(None, alias="from")
    group: str | None = Field(None, alias="class")
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    either: int | Address | None = None
    home: Address | None = None
    many: list[Address] = []
    free: Any = None
    tripping: str = ""

    @field_validator("tripping")
    @classmethod
    def _trips(cls, value: str) -> str:
        return value and value.split("-")[1]


class Take(Tool):
    name = "take.everything"
    description = "Takes everything."
    input_model = Everything
    write = False

    async def run(self, args: Everything, ctx: object) -> dict[str, object]:
        return {}


class Inner(Take):
    name = "inner"
    channels = ("whatsapp",)


REGISTRY = ToolRegistry([Take, Inner])
RULES = Rules(REGISTRY, "web", 5)
REF = {"$step": "s0", "pointer": "/a"}


def output(*args: Any, **more: Any) -> PlannerOutput:
    calls = [{"id": f"s{n}", "tool": "take.everything", "args": item} for n, item in enumerate(args)]
    return PlannerOutput.model_validate({"tool_calls": calls, **more})


def problems(plan: PlannerOutput, rules: Rules = RULES) -> list[str]:
    try:
        check(plan, rules)
    except PlanRejected as error:
        return error.problems
    return []


@pytest.mark.covers("plan.strict")
@pytest.mark.parametrize(
    "found",
    [
        {"tool_calls": [], "extra": 1},
        {"reply": 7},
        {"then": "stop"},
        {"tool_calls": {}},
        {"tool_calls": [{"tool": "x"}]},
        {"tool_calls": [{"id": "", "tool": "x"}]},
        {"tool_calls": [{"id": "a b", "tool": "x"}]},
        {"tool_calls": [{"id": "a\n", "tool": "x"}]},
        {"tool_calls": [{"id": "s" * 65, "tool": "x"}]},
        {"tool_calls": [{"id": 1, "tool": "x"}]},
        {"tool_calls": [{"id": "s", "tool": "x", "args": []}]},
        {"tool_calls": [{"id": "s", "tool": "x", "confirmed": True}]},
        {"tool_calls": [{"id": "s", "tool": "x", "after": "s0"}]},
        {"tool_calls": [{"id": "s", "tool": "x", "token": "K7QF2M9X"}]},
    ],
)
def test_a_plan_of_another_shape_is_no_plan(found: Any) -> None:
    with pytest.raises(ValidationError):
        PlannerOutput.model_validate(found)


def test_what_a_plan_leaves_out_is_defaulted() -> None:
    plan = PlannerOutput.model_validate({"tool_calls": [{"id": "a", "tool": "x"}]})
    assert (plan.reply, plan.then, plan.tool_calls[0].args, plan.tool_calls[0].after) == (
        None,
        "answer",
        {},
        [],
    )


@pytest.mark.covers("tool.aliases")
@pytest.mark.parametrize(
    "args",
    [
        {},
        {"from": "a", "class": "b"},
        {"colour": "red"},
        {"pet": {"kind": "cat", "lives": 9}},
        {"either": 3},
        {"either": {"street": "x"}},
        {"home": {"street": "x", "number": None}},
        {"many": [{"street": "x"}]},
        {"free": {"a": [1]}},
        {"count": REF},
        {"colour": REF},
        {"from": REF},
        {"home": REF},
        {"home": {"street": REF, "number": REF}},
        {"many": [REF, {"street": REF}]},
        {"pet": REF},
        {"pet": {"kind": "dog", "name": REF}},
        {"either": REF},
        {"either": {"street": REF}},
        {"free": [{"x": REF}]},
    ],
)
def test_arguments_of_every_shape_pass_and_may_hold_references(args: dict[str, Any]) -> None:
    assert problems(output({}, args)) == []


@pytest.mark.parametrize(
    ("args", "place"),
    [
        ({"origin": "a"}, "origin"),
        ({"colour": "green"}, "colour"),
        ({"count": "x"}, "count"),
        ({"count": 1, "y": 2}, "y"),
        ({"pet": {"kind": "fish"}}, "pet"),
        ({"pet": {"kind": "cat", "lives": "x"}}, "pet.cat.lives"),
        ({"home": {}}, "home.street"),
        ({"home": {"street": "x", "z": 1}}, "home.z"),
        ({"many": [{"street": 1}]}, "many.0.street"),
        ({"either": "x"}, "either"),
        ({"count": "x", "home": REF}, "count"),
        ({"home": {"number": "x", "street": REF}}, "home.number"),
        ({"tripping": "x"}, "args"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_runs(args: dict[str, Any], place: str) -> None:
    found = problems(output({}, args))
    assert found
    assert all(problem.startswith(f"step 's1': {place}") for problem in found), found


@pytest.mark.parametrize(
    ("plan", "word"),
    [
        ({"id": "s1", "tool": "nothing"}, "no tool"),
        ({"id": "s1", "tool": "inner"}, "no tool"),
        ({"id": "s1", "tool": "take_everything"}, "no tool"),
        ({"id": "s0", "tool": "take.everything"}, "twice"),
        ({"id": "s1", "tool": "take.everything", "after": ["s9"]}, "no step 's9'"),
        ({"id": "s1", "tool": "take.everything", "after": ["s1"]}, "wait for each other"),
        (
            {"id": "s1", "tool": "take.everything", "args": {"count": {"$step": "s1", "pointer": ""}}},
            "wait for each other",
        ),
        (
            {"id": "s1", "tool": "take.everything", "args": {"count": {"$step": "s7", "pointer": ""}}},
            "no step 's7'",
        ),
        (
            {"id": "s1", "tool": "take.everything", "args": {"$step": "s0", "pointer": ""}},
            "stands for one value",
        ),
        (
            {"id": "s1", "tool": "take.everything", "args": {"free": {"$step": "s0"}}},
            "a reference is exactly",
        ),
        (
            {"id": "s1", "tool": "take.everything", "args": {"free": {"$step": "s0", "pointer": "a"}}},
            "a reference is exactly",
        ),
        (
            {"id": "s1", "tool": "take.everything", "args": {"free": {"$step": "s0", "pointer": "", "x": 1}}},
            "a reference is exactly",
        ),
        (
            {"id": "s1", "tool": "take.everything", "args": {"free": {"$step": ["s0"], "pointer": ""}}},
            "a reference is exactly",
        ),
        ({"id": "old", "tool": "take.everything"}, "earlier round"),
    ],
)
def test_one_wrong_step_refuses_the_whole_plan(plan: dict[str, Any], word: str) -> None:
    whole = PlannerOutput.model_validate({"tool_calls": [{"id": "s0", "tool": "take.everything"}, plan]})
    found = problems(whole, Rules(REGISTRY, "web", 5, {"old": StepResult("old", "inner", "ok")}))
    assert any(word in problem for problem in found), found


def test_steps_that_wait_in_a_ring_a_budget_and_a_depth_are_refused() -> None:
    ring = [{"id": f"s{n}", "tool": "take.everything", "after": [f"s{(n + 1) % 3}"]} for n in range(3)]
    assert (
        "wait for each other: s0, s1, s2" in problems(PlannerOutput.model_validate({"tool_calls": ring}))[0]
    )
    assert "at most 5 steps" in problems(output(*[{}] * 6))[0]
    deep: Any = REF
    for _ in range(40):
        deep = [deep]
    assert "deeper" in problems(output({}, {"free": deep}))[0]


def test_every_problem_is_told_at_once() -> None:
    assert len(problems(output({"count": "x"}, {"colour": "x"}, {"z": 1}))) == 3


def test_a_channel_has_its_own_tools() -> None:
    plan = PlannerOutput.model_validate({"tool_calls": [{"id": "a", "tool": "inner"}]})
    assert problems(plan, Rules(REGISTRY, "whatsapp", 5)) == []


@settings(max_examples=400, deadline=None)
@given(st.lists(CALLS, max_size=5), st.sampled_from(["web", "whatsapp"]))
def test_a_hostile_plan_is_checked_or_refused_and_an_accepted_one_has_an_order(
    calls: list[dict[str, Any]], channel: str
) -> None:
    for call in calls:
        call["tool"] = "take.everything" if call["tool"] in ("pay", "peek") else call["tool"]
    output, rules = PlannerOutput.model_validate({"tool_calls": calls}), Rules(REGISTRY, channel, 5)
    if problems(output, rules):
        return
    plan = check(output, rules)
    done: set[str] = set()
    for step in plan.steps:
        assert step.needs <= done
        done.add(step.id)
    assert done == {call["id"] for call in calls}


DOCUMENT = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
    "~1": 9,
    "0": 10,
}


@pytest.mark.covers("plan.references")
@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/~01", 9),
        ("/0", 10),
    ],
)
def test_pointers_of_the_standard_find_their_values(pointer: str, value: object) -> None:
    assert point(DOCUMENT, pointer) == value


@pytest.mark.parametrize(
    "pointer",
    [
        "/no",
        "/foo/2",
        "/foo/-",
        "/foo/-1",
        "/foo/00",
        "/foo/01",
        "/foo/1.0",
        "/foo/+1",
        "/foo/ 1",
        "/foo/١",
        "/foo/0/x",
        "/foo/",
        "foo",
        "/m~n",
        "/m~2n",
        "/~",
        "/foo/" + "9" * 5000,
        "//",
        "/0/0",
    ],
)
def test_pointers_at_nothing_are_refused(pointer: str) -> None:
    with pytest.raises(BadPointer):
        point(DOCUMENT, pointer)


def test_references_are_resolved_where_they_stand() -> None:
    plan = check(output({}, {"free": [{"x": REF}, "y"], "count": {"$step": "s0", "pointer": "/n/1"}}), RULES)
    assert resolve(plan.steps[1], {"s0": {"a": {"deep": 1}, "n": [1, 2]}}) == {
        "free": [{"x": {"deep": 1}}, "y"],
        "count": 2,
    }
    with pytest.raises(BadPointer):
        resolve(plan.steps[1], {"s0": {"a": 1}})
