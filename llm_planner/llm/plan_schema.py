"""The JSON Schema of a whole plan over a set of tools, as models are asked for it."""

from collections.abc import Mapping

from .base import JsonSchema
from .dialect import branches, closed_object, told_by, union
from .schema import UnsupportedSchema, reduce_schema

STEP_REFERENCE: JsonSchema = closed_object({"$step": {"type": "string"}, "pointer": {"type": "string"}})
"""A value taken from an earlier step's result, in the place of the value itself."""


def plan_schema(tools: Mapping[str, JsonSchema]) -> dict[str, object]:
    """The schema of a plan over `tools`, a map from model-facing name to the JSON Schema of its arguments.

    That schema may be any: it is reduced here. Each top-level argument may also be a step reference. Raises
    UnsupportedSchema, which names the tool.
    """
    calls: dict[str, object] = {"type": "array", "maxItems": 0}
    if tools:
        calls = {"type": "array", "items": union([_call(name, schema) for name, schema in tools.items()])}
    return closed_object(
        {
            "reply": {"type": ["string", "null"]},
            "tool_calls": calls,
            "then": {"type": "string", "enum": ["answer", "replan"]},
        }
    )


def _call(name: str, arguments: JsonSchema) -> dict[str, object]:
    try:
        args = _with_references(reduce_schema(arguments))
    except UnsupportedSchema as error:
        raise UnsupportedSchema(f"tool {name}: {error.detail}") from None
    return closed_object(
        {
            "id": {"type": "string"},
            "tool": {"type": "string", "const": name},
            "args": args,
            "after": {"type": "array", "items": {"type": "string"}},
        }
    )


def _with_references(node: JsonSchema) -> dict[str, object]:
    if "anyOf" in node:
        return {**node, "anyOf": [_with_references(branch) for branch in branches(node)]}
    if node.get("type") != "object":
        raise UnsupportedSchema("the arguments of a tool must be an object")
    out = dict(node)
    properties, extra = node.get("properties"), node["additionalProperties"]
    if isinstance(properties, Mapping):
        out["properties"] = {name: _or_reference(child) for name, child in properties.items()}
    if isinstance(extra, Mapping):
        out["additionalProperties"] = _or_reference(extra)
    return out


def _or_reference(node: JsonSchema) -> dict[str, object]:
    return union([node, STEP_REFERENCE], told_by(node))
