"""Text made harmless to show: invisible, bidirectional, confusable and markup characters (rule 3)."""

import json
import re
import unicodedata
from typing import Final

TOKEN_OPEN: Final = "\x02"
TOKEN_CLOSE: Final = "\x03"
"""Around a confirmation's id in a stored reply. Nothing else in a reply may hold control characters."""

CARD_MARK: Final = "▣"
"""The sign our cards begin with; taken out of every text that is not ours."""

_INVISIBLE: Final = frozenset(
    [
        0x034F,
        0x115F,
        0x1160,
        0x17B4,
        0x17B5,
        0x3164,
        0xFFA0,
        0x2800,
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
    ]
)
_HIDDEN_CATEGORIES: Final = frozenset(["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])
_MARKUP: Final = frozenset("<>`*~[]|")
_SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC")
_WORD = re.compile(r"\w+")
_VERB = re.compile(
    r"\b(confirm(?:ar|e|a|á)?|cancel(?:ar|e|a|á)?|pending|pendientes|pendentes)\b([\W_]*)([0-9a-z][0-9a-z\- ]{6,}[0-9a-z])",
    re.IGNORECASE,
)
_IMAGE = re.compile(r"!\[([^\]]*)\]\([^)]*\)|<img\b[^>]*>", re.IGNORECASE)
_LINK = re.compile(r"\[([^\]]*)\]\(\s*<?(https?:)?//([^)\s/>]+)[^)]*\)", re.IGNORECASE)
_URL = re.compile(r"\b(https?|ftp)://([^\s/<>()\"'\]]+)([^\s<>()\"'\]]*)", re.IGNORECASE)


def _hidden(char: str) -> bool:
    return unicodedata.category(char) in _HIDDEN_CATEGORIES or ord(char) in _INVISIBLE or ord(char) >= 0xE0000


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _script(char: str) -> str | None:
    name = unicodedata.name(char, "")
    return next((script for script in _SCRIPTS if name.startswith(script)), None)


def _mixed(word: str) -> frozenset[str]:
    """The letters of a word that come from another script than most of it (pаypal with a Cyrillic а)."""
    scripts = [(char, _script(char)) for char in word if char.isalpha()]
    found = [script for _, script in scripts if script is not None]
    if len(set(found)) < 2:
        return frozenset()
    main = max(sorted(set(found)), key=found.count)
    return frozenset(char for char, script in scripts if script not in (None, main))


def quoted(value: object) -> str:
    """A JSON value on one line, exact and unambiguous: whatever could mislead an eye stands as `\\uXXXX`."""
    line = json.dumps(value, ensure_ascii=False)
    if line.isascii() and not _MARKUP.intersection(line) and "_" not in line and "\x7f" not in line:
        return line
    strange = frozenset(char for word in _WORD.findall(line) for char in _mixed(word))
    out = []
    for position, char in enumerate(line):
        edge = char == "_" and not (
            line[position - 1 : position].isalnum() and line[position + 1 : position + 2].isalnum()
        )
        unsafe = char in _MARKUP and (char not in "[]" or isinstance(value, str))
        out.append(_escape(char) if edge or unsafe or char in strange or _hidden(char) else char)
    return "".join(out)


def plain(text: str) -> str:
    """Foreign text for a line of ours: NFC, one line, nothing hidden, no sign of our cards."""
    text = unicodedata.normalize("NFC", text).replace(CARD_MARK, "")
    return " ".join(
        "".join(" " if char in "\r\n\t" else "" if _hidden(char) else char for char in text).split()
    )


def foreign(text: str, hosts: frozenset[str]) -> str:
    """What a model or a tool wrote, fit for a reply: no hidden characters, no card of ours, no verb with a
    token, no remote image, and no link to a host outside `hosts`."""
    text = unicodedata.normalize("NFC", text).replace(CARD_MARK, "")
    text = "".join(char for char in text if char in "\n\t" or not _hidden(char))
    text = _IMAGE.sub(lambda found: found.group(1) or "", text)
    text = _LINK.sub(lambda found: found.group(0) if _ours(found.group(3), hosts) else found.group(1), text)
    text = _URL.sub(lambda found: found.group(0) if _ours(found.group(2), hosts) else "[…]", text)
    return _VERB.sub(_unverb, text).strip()


def _unverb(found: re.Match[str]) -> str:
    code = found.group(3).replace("-", "").replace(" ", "")
    looks_like_a_token = any(char.isdigit() for char in code) or found.group(3).isupper()
    return f"{found.group(1)} […]" if looks_like_a_token else found.group(0)


def _ours(authority: str, hosts: frozenset[str]) -> bool:
    host = authority.rpartition("@")[2].partition(":")[0].lower()
    return "@" not in authority and host in hosts
