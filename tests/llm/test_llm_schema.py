"""Schema reduction: what a tool's own schema accepts, the reduced one accepts, in the dialect's words."""

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypeVar, Union
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, RootModel, create_model
from typing_extensions import TypedDict

from llm_planner.llm.plan_schema import STEP_REFERENCE, plan_schema
from llm_planner.llm.schema import UnsupportedSchema, reduce_schema
from llm_planner.llm.strict import to_strict, without_filled_nulls

WORDS = {
    *("type", "enum", "const", "properties", "required", "additionalProperties"),
    *("items", "anyOf", "description", "maxItems"),
}


T = TypeVar("T")


class Colour(Enum):
    red = "red"
    blue = "blue"


class Level(IntEnum):
    low = 1
    high = 2


class Address(BaseModel):
    """Where it goes."""

    street: str = Field(min_length=1, max_length=100_000, description="street and number")
    zip_code: Annotated[str, Field(pattern=r"^\d{4}$")] = "1000"
    notes: str | None = None


class Person(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    home: Address
    other: Address | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(9, ge=0, le=9)


class Dog(BaseModel):
    kind: Literal["dog"]
    owner: Person


class Aliased(BaseModel):
    from_: str = Field(alias="from")
    class_: Annotated[int, Field(alias="class", ge=1)]
    ref: str = Field("x", alias="$ref")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int


class Point(NamedTuple):
    x: float
    y: float


class Size(TypedDict, total=False):
    width: int
    unit: Literal["cm", "in"]


class Page(BaseModel, Generic[T]):
    items: list[T]
    next: str | None


class Empty(BaseModel):
    pass


TEXT = st.text(max_size=6)
ADDRESS = st.builds(Address, street=st.text(min_size=1, max_size=5), notes=st.none() | TEXT)
PERSON = st.builds(Person, name=TEXT, home=ADDRESS, other=st.none() | ADDRESS)
CAT = st.builds(Cat, kind=st.just("cat"), lives=st.integers(0, 9))
DOG = st.builds(Dog, kind=st.just("dog"), owner=PERSON)
SIZE = st.fixed_dictionaries({}, optional={"width": st.integers(), "unit": st.sampled_from(["cm", "in"])})
ANY = st.recursive(
    st.none() | st.integers() | TEXT, lambda s: st.lists(s) | st.dictionaries(TEXT, s), max_leaves=3
)
NUMBERS = st.floats(-1e6, 1e6)

FIELDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, TEXT),
    (int, st.integers()),
    (float, NUMBERS),
    (bool, st.booleans()),
    (None, st.none()),
    (Optional[str], st.none() | TEXT),  # noqa: UP045
    (int | None, st.none() | st.integers()),
    (Union[int, str, None], st.none() | st.integers() | TEXT),  # noqa: UP007
    (int | float, st.integers() | NUMBERS),
    (Annotated[int, Field(ge=1, le=50, multiple_of=5)], st.integers(1, 10).map(lambda n: n * 5)),
    (Annotated[float, Field(gt=0, lt=1)], st.floats(0.1, 0.9)),
    (Annotated[str, Field(min_length=2, max_length=65536)], st.text(min_size=2, max_size=9)),
    (Annotated[str, Field(pattern=r"^[A-Z]-\d+$")], st.from_regex(r"^[A-Z]-[0-9]+$", fullmatch=True)),
    (Annotated[str, Field(pattern=r"^a+$")] | None, st.none() | st.just("aa")),
    (Literal["a"], st.just("a")),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (Literal["a", "b"] | None, st.sampled_from(["a", "b", None])),
    (Literal["a", "b"] | int, st.sampled_from(["a", "b"]) | st.integers()),
    (Colour, st.sampled_from(Colour)),
    (Colour | None, st.none() | st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (list[Colour], st.lists(st.sampled_from(Colour), max_size=3)),
    (date, st.dates()),
    (datetime, st.datetimes()),
    (time, st.times()),
    (timedelta, st.timedeltas(timedelta(0), timedelta(days=9))),
    (UUID, st.uuids()),
    (Decimal, st.decimals(-100, 100, places=2)),
    (AnyUrl, st.just("https://example.org/a")),
    (bytes, st.just(b"abc")),
    (list[str], st.lists(TEXT, max_size=3)),
    (
        Annotated[list[int], Field(min_length=1, max_length=100)],
        st.lists(st.integers(), min_size=1, max_size=3),
    ),
    (set[int], st.sets(st.integers(), max_size=3)),
    (tuple[int, str], st.tuples(st.integers(), TEXT)),
    (tuple[int, ...], st.lists(st.integers(), max_size=3).map(tuple)),
    (tuple[()], st.just(())),
    (Point, st.builds(Point, NUMBERS, NUMBERS)),
    (list, st.lists(ANY, max_size=3)),
    (list[list[int | None]], st.lists(st.lists(st.none() | st.integers(), max_size=2), max_size=2)),
    (dict, st.dictionaries(TEXT, ANY, max_size=2)),
    (dict[str, int], st.dictionaries(TEXT, st.integers(), max_size=2)),
    (dict[str, Address], st.dictionaries(TEXT, ADDRESS, max_size=2)),
    (dict[Literal["a", "b"], int], st.dictionaries(st.sampled_from(["a", "b"]), st.integers())),
    (dict[Annotated[str, Field(pattern=r"^x")], int], st.dictionaries(st.just("xy"), st.integers())),
    (Any, ANY),
    (object, ANY),
    (Address, ADDRESS),
    (Person, PERSON),
    (Person | None, st.none() | PERSON),
    (list[Person], st.lists(PERSON, max_size=2)),
    (Cat | Dog, CAT | DOG),
    (Annotated[Cat | Dog, Field(discriminator="kind")], CAT | DOG),
    (Annotated[Cat | Dog, Field(discriminator="kind")] | None, st.none() | CAT | DOG),
    (Aliased, st.builds(Aliased, **{"from": TEXT, "class": st.integers(1, 9), "$ref": TEXT})),
    (Open, st.builds(Open, known=st.integers(), more=ANY)),
    (Size, SIZE),
    (Page[int], st.builds(Page[int], items=st.lists(st.integers(), max_size=2), next=st.none() | TEXT)),
    (Page[Person], st.builds(Page[Person], items=st.lists(PERSON, max_size=1), next=TEXT)),
    (RootModel[list[int]], st.lists(st.integers(), max_size=2)),
    (Empty, st.just(Empty())),
]


