"""Result types: what a pointer finds in a tool's declared result, and whether an argument can take it.

Both sides are JSON Schemas as pydantic writes them. What can't be told from them is let through: the value is
validated again when it is there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..messages import Json
from .references import INDEX

KINDS = frozenset(["null", "boolean", "integer", "number", "string", "array", "object"])
NUMERIC = frozenset(["integer", "number"])
DEEPEST = 16
"""References and unions that are followed without a step further into the value."""
MOST = 64
"""Alternatives that are looked at; more count as anything."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One schema (True takes anything, False nothing), with the document that its `$ref`s point into."""

    schema: Any
    root: Mapping[str, Json]

    def alternatives(self, depth: int = 0) -> Iterator["Shape"]:
        """Itself without references and unions, one shape for each alternative."""
        schema = self.schema
        if schema is False:
            return
        if not isinstance(schema, Mapping) or depth > DEEPEST:
            yield Shape(True, self.root)
        elif "$ref" in schema:
            yield from Shape(_definition(schema["$ref"], self.root), self.root).alternatives(depth + 1)
        elif "anyOf" in schema or "oneOf" in schema:
            for item in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
                yield from Shape(item, self.root).alternatives(depth + 1)
        elif "allOf" in schema:
            alone = schema["allOf"][0] if len(schema["allOf"]) == 1 else True
            yield from Shape(alone, self.root).alternatives(depth + 1)
        else:
            yield self

    def at(self, path: Sequence[str]) -> tuple["Shape", ...]:
        """The alternatives at a path into the value; none: nothing can be there."""
        found: list[Shape] = list(self.alternatives())
        for part in path:
            inner = [shape for one in found for shape in one.inside(part)]
            found = [shape for one in inner for shape in one.alternatives()]
            if len(found) > MOST:
                return (Shape(True, self.root),)
        return tuple(found)

    def inside(self, part: str) -> Iterator["Shape"]:
        """What one name or index may find; of an alternative only."""
        schema = self.schema
        if not isinstance(schema, Mapping):
            yield self
            return
        if "object" in self.kinds:
            yield from (Shape(found, self.root) for found in _members(schema, part))
        if "array" in self.kinds and INDEX.fullmatch(part):
            yield from (Shape(found, self.root) for found in _elements(schema, int(part)))

    @property
    def kinds(self) -> frozenset[str]:
        """The JSON types that an alternative takes."""
        schema = self.schema
        if not isinstance(schema, Mapping):
            return KINDS
        named = schema.get("type")
        if isinstance(named, str):
            return frozenset([named])
        if isinstance(named, list):
            return frozenset(named)
        if self.values is not None:
            return frozenset(map(kind_of, self.values))
        if "properties" in schema:
            return frozenset(["object"])
        return frozenset(["array"]) if "items" in schema or "prefixItems" in schema else KINDS

    @property
    def values(self) -> list[Json] | None:
        """The only values, where a schema lists them."""
        if not isinstance(self.schema, Mapping):
            return None
        return [self.schema["const"]] if "const" in self.schema else self.schema.get("enum")

    @property
    def fields(self) -> frozenset[str]:
        """The declared names of an object."""
        return (
            frozenset(self.schema.get("properties", ())) if isinstance(self.schema, Mapping) else frozenset()
        )


def can_take(taker: Sequence[Shape], giver: Sequence[Shape]) -> bool:
    """Whether some value that `giver` describes may be one that `taker` describes."""
    return any(_meet(one, other, DEEPEST) for one in taker for other in giver)


def kinds_of(shapes: Sequence[Shape]) -> str:
    """The types of these alternatives, for a sentence."""
    return " or ".join(sorted({kind for shape in shapes for kind in shape.kinds}))


def _meet(taker: Shape, giver: Shape, depth: int) -> bool:
    kinds = taker.kinds & giver.kinds
    if taker.kinds & NUMERIC and giver.kinds & NUMERIC:
        kinds |= {"number"}
    if not depth or not kinds or True in (taker.schema, giver.schema):
        return bool(kinds)
    if taker.values is not None or giver.values is not None:
        return _values_meet(taker, giver)
    return any(_kind_meets(kind, taker, giver, depth - 1) for kind in kinds)


def _kind_meets(kind: str, taker: Shape, giver: Shape, depth: int) -> bool:
    if kind == "object":
        return _objects_meet(taker, giver, depth)
    if kind == "array":
        asked, given = taker.schema.get("items"), giver.schema.get("items")
        if isinstance(asked, Mapping) and isinstance(given, Mapping):
            return _any_meet(Shape(asked, taker.root), Shape(given, giver.root), depth)
    return True


def _values_meet(taker: Shape, giver: Shape) -> bool:
    if taker.values is not None and giver.values is not None:
        return any(value in giver.values for value in taker.values)
    listed, other = (taker, giver) if taker.values is not None else (giver, taker)
    return any(_is_of(value, other.kinds) for value in listed.values or ())


def _is_of(value: Json, kinds: frozenset[str]) -> bool:
    kind = kind_of(value)
    return kind in kinds or (kind in NUMERIC and bool(kinds & NUMERIC))


def _objects_meet(taker: Shape, giver: Shape, depth: int) -> bool:
    """Every field that must be there can be, and of what is surely there nothing is refused."""
    open_ended = (
        "properties" not in taker.schema or taker.schema.get("additionalProperties", False) is not False
    )
    if not open_ended and set(giver.schema.get("required", ())) - taker.fields:
        return False
    for name in taker.schema.get("required", ()):
        asked = Shape(taker.schema.get("properties", {}).get(name, True), taker.root)
        given = [shape for found in giver.inside(name) for shape in found.alternatives()]
        if not any(_any_meet(asked, shape, depth) for shape in given):
            return False
    return True


def _any_meet(taker: Shape, giver: Shape, depth: int) -> bool:
    return any(_meet(one, other, depth) for one in taker.alternatives() for other in giver.alternatives())


def _members(schema: Mapping[str, Any], name: str) -> Iterator[Any]:
    properties = schema.get("properties", {})
    if name in properties:
        yield properties[name]
    elif "patternProperties" in schema:
        yield True
    else:
        yield schema.get("additionalProperties", "properties" not in schema)


def _elements(schema: Mapping[str, Any], index: int) -> Iterator[Any]:
    first = schema.get("prefixItems", ())
    if index >= schema.get("maxItems", index + 1):
        return
    yield first[index] if index < len(first) else schema.get("items", True)


def _definition(ref: str, root: Mapping[str, Any]) -> Any:
    name = ref.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
    return root.get("$defs", {}).get(name, True)


def kind_of(value: Json) -> str:
    if value is None:
        return "null"
    for kind, types in _TYPES.items():
        if isinstance(value, types):
            return kind
    return "object"


_TYPES: Mapping[str, type] = {"boolean": bool, "integer": int, "number": float, "string": str, "array": list}
