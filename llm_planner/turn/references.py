"""References: values taken from earlier steps, found in arguments and replaced by what they point at (RFC 6901)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..errors import PlanRejected
from ..messages import Json

SHAPE = frozenset(["$step", "pointer"])
DEEPEST = 24
INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_WRONG_ESCAPE = re.compile(r"~(?![01])")


class BadPointer(LookupError):
    """A reference points at nothing."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`pointer` into the result of `step`, standing at `path` of the arguments."""

    path: tuple[str | int, ...]
    step: str
    pointer: str


def references(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[Reference]:
    """Every reference in a value. Raises PlanRejected for one that is malformed, or nested too deep."""
    if len(path) > DEEPEST:
        raise PlanRejected([f"arguments are nested deeper than {DEEPEST}"])
    if isinstance(value, Mapping):
        if "$step" in value:
            yield _reference(value, path)
            return
        for name, item in value.items():
            yield from references(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from references(item, (*path, index))


def _reference(value: Mapping[str, Json], path: tuple[str | int, ...]) -> Reference:
    step, pointer = value.get("$step"), value.get("pointer")
    if frozenset(value) != SHAPE or not isinstance(step, str) or not isinstance(pointer, str):
        raise PlanRejected(['a reference is exactly {"$step": "s1", "pointer": "/a/b"}'])
    try:
        parts(pointer)
    except BadPointer as error:
        raise PlanRejected(
            [f'{error}; a reference is exactly {{"$step": "s1", "pointer": "/a/b"}}']
        ) from None
    return Reference(path, step, pointer)


def parts(pointer: str) -> list[str]:
    """The names and indices of a pointer, unescaped. Raises BadPointer."""
    if (pointer and pointer[0] != "/") or _WRONG_ESCAPE.search(pointer):
        raise BadPointer(f"{pointer[:100]!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def point(document: Json, pointer: str) -> Json:
    """The value at a pointer. Raises BadPointer."""
    for name in parts(pointer):
        if isinstance(document, Mapping) and name in document:
            document = document[name]
        elif isinstance(document, list) and INDEX.fullmatch(name) and int(name) < len(document):
            document = document[int(name)]
        else:
            raise BadPointer(f"{pointer[:100]!r} points at nothing")
    return document


def filled(value: Json, results: Mapping[str, Json]) -> Json:
    """The value with every reference into one of `results` replaced; others stay. Raises BadPointer."""
    if isinstance(value, Mapping):
        if "$step" in value:
            known = value["$step"] in results
            return point(results[value["$step"]], value["pointer"]) if known else value
        return {name: filled(item, results) for name, item in value.items()}
    return [filled(item, results) for item in value] if isinstance(value, list) else value
