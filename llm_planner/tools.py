"""Tools: what a tool is, what it gets, and the registry that is the allowlist."""

import hashlib
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from .errors import StartError
from .llm.schema import UnsupportedSchema, reduce_schema
from .messages import Json, canonical

LONGEST_CALL_S = 3600
LONGEST_WAIT_S = 604800
MOST_RETRIES = 5
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
    results: TypeAdapter[Any]
    result_schema: Mapping[str, Json] | None

    def validate(self, args: Mapping[str, Json]) -> BaseModel:
        """Arguments from JSON, by alias, extra keys refused. Raises pydantic's ValidationError, also where a
        validator of the tool's own trips over them."""
        try:
            raw = json.dumps(args, allow_nan=False)
        except (ValueError, TypeError, RecursionError):
            raw = "NaN"
        try:
            return self.tool.input_model.model_validate_json(
                raw, extra="forbid", by_alias=True, by_name=False
            )
        except ValidationError:
            raise
        except FAULTS as error:
            problem = PydanticCustomError("validator_failed", "a check of the tool failed on these arguments")
            line: InitErrorDetails = {"type": problem, "loc": (), "input": None}
            raise ValidationError.from_exception_data(self.name, [line]) from error

    def pin(self, args: Mapping[str, Json]) -> Mapping[str, Json]:
        """The arguments exactly as they will run: defaults filled in where they survive the round trip."""
        model = self.validate(args)
        try:
            dumped: dict[str, Json] = json.loads(model.model_dump_json(by_alias=True))
            return dumped if self.validate(dumped) == model else args
        except FAULTS:
            return args

    def allows(self, channel: str) -> bool:
        return self.tool.channels is None or channel in self.tool.channels

    @property
    def reconciles(self) -> bool:
        return type(self.tool).reconcile is not Tool.reconcile

    def output(self, result: Any) -> Json:
        """The result as JSON, checked against `output_model` where there is one; TypeError, ValueError."""
        if isinstance(result, Iterator):
            raise TypeError("an iterator is no result: it may never end")
        value = self.results.validate_python(result) if self.results is not _ANY else result
        return json.loads(self.results.dump_json(value, by_alias=True), parse_constant=_no_number)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_ANY: TypeAdapter[Any] = TypeAdapter(Any)
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What validators and serializers of users' models raise when they trip over a value."""


class ToolRegistry:
    """The allowlist. What is not registered does not run."""

    def __init__(self, tools: Iterable[Tool | type[Tool]] = ()) -> None:
        self._specs: dict[str, ToolSpec] = {}
        for tool in tools:
            self.register(tool)

    def register(self, tool: Tool | type[Tool]) -> None:
        """Add one tool, as a class or an instance. Raises StartError that says what is wrong with it."""
        spec = _spec(_made(tool) if isinstance(tool, type) else tool)
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


def _made(tool: type[Tool]) -> Tool:
    try:
        return tool()
    except TypeError as error:
        raise StartError(
            f"{tool.__name__}: it can't be made without arguments: register an instance"
        ) from error


def _spec(tool: Tool) -> ToolSpec:
    if not isinstance(tool, Tool):
        raise StartError(f"{type(tool).__name__} is not a Tool: derive it from llm_planner.Tool")
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
    wrong = next(_wrong_options(tool), None)
    if wrong is not None:
        raise StartError(f"tool {name!r}: {wrong}")
    results = _ANY if tool.output_model is None else _results(name, tool.output_model)
    return ToolSpec(
        tool=tool,
        name=name,
        title=tool.title or name.replace("_", " ").replace(".", " ").capitalize(),
        description=inspect.cleandoc(description),
        write=tool.write is not False,
        schema=(schema := _schema(name, model)),
        schema_hash=hashlib.sha256(canonical(schema)).hexdigest(),
        timeout_s=tool.timeout_s,
        results=results,
        result_schema=_result_schema(results),
    )


def _wrong_options(tool: Tool) -> Iterator[str]:
    """What is wrong with the optional attributes: a misspelt one must not open a door."""
    if tool.title is not None and not (isinstance(tool.title, str) and tool.title.strip()):
        yield "title is a text"
    if not _between(tool.timeout_s, 0, LONGEST_CALL_S):
        yield f"timeout_s must be above 0 and at most {LONGEST_CALL_S} seconds"
    if tool.rate_limit is not None and (type(tool.rate_limit) is not int or tool.rate_limit < 1):
        yield "rate_limit is a whole number of calls a minute in one session, at least 1"
    if type(tool.retries) is not int or not 0 <= tool.retries <= MOST_RETRIES:
        yield f"retries is a whole number from 0 to {MOST_RETRIES}"
    if not isinstance(tool.idempotent, bool):
        yield "idempotent is True or False"
    if not isinstance(tool.approver, str) or not tool.approver.strip():
        yield "approver is 'user' or the name of an operator's role"
    if tool.taint not in ("flag", "refuse"):
        yield "taint is 'flag' or 'refuse'"
    if not _between(tool.confirm_ttl_s, 0, LONGEST_WAIT_S):
        yield f"confirm_ttl_s must be above 0 and at most {LONGEST_WAIT_S} seconds"
    if not _names(tool.egress) or not (tool.channels is None or _names(tool.channels)):
        yield "egress and channels are lists of names"
    if not isinstance(tool.examples, Sequence) or not all(map(_is_example, tool.examples)):
        yield "examples are pairs: what a user says, and the arguments"


def _between(value: object, above: float, most: float) -> bool:
    """Whether an optional number is within its bounds."""
    return value is None or (type(value) in (int, float) and above < value <= most)  # type: ignore[operator]


def _names(value: object) -> bool:
    return (
        isinstance(value, Sequence | Set)
        and not isinstance(value, str)
        and all(isinstance(n, str) and n for n in value)
    )


def _is_example(example: object) -> bool:
    if not isinstance(example, Sequence) or isinstance(example, str) or len(example) != 2:
        return False
    return isinstance(example[0], str) and isinstance(example[1], Mapping)


def _results(name: str, model: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(model)
    except (PydanticUserError, NameError) as error:
        raise StartError(f"tool {name!r}: output_model can't be used: {error}") from error


def _result_schema(results: TypeAdapter[Any]) -> dict[str, Json] | None:
    """What a result looks like, as it is written; None where the tool, or pydantic, does not say."""
    if results is _ANY:
        return None
    try:
        return results.json_schema(mode="serialization", by_alias=True)
    except PydanticUserError:
        return None


def _schema(name: str, model: type[BaseModel]) -> dict[str, Json]:
    try:
        schema = model.model_json_schema(by_alias=True)
        reduce_schema(schema)
    except UnsupportedSchema as error:
        raise StartError(f"tool {name!r}: {error}") from error
    except (TypeError, ValueError, NameError) as error:
        raise StartError(f"tool {name!r}: input_model has no JSON Schema: {error}") from error
    return schema
