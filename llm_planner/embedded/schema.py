"""Owns the reading of a tool's JSON Schema: which values a call needs, and of which kind each one is."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from .cards import as_mapping, as_sequence, as_text
from .lexicon import word_set
from .text import fold

FieldKind = Literal[
    "email", "phone", "url", "uuid", "pattern", "code", "date", "datetime", "moment", "enum", "boolean",
    "integer", "number", "person", "text", "unsupported",
]  # fmt: skip

_FORMATS: Final[dict[str, FieldKind]] = {
    "email": "email", "idn-email": "email", "phone": "phone", "uri": "url", "url": "url", "uuid": "uuid",
    "date": "date", "date-time": "datetime",
}  # fmt: skip
_EMAIL: Final = word_set("email mail correo emails e-mail")
_PHONE: Final = word_set("phone telephone telefono celular movil whatsapp telefone mobile")
_CODE: Final = word_set("id code codigo number numero nro no ref reference referencia sku folio")
_PERSON: Final = word_set(
    "name full_name fullname nombre nome customer_name client_name user_name person_name contact_name "
    "first_name last_name nombre_completo nome_completo"
)
_WHEN: Final = word_set("date time when day fecha hora cuando dia data quando")
_MAX: Final = word_set("max maximum maximo maxima hasta most upper")
_MIN: Final = word_set("min minimum minimo minima desde least lower")
_PRICE: Final = word_set("price cost amount budget total precio costo monto importe presupuesto preco valor")
_PLAIN: Final = word_set(
    "the a an of to for in on or and what which look is as with by from full number id name title "
    "text value string el la los las un una de del para por en o u y que con numero nombre titulo "
    "texto do da e em com nome titulo qual"
)


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a call: `path` leads to it through nested objects, `nouns` are the words that name it."""

    path: tuple[str, ...]
    kind: FieldKind
    required: bool
    label: str
    nouns: frozenset[str] = frozenset()
    members: tuple[object, ...] = ()
    pattern: re.Pattern[str] | None = None
    low: float | None = None
    high: float | None = None
    bound: Literal["max", "min"] | None = None
    price: bool = False
    many: bool = False
    essential: bool = False  # its own object requires it, whether or not that object is required itself


def read_fields(schema: Mapping[str, object], samples: Sequence[Mapping[str, object]]) -> tuple[Field, ...]:
    """All leaves of an input schema in its own order; `samples` (example arguments) sharpen the kinds."""
    leaves = _leaves(schema, schema, (), True)
    return tuple(_sharpened(field, [value_at(sample, field.path) for sample in samples]) for field in leaves)


def value_at(arguments: Mapping[str, object], path: tuple[str, ...]) -> object:
    """The value at a path of nested arguments, None when it is not there."""
    value: object = arguments
    for step in path:
        value = as_mapping(value).get(step)
    return value


def _leaves(
    root: Mapping[str, object], node: Mapping[str, object], path: tuple[str, ...], required: bool
) -> Iterator[Field]:
    needed = {as_text(name) for name in as_sequence(node.get("required"))}
    for name, child in as_mapping(node.get("properties")).items():
        part = _resolved(root, as_mapping(child))
        here, must = (*path, name), required and name in needed
        if _type_of(part) == "object" and part.get("properties") and len(path) < 4:
            yield from _leaves(root, part, here, must)
        else:
            yield replace(_leaf(root, part, here, must), essential=name in needed)


def _resolved(root: Mapping[str, object], node: Mapping[str, object]) -> Mapping[str, object]:
    """Follow references and unions: what stays is the first alternative that is not null."""
    for _ in range(8):
        target = as_text(node.get("$ref"))
        options = [
            as_mapping(item) for key in ("anyOf", "oneOf", "allOf") for item in as_sequence(node.get(key))
        ]
        chosen: Mapping[str, object] | None = None
        if target.startswith("#/"):
            chosen = as_mapping(value_at(root, tuple(target[2:].split("/"))))
        elif options:
            chosen = next((item for item in options if item.get("type") != "null"), {})
        if chosen is None:
            return node
        own = {key: value for key, value in node.items() if key not in ("$ref", "anyOf", "oneOf", "allOf")}
        node = {**chosen, **own}
    return node


