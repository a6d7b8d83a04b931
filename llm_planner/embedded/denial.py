"""Owns what a message says it does not want: "don't cancel order 5, tell me where it is"."""

from typing import Final

from .arguments import Tool
from .concepts import concepts
from .lexicon import word_set
from .message import Message
from .schema import split_name

_NOT: Final = word_set("no not don't dont nao")
_SKIPPED: Final = word_set("i yo eu do please por favor me te se lo la los las nos os to that que")
_WISH: Final = word_set("want need quiero quisiera queria necesito quero preciso")
_ANY_MORE: Final = word_set("anymore longer ya mas mais any more")


def denied(message: Message, tool: Tool) -> bool:
    """Whether a clause says that this very tool is not wanted. "I don't want it any more" wants something."""
    words = [token.fold for token in message.tokens if token.is_word]
    while words and words[0] in _SKIPPED:
        words.pop(0)
    if not words or words.pop(0) not in _NOT or {*words} & _ANY_MORE:
        return False
    while words and words[0] in _SKIPPED:
        words.pop(0)
    if not words:
        return False
    deeds = concepts(" ".join(split_name(tool.card.name))).split()
    return words[0] in _WISH or concepts(words[0]) in deeds
