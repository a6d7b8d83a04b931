"""Owns the values that enter and leave the embedded planner: tool cards, calls, proposals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["calls", "ask", "smalltalk", "out_of_scope"]


@dataclass(frozen=True, slots=True)
class ToolCard:
    """What the embedded planner knows of a tool: `schema` is the JSON Schema of its input object,
    `title` what a person calls it (the description, where there is none)."""

    name: str
    description: str
    schema: Mapping[str, object]
    examples: tuple[tuple[str, Mapping[str, object]], ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One proposed call; `args` hold JSON values under the schema's own property names."""

    tool: str
    args: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the planner makes of a message: complete `calls`, or a `reply` in the user's language.

    `calls` is empty unless `kind` is "calls", where `reply` is None. `score` is the similarity of the
    message to the examples of what was chosen, about 0 to 1.
    """

    calls: tuple[Call, ...]
    reply: str | None
    kind: Kind
    score: float


def as_text(value: object) -> str:
    """A schema's or example's value as text, empty when it is none."""
    return value if isinstance(value, str) else ""


def as_mapping(value: object) -> Mapping[str, object]:
    """A schema's part as a mapping, empty when it is none."""
    return value if isinstance(value, Mapping) else {}


def as_sequence(value: object) -> Sequence[object]:
    """A schema's part as a list, empty when it is none."""
    return value if isinstance(value, list | tuple) else ()
