"""References typed against what their producers declare: refused before step one, and never wrongly."""

import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Literal, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError, create_model

from llm_planner.errors import PlanRejected
from llm_planner.llm.base import ChatRequest
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.tools import Tool, ToolRegistry
from llm_planner.turn.plan import PlannerOutput, Rules, check
from llm_planner.turn.record import StepResult
from llm_planner.turn.references import point
from llm_planner.turn.result_types import Shape, can_take

from .tools import LEDGER, Ledger, plan

Serve = Any


class Kind(StrEnum):
    NEW = "new"
    OLD = "old"


class Line(BaseModel):
    sku: str
    count: int


class Order(BaseModel):
    number: int = Field(alias="order-no")
    kind: Kind
    lines: list[Line]
    note: str | None = None
    pair: tuple[int, str]
    prices: dict[str, float]
    parent: "Order | None" = None
    free: Any = None


class NoInput(BaseModel):
    pass


class FindOrder(Tool):
    name = "find_order"
    description = "Finds an order."
    input_model = NoInput
    output_model = Order
    write = False

    async def run(self, args: NoInput, ctx: object) -> Order:
        raise NotImplementedError


class Untyped(FindOrder):
    name = "untyped"
    output_model = None


class TakeInput(BaseModel):
    count: int = 0
    text: str = ""
    price: float = 0.0
    kind: Literal["new", "gone"] | None = None
    never: Literal["x"] | None = None
    line: Line | None = None
    lines: list[Line] = []
    counts: list[int] = []
    flag: bool = False
    anything: Any = None


class Take(Tool):
    name = "take"
    description = "Takes things."
    input_model = TakeInput
    write = False

    async def run(self, args: TakeInput, ctx: object) -> dict[str, object]:
        return {}


REGISTRY = ToolRegistry([FindOrder, Untyped, Take])


def problems(args: Mapping[str, Any], rules: Rules | None = None, producer: str = "find_order") -> list[str]:
    calls = [{"id": "s1", "tool": producer}, {"id": "s2", "tool": "take", "args": args}]
    try:
        check(PlannerOutput.model_validate({"tool_calls": calls}), rules or Rules(REGISTRY, "web", 9))
    except PlanRejected as error:
        return error.problems
    return []


def ref(pointer: str, step: str = "s1") -> dict[str, str]:
    return {"$step": step, "pointer": pointer}


@pytest.mark.covers("plan.references")
@pytest.mark.parametrize(
    ("field", "pointer"),
    [
        ("count", "/order-no"),
        ("price", "/order-no"),
        ("price", "/prices/tea"),
        ("count", "/prices/tea"),
        ("text", "/kind"),
        ("kind", "/kind"),
        ("text", "/note"),
        ("text", "/lines/0/sku"),
        ("line", "/lines/7"),
        ("lines", "/lines"),
        ("count", "/pair/0"),
        ("text", "/pair/1"),
        ("text", "/parent/parent/note"),
        ("flag", "/free/whatever"),
        ("anything", ""),
    ],
)
def test_a_pointer_to_something_that_fits_passes(field: str, pointer: str) -> None:
    assert problems({field: ref(pointer)}) == []


@pytest.mark.covers("plan.references")
@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"count": ref("/number")}, "'/number' is not in the result of find_order; there is: free, kind"),
        ({"count": ref("/lines/first")}, "'/lines/first' is not in the result"),
        ({"count": ref("/lines/00/count")}, "is not in the result"),
        ({"text": ref("/lines/0/price")}, "there is: count, sku"),
        ({"text": ref("/pair/2")}, "is not in the result"),
        ({"text": ref("/kind/0")}, "is not in the result"),
        ({"count": ref("/kind")}, "count: '/kind' of find_order is string"),
        ({"text": ref("/order-no")}, "this takes string"),
        ({"never": ref("/kind")}, "never: '/kind' of find_order"),
        ({"flag": ref("/order-no")}, "is integer"),
        ({"line": ref("")}, "can't stand here"),
        ({"lines": ref("/prices")}, "is object"),
        ({"counts": ref("/lines")}, "can't stand here"),
        ({"counts": [1, ref("/kind")]}, "counts.1:"),
        ({"line": {"sku": ref("/order-no"), "count": 1}}, "line.sku:"),
        ({"text": ref("/note~2")}, "no JSON pointer"),
    ],
)
def test_a_pointer_to_nothing_or_to_another_type_is_refused_before_anything_runs(
    args: dict[str, Any], words: str
) -> None:
    found = problems(args)
    assert len(found) == 1, found
    assert words in found[0]
    assert found[0].startswith("step 's2': ")