def schemas_in(node: Any) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("properties", {}).values():
        yield from schemas_in(child)
    for child in node.get("anyOf", []):
        yield from schemas_in(child)
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield from schemas_in(node[name])


def checked(reduced: dict[str, Any]) -> dict[str, Any]:
    """The reduced schema, once it is known to hold to the dialect's rules."""
    Draft202012Validator.check_schema(reduced)
    for node in schemas_in(reduced):
        assert node.keys() <= WORDS
        assert node.keys() & {"type", "anyOf"}
        assert not any("anyOf" in branch for branch in node.get("anyOf", []))
        assert node.get("anyOf") != []
        assert len(node.get("description", "")) <= 400
        if node.get("type") == "object":
            assert "additionalProperties" in node
            assert set(node.get("required", [])) <= set(node.get("properties", {}))
    return reduced


def accepts(schema: dict[str, Any], value: object) -> bool:
    return Draft202012Validator(schema).is_valid(value)


@st.composite
def models_with_instances(draw: st.DrawFn) -> tuple[type[BaseModel], object]:
    chosen = draw(st.lists(st.sampled_from(range(len(FIELDS))), min_size=1, max_size=3, unique=True))
    fields: dict[str, Any] = {f"f{i}": (FIELDS[i][0], ...) for i in chosen}
    model = create_model(
        "Drawn", __config__=ConfigDict(extra=draw(st.sampled_from(["forbid", "ignore"]))), **fields
    )
    instance = model(**{f"f{i}": draw(FIELDS[i][1]) for i in chosen})
    return model, json.loads(instance.model_dump_json(by_alias=True))


