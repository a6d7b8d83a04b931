"""From any JSON Schema to the reduced dialect that constrained decoders take; it accepts no less."""

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from ..errors import StartError
from .base import JsonSchema
from .dialect import SCALARS, anything, described, options, told_by, union

_MAX_NODES = 5000
_MAX_DEPTH = 32
_HINT_LENGTH = 60
_HINTS = (
    "format", "pattern", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "minItems", "maxItems", "uniqueItems",
)  # fmt: skip
_NOTES = frozenset(
    {"description", "title", "default", "examples", "example", "deprecated", "readOnly", "writeOnly"}
    | {"$schema", "$id", "$comment", "$defs", "definitions", "discriminator", *_HINTS}
)
_OBJECT_WORDS = frozenset({"properties", "required", "additionalProperties", "patternProperties"})
_ARRAY_WORDS = frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"})

_Refs = tuple[str, ...]


class UnsupportedSchema(StartError):
    """A schema that can't be put into the reduced dialect. The message names the place and the reason."""

    code = "unsupported_schema"


def reduce_schema(schema: JsonSchema) -> dict[str, object]:
    """`schema` in the reduced dialect, self-contained; patterns, formats and bounds become descriptions.

    An object that lists its properties and doesn't say whether others are allowed is closed. Raises
    UnsupportedSchema: recursion, a reference to elsewhere, a schema that accepts nothing, an unknown type,
    more than 5,000 nodes or 32 levels.
    """
    return _Reducer(schema).node(schema, "$", ("#",))


