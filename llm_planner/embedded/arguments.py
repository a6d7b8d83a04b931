"""Owns the arguments of one call: every value is found in the message by rule, none is made up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .cards import ToolCard
from .carriers import Carriers, learn
from .message import Message
from .people import find_person
from .residue import lone_title, residue
from .scene import Path, Scene, capital_runs
from .schema import Field, read_fields
from .spans import choose
from .text import stem, tokenize
from .values import Candidate, candidates

_ORDER: Final = (
    "email", "url", "uuid", "pattern", "phone", "date", "datetime", "code", "enum", "integer", "number",
    "moment",
    "boolean",
)  # fmt: skip
_ENOUGH: Final = 0.5
Values = Mapping[Path, object]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the rules know it: its card, its fields, and what its examples taught."""

    card: ToolCard
    fields: tuple[Field, ...]
    carriers: Mapping[Path, Carriers]
    nouns: frozenset[str]
    words: frozenset[str]


def compile_tool(card: ToolCard) -> Tool:
    """Read a card once."""
    fields = read_fields(card.schema, [arguments for _, arguments in card.examples])
    carriers = learn(fields, card.examples, card.description)
    nouns = frozenset(noun for field in fields for noun in field.nouns)
    values = frozenset(
        token.fold for carrier in carriers.values() for v in carrier.values for token in tokenize(v)
    )
    said = {token.fold for text, _ in card.examples for token in tokenize(text) if token.is_word}
    words = frozenset(said | {stem(word) for word in said}) - values
    return Tool(card, fields, carriers, nouns, words)


def find_values(tool: Tool, message: Message, known: Values) -> dict[Path, object]:
    """The values a message holds for a tool's fields; fields in `known` are not looked for."""
    return find_places(tool, message, known)[0]


def find_places(tool: Tool, message: Message, known: Values) -> "Store":
    """As `find_values`, with the field that each word's place went to."""
    wanted = [field for field in tool.fields if field.path not in known]
    taken: dict[int, Path] = {}
    found: dict[Path, object] = {}
    for kind in _ORDER:
        _assign([field for field in wanted if field.kind == kind], tool, message, (found, taken))
    _people([field for field in wanted if field.kind == "person"], tool, message, (found, taken))
    _texts([field for field in wanted if field.kind == "text"], tool, message, (found, taken))
    return found, taken


Store = tuple[dict[Path, object], dict[int, Path]]


def _assign(fields: Sequence[Field], tool: Tool, message: Message, store: Store) -> None:
    """Give fields of one kind their candidates, the surest pair first, each place to one field."""
    found, taken = store
    pairs = [
        (candidate, field)
        for field in fields
        for candidate in candidates(field, tool.carriers[field.path], message)
        if candidate.score >= (0.0 if field.required else _ENOUGH)
    ]
    pairs.sort(key=lambda pair: (-pair[0].score, pair[0].span.first))
    for candidate, field in pairs:
        places = range(candidate.span.first, candidate.span.last + 1)
        free = not any(place in taken for place in places)
        if free and (field.many or field.path not in found):
            _put(candidate, field, found)
            taken.update(dict.fromkeys(places, field.path))


def _put(candidate: Candidate, field: Field, found: dict[Path, object]) -> None:
    if not field.many:
        found[field.path] = candidate.value
        return
    items = found.get(field.path)
    found[field.path] = [*items, candidate.value] if isinstance(items, list) else [candidate.value]


def _people(fields: Sequence[Field], tool: Tool, message: Message, store: Store) -> None:
    found, taken = store
    for field in fields:
        span = find_person(message, frozenset(taken), tool.words)
        if span:
            found[field.path] = message.piece(span)
            taken.update(dict.fromkeys(range(span.first, span.last + 1), field.path))


def _texts(fields: Sequence[Field], tool: Tool, message: Message, store: Store) -> None:
    found, taken = store
    scene = _scene(tool, message, [field for field in fields if not field.many], taken)
    for path, span in choose(scene).items():
        found[path] = message.piece(span)
        taken.update(dict.fromkeys(range(span.first, span.last + 1), path))
    missing = [field for field in fields if field.required and field.path not in found]
    lacking = missing or [field for field in fields if field.path not in found and not field.many]
    if len(lacking) == 1:
        rest = _scene(tool, message, fields, taken)
        title = lone_title(rest) if tool.carriers[lacking[0].path].proper else None
        whole = title or (residue(rest) if missing else None)
        if whole:
            found[lacking[0].path] = message.piece(whole)


def _scene(tool: Tool, message: Message, fields: Sequence[Field], taken: Mapping[int, Path]) -> Scene:
    held = dict(taken)
    return Scene(message, fields, tool.carriers, held, tool.nouns, tool.words, capital_runs(message, held))


def missing_fields(tool: Tool, values: Values) -> list[Field]:
    """The required fields that have no value yet, in the schema's order."""
    return [field for field in tool.fields if field.required and field.path not in values]


def build(tool: Tool, values: Values) -> dict[str, object]:
    """Nested arguments from values by path, in the schema's order.

    An optional object that lacks a value which it requires is left out whole.
    """
    broken = {
        field.path[:-1]
        for field in tool.fields
        if field.essential and not field.required and field.path not in values
    }
    arguments: dict[str, object] = {}
    for field in tool.fields:
        inside = {field.path[:size] for size in range(1, len(field.path))}
        if field.path not in values or inside & broken:
            continue
        node = arguments
        for step in field.path[:-1]:
            inner = node.setdefault(step, {})
            node = inner if isinstance(inner, dict) else {}
        node[field.path[-1]] = values[field.path]
    return arguments
