"""Tools: what a tool is, what it gets, and the registry that is the allowlist."""

import hashlib
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter, ValidationError

from .errors import StartError
from .llm.schema import UnsupportedSchema, reduce_schema
from .messages import Json, canonical

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")


class Tool:
    """Base of every tool: set the attributes, write `run`.

    `run(args, ctx)` gets a validated `input_model` and a `ToolContext`; it may be `async def`, or a plain
    `def`, which runs in a thread. It returns anything that is JSON, or an `output_model`. An undeclared
    `write` is a write: it asks for confirmation first.
    """

    name: str
    description: str
    input_model: type[BaseModel]
    write: bool = True
    title: str | None = None
    examples: Sequence[tuple[str, Mapping[str, Any]]] = ()
    output_model: Any = None
    timeout_s: float | None = None
    retries: int = 0
    idempotent: bool = False
    approver: str = "user"
    egress: Sequence[str] = ()
    taint: Literal["flag", "refuse"] = "flag"
    confirm_ttl_s: int | None = None
    rate_limit: int | None = None
    channels: Sequence[str] | None = None

    def run(self, args: Any, ctx: Any) -> Any:
        """Do it. Raise `ToolRetry` or `ToolFailed` only where nothing was done."""
        raise NotImplementedError(f"{type(self).__name__} has no run()")

    def summary(self, args: Any, locale: str) -> str | None:
        """The heading of the confirmation card; every argument follows it anyway."""
        return None

    def render(self, result: Any, locale: str) -> str | None:
        """The result as text for the user; None leaves it to the default."""
        return None

    async def reconcile(self, args: Any, ctx: Any) -> Any:
        """Find out what became of a write whose outcome is unknown: its result, or None if still unknown.

        Raise `ToolFailed` when it is certain that nothing was done.
        """
        return None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """One registered tool, ready to be validated against and called."""

    tool: Tool
    name: str
    title: str
    description: str
    write: bool
    schema: Mapping[str, Json]
    schema_hash: str
    timeout_s: float | None

    def validate(self, args: Mapping[str, Json]) -> BaseModel:
        """Arguments from JSON, by alias, extra keys refused. Raises pydantic's ValidationError."""
        try:
            raw = json.dumps(args, allow_nan=False)
        except (ValueError, TypeError, RecursionError):
            raw = "NaN"
        return self.tool.input_model.model_validate_json(raw, extra="forbid", by_alias=True, by_name=False)

    def pin(self, args: Mapping[str, Json]) -> Mapping[str, Json]:
        """The arguments exactly as they will run: defaults filled in where they survive the round trip."""
        model = self.validate(args)
        dumped: dict[str, Json] = json.loads(model.model_dump_json(by_alias=True))
        try:
            return dumped if self.validate(dumped) == model else args
        except ValidationError:
            return args

    def allows(self, channel: str) -> bool:
        return self.tool.channels is None or channel in self.tool.channels

    @property
    def reconciles(self) -> bool:
        return type(self.tool).reconcile is not Tool.reconcile

    def output(self, result: Any) -> Json:
        """The result as JSON, checked against `output_model` where there is one. Raises ValueError."""
        adapter = _ANY if self.tool.output_model is None else TypeAdapter(self.tool.output_model)
        value = result if self.tool.output_model is None else adapter.validate_python(result)
        return json.loads(adapter.dump_json(value, by_alias=True))


_ANY: TypeAdapter[Any] = TypeAdapter(Any)


class ToolRegistry:
    """The allowlist. What is not registered does not run."""

    def __init__(self, tools: Iterable[Tool | type[Tool]] = ()) -> None:
        self._specs: dict[str, ToolSpec] = {}
        for tool in tools:
            self.register(tool)

    def register(self, tool: Tool | type[Tool]) -> None:
        """Add one tool, as a class or an instance. Raises StartError that says what is wrong with it."""
        spec = _spec(tool() if isinstance(tool, type) else tool)
        if spec.name in self._specs:
            raise StartError(f"tool {spec.name!r} is registered twice")
        self._specs[spec.name] = spec

    def get(self, name: str) -> ToolSpec | None:
        return self._specs.get(name)

    def on(self, channel: str) -> tuple[ToolSpec, ...]:
        """The tools that this channel may use, in the order of registration."""
        return tuple(spec for spec in self if spec.allows(channel))

    @property
    def hosts(self) -> frozenset[str]:
        """Every host that some tool declares."""
        return frozenset(host.lower() for spec in self for host in spec.tool.egress)

    def __iter__(self) -> Iterator[ToolSpec]:
        return iter(self._specs.values())

    def __len__(self) -> int:
        return len(self._specs)


def _spec(tool: Tool) -> ToolSpec:
    name = getattr(tool, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise StartError(f"{type(tool).__name__}: name {name!r} must match {_NAME.pattern}")
    description = getattr(tool, "description", None)
    if not isinstance(description, str) or not description.strip():
        raise StartError(f"tool {name!r}: description is missing; it is what the planner reads")
    model = getattr(tool, "input_model", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise StartError(f"tool {name!r}: input_model is missing; give it a pydantic BaseModel")
    if type(tool).run is Tool.run or not callable(tool.run):
        raise StartError(f"tool {name!r}: it has no run(self, args, ctx)")
    return ToolSpec(
        tool=tool,
        name=name,
        title=tool.title or name.replace("_", " ").replace(".", " ").capitalize(),
        description=inspect.cleandoc(description),
        write=tool.write is not False,
        schema=(schema := _schema(name, model)),
        schema_hash=hashlib.sha256(canonical(schema)).hexdigest(),
        timeout_s=_seconds(name, tool.timeout_s),
    )


def _seconds(name: str, value: float | None) -> float | None:
    if value is not None and not 0 < value <= 3600:
        raise StartError(f"tool {name!r}: timeout_s must be above 0 and at most 3600 seconds")
    return value


def _schema(name: str, model: type[BaseModel]) -> dict[str, Json]:
    try:
        schema = model.model_json_schema(by_alias=True)
        reduce_schema(schema)
    except UnsupportedSchema as error:
        raise StartError(f"tool {name!r}: {error}") from error
    except (TypeError, ValueError) as error:
        raise StartError(f"tool {name!r}: input_model has no JSON Schema: {error}") from error
    return schema
