"""Provenance: where each argument of a step came from (rule 12)."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property

from ..messages import Json
from .plan import CheckedStep

USER, PLAN, TOOL, OPERATOR = "user", "plan", "tool", "operator"
_WORDS = re.compile(r"[^\W\d_]+(?:[ '’-][^\W\d_]+)*")
"""Names and plain words: all that may differ from what was said by its accents; an address may not."""
_NUMBER = re.compile(r"(?<![\w.,])[-−]?\d{1,30}(?:[.,]\d{1,30})*(?![\w])")
_GROUPED = re.compile(r"-?\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*")


class Spoken:
    """What a user wrote, to find the values of a plan in: any case and spacing, words with or without their
    accents, numbers with either mark for decimals and thousands."""

    def __init__(self, own_words: Iterable[str]) -> None:
        self._lines = tuple(own_words)

    @cached_property
    def _text(self) -> str:
        return "\x00".join(map(_squeezed, self._lines))

    @cached_property
    def _folded(self) -> str:
        return _unaccented(self._text)

    @cached_property
    def _numbers(self) -> frozenset[Decimal]:
        return frozenset(number for found in _NUMBER.findall(self._text) for number in _read(found))

    def holds(self, value: str | int | float) -> bool:
        """Whether a value stands there, as whole words."""
        if not isinstance(value, str):
            return Decimal(str(value)) in self._numbers
        written = _squeezed(value)
        if _stands(written, self._text):
            return True
        return bool(_WORDS.fullmatch(written)) and _stands(_unaccented(written), self._folded)


def origins(step: CheckedStep, spoken: Spoken, foreign_text_seen: bool) -> dict[str, str]:
    """The origin of each argument: `user`, `plan`, `tool:<steps>`, or `tool` for a literal that the user did
    not write, planned after text from a tool or from somebody else was in the planner's sight."""
    fields = frozenset(_fields(step.spec.schema))
    return {name: _origin(value, spoken, fields, foreign_text_seen) for name, value in step.args.items()}


def from_tool(origin: str) -> bool:
    return origin.partition(":")[0] == TOOL


def steps_of(origin: str) -> list[str]:
    """The steps that a value was taken from."""
    return [step for step in origin.partition(":")[2].split(",") if step] if from_tool(origin) else []


def _origin(value: Json, spoken: Spoken, fields: frozenset[str], foreign_text_seen: bool) -> str:
    """As trustworthy as the worst part: a reference, then what nobody said, then the user's own words."""
    steps = sorted(set(_steps(value)))
    if steps:
        return f"{TOOL}:{','.join(steps)}"
    parts = set(_parts(value, fields))
    if not parts:
        return PLAN
    if all(part is not None and spoken.holds(part) for part in parts):
        return USER
    return TOOL if foreign_text_seen else PLAN


def _steps(value: Json) -> Iterator[str]:
    """The steps whose results are in a value."""
    if isinstance(value, Mapping):
        if "$step" in value:
            yield value["$step"]
            return
        for item in value.values():
            yield from _steps(item)
    elif isinstance(value, list):
        for item in value:
            yield from _steps(item)


def _parts(value: Json, fields: frozenset[str]) -> Iterator[str | int | float | None]:
    """What is said in a value: scalars, and keys that the tool's schema does not name; None for a truth
    value, which nobody can be quoted with. An absent value says nothing."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            if name not in fields:
                yield name
            yield from _parts(item, fields)
    elif isinstance(value, list):
        for item in value:
            yield from _parts(item, fields)
    elif value is not None:
        yield None if isinstance(value, bool) else value


def _fields(schema: Json) -> Iterator[str]:
    """Every name that a schema gives to a property, at any depth."""
    if isinstance(schema, Mapping):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            yield from properties
        for item in schema.values():
            yield from _fields(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from _fields(item)


def _stands(written: str, spoken: str) -> bool:
    if not written or written not in spoken:
        return False
    return re.search(rf"(?<!\w){re.escape(written)}(?!\w)", spoken) is not None


def _read(written: str) -> Iterator[Decimal]:
    """The numbers that a written one may mean: `1.500` is fifteen hundred here and one and a half there."""
    plain = written.replace("−", "-")
    if _GROUPED.fullmatch(plain):
        yield Decimal(plain.replace(".", "").replace(",", ""))
    whole, mark, rest = plain.rpartition("." if plain.rfind(".") > plain.rfind(",") else ",")
    if not mark:
        yield Decimal(plain)
    elif whole.lstrip("-").isdigit() or _GROUPED.fullmatch(whole):
        yield Decimal(f"{whole.replace('.', '').replace(',', '')}.{rest}")


def _squeezed(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _unaccented(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn")
