"""The texts of the console: for each key Spanish (voseo), English and Portuguese; a module a page."""

from typing import Final

from ...i18n import LANGUAGES, language
from . import approvals, audit, chat, common, deliveries, doubts, health, sessions, tools

Texts = dict[str, tuple[str, str, str]]
PARTS: Final[dict[str, Texts]] = {
    "common": common.TEXTS,
    "chat": chat.TEXTS,
    "approvals": approvals.TEXTS,
    "sessions": sessions.TEXTS,
    "deliveries": deliveries.TEXTS,
    "doubts": doubts.TEXTS,
    "audit": audit.TEXTS,
    "tools": tools.TEXTS,
    "health": health.TEXTS,
}
CATALOGUE: Final[Texts] = {
    (key if part == "common" else f"{part}.{key}"): said
    for part, texts in PARTS.items()
    for key, said in texts.items()
}


def text(key: str, locale: str, **values: object) -> str:
    """The text of `key` in the locale's language, with its values filled in."""
    return CATALOGUE[key][LANGUAGES.index(language(locale))].format(**values)


def known(key: str) -> bool:
    return key in CATALOGUE