class _Reducer:
    """Reduces one schema. `at` is the place, for messages; `refs` are the references that led to it."""

    def __init__(self, root: JsonSchema) -> None:
        self._root = root
        self._nodes = 0

    def node(self, schema: object, at: str, refs: _Refs) -> dict[str, object]:
        self._nodes += 1
        if self._nodes > _MAX_NODES or at.count("/") > _MAX_DEPTH or len(refs) > _MAX_DEPTH:
            raise UnsupportedSchema(f"{at}: the schema is too large or too deep")
        if schema is True:
            return anything()
        if not isinstance(schema, Mapping):
            raise UnsupportedSchema(f"{at}: there is no value that fits")
        if "$ref" in schema:
            return self._reference(schema, at, refs)
        if "allOf" in schema:
            return self._all_of(schema, at, refs)
        reduced = self._plain(schema, at, refs)
        return described(reduced, told_by(schema), _hints(schema))

    def _plain(self, schema: JsonSchema, at: str, refs: _Refs) -> dict[str, object]:
        values = [schema["const"]] if "const" in schema else schema.get("enum")
        if isinstance(values, list) and values:
            return options(values)
        kind = schema.get("type", _implied_type(schema))
        if isinstance(kind, list) and kind:
            bare = {key: value for key, value in schema.items() if key not in {"description", *_HINTS}}
            return union([self.node({**bare, "type": one}, at, refs) for one in kind])
        branches = schema.get("anyOf", schema.get("oneOf"))
        if isinstance(branches, list) and not schema.keys() & _OBJECT_WORDS:
            return self._any_of(branches, kind, at, refs)
        if kind is None:
            return anything()
        if kind == "object":
            return self._object(schema, at, refs)
        if kind == "array":
            return self._array(schema, at, refs)
        if kind not in SCALARS:
            raise UnsupportedSchema(f"{at}: unknown type {kind!r:.40}")
        return {"type": kind}

    def _any_of(self, branches: Sequence[object], kind: object, at: str, refs: _Refs) -> dict[str, object]:
        possible = [branch for branch in branches if branch is not False]
        if not possible:
            raise UnsupportedSchema(f"{at}: there is no value that fits")
        typed = {} if kind is None else {"type": kind}
        return union([self.node({**typed, **b} if isinstance(b, Mapping) else b, at, refs) for b in possible])

    def _all_of(self, schema: JsonSchema, at: str, refs: _Refs) -> dict[str, object]:
        """Several objects become one with the properties of all; of other things the first is kept."""
        beside = {key: value for key, value in schema.items() if key != "allOf"}
        branches = schema["allOf"]
        listed = branches if isinstance(branches, list) else []
        parts = [self.node(branch, at, refs) for branch in listed]
        if beside.keys() - _NOTES:
            parts.append(self.node(beside, at, refs))
        telling = [part for part in parts if described(part, "") != anything()] or [anything()]
        if all(part.get("type") == "object" for part in telling):
            return described(_one_object(telling), told_by(schema))
        return described(telling[0], told_by(schema))

    def _object(self, schema: JsonSchema, at: str, refs: _Refs) -> dict[str, object]:
        listed = schema.get("properties")
        properties = {
            name: self.node(child, f"{at}/{name}", refs)
            for name, child in (listed if isinstance(listed, Mapping) else {}).items()
            if child is not False
        }
        return _object(properties, schema.get("required"), self._extra(schema, at, refs))

    def _extra(self, schema: JsonSchema, at: str, refs: _Refs) -> object:
        """What `additionalProperties` becomes: true, false, or a schema."""
        extra = schema.get("additionalProperties", "properties" not in schema)
        patterns = schema.get("patternProperties")
        values = [*patterns.values()] if isinstance(patterns, Mapping) else []
        if isinstance(extra, Mapping):
            values.append(extra)
        elif extra is not False and not values:
            return True
        if not values:
            return False
        reduced = union([self.node(value, f"{at}/*", refs) for value in values])
        return True if reduced == anything() else reduced

    def _array(self, schema: JsonSchema, at: str, refs: _Refs) -> dict[str, object]:
        items = schema.get("items")
        parts = items if isinstance(items, list) else schema.get("prefixItems")
        kinds = [*parts] if isinstance(parts, list) else []
        if isinstance(items, Mapping):
            kinds.append(items)
        elif items is not False and schema.get("maxItems") != len(kinds):
            return {"type": "array"}
        if not kinds:
            return {"type": "array"}
        reduced = union([self.node(kind, f"{at}/-", refs) for kind in kinds])
        return {"type": "array"} if reduced == anything() else {"type": "array", "items": reduced}

    def _reference(self, schema: JsonSchema, at: str, refs: _Refs) -> dict[str, object]:
        ref = str(schema["$ref"])
        if ref in refs:
            raise UnsupportedSchema(f"{at}: {ref} contains itself, and a model can't be sent recursion")
        reduced = self.node(self._target(ref, at), at, (*refs, ref))
        return described(reduced, told_by(schema))

    def _target(self, ref: str, at: str) -> object:
        target: object = self._root
        if not ref.startswith("#"):
            raise UnsupportedSchema(f"{at}: {ref} is outside of the schema")
        for part in unquote(ref[1:]).split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and name.isdecimal() and int(name) < len(target):
                target = target[int(name)]
            elif isinstance(target, Mapping) and name in target:
                target = target[name]
            else:
                raise UnsupportedSchema(f"{at}: {ref} leads nowhere")
        return target


def _implied_type(schema: JsonSchema) -> str | None:
    if schema.keys() & _OBJECT_WORDS:
        return "object"
    return "array" if schema.keys() & _ARRAY_WORDS else None


def _object(properties: JsonSchema, required: object, extra: object) -> dict[str, object]:
    out: dict[str, object] = {"type": "object"}
    if properties or extra is False:
        out["properties"] = properties
    if isinstance(required, list) and (names := [name for name in required if name in properties]):
        out["required"] = names
    out["additionalProperties"] = extra
    return out


def _one_object(parts: Sequence[JsonSchema]) -> dict[str, object]:
    properties: dict[str, object] = {}
    required: list[object] = []
    extra: object = True
    for part in parts:
        listed, names = part.get("properties"), part.get("required")
        properties = {**(listed if isinstance(listed, Mapping) else {}), **properties}
        required += [n for n in names if n not in required] if isinstance(names, list) else []
        extra = part["additionalProperties"] if extra is True else extra
    return _object(properties, required, extra)


def _hints(schema: JsonSchema) -> str:
    told = [f"{word}: {schema[word]}" for word in _HINTS if word in schema and schema[word] is not False]
    return ", ".join(hint for hint in told if len(hint) <= _HINT_LENGTH)
