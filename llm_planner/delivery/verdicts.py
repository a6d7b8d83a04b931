"""What a provider's answer means for a message: taken, wait, try again, dead, or nobody knows."""

import re
from collections.abc import Mapping
from typing import Final

from ..llm.wire import mapping
from ..turn.outbox import Ambiguous, Refused
from .base import OutsideWindow, Scope, TryLater
from .http import Answer

Fault = Refused | Ambiguous

DEFAULT_WAIT_S: Final = 30.0
_LONGEST_WORDS: Final = 120
_TELLING: Final = re.compile(r"\S*\d{6}\S*|\S{24,}|\S*[@/]\S*")
"""What may be a person's number or address, or a secret."""


def dead(name: str, code: object, why: str) -> Refused:
    return Refused(f"{name} {code}: {why}", final=True)


def retry(name: str, code: object, why: str) -> Refused:
    return Refused(f"{name} {code}: {why}")


def wait(name: str, code: object, seconds: float | None, scope: Scope = "pair") -> TryLater:
    return TryLater(
        f"{name} {code}: too many messages", DEFAULT_WAIT_S if seconds is None else seconds, scope
    )


def outside_window(name: str, code: object) -> OutsideWindow:
    return OutsideWindow(f"{name} {code}: the user has not written for 24 hours, and no template takes this")


def unreadable(name: str, status: int) -> Ambiguous:
    return Ambiguous(f"{name} {status}: an answer without the message's id")


def known(found: str | None, name: str, answer: Answer) -> str:
    """The message's id in an answer that says it was taken. Raises Ambiguous where there is none."""
    if not found:
        raise unreadable(name, answer.status)
    return found


def by_status(name: str, answer: Answer, code: object = None, words: object = None) -> Fault:
    """The fault of an answer whose `code` has no meaning of its own here; `words` are the provider's."""
    status = answer.status
    shown = status if code is None else code
    if status in (401, 403):
        return dead(name, shown, "the credentials are wrong, or not allowed to do this")
    if status == 429:
        return wait(name, shown, answer.retry_after_s, "account")
    if status == 504:
        return Ambiguous(f"{name} {shown}: its gateway gave up waiting for an answer")
    if status >= 500 or status in (408, 425):
        if answer.retry_after_s is not None:
            return TryLater(f"{name} {shown}: not available now", answer.retry_after_s, "account")
        return retry(name, shown, "not available now")
    if 300 <= status < 400:
        return dead(name, shown, "the address leads elsewhere, and redirects are not followed")
    return dead(name, shown, told(words))


def told(words: object) -> str:
    """A provider's own words, on one short line without anything like a number, an address or a secret."""
    text = words if isinstance(words, str) else ""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[:1000]).split())
    return _TELLING.sub("…", line)[:_LONGEST_WORDS] or "not taken"


def at(data: object, *names: str) -> object:
    """The value at this path of JSON objects; None where there is none."""
    for name in names:
        data = mapping(data).get(name)
    return data


def word(value: object) -> str:
    """A string or number as text; "" for anything else."""
    if isinstance(value, bool):
        return ""
    return str(value) if isinstance(value, str | int) else ""


def number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def meaning(codes: Mapping[int, str], code: int | None) -> str | None:
    """Our words for a provider's code, where we have some."""
    return codes.get(code) if code is not None else None