@pytest.mark.parametrize("number", range(len(FIELDS)), ids=[str(kind)[:40] for kind, _ in FIELDS])
@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_a_field_of_any_kind_is_accepted_as_before(number, data):
    kind, values = FIELDS[number]
    for default in ({}, {"default": None}):
        model = create_model("Model", value=(kind, Field(description="what it is", **default)))
        instance = json.loads(model(value=data.draw(values)).model_dump_json(by_alias=True))
        full = model.model_json_schema()
        assert accepts(full, instance)
        assert accepts(checked(reduce_schema(full)), instance)
        assert accepts(checked(plan_schema({"t": full})), plan_with(instance))


@settings(deadline=None, max_examples=150)
@given(models_with_instances())
def test_whole_models_are_accepted_as_before_also_in_the_strict_form(drawn):
    model, instance = drawn
    full = model.model_json_schema()
    reduced = checked(reduce_schema(full))
    assert accepts(reduced, instance)
    assert not accepts(reduced, {**instance, "invented": 1})
    strict = to_strict(reduced)
    if strict is not None:
        filled = with_nulls(instance, reduced)
        assert accepts(strict, filled)
        model.model_validate(json.loads(without_filled_nulls(json.dumps(filled), reduced)), by_alias=True)


def with_nulls(value: Any, node: dict[str, Any]) -> Any:
    """`value` as a model under the strict form writes it: every absent optional property is null."""
    if "anyOf" in node:
        return with_nulls(value, next(branch for branch in node["anyOf"] if accepts(branch, value)))
    if isinstance(value, list) and "items" in node:
        return [with_nulls(item, node["items"]) for item in value]
    if not isinstance(value, dict) or "properties" not in node:
        return value
    return {
        name: with_nulls(value[name], child) if name in value else None
        for name, child in node["properties"].items()
    }


def plan_with(args: object) -> dict[str, object]:
    call = {"id": "s1", "tool": "t", "args": args, "after": []}
    return {"reply": None, "tool_calls": [call], "then": "answer"}


def test_references_are_inlined_bounds_become_words_and_nullables_are_flat():
    reduced = reduce_schema(Person.model_json_schema())
    street = {"type": "string", "description": "street and number (minLength: 1, maxLength: 100000)"}
    address = {
        "type": "object",
        "properties": {
            "street": street,
            "zip_code": {"type": "string", "description": "(pattern: ^\\d{4}$)"},
            "notes": {"type": ["string", "null"]},
        },
        "required": ["street"],
        "additionalProperties": False,
        "description": "Where it goes.",
    }
    assert reduced == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "home": address,
            "other": {"anyOf": [address, {"type": "null"}]},
        },
        "required": ["name", "home"],
        "additionalProperties": False,
    }


def test_a_property_may_be_called_like_a_keyword():
    schema = {
        "type": "object",
        "properties": {"type": {"type": "string"}, "$ref": {"type": "integer"}, "enum": {}},
    }
    reduced = checked(reduce_schema(schema))
    assert set(reduced["properties"]) == {"type", "$ref", "enum"}
    assert accepts(reduced, {"type": "x", "$ref": 1, "enum": [{}]})


class Node(BaseModel):
    children: list["Node"] = []


class Left(BaseModel):
    right: "Right | None" = None


class Right(BaseModel):
    left: Left


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (Node.model_json_schema(), "contains itself"),
        (Left.model_json_schema(), "contains itself"),
        ({"properties": {"a": {"$ref": "#"}}}, r"\$/a: # contains itself"),
        ({"$ref": "https://example.org/s.json"}, "outside of the schema"),
        ({"$ref": "#/$defs/gone"}, "leads nowhere"),
        ({"$ref": "#/prefixItems/7", "prefixItems": []}, "leads nowhere"),
        (False, "no value that fits"),
        ({"properties": {"a": {"anyOf": [False]}}}, "no value that fits"),
        ({"type": "tuple"}, "unknown type"),
    ],
)
def test_what_can_not_be_reduced_says_where_and_why(schema, told):
    with pytest.raises(UnsupportedSchema, match=told):
        reduce_schema(schema)


