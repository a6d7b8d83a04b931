"""The plan: its strict shape, and the check of a whole plan before its first step runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from ..errors import PlanRejected
from ..messages import Json
from ..tools import ToolRegistry, ToolSpec
from .record import StepResult
from .references import BadPointer, Reference, filled, parts, references
from .result_types import Shape, can_take, kinds_of


class PlannedCall(BaseModel):
    """One step: a tool and its arguments, after the steps it names."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
    tool: str
    args: dict[str, JsonValue] = {}
    after: list[str] = []


class PlannerOutput(BaseModel):
    """What a planner proposes, and all that it can propose."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    reply: str | None = None
    tool_calls: list[PlannedCall] = []
    then: Literal["answer", "replan"] = "answer"


@dataclass(frozen=True, slots=True)
class CheckedStep:
    """A step that passed the check; `needs` are the steps it waits for."""

    id: str
    spec: ToolSpec
    args: Mapping[str, Json]
    references: tuple[Reference, ...]
    needs: frozenset[str]


@dataclass(frozen=True, slots=True)
class CheckedPlan:
    """A whole plan that may run, in an order in which every step follows what it needs."""

    output: PlannerOutput
    steps: tuple[CheckedStep, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a plan is checked against: the allowlist, the channel, the budget, and what earlier steps found."""

    registry: ToolRegistry
    channel: str
    most_steps: int
    earlier: Mapping[str, StepResult] = field(default_factory=dict)


def check(output: PlannerOutput, rules: Rules) -> CheckedPlan:
    """The whole plan against the registry. Raises PlanRejected with every problem found."""
    problems: list[str] = []
    if len(output.tool_calls) > rules.most_steps:
        raise PlanRejected([f"at most {rules.most_steps} steps; this plan has {len(output.tool_calls)}"])
    ids = [call.id for call in output.tool_calls]
    problems += [f"step id {name!r} is used twice" for name in sorted({n for n in ids if ids.count(n) > 1})]
    problems += [f"step id {name!r} was used in an earlier round" for name in ids if name in rules.earlier]
    steps, tools = [], {call.id: call.tool for call in output.tool_calls}
    for call in output.tool_calls:
        step, found = _check_step(call, tools, rules)
        problems += found
        if step is not None:
            steps.append(step)
    if problems:
        raise PlanRejected(problems)
    return CheckedPlan(output, _ordered(steps, frozenset(rules.earlier)))


def _check_step(
    call: PlannedCall, tools: Mapping[str, str], rules: Rules
) -> tuple[CheckedStep | None, list[str]]:
    spec = rules.registry.get(call.tool)
    if spec is None or not spec.allows(rules.channel):
        return None, [f"step {call.id!r}: there is no tool {call.tool!r}"]
    if "$step" in call.args:
        return None, [f"step {call.id!r}: a reference stands for one value, not for all arguments"]
    try:
        found = tuple(references(call.args))
    except PlanRejected as error:
        return None, [f"step {call.id!r}: {problem}" for problem in error.problems]
    needs = frozenset(call.after) | {reference.step for reference in found}
    missing = sorted(needs - tools.keys() - rules.earlier.keys())
    problems = [f"there is no step {name!r}" for name in missing]
    for reference in found:
        producer = rules.registry.get(tools.get(reference.step, ""))
        if producer is not None:
            problems += _type_problems(spec, reference, producer)
    problems += _value_problems(spec, call, found, rules)
    return CheckedStep(call.id, spec, call.args, found, needs), [f"step {call.id!r}: {p}" for p in problems]


def _type_problems(spec: ToolSpec, reference: Reference, producer: ToolSpec) -> Iterator[str]:
    """What is wrong with a reference by the declared types of both ends, before anything runs."""
    if producer.result_schema is None:
        return
    where, source = ".".join(map(str, reference.path)), Shape(producer.result_schema, producer.result_schema)
    pointer = parts(reference.pointer)
    given = source.at(pointer)
    if not given:
        inner = next(found for end in range(len(pointer), -1, -1) if (found := source.at(pointer[:end])))
        fields = ", ".join(sorted({name for shape in inner for name in shape.fields})) or kinds_of(inner)
        yield f"{where}: {reference.pointer!r} is not in the result of {producer.name}; there is: {fields}"
        return
    asked = Shape(spec.schema, spec.schema).at([str(part) for part in reference.path])
    if asked and not can_take(asked, given):
        yield (
            f"{where}: {reference.pointer!r} of {producer.name} is {kinds_of(given)}, "
            f"which can't stand here: this takes {kinds_of(asked)}"
        )


def _value_problems(spec: ToolSpec, call: PlannedCall, found: Sequence[Reference], rules: Rules) -> list[str]:
    """What is wrong with the values, those of earlier rounds filled in."""
    none = sorted({r.step for r in found if r.step in rules.earlier and rules.earlier[r.step].status != "ok"})
    if none:
        return [f"step {name!r} has no result: {rules.earlier[name].status}" for name in none]
    known = {name: result.result for name, result in rules.earlier.items()}
    try:
        args: Mapping[str, Json] = {name: filled(value, known) for name, value in call.args.items()}
    except BadPointer as error:
        return [str(error)]
    return _argument_problems(spec, args, [r for r in found if r.step not in known])


def _argument_problems(
    spec: ToolSpec, args: Mapping[str, Json], references: Sequence[Reference]
) -> list[str]:
    """Validation errors, less those at the places that a reference will fill."""
    try:
        spec.validate(args)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, item['loc'])) or 'args'}: {item['msg']}"
            for item in error.errors(include_input=False, include_url=False)
            if not any(_touches(item, reference.path, args) for reference in references)
        ]
    return []


def _touches(problem: ErrorDetails, path: tuple[str | int, ...], args: Mapping[str, Json]) -> bool:
    """Whether a problem may be there only because a reference stands at `path`.

    Inside a union pydantic puts the name of a branch into `loc`, and each branch has its own errors: what
    they are worth shows when the value is there.
    """
    loc = problem["loc"]
    return loc[: len(path)] == path or (loc[:1] == path[:1] and _in_union(problem, args))


def _in_union(problem: ErrorDetails, args: Mapping[str, Json]) -> bool:
    value: Json = args
    for place, part in enumerate(problem["loc"], start=1):
        inside = (
            part in value
            if isinstance(value, Mapping)
            else isinstance(value, list) and part in range(len(value))
        )
        if not inside:
            return place < len(problem["loc"]) or problem["type"] != "missing"
        value = value[part]
    return False


def _ordered(steps: Sequence[CheckedStep], earlier: frozenset[str]) -> tuple[CheckedStep, ...]:
    """Kahn's topological sort, stable. Raises PlanRejected on a cycle."""
    done: set[str] = set(earlier)
    waiting, ordered = list(steps), list[CheckedStep]()
    while waiting:
        ready = [step for step in waiting if step.needs <= done]
        if not ready:
            raise PlanRejected(
                ["these steps wait for each other: " + ", ".join(sorted(s.id for s in waiting))]
            )
        ordered += ready
        done |= {step.id for step in ready}
        waiting = [step for step in waiting if step.id not in done]
    return tuple(ordered)


def resolve(step: CheckedStep, results: Mapping[str, Json]) -> Mapping[str, Json]:
    """The step's arguments with every reference replaced by its value. Raises BadPointer."""
    return {name: filled(value, results) for name, value in step.args.items()}
