"""Forms for a tool's arguments: an input for each, by its schema, and the arguments again from what was sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidRequest
from ..messages import Json
from ..tools import ToolSpec

PREFIX = "arg:"
LONG = 120
"""Characters from which a text gets more than one line."""


@dataclass(frozen=True, slots=True)
class Field:
    """One input. `kind` is text, long, number, choice, switch or json; `value` is what it holds now."""

    name: str
    label: str
    hint: str
    kind: str
    required: bool
    value: str
    choices: Sequence[str] = ()

    @property
    def input(self) -> str:
        return PREFIX + self.name


def fields(spec: ToolSpec, args: Mapping[str, Json]) -> list[Field]:
    """The inputs of a tool, filled with these arguments."""
    required = frozenset(spec.schema.get("required", ()))
    known = spec.schema.get("properties", {})
    return [_field(name, known[name], args, name in required) for name in known]


def _field(name: str, schema: Mapping[str, Any], args: Mapping[str, Json], required: bool) -> Field:
    kind, choices = _kind(schema)
    value = args.get(name)
    if kind == "text" and isinstance(value, str) and (len(value) > LONG or "\n" in value):
        kind = "long"
    if value is not None and kind in ("text", "long", "choice") and not isinstance(value, str):
        kind, choices = "json", ()
    return Field(
        name=name,
        label=str(schema.get("title") or name),
        hint=str(schema.get("description") or ""),
        kind=kind,
        required=required,
        value=_written(value, kind) if name in args else "",
        choices=choices,
    )


def _kind(schema: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
    options = [option for option in schema.get("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        schema = options[0]
    choices = schema.get("enum", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "choice", list(choices)
    kinds = {"string": "text", "integer": "number", "number": "number", "boolean": "switch"}
    return kinds.get(str(schema.get("type")), "json"), ()


def _written(value: Json, kind: str) -> str:
    if kind in ("text", "long", "choice"):
        return value if isinstance(value, str) else ""
    if kind == "switch":
        return "" if value is None else str(bool(value)).lower()
    return "" if value is None and kind == "number" else json.dumps(value, ensure_ascii=False)


def arguments(spec: ToolSpec, form: Mapping[str, str]) -> dict[str, Json]:
    """The arguments that were sent; what is optional and left empty is absent. Raises InvalidRequest."""
    found = {}
    for field in fields(spec, {}):
        raw = form.get(field.input, "")
        if raw.strip() or (field.required and field.kind in ("text", "long")):
            found[field.name] = _read(field, raw, form.get(f"kind:{field.name}"))
    return found


def _read(field: Field, raw: str, kind: str | None) -> Json:
    if field.kind in ("text", "choice") and kind != "json":
        return raw
    try:
        value = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidRequest(f"{field.label}: can't be read as {field.kind}") from None
    if field.kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidRequest(f"{field.label}: must be a number")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