def test_without_a_declared_result_every_well_formed_pointer_passes() -> None:
    assert problems({"count": ref("/no/such/thing")}, producer="untyped") == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"text": ref("/0/name", "old")}, ""),
        ({"text": ref("/1/name", "old")}, "points at nothing"),
        ({"count": ref("/0/name", "old")}, "valid integer"),
        ({"text": ref("", "bad")}, "step 'bad' has no result: error"),
    ],
)
def test_what_an_earlier_round_found_is_looked_at_itself(args: dict[str, Any], words: str) -> None:
    earlier = {
        "old": StepResult("old", "untyped", "ok", [{"name": "Ann"}]),
        "bad": StepResult("bad", "untyped", "error"),
    }
    found = problems(args, Rules(REGISTRY, "web", 9, earlier))
    assert (words in "".join(found)) if words else not found, found


async def test_a_bad_pointer_goes_back_to_the_planner_and_nothing_has_run(serve: Serve) -> None:
    class Find(FindOrder):
        async def run(self, args: NoInput, ctx: object) -> Order:
            seen.append("ran")
            return Order.model_validate(
                {"order-no": 7, "kind": "new", "lines": [], "pair": (1, "x"), "prices": {}}
            )

    seen: list[str] = []
    bad = plan(("find_order", {}), ("ledger_add", {"what": "x", "amount": ref("/number")}))

    def mended(request: ChatRequest) -> str:
        assert seen == []
        assert "'/number' is not in the result of find_order" in request.messages[-1].content
        return bad.replace("/number", "/order-no")

    client = await serve(tools=[Find, Ledger], model=ScriptedModel([bad, mended]))
    await client.rows(LEDGER)
    turn = await client.say("go")
    assert turn["confirmations"][0]["args"] == {"what": "x", "amount": 7}
    assert seen == ["ran"]


SCALARS = [
    (int, st.integers(-9, 9)),
    (float, st.floats(allow_nan=False, allow_infinity=False, width=16)),
    (str, st.text("ab1", max_size=3)),
    (bool, st.booleans()),
    (type(None), st.none()),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Kind, st.sampled_from(Kind)),
    (Any, st.sampled_from([1, "a", None, [1], {"a": 1}])),
]
Typed = tuple[Any, st.SearchStrategy[Any]]


def _model(fields: dict[str, Typed]) -> Typed:
    made: Any = create_model("Made", **{name: (kind, ...) for name, (kind, _) in fields.items()})
    return made, st.builds(made, **{name: values for name, (_, values) in fields.items()})


def _larger(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    return st.one_of(
        inner.map(lambda one: (list[one[0]], st.lists(one[1], min_size=1, max_size=2))),  # type: ignore[name-defined]
        inner.map(
            lambda one: (dict[str, one[0]], st.dictionaries(st.sampled_from("ab"), one[1], max_size=2))  # type: ignore[name-defined]
        ),
        st.tuples(inner, inner).map(
            lambda two: (Union[two[0][0], two[1][0]], two[0][1] | two[1][1])  # noqa: UP007 - made while it runs
        ),
        st.tuples(inner, inner).map(
            lambda two: (tuple[two[0][0], two[1][0]], st.tuples(two[0][1], two[1][1]))  # type: ignore[name-defined]
        ),
        st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, min_size=1, max_size=3).map(_model),
    )


TYPES: st.SearchStrategy[Typed] = st.recursive(st.sampled_from(SCALARS), _larger, max_leaves=6)


def pointers(value: Any, path: str = "") -> Iterator[str]:
    yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from pointers(item, f"{path}/{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from pointers(item, f"{path}/{index}")


def shape(kind: Any, mode: Any) -> Shape:
    schema = TypeAdapter(kind).json_schema(mode=mode)
    return Shape(schema, schema)


@settings(max_examples=300, deadline=None)
@given(TYPES, TYPES, st.data())
def test_no_pointer_and_no_type_is_refused_that_a_real_result_could_have_had(
    giver: Typed, taker: Typed, data: st.DataObject
) -> None:
    value = data.draw(giver[1])
    result = json.loads(TypeAdapter(giver[0]).dump_json(value))
    declared, asked = shape(giver[0], "serialization"), shape(taker[0], "validation")
    for pointer in pointers(result):
        found = declared.at(pointer.split("/")[1:])
        assert found, (pointer, result)
        try:
            TypeAdapter(taker[0]).validate_json(
                json.dumps(point(result, pointer)), strict=True, extra="forbid"
            )
        except ValidationError:
            continue
        assert can_take(list(asked.alternatives()), found), (pointer, result)


@settings(max_examples=200, deadline=None)
@given(TYPES)
def test_a_type_takes_its_own_values(kind: Typed) -> None:
    assert can_take(
        list(shape(kind[0], "validation").alternatives()),
        list(shape(kind[0], "serialization").alternatives()),
    )
