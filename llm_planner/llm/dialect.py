"""The reduced dialect of JSON Schema, in which models are told what to write: its parts and how they combine.

Its words: type, enum, const, properties, required, additionalProperties, items, anyOf, description, and
maxItems with 0 alone. No references, patterns, formats or bounds; an anyOf never holds another one.
"""

from collections.abc import Iterable

from .base import JsonSchema

SCALARS = ("string", "number", "integer", "boolean", "null")
FREE_OBJECT: JsonSchema = {"type": "object", "additionalProperties": True}
_DESCRIPTION_LENGTH = 200
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null"}


def anything() -> dict[str, object]:
    """Every JSON value. Spelled out, since decoders read an empty schema as an object."""
    return union([{"type": ["string", "number", "boolean", "null"]}, {"type": "array"}, FREE_OBJECT])


def closed_object(properties: JsonSchema) -> dict[str, object]:
    """An object with exactly these properties, all required."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def options(values: Iterable[object]) -> dict[str, object]:
    """One of `values`, which are scalars; `anything` where one of them isn't.

    A branch for each type: decoders forget an enum that stands beside several types.
    """
    unique = {(type(value), repr(value)): value for value in values}
    if not all(kind in _TYPES for kind, _ in unique):
        return anything()
    nodes: list[JsonSchema] = []
    for kind in SCALARS:
        allowed = [value for (of, _), value in unique.items() if _TYPES[of] == kind]
        if kind == "null" and allowed:
            nodes.append({"type": "null"})
        elif allowed:
            nodes.append(
                {"type": kind, "const": allowed[0]} if len(allowed) == 1 else {"type": kind, "enum": allowed}
            )
    return dict(nodes[0]) if len(nodes) == 1 else {"anyOf": nodes}


def union(nodes: Iterable[JsonSchema], description: str = "") -> dict[str, object]:
    """What any of `nodes` (at least one) accepts: flat, without repeats, with the scalars in one branch."""
    flat = [branch for node in nodes for branch in branches(node)]
    merged = [node for node in flat if _is_scalar(node) or _options(node)]
    kinds = [kind for kind in SCALARS if any(kind in _types(node) for node in merged if _is_scalar(node))]
    if "number" in kinds and "integer" in kinds:
        kinds.remove("integer")
    values = [value for node in merged for value in _options(node)]
    out = branches(options(values)) if values else []
    for node in flat:
        if node not in merged and node not in out:
            out.append(node)
    if kinds:
        out.append({"type": kinds if len(kinds) > 1 else kinds[0]})
    told = description or "; ".join(dict.fromkeys(text for node in merged if (text := told_by(node))))
    return described(out[0] if len(out) == 1 else {"anyOf": out}, told)


def branches(node: JsonSchema) -> list[JsonSchema]:
    """What `node` is a choice of; itself where it is none."""
    listed = node.get("anyOf")
    return list(listed) if isinstance(listed, list) else [node]


def told_by(node: JsonSchema) -> str:
    """The description in `node`; empty if there is none."""
    text = node.get("description")
    return text if isinstance(text, str) else ""


def described(node: JsonSchema, description: str, hints: str = "") -> dict[str, object]:
    """`node` with this description, shortened, or else its own; then the hints, whole."""
    words = " ".join((description or told_by(node)).split())
    if len(words) > _DESCRIPTION_LENGTH:
        words = words[: _DESCRIPTION_LENGTH - 1].rpartition(" ")[0] + "…"
    text = f"{words} ({hints})".lstrip() if hints else words
    bare = {key: value for key, value in node.items() if key != "description"}
    return {**bare, "description": text} if text else bare


def _is_scalar(node: JsonSchema) -> bool:
    return (
        node.keys() <= {"type", "description"} and bool(kinds := _types(node)) and set(kinds) <= set(SCALARS)
    )


def _types(node: JsonSchema) -> list[str]:
    kinds = node.get("type")
    return kinds if isinstance(kinds, list) else [str(kinds)]


def _options(node: JsonSchema) -> list[object]:
    if "const" in node:
        return [node["const"]]
    values = node.get("enum")
    return values if isinstance(values, list) else []
