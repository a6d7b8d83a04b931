"""The confirmation card: ours, exact, and nothing else looks like it (rule 3)."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from ..i18n import text
from ..messages import Json
from ..neutral import BULLET, CARD_MARK, TOKEN_CLOSE, TOKEN_OPEN, plain, quoted
from ..storage.repositories.confirmations import ConfirmationRow
from .provenance import OPERATOR, PLAN, from_tool, steps_of

LONGEST = 6000
"""Characters. What can't be shown whole can't be approved."""


_SIMPLE_STEP = re.compile(r"[a-z]{1,4}[_-]?\d{1,4}")
"""A model chose it: what could be taken for a verb or a token is not repeated on a card."""
_SIMPLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_.-][A-Za-z0-9]+)*")


def too_long(args: Mapping[str, Json]) -> bool:
    return sum(len(_argument(name, value)) for name, value in args.items()) > LONGEST


def card(row: ConfirmationRow, title: str, locale: str, zone: ZoneInfo) -> str:
    """The card of one parked write, with a placeholder where its token goes: in its last lines, so that who
    gets the card in parts has seen all of it when the token comes."""
    lines = [f"{CARD_MARK} {text('card_asks', locale)}: {title}"]
    if row.summary and row.summary != title:
        lines.append(f"  {plain(row.summary)}")
    lines += _arguments(row, locale)
    lines.append(text("card_expires", locale, when=clock_time(row.expires_at, zone)))
    if row.approver == "user":
        token = f"{TOKEN_OPEN}{row.id}{TOKEN_CLOSE}"
        lines += [text("card_confirm", locale, token=token), text("card_cancel", locale, token=token)]
    else:
        lines.append(text("card_decides", locale, role=plain(row.approver)))
    return "\n".join(lines)


def clock_time(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M %Z}"


def _arguments(row: ConfirmationRow, locale: str) -> list[str]:
    if not row.args:
        return [f"  {text('card_no_arguments', locale)}"]
    lines = []
    for name, value in row.args.items():
        lines.append(_argument(name, value))
        lines += [f"    ({said})" for said in _remark(row.origins.get(name, PLAN), locale)]
    return lines


def _remark(origin: str, locale: str) -> Iterator[str]:
    """Where a value came from; one that stands in the user's own words needs no remark."""
    if from_tool(origin):
        steps = steps_of(origin)
        named = [step for step in steps if _SIMPLE_STEP.fullmatch(step)]
        yield text("card_from_tool" if steps else "card_from_others", locale) + (
            f" ({', '.join(named)})" if named else ""
        )
    elif origin in (PLAN, OPERATOR):
        yield text(f"card_from_{origin}", locale)


def _argument(name: str, value: Json) -> str:
    return f"  {BULLET} {name if _SIMPLE_NAME.fullmatch(name) else quoted(name)}: {quoted(value)}"


def fill_tokens(reply: str, live: Mapping[str, str], locale: str) -> str:
    """A stored reply as it is sent: placeholders of live cards become their tokens, the others say so."""
    out, rest = [], reply
    while True:
        before, opened, tail = rest.partition(TOKEN_OPEN)
        out.append(before)
        if not opened:
            return "".join(out)
        confirmation_id, _, rest = tail.partition(TOKEN_CLOSE)
        out.append(live.get(confirmation_id, text("card_not_live", locale)))
