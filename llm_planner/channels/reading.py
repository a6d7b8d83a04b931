"""From verified bytes to messages: JSON, forms, and what one item becomes; a bad one spoils only itself."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NoReturn
from urllib.parse import unquote_to_bytes

from ..messages import Json
from .base import (
    LONGEST_TEXT,
    Attachment,
    Delivery,
    Ignored,
    Incoming,
    Kind,
    Malformed,
    Rejected,
    Reply,
    StatusUpdate,
    identifier,
)

Item = Incoming | StatusUpdate | Ignored
MOST_FIELDS: Final = 1000
"""Fields of a form; the providers send a few dozen."""

_PAYLOAD: Final = re.compile(r"(confirm|cancel):([0-9A-Za-z_-]{1,64})")
_BROKEN: Final = re.compile("[\x00\ud800-\udfff]")
_CONTROL: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")
_LONGEST_LINE: Final = 512
_LONGEST_PAYLOAD: Final = 2000
_LONGEST_USER: Final = 200


class ItemError(ValueError):
    """One item of a delivery can't be used; the message is a word for the audit."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who wrote where; the same for every kind of message. `group` is true unless only we two can read it."""

    message_id: str | None
    account: str
    user: str | None
    reply_to: str | None
    sender: str | None = None
    group: bool = False
    label: str = ""
    thread: str | None = None
    name: str | None = None


def said(envelope: Envelope, text: str, *, original: bool) -> Item:
    """A text. `original` is false for what the user did not write here: forwarded, or with a quote."""
    if not text.strip():
        return Ignored("empty", envelope.message_id, envelope.sender or envelope.user)
    own = original and not text.lstrip().startswith(">")
    return _incoming(envelope, text, "text", own)


def pressed(envelope: Envelope, payload: str, title: str | None, kind: Kind = "button") -> Item:
    """A button or a list row. A payload of ours becomes its verb; of any other the label is the text."""
    verb = _PAYLOAD.fullmatch(payload)
    text = " ".join(verb.groups()) if verb else title or payload
    return _incoming(envelope, text, kind, verb is not None, choice=(payload, title or payload))


def shared(envelope: Envelope, attachments: Iterable[Attachment], caption: str = "") -> Item:
    """Media, a place or a contact, with the caption as the text. It carries no verb."""
    found = tuple(attachments)
    first = found[0].kind if found else "media"
    kind: Kind = "location" if first == "location" else "contact" if first == "contact" else "media"
    return _incoming(envelope, caption, kind, False, attachments=found)


def _incoming(
    envelope: Envelope,
    text: str,
    kind: Kind,
    original: bool,
    *,
    choice: tuple[str, str] | None = None,
    attachments: tuple[Attachment, ...] = (),
) -> Incoming:
    if not envelope.message_id or not envelope.user or not envelope.reply_to:
        raise ItemError("no id" if not envelope.message_id else "no sender")
    if _BROKEN.search(text):
        raise ItemError("text that is no text")
    if len(text) > LONGEST_TEXT:
        raise ItemError("text too long")
    return Incoming(
        message_id=identifier(envelope.message_id),
        account=identifier(envelope.account) if envelope.account else "",
        user=identifier(envelope.user, _LONGEST_USER),
        sender=tidy(envelope.sender or envelope.user),
        text=text,
        kind=kind,
        verbs=original and not envelope.group,
        reply_to=tidy(envelope.reply_to),
        label=identifier(envelope.label) if envelope.label else "",
        thread=tidy(envelope.thread) if envelope.thread else None,
        reply_id=tidy(choice[0], _LONGEST_PAYLOAD) if choice else None,
        title=tidy(choice[1]) if choice else None,
        name=tidy(envelope.name) if envelope.name else None,
        attachments=attachments,
    )


def tidy(value: str, longest: int = _LONGEST_LINE) -> str:
    """One line of valid text, `longest` characters at most: for what is kept or shown beside the message."""
    return " ".join(_CONTROL.sub("\ufffd", value[:longest]).split())


def attachment(kind: str, media_type: Json = None, reference: Json = None, name: Json = None) -> Attachment:
    """An attachment from values of any type: what is no text is left out."""
    return Attachment(tidy(kind), _line(media_type), _line(reference), _line(name))


def _line(value: Json) -> str | None:
    text = word(value)
    return tidy(text) if text else None


def place(latitude: Json, longitude: Json, name: Json = None) -> Attachment:
    """A location from values of any type. Raises ItemError when it has no coordinates."""
    pair = number(latitude), number(longitude)
    if not pair[0] or not pair[1]:
        raise ItemError("a location without coordinates")
    return Attachment("location", name=_line(name), place=(pair[0], pair[1]))


def gather(jobs: Iterable[tuple[str, Callable[[], Item]]], response: Reply) -> Delivery:
    """Run every job; one that raises ItemError is listed with its place in the body, the others count."""
    found: list[Item] = []
    rejected: list[Rejected] = []
    for where, job in jobs:
        try:
            found.append(job())
        except ItemError as error:
            rejected.append(Rejected(where, str(error)))
    return Delivery(
        response,
        messages=tuple(item for item in found if isinstance(item, Incoming)),
        statuses=tuple(item for item in found if isinstance(item, StatusUpdate)),
        ignored=tuple(item for item in found if isinstance(item, Ignored)),
        rejected=tuple(rejected),
    )


def json_object(body: bytes | str) -> dict[str, Json]:
    """The JSON object in `body`. Raises Malformed for anything else, however deep or odd."""
    try:
        text = body.decode("utf-8") if isinstance(body, bytes) else body
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Malformed("the body is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise Malformed("the body is not a JSON object")
    return value


def _no_number(_name: str) -> NoReturn:
    raise ValueError("NaN and infinity are not JSON")


def form_pairs(body: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a form as bytes, in order, blank values kept. Raises Malformed above 1,000 fields."""
    if body.count(b"&") >= MOST_FIELDS:
        raise Malformed("a form with too many fields")
    pairs = []
    for part in body.split(b"&"):
        if part:
            name, _, value = part.partition(b"=")
            pairs.append((_unquoted(name), _unquoted(value)))
    return pairs


def _unquoted(part: bytes) -> bytes:
    return unquote_to_bytes(part.replace(b"+", b" "))


def form_fields(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The same as text; of a name given twice the first value counts."""
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name.decode("utf-8", "replace"), value.decode("utf-8", "replace"))
    return fields


def at(value: Json, *path: str | int) -> Json:
    """What stands at `path` in a JSON value, or None."""
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and 0 <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def word(value: Json) -> str | None:
    """A non-empty string, or a whole number as one; None for anything else."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Json) -> str | None:
    """A number, or a short text that reads as one, as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value)
    return text if re.fullmatch(r"[+-]?[0-9]{1,12}(\.[0-9]{1,20})?", text) else None


def rows(value: Json) -> list[Json]:
    """The list, or nothing."""
    return value if isinstance(value, list) else []
