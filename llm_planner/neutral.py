"""Text made harmless to show: invisible, bidirectional, confusable and markup characters (rule 3)."""

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

TOKEN_OPEN: Final = "\x02"  # noqa: S105 - no password
TOKEN_CLOSE: Final = "\x03"  # noqa: S105
"""Around a confirmation's id in a stored reply. Nothing else in a reply may hold control characters."""

CARD_MARK: Final = "▣"
"""The sign our cards begin with; taken out of every text that is not ours."""
BULLET: Final = "•"
"""The sign that an argument's line begins with."""

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
_MARKUP: Final = frozenset("<>`*~[]|" + CARD_MARK + BULLET)
_QUOTE_ALIKE: Final = frozenset("“”„‟″‶ʺˮ＂❝❞〝〞〟")
_SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC")
_LATIN_ALIKE: Final = frozenset("асеорхуіјѕһԁԛԝАВЕКМНОРСТУХІЈЅԌԚԜ" + "οαινΑΒΕΖΗΙΚΜΝΟΡΤΥΧ" + "օոսցԁհյ")
_WORD = re.compile(r"\w+")
_PAIR: Final = 0x10000

VERBS: Final = frozenset(
    ["confirm", "confirmar", "confirme", "confirma", "cancel", "cancelar", "cancele", "cancela"]
)
_CODE: Final = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTVWXYZ")
_CODE_LENGTH: Final = 8
_TEXT_WORD = re.compile(r"(?:[^\W_][\u0300-\u036f]*)+")

