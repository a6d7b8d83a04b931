"""The plan: its strict shape, and the check of a whole plan before its first step runs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from pydantic_core import ErrorDetails

from ..errors import PlanRejected
from ..messages import Json
from ..tools import ToolRegistry, ToolSpec

REFERENCE = frozenset(["$step", "pointer"])
DEEPEST = 24
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_WRONG_ESCAPE = re.compile(r"~(?![01])")


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
class Reference:
    """A value taken from an earlier step: an RFC 6901 pointer into that step's result."""

    path: tuple[str | int, ...]
    step: str
    pointer: str


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
    """What a plan is checked against: the allowlist, the channel, the budget, the steps of earlier rounds."""

    registry: ToolRegistry
    channel: str
    most_steps: int
    earlier: frozenset[str] = frozenset()


def check(output: PlannerOutput, rules: Rules) -> CheckedPlan:
    """The whole plan against the registry. Raises PlanRejected with every problem found."""
    problems: list[str] = []
    if len(output.tool_calls) > rules.most_steps:
        raise PlanRejected([f"at most {rules.most_steps} steps; this plan has {len(output.tool_calls)}"])
    ids = [call.id for call in output.tool_calls]
    problems += [f"step id {name!r} is used twice" for name in sorted({n for n in ids if ids.count(n) > 1})]
    problems += [f"step id {name!r} was used in an earlier round" for name in ids if name in rules.earlier]
    steps = []
    for call in output.tool_calls:
        step, found = _check_step(call, frozenset(ids), rules)
        problems += found
        if step is not None:
            steps.append(step)
    if problems:
        raise PlanRejected(problems)
    return CheckedPlan(output, _ordered(steps, rules.earlier))


def _check_step(call: PlannedCall, ids: frozenset[str], rules: Rules) -> tuple[CheckedStep | None, list[str]]:
    spec = rules.registry.get(call.tool)
    if spec is None or not spec.allows(rules.channel):
        return None, [f"step {call.id!r}: there is no tool {call.tool!r}"]
    if "$step" in call.args:
        return None, [f"step {call.id!r}: a reference stands for one value, not for all arguments"]
    try:
        references = tuple(_references(call.args, ()))
    except PlanRejected as error:
        return None, [f"step {call.id!r}: {problem}" for problem in error.problems]
    needs = frozenset(call.after) | {reference.step for reference in references}
    known = ids | rules.earlier
    problems = [f"step {call.id!r}: there is no step {name!r}" for name in sorted(needs - known)]
    problems += [
        f"step {call.id!r}: {problem}" for problem in _argument_problems(spec, call.args, references)
    ]
    return CheckedStep(call.id, spec, call.args, references, needs), problems


def _references(value: Json, path: tuple[str | int, ...]) -> Iterator[Reference]:
    if len(path) > DEEPEST:
        raise PlanRejected([f"arguments are nested deeper than {DEEPEST}"])
    if isinstance(value, Mapping):
        if "$step" in value:
            step, pointer = value.get("$step"), value.get("pointer")
            well_formed = (
                isinstance(step, str) and isinstance(pointer, str) and (not pointer or pointer[0] == "/")
            )
            if frozenset(value) != REFERENCE or not well_formed:
                raise PlanRejected(['a reference is exactly {"$step": "s1", "pointer": "/a/b"}'])
            yield Reference(path, str(step), str(pointer))
            return
        for name, item in value.items():
            yield from _references(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _references(item, (*path, index))


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


class BadPointer(LookupError):
    """A reference points at nothing."""


def resolve(step: CheckedStep, results: Mapping[str, Json]) -> Mapping[str, Json]:
    """The step's arguments with every reference replaced by its value. Raises BadPointer."""
    return {name: _filled(value, results) for name, value in step.args.items()}


def _filled(value: Json, results: Mapping[str, Json]) -> Json:
    if isinstance(value, Mapping):
        if "$step" in value:
            return point(results[value["$step"]], value["pointer"])
        return {name: _filled(item, results) for name, item in value.items()}
    return [_filled(item, results) for item in value] if isinstance(value, list) else value


def point(document: Json, pointer: str) -> Json:
    """The value at an RFC 6901 JSON Pointer. Raises BadPointer."""
    if (pointer and pointer[0] != "/") or _WRONG_ESCAPE.search(pointer):
        raise BadPointer(f"{pointer[:100]!r} is no JSON pointer")
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, Mapping) and name in document:
            document = document[name]
        elif isinstance(document, list) and _INDEX.fullmatch(name) and int(name) < len(document):
            document = document[int(name)]
        else:
            raise BadPointer(f"{pointer[:100]!r} points at nothing")
    return document
