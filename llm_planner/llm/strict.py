"""OpenAI's strict form of a reduced schema, all required and the optional nullable; and the way back."""

import json
from collections.abc import Mapping

from .base import JsonSchema
from .dialect import branches, union
from .strict_json import NoJson, strict_loads
from .wire import mapping

_NULL: JsonSchema = {"type": "null"}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


class _NotStrict(Exception):
    """The schema holds a free map or an untyped list, which the strict form can't say."""


def to_strict(schema: JsonSchema) -> dict[str, object] | None:
    """`schema` (reduced dialect) in the strict form, or None where that form can't say it."""
    try:
        return _strict(schema)
    except _NotStrict:
        return None


def without_filled_nulls(text: str, schema: JsonSchema) -> str:
    """`text` without the nulls that stand for an absent optional property that `schema` doesn't let be null.

    Text that is not JSON comes back as it is.
    """
    try:
        value = strict_loads(text)
    except NoJson:
        return text
    pruned = _pruned(value, schema)
    return text if pruned == value else json.dumps(pruned, ensure_ascii=False)


def _strict(node: JsonSchema) -> dict[str, object]:
    out = dict(node)
    if "anyOf" in node:
        out["anyOf"] = [_strict(branch) for branch in branches(node)]
    elif node.get("type") == "object":
        if node.get("additionalProperties") is not False:
            raise _NotStrict
        properties, required = _properties(node)
        strict = {name: _strict(child) for name, child in properties.items()}
        out["properties"] = {k: v if k in required else union([v, _NULL]) for k, v in strict.items()}
        out["required"] = list(properties)
    elif node.get("type") == "array":
        if "items" not in node and node.get("maxItems") != 0:
            raise _NotStrict
        if "items" in node:
            out["items"] = _strict(mapping(node["items"]))
    return out


def _pruned(value: object, node: JsonSchema) -> object:
    if "anyOf" in node:
        fitting = next((branch for branch in branches(node) if _fits(value, branch)), None)
        return value if fitting is None else _pruned(value, fitting)
    if isinstance(value, list):
        return [_pruned(item, mapping(node.get("items"))) for item in value]
    if not isinstance(value, dict):
        return value
    properties, required = _properties(node)
    return {
        name: _pruned(child, properties.get(name, {}))
        for name, child in value.items()
        if child is not None or name in required or _fits(None, properties.get(name, {}))
    }


def _fits(value: object, node: JsonSchema) -> bool:
    """Whether `value` is an instance of `node`, a null in an optional property counting as its absence."""
    if "anyOf" in node:
        return any(_fits(value, branch) for branch in branches(node))
    options = node.get("enum", [node["const"]] if "const" in node else None)
    if isinstance(options, list):
        return any(value == option and type(value) is type(option) for option in options)
    kinds = node.get("type", list(_TYPES))
    if not any(_is_a(value, kind) for kind in (kinds if isinstance(kinds, list) else [kinds])):
        return False
    if isinstance(value, list):
        return all(_fits(item, mapping(node.get("items"))) for item in value)
    return not isinstance(value, dict) or _fits_object(value, node)


def _fits_object(value: Mapping[str, object], node: JsonSchema) -> bool:
    properties, required = _properties(node)
    extra = node.get("additionalProperties")
    if not required <= value.keys() or (extra is False and not value.keys() <= properties.keys()):
        return False
    return all(
        (child is None and name not in required) or _fits(child, properties.get(name, mapping(extra)))
        for name, child in value.items()
    )


def _is_a(value: object, kind: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES.get(str(kind), ()))


def _properties(node: JsonSchema) -> tuple[dict[str, JsonSchema], set[str]]:
    required = node.get("required")
    names = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    return {name: mapping(child) for name, child in mapping(node.get("properties")).items()}, names
