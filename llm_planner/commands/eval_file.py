"""The file of an evaluation: messages with the calls that are expected of a planner, as YAML or JSON Lines."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ..errors import StartError
from ..messages import Json
from ..tools import ToolRegistry


class Wanted(BaseModel):
    """One call that is expected."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    tool: str
    args: dict[str, JsonValue] = {}


class Case(BaseModel):
    """One message. No calls: no tool is to be used; `refuses`: it has to be declined in words, too."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    message: str = Field(min_length=1, max_length=8000)
    locale: str | None = None
    history: list[str] = []
    calls: list[Wanted] = []
    refuses: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A case and the line of the file that it begins in."""

    number: int
    case: Case


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML with JSON's values: a date stays text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path, registry: ToolRegistry) -> list[Line]:
    """The cases of a file, checked against the tools that there are. Raises StartError with a line for each
    mistake."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise StartError(f"{path} can't be read: {error}") from error
    found, problems = list[Line](), list[str]()
    for number, item in _lines(path, text) if path.suffix == ".jsonl" else _items(path, text):
        try:
            case = Case.model_validate(item)
        except ValidationError as error:
            problems += [f"{path}:{number}: {problem}" for problem in _told(error)]
            continue
        problems += [f"{path}:{number}: {problem}" for problem in _wrong(case, registry)]
        found.append(Line(number, case))
    if problems or not found:
        raise StartError("\n  ".join(problems) or f"{path} holds no messages")
    return found


def _lines(path: Path, text: str) -> Iterator[tuple[int, Json]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise StartError(f"{path}:{number}: this is no JSON: {error}") from None


def _items(path: Path, text: str) -> Iterator[tuple[int, Json]]:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return
        if not isinstance(root, yaml.SequenceNode):
            raise StartError(
                f"{path}:{root.start_mark.line + 1}: this is a list of messages, each with `- message:`"
            )
        for node in root.value:
            yield node.start_mark.line + 1, loader.construct_object(node, deep=True)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise StartError(f"{where}: this is no YAML: {getattr(error, 'problem', None) or error}") from None
    finally:
        loader.dispose()


def _told(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_input=False, include_url=False):
        yield f"{'.'.join(map(str, item['loc'])) or 'this'}: {item['msg']}"


def _wrong(case: Case, registry: ToolRegistry) -> Iterator[str]:
    """What can't be expected: a tool that is not there, arguments that it does not take."""
    if case.refuses and case.calls:
        yield "what is refused has no calls"
    for call in case.calls:
        spec = registry.get(call.tool)
        if spec is None:
            yield f"there is no tool {call.tool!r}; see: llm-planner tools list"
            continue
        try:
            spec.validate(call.args)
        except ValidationError as error:
            yield from (f"{call.tool}: {problem}" for problem in _told(error))


def pinned(registry: ToolRegistry, tool: str, args: Any) -> Json:
    """Arguments as they would run, for comparing; as they are where they hold a reference."""
    spec = registry.get(tool)
    try:
        return spec.pin(args) if spec is not None else args
    except ValidationError:
        return args
