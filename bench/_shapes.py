"""Owns generated input models: of many shapes, each with calls that fit and calls that don't."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

DEEPEST = 4
WORDS = (
    "amount",
    "city",
    "day",
    "kind",
    "label",
    "note",
    "owner",
    "place",
    "quantity",
    "ref",
    "size",
    "unit",
)
TEXTS = ("a", "Ana López", 'said "no"', "línea\ndos", "日本", "50 %", "\\", "x" * 40)
WRONG = ("missing", "extra", "type", "enum", "bounds")


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of value: its annotation, a value that fits, and values that don't, with what is wrong."""

    annotation: Any
    fits: Any
    wrong: tuple[tuple[str, Any], ...]
    members: tuple["Member", ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Member:
    """A property of an object: its name in JSON, whether it must be there, and its shape."""

    name: str
    required: bool
    shape: Shape


def text(rng: random.Random) -> Shape:
    if rng.random() < 0.5:
        return Shape(str, rng.choice(TEXTS), (("type", {"odd": 1}), ("type", 7)))
    return Shape(
        Annotated[str, Field(min_length=1, max_length=60)], rng.choice(TEXTS),
        (("type", [1]), ("bounds", ""), ("bounds", "x" * 61)),
    )  # fmt: skip


def choice(rng: random.Random) -> Shape:
    members = rng.sample(("red", "green", "blue", "sí", "no", "n/a"), rng.randint(1, 5))
    return Shape(
        Literal[tuple(members)], rng.choice(members), (("enum", "purple"), ("enum", members[0] + "!"))
    )


def whole(rng: random.Random) -> Shape:
    low = rng.randint(-50, 50)
    high = low + rng.randint(0, 100)
    kind = Annotated[int, Field(ge=low, le=high)]
    return Shape(
        kind, rng.randint(low, high), (("type", {"odd": 1}), ("bounds", low - 1), ("bounds", high + 1))
    )


def multiple(rng: random.Random) -> Shape:
    step = rng.randint(2, 9)
    return Shape(
        Annotated[int, Field(multiple_of=step)], step * rng.randint(-5, 5), (("bounds", step * 3 + 1),)
    )


def real(rng: random.Random) -> Shape:
    high = float(rng.randint(1, 1000))
    kind = Annotated[float, Field(gt=0, le=high)]
    return Shape(
        kind, round(high * rng.uniform(0.1, 1), 2), (("type", [0.5]), ("bounds", 0), ("bounds", high + 0.5))
    )


def switch(rng: random.Random) -> Shape:
    return Shape(bool, rng.random() < 0.5, (("type", {"odd": True}), ("type", "maybe")))


def listed(rng: random.Random, depth: int) -> Shape:
    item = shape(rng, depth + 1)
    most = rng.randint(1, 4)
    inside = tuple((what, [item.fits, value]) for what, value in item.wrong if most > 1)
    fits = [item.fits] * rng.randint(0, most)
    wrong = (("type", {"odd": 1}), ("bounds", [item.fits] * (most + 1)), *inside)
    return Shape(Annotated[list[item.annotation], Field(max_length=most)], fits, wrong)  # type: ignore[name-defined]


def nullable(rng: random.Random, depth: int) -> Shape:
    inner = shape(rng, depth + 1)
    fits = None if rng.random() < 0.3 else inner.fits
    return Shape(inner.annotation | None, fits, inner.wrong)


def mapped(rng: random.Random, depth: int) -> Shape:
    item = shape(rng, depth + 1)
    inside = tuple((what, {"key": value}) for what, value in item.wrong)
    return Shape(dict[str, item.annotation], {"a": item.fits}, (("type", ["odd"]), *inside))  # type: ignore[name-defined]


def either(rng: random.Random, depth: int) -> Shape:
    """A union: of two objects with different properties, or of a number and a member."""
    if rng.random() < 0.5:
        first, second = whole(rng), choice(rng)
        return Shape(
            first.annotation | second.annotation, rng.choice((first, second)).fits, (("type", [[1]]),)
        )
    first, second = nested(rng, depth + 1, "left"), nested(rng, depth + 1, "right")
    fits = rng.choice((first, second)).fits
    return Shape(
        first.annotation | second.annotation, fits, (("type", [[1]]), ("extra", {**fits, "surplus": 1}))
    )


def tree(rng: random.Random) -> Shape:
    """A recursion that ends at a depth: a node has children of the next kind of node, the last one none."""
    kind: Any = create_model("Leaf", label=(str, ...))
    fits: dict[str, Any] = {"label": "leaf"}
    for level in range(rng.randint(1, 3)):
        kind = create_model(f"Node{level}", label=(str, ...), children=(list[kind], ...))
        fits = {"label": f"node {level}", "children": [fits] * rng.randint(0, 2)}
    wrong = (
        ("missing", {"label": "x"}), ("extra", {**fits, "surplus": None}),
        ("type", {"label": "x", "children": [{"label": "x", "children": "none"}]}),
    )  # fmt: skip
    return Shape(kind, fits, wrong)


def nested(rng: random.Random, depth: int, prefix: str = "") -> Shape:
    """An object of one to five properties, half of them under an alias."""
    members, fields = [], {}
    for number, word in enumerate(rng.sample(WORDS, rng.randint(1, 5))):
        made = shape(rng, depth + 1)
        alias = rng.choice((f"{prefix}{word}", f"{prefix}-{word}", f"{word}.{number}", f"${word}{prefix}"))
        required = number == 0 or rng.random() < 0.6
        default = ... if required else None
        annotation = made.annotation if required else made.annotation | None
        fields[word] = (annotation, Field(default, alias=alias))
        members.append(Member(alias, required, made))
    fits = {m.name: m.shape.fits for m in members if m.required or rng.random() < 0.6}
    made_of = tuple(members)
    return Shape(create_model("Made", **fields), fits, tuple(_mutated(made_of, fits)), made_of)  # type: ignore[call-overload]


def _mutated(members: tuple[Member, ...], fits: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The object with one thing wrong: something missing, something more, or a property that does not fit."""
    for member in members:
        if member.required:
            yield "missing", {name: value for name, value in fits.items() if name != member.name}
        if member.name in fits:
            for what, value in member.shape.wrong:
                yield what, {name: value if name == member.name else old for name, old in fits.items()}
    yield "extra", {**fits, "surplus": 1}


SIMPLE = (text, choice, whole, multiple, real, switch, tree)
COMPOUND = (listed, nullable, mapped, either, nested)


def shape(rng: random.Random, depth: int) -> Shape:
    """Any shape; the deeper, the simpler."""
    if depth >= DEEPEST or rng.random() < 0.6:
        return rng.choice(SIMPLE)(rng)
    return rng.choice(COMPOUND)(rng, depth)


def input_model(rng: random.Random) -> tuple[type[BaseModel], Shape]:
    """A tool's input model with its shape."""
    made = nested(rng, 0)
    return made.annotation, made
