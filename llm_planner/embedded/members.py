"""Owns enum members in a message: by their words, their synonyms, and what the description says."""

import re
from collections.abc import Iterator

from .dates import WEEKDAYS
from .lexicon import SYNONYMS
from .message import Message, Span
from .schema import Field
from .text import fold, stem


def find_members(field: Field, message: Message) -> Iterator[tuple[object, Span, float]]:
    """Each member that is said, where, and how sure that is; a date ("tomorrow") says its weekday."""
    days = {WEEKDAYS.get(fold(str(member))): member for member in field.members}
    for moment in message.moments:
        if moment.day is not None and moment.day.weekday() in days:
            yield days[moment.day.weekday()], Span(moment.first, moment.last), 1.0
    words = [stem(token.fold) for token in message.tokens]
    for member in field.members:
        if not isinstance(member, str | int | float) or isinstance(member, bool):
            continue
        for name in _names(str(member), field.label):
            for first in _places(words, name):
                sure = 0.9 if len("".join(name)) > 2 else 0.3
                yield member, Span(first, first + len(name) - 1), sure + len(name) / 10


def _places(words: list[str], name: list[str]) -> Iterator[int]:
    size = len(name)
    return (first for first in range(len(words) - size + 1) if words[first : first + size] == name)


def _names(member: str, described: str) -> list[list[str]]:
    """The stemmed words that stand for a member."""
    own = fold(re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-]", " ", member)).split()
    groups = [group.split(",") for group in SYNONYMS] if len(own) == 1 else []
    names = [own, *([word] for group in groups if own[0] in group for word in group)]
    names += [gloss.split() for gloss in _glosses(fold(member), fold(described))]
    return [[stem(word) for word in name] for name in names if name]


def _glosses(member: str, described: str) -> list[str]:
    """The words a description gives for a member: "pickup (retiro)", "pickup = retiro / collect"."""
    gloss = r"(?!\w)['\"]?\s*(?:\(([^)]*)\)|[=:–-]\s*([^,;.()]+))"
    match = re.search(rf"(?<!\w){re.escape(member)}{gloss}", described)
    if not match:
        return []
    parts = re.split(r"[,/]|\b(?:or|o|ou)\b", match[1] or match[2])
    return [part.strip(" '\"") for part in parts if part.strip(" '\"")]