_TAIL = r"[^\s<>\"'()\[\]]*"
_ADDRESS = (
    # any scheme with slashes; some without; `//host`; `www.`; a bare host with a path, a query or a port
    rf"\b[a-z][a-z0-9+.\-]{{1,30}}:[/\\]+{_TAIL}"
    rf"|\b(?:https?|ftp|javascript|vbscript|data|file|blob):(?=\S){_TAIL}"
    rf"|(?<![\w:/\\.])[/\\]{{2,}}(?=[^\s/\\]){_TAIL}"
    rf"|(?<![@\w.\-/])(?:www[.。．｡]|(?:[^\W_](?:[\w\-]{{0,61}}[^\W_])?[.。．｡]){{1,8}}[^\W\d_]{{2,24}}(?=[/?\#]\S|:\d)){_TAIL}"
)
_URL = re.compile(r"https?://([a-z0-9.\-]+)(?::\d{1,5})?(?:[/?#].*)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sweep:
    """One pass over foreign text: each match of `whole` becomes what `put` makes of it and of the allowed hosts.

    `begun` matches every text that more text could make a match of, from its first character to its end: so
    much has to be held back of a text that is still arriving (`softening`). No match of `whole` gets longer
    by more text, unless `begun` matches it too.
    """

    whole: re.Pattern[str]
    begun: re.Pattern[str]
    put: Callable[[re.Match[str], frozenset[str]], str]


def _sweep(whole: str, begun: str, put: Callable[[re.Match[str], frozenset[str]], str]) -> Sweep:
    flags = re.IGNORECASE | re.DOTALL
    return Sweep(re.compile(whole, flags), re.compile(rf"(?:{begun})\Z", flags), put)


def _first(found: re.Match[str], hosts: frozenset[str]) -> str:
    return found.group(1)


def _nothing(found: re.Match[str], hosts: frozenset[str]) -> str:
    return ""


def _link(found: re.Match[str], hosts: frozenset[str]) -> str:
    return found.group() if _ours(found.group(2), hosts) else found.group(1)


def _address(found: re.Match[str], hosts: frozenset[str]) -> str:
    return found.group() if _ours(found.group(), hosts) else "[…]"


_IMAGE_BEGINS = _sweep(r"(?<!!)!+(?=\[)", r"(?<!!)!+", _nothing)
SWEEPS: Final = (
    _sweep(r"<(https?://[^\s<>]{1,2000})>", r"<[^\s<>]{0,2010}", _first),
    _sweep(
        r"</?[a-z][a-z0-9-]{0,60}(?=[\s/>])[^<>]{0,2000}>|<!--.{0,2000}?-->",
        r"<(?:[a-z/][^<>]{0,2070})?|<!-?|<!--(?:(?!-->).){0,2002}",
        _nothing,
    ),
    _sweep(
        r"(?<!!)!+\[([^\[\]\n]{0,300})\]\([^()\n]{0,2000}\)",
        r"(?<!!)!+(?:\[[^\[\]\n]{0,300}(?:\](?:\([^()\n]{0,2000})?)?)?",
        _first,
    ),
    _IMAGE_BEGINS,
    _sweep(
        r"\[([^\[\]\n]{0,300})\]\(\s{0,9}<?([^()\s<>]{0,2000})[^()\n]{0,300}\)",
        r"\[[^\[\]\n]{0,300}(?:\](?:\(\s{0,9}<?[^()\s<>]{0,2000}[^()\n]{0,300})?)?",
        _link,
    ),
    _sweep(_ADDRESS, r"\S+", _address),
    _IMAGE_BEGINS,
    _sweep(r"<(?=[a-z/!?])", r"<", lambda found, hosts: "‹"),
)
"""In this order. Each goes over what the one before it left."""


def hidden(char: str) -> bool:
    """Whether a character shows nothing, or steers how others are shown."""
    return unicodedata.category(char) in _HIDDEN_CATEGORIES or ord(char) in _INVISIBLE or ord(char) >= 0xE0000


def bare_word(word: str) -> str:
    """A word for comparing: any case, accents, width and hidden characters folded away."""
    shown = "".join(char for char in unicodedata.normalize("NFKC", word) if not hidden(char))
    letters = unicodedata.normalize("NFKD", shown.upper().casefold())
    return "".join(char for char in letters if char.isalnum())


def quoted(value: object) -> str:
    """A JSON value on one line, exact and unambiguous: whatever could mislead an eye stands as `\\uXXXX`.

    It is JSON itself: reading it gives the value back.
    """
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_string(name)}: {quoted(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(quoted(item) for item in value) + "]"
    return json.dumps(value)


def _string(text: str) -> str:
    if (
        text.isascii()
        and text.isprintable()
        and not _MARKUP.intersection(text)
        and not {"_", " "} & set(text)
    ):
        return json.dumps(text)
    strange = _strange(text)
    return '"' + "".join(_char(text, place, place in strange) for place in range(len(text))) + '"'


def _char(text: str, place: int, strange: bool) -> str:
    char, before = text[place], text[place - 1 : place] if place else ""
    if char in '"\\' or char in "\n\r\t":
        return json.dumps(char)[1:-1]
    if char == "_":
        strange = not (before.isalnum() and text[place + 1 : place + 2].isalnum())
    elif char == " ":
        strange = before in ("", " ") or place == len(text) - 1
    elif not strange:
        strange = char in _MARKUP or char in _QUOTE_ALIKE or hidden(char) or _deceives(char)
    return _escape(char) if strange else char


def _escape(char: str) -> str:
    code = ord(char)
    if code < _PAIR:
        return f"\\u{code:04x}"
    high, low = divmod(code - _PAIR, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def _deceives(char: str) -> bool:
    """Spaces that are not a space, marks that change their neighbour, letters drawn as other letters."""
    category = unicodedata.category(char)
    if category in ("Zs", "Me") or unicodedata.name(char, "").startswith("COMBINING"):
        return True
    return ord(char) > 0xFF and char.isalnum() and unicodedata.normalize("NFKC", char) != char


def _script(char: str) -> str | None:
    name = unicodedata.name(char, "")
    return next((script for script in _SCRIPTS if name.startswith(script)), None)


def _strange(text: str) -> frozenset[int]:
    """Places of letters from another script than most of their word (pаypal with a Cyrillic а), and of whole
    words that could as well be Latin ones."""
    scripts = [_script(char) if char.isalpha() else None for char in text]
    others = [text[n] for n, script in enumerate(scripts) if script not in (None, "LATIN")]
    if not others:
        return frozenset()
    proven = any(char not in _LATIN_ALIKE for char in others) and "LATIN" not in scripts
    places: set[int] = set()
    for word in _WORD.finditer(text):
        span = range(*word.span())
        found = [script for n in span if (script := scripts[n]) is not None]
        main = max(sorted(set(found)), key=found.count, default=None)
        places |= {n for n in span if scripts[n] not in (None, main)}
        foreign_letters = [n for n in span if scripts[n] not in (None, "LATIN")]
        alike = all(text[n] in _LATIN_ALIKE for n in foreign_letters)
        if alike and (not proven or any(text[n].isdigit() for n in span)):
            places |= set(foreign_letters)
    return frozenset(places)


def plain(text: str) -> str:
    """Foreign text for a line of ours: one line, nothing hidden, no link, no sign of our cards, no verb."""
    return " ".join(foreign(text, frozenset()).replace(BULLET, " ").split())


def foreign(text: str, hosts: frozenset[str]) -> str:
    """What a model or a tool wrote, fit for a reply: no hidden characters, no card of ours, no verb with a
    token, no markup tag, no remote image, and no link to a host outside `hosts`."""
    text = shown(text)
    for sweep in SWEEPS:
        text = swept(sweep, text, hosts)
    return without_verbs(text)[0].strip()


def shown(text: str) -> str:
    """Foreign text in one form of writing, without hidden characters and without the sign of our cards."""
    text = unicodedata.normalize("NFC", text).replace(CARD_MARK, "")
    return "".join(char for char in text if char in "\n\t" or not hidden(char))


def swept(sweep: Sweep, text: str, hosts: frozenset[str]) -> str:
    return sweep.whole.sub(lambda found: sweep.put(found, hosts), text)


def _ours(address: str, hosts: frozenset[str]) -> bool:
    found = _URL.fullmatch(address)
    return found is not None and found.group(1).lower() in hosts


def without_verbs(text: str, *, more: bool = False) -> tuple[str, str]:
    """The text with `[…]` for whatever could be a token behind a verb of ours, and the rest: if there is `more`
    text to come, what it still has to be read together with."""
    words = list(_TEXT_WORD.finditer(text))
    out, done = list[str](), 0
    for place, word in enumerate(words):
        if more and word.end() == len(text):
            return "".join([*out, text[done : word.start()]]), text[word.start() :]  # it may go on
        if word.start() < done or bare_word(word.group()) not in VERBS:
            continue
        end = _code_end(words[place + 1 : place + 1 + _CODE_LENGTH], len(text) if more else None)
        if end == _OPEN:
            return "".join([*out, text[done : word.start()]]), text[word.start() :]
        if end is not None:
            out += [text[done : word.end()], " […]"]
            done = end
    return "".join([*out, text[done:]]), ""


_OPEN: Final = -1


def _code_end(words: list[re.Match[str]], cut: int | None) -> int | None:
    """Where a token ends that these words spell, with whatever stands between them; _OPEN if words that are
    not there yet decide that, the text being cut off at `cut`."""
    code = ""
    for word in words:
        if word.end() == cut:
            return _OPEN
        code += unicodedata.normalize("NFKC", word.group())
        if len(code) >= _CODE_LENGTH:
            looks = any(char.isdigit() for char in code) or code.isupper()
            fits = len(code) == _CODE_LENGTH and _CODE.issuperset(code.upper())
            return word.end() if looks and fits else None
    return _OPEN if cut is not None and len(words) < _CODE_LENGTH else None