def test_references_that_multiply_are_stopped_before_they_fill_the_memory():
    defs: dict[str, Any] = {"d0": {"type": "string"}}
    for n in range(1, 40):
        pair = {"a": {"$ref": f"#/$defs/d{n - 1}"}, "b": {"$ref": f"#/$defs/d{n - 1}"}}
        defs[f"d{n}"] = {"type": "object", "properties": pair}
    for last in (20, 39):
        with pytest.raises(UnsupportedSchema, match="too large or too deep"):
            reduce_schema({"$ref": f"#/$defs/d{last}", "$defs": defs})


def test_a_long_chain_of_references_is_stopped_too():
    defs = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(3000)}
    with pytest.raises(UnsupportedSchema, match="too deep"):
        reduce_schema({"$ref": "#/$defs/d0", "$defs": defs})


def test_a_schema_that_is_only_deep_is_stopped_too():
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(3000):
        schema = {"type": "array", "items": schema}
    with pytest.raises(UnsupportedSchema, match="too deep"):
        reduce_schema(schema)


AND_B = {"properties": {"b": {"type": "integer"}}, "required": ["b"]}
A_DEFINED = {"a": {"type": "object", "properties": {"a": {"type": "string"}}}}
A_OR_B = [{"properties": {"a": {"const": 1}}}, {"properties": {"b": True}}]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"allOf": [{"$ref": "#/$defs/a"}, AND_B], "$defs": A_DEFINED}, {"a": "x", "b": 1}, {"a": "x"}),
        ({"allOf": [{"type": "string"}, {"minLength": 3}], "description": "d"}, "abc", 5),
        ({"allOf": [True, {}]}, [1, {"a": None}], None),
        ({"type": ["string", "null"], "enum": ["a", None]}, None, "b"),
        ({"type": ["object", "string"], "properties": {"a": {"type": "integer"}}}, {"a": 1}, 5),
        ({"oneOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}, [1], ["a"]),
        ({"type": "object", "anyOf": A_OR_B}, {"b": 3}, 5),
        ({"properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}]}, {"a": "x"}, 5),
        ({"enum": [[1], {"a": 1}]}, [1], None),
        ({"enum": [1, True, "1"]}, True, False),
        ({"const": None}, None, 0),
        ({"items": [{"type": "string"}], "maxItems": 1}, ["a"], [1]),
        ({"items": [{"type": "string"}]}, ["a", 5], {}),
        ({"type": "object", "patternProperties": {"^x": {"type": "integer"}}}, {"x1": 1}, {"x1": "a"}),
        ({"type": "object", "additionalProperties": {}}, {"a": [1]}, []),
        ({"properties": {"a": False, "b": {"type": "integer"}}, "required": ["a", "b"]}, {"b": 1}, {"a": 1}),
        ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "integer"}}}, 5, "5"),
        (True, {"a": [None]}, None),
        ({"not": {"type": "string"}, "if": {}, "then": False}, 5, None),
    ],
)
def test_schemas_written_by_hand_are_reduced_as_well(schema, good, bad):
    reduced = checked(reduce_schema(schema))
    assert accepts(reduced, good)
    assert bad is None or not accepts(reduced, bad)


def test_an_untyped_schema_is_spelled_out_since_decoders_take_an_empty_one_for_an_object():
    assert reduce_schema({}) == {
        "anyOf": [
            {"type": "array"},
            {"type": "object", "additionalProperties": True},
            {"type": ["string", "number", "boolean", "null"]},
        ]
    }


def test_a_long_description_is_cut_at_a_word():
    reduced = reduce_schema({"type": "string", "description": "word " * 100, "format": "date"})
    assert len(reduced["description"]) < 230
    assert reduced["description"].endswith("word… (format: date)")