def _type_of(node: Mapping[str, object]) -> str:
    kind = node.get("type")
    if isinstance(kind, str):
        return kind
    named = [as_text(item) for item in as_sequence(kind) if item != "null"]
    return named[0] if named else ("object" if "properties" in node else "")


def _leaf(
    root: Mapping[str, object], node: Mapping[str, object], path: tuple[str, ...], required: bool
) -> Field:
    many = _type_of(node) == "array"
    item = {**_resolved(root, as_mapping(node.get("items"))), **_naming(node)} if many else node
    words = _words_of(path[-1], item)
    low, high = _bounds(item)
    return Field(
        path=path, kind=_kind(path[-1], item), required=required, many=many, nouns=words - _PLAIN,
        label=as_text(item.get("description")) or _title(path[-1], item),
        members=_members(item), pattern=_pattern(item), low=low, high=high, bound=_bound(words),
        price=bool(words & _PRICE),
    )  # fmt: skip


def _naming(node: Mapping[str, object]) -> dict[str, object]:
    return {key: node[key] for key in ("title", "description") if key in node}


def _title(name: str, node: Mapping[str, object]) -> str:
    return as_text(node.get("title")) or " ".join(split_name(name))


def split_name(name: str) -> list[str]:
    """ "orderId", "order_id" or "order-id" as words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[_\-.]+", " ", name).lower().split()


def _words_of(name: str, node: Mapping[str, object]) -> frozenset[str]:
    described = f"{as_text(node.get('title'))} {as_text(node.get('description'))}"
    return frozenset(split_name(name)) | frozenset(re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", fold(described)))


def _members(node: Mapping[str, object]) -> tuple[object, ...]:
    if "const" in node:
        return (node["const"],)
    return tuple(item for item in as_sequence(node.get("enum")) if item is not None)


def _pattern(node: Mapping[str, object]) -> re.Pattern[str] | None:
    text = as_text(node.get("pattern"))
    try:
        return re.compile(text) if text else None
    except re.error:
        return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _bounds(node: Mapping[str, object]) -> tuple[float | None, float | None]:
    low, high = _number(node.get("minimum")), _number(node.get("maximum"))
    above, below = _number(node.get("exclusiveMinimum")), _number(node.get("exclusiveMaximum"))
    tiny = 1e-9
    return (above + tiny if above is not None else low), (below - tiny if below is not None else high)


def _bound(words: frozenset[str]) -> Literal["max", "min"] | None:
    if words & _MAX:
        return "max"
    return "min" if words & _MIN else None


def _kind(name: str, node: Mapping[str, object]) -> FieldKind:
    if _members(node):
        return "enum"
    kind = _type_of(node)
    if kind in ("boolean", "integer", "number"):
        return kind  # type: ignore[return-value]
    if kind != "string":
        return "unsupported"
    if by_format := _FORMATS.get(as_text(node.get("format"))):
        return by_format
    return _kind_of_string(name, node)


def _kind_of_string(name: str, node: Mapping[str, object]) -> FieldKind:
    words, own = _words_of(name, node), frozenset(split_name(name))
    if own & _EMAIL:
        return "email"
    if own & _PHONE:
        return "phone"
    if _pattern(node) is not None:
        return "pattern"
    if own & _CODE:
        return "code"
    if "_".join(split_name(name)) in _PERSON and not words & {
        "product",
        "playlist",
        "file",
        "city",
        "company",
    }:
        return "person"
    return "moment" if own & _WHEN else "text"


def _sharpened(field: Field, values: Sequence[object]) -> Field:
    """Let the examples decide between code and text: what always holds a digit and no space is a code."""
    flat = [item for value in values for item in (value if isinstance(value, list | tuple) else (value,))]
    texts = [value for value in flat if isinstance(value, str)]
    if field.kind not in ("text", "code", "person") or not texts:
        return field
    coded = all(re.search(r"\d", text) and " " not in text for text in texts)
    if coded:
        return replace(field, kind="code")
    return replace(field, kind="text") if field.kind == "code" else field
