"""Owns answers to a question: messages that hold a value and no request of their own."""

from .arguments import Tool, Values, find_values, missing_fields
from .lexicon import COURTESY, NAMING, NO, PERSON, STOP, YES, word_set
from .message import Message
from .residue import residue
from .scene import Path, Scene
from .schema import Field

_PERSON_WORDS = frozenset(word for phrase in PERSON for word in phrase.split())
_ASKING = word_set("where when donde cuando onde quando cade")
_NOUNS = word_set("mail e-mail email correo direccion address code codigo number numero telefono phone id")


def is_bare(message: Message, tool: Tool) -> bool:
    """Whether a message holds nothing but addresses, codes or numbers and words that carry them."""
    values = {*message.emails, *message.codes, *message.urls}
    values |= {
        place
        for number in message.numbers
        if not number.weak
        for place in range(number.first, number.last + 1)
    }
    values |= {place for moment in message.moments for place in range(moment.first, moment.last + 1)}
    if not values or any(token.fold in _ASKING for token in message.tokens):
        return False
    carried = {word for carriers in tool.carriers.values() for word in carriers.left}
    plain = STOP | COURTESY | NAMING | tool.nouns | _PERSON_WORDS | _NOUNS | (carried & tool.words)
    return all(
        place in values or not token.is_word or token.fold in plain
        for place, token in enumerate(message.tokens)
    )


def answers(message: Message, tool: Tool, known: Values) -> dict[Path, object]:
    """The values a message gives for what a request still lacks; a lone text is the lone missing one."""
    found = find_values(tool, message, known)
    missing = missing_fields(tool, {**known, **found})
    if len(missing) == 1:
        lone = _lone(message, missing[0], tool, found)
        if lone is not None:
            found[missing[0].path] = lone
    return found


def _lone(message: Message, field: Field, tool: Tool, found: Values) -> object:
    """A whole short message, its edges trimmed, as the one value asked for; None when it is no value."""
    words = [token.fold for token in message.tokens if token.is_word]
    if field.kind == "boolean":
        return True if set(words) & YES else False if set(words) & NO else None
    if field.kind not in ("person", "text") or found or len(words) > (5 if field.kind == "person" else 12):
        return None
    span = residue(Scene(message, (field,), tool.carriers, {}, tool.nouns, tool.words, ()))
    if span is None or (field.kind == "person" and any(token.has_digit for token in message.tokens)):
        return None
    return message.piece(span)