def test_a_plan_over_tools_takes_references_for_top_level_arguments_and_nothing_undeclared():
    schema = checked(plan_schema({"who": Person.model_json_schema(), "now": Empty.model_json_schema()}))
    reference = {"$step": "s0", "pointer": "/address"}
    home = {"street": "Mitre 1"}

    def call(tool: str, args: object) -> dict[str, object]:
        return {"id": "s1", "tool": tool, "args": args, "after": []}

    def plan(*calls: object) -> dict[str, object]:
        return {"reply": None, "tool_calls": list(calls), "then": "replan"}

    assert accepts(schema, plan())
    assert accepts(schema, plan(call("now", {}), call("who", {"name": "Ana", "home": home})))
    assert accepts(schema, plan(call("who", {"name": reference, "home": reference, "other": None})))
    assert not accepts(schema, plan(call("who", {"name": "Ana", "home": {"street": reference}})))
    assert not accepts(schema, plan(call("who", {"name": {"$step": "s0"}, "home": home})))
    assert not accepts(schema, plan(call("rm", {})))
    assert not accepts(schema, plan(call("now", {"x": 1})))
    assert not accepts(schema, {**plan(), "extra": 1})
    assert (
        STEP_REFERENCE
        in schema["properties"]["tool_calls"]["items"]["anyOf"][0]["properties"]["args"]["properties"][
            "name"
        ]["anyOf"]
    )


def test_a_plan_over_no_tools_can_only_answer():
    schema = checked(plan_schema({}))
    assert accepts(schema, {"reply": "hola", "tool_calls": [], "then": "answer"})
    assert not accepts(schema, {"reply": None, "tool_calls": [{}], "then": "answer"})


def test_arguments_may_be_a_choice_of_objects_or_a_free_map_but_nothing_else():
    either = checked(plan_schema({"t": RootModel[Cat | Dog].model_json_schema()}))
    assert accepts(either, plan_with({"kind": "cat", "lives": {"$step": "a", "pointer": ""}}))
    free = checked(plan_schema({"t": RootModel[dict[str, int]].model_json_schema()}))
    assert accepts(free, plan_with({"a": 1, "b": {"$step": "a", "pointer": ""}}))
    with pytest.raises(UnsupportedSchema, match="tool t: the arguments of a tool must be an object"):
        plan_schema({"t": {"type": "array"}})
    with pytest.raises(UnsupportedSchema, match=r"tool t: .*contains itself"):
        plan_schema({"t": Node.model_json_schema()})


def test_the_strict_form_requires_all_and_lets_the_optional_be_null():
    strict = to_strict(reduce_schema(Person.model_json_schema()))
    assert strict["required"] == ["name", "home", "other"]
    assert strict["properties"]["home"]["required"] == ["street", "zip_code", "notes"]
    assert strict["properties"]["home"]["properties"]["zip_code"]["type"] == ["string", "null"]
    assert to_strict(plan_schema({})) == plan_schema({})


@pytest.mark.parametrize("kind", [dict[str, int], dict, list, Any, Open])
def test_free_maps_and_lists_have_no_strict_form(kind):
    assert to_strict(reduce_schema(create_model("M", a=(list[kind], ...)).model_json_schema())) is None


def test_a_null_that_was_meant_stays_and_one_that_filled_a_gap_goes():
    class Order(BaseModel):
        note: str | None
        count: int = 1

    schema = plan_schema({"t": Order.model_json_schema(), "u": Person.model_json_schema()})
    calls = [
        {"id": "1", "tool": "t", "args": {"note": None, "count": None}, "after": []},
        {
            "id": "2",
            "tool": "u",
            "args": {"name": "A", "home": {"street": "x", "zip_code": None}},
            "after": [],
        },
    ]
    text = json.dumps({"reply": None, "tool_calls": calls, "then": "answer"})
    kept = json.loads(without_filled_nulls(text, schema))
    assert kept["reply"] is None
    assert [call["args"] for call in kept["tool_calls"]] == [
        {"note": None},
        {"name": "A", "home": {"street": "x"}},
    ]


@pytest.mark.parametrize(
    "text", ["", "prose", '{"a": 1', '{"a": 1, "a": null}', "[" * 5000, '{"b": NaN}', '["x"]']
)
def test_what_is_no_json_or_fits_nothing_comes_back_as_it_is(text):
    assert without_filled_nulls(text, reduce_schema(Person.model_json_schema())) == text
