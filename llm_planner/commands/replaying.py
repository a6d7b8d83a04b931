"""`webhook replay`: stored messages again, as their provider would deliver them, to a server on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import click

from ..assembly import Parts
from ..channels.composing import COMPOSERS, Stored, compose
from ..channels.signing import Unsigned, sign
from ..clock import SystemClock
from ..errors import StartError
from ..messages import SessionKey
from ..providers import public_base, secret_setting, webhook_secrets
from ..settings import Settings
from ..storage.repositories import turns
from ..storage.repositories.turns import TurnRow
from .common import AS_JSON, show, with_parts

_HERE: Final = frozenset(["localhost", "127.0.0.1", "::1"])
_BLACKED_OUT: Final = "████"
_LONGEST_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Again:
    """One message to deliver again: what it was, and the signed request; `why_not` where it can't be."""

    turn_id: str
    provider: str
    message_id: str
    text: str
    why_not: str | None = None
    path: str = ""
    headers: dict[str, str] | None = None
    body: bytes = b""


@click.command("replay")
@click.argument("turn", nargs=-1)
@click.option(
    "--last", default=10, show_default=True, type=click.IntRange(1, 1000), help="The newest so many."
)
@click.option("--url", default="http://localhost:8000", show_default=True, help="The server; loopback only.")
@click.option("--send", is_flag=True, help="Send them. Without it they are only listed.")
@AS_JSON
@click.pass_obj
def replay(where: str, turn: tuple[str, ...], last: int, url: str, send: bool, as_json: bool) -> None:
    """Deliver stored messages again to a server on this machine, oldest first, signed as their provider signs.

    TURN is the id of the turn that a message became; without any, the newest ones. The database keeps what
    was said and where it is answered, not the bytes that came: media, pressed buttons and texts with a
    confirmation's token are left out. The server that has a message already answers with success and handles
    nothing twice; one with another database handles it as new, AND REPLIES through the provider's API if it
    has the keys. Exit code 1 when one is not taken.
    """
    base = _loopback(url)

    async def work(parts: Parts) -> list[dict[str, Any]]:
        found = await parts.database.read(lambda conn: turns.received(conn, sorted(COMPOSERS), last, turn))
        if missing := set(turn) - {row.id for row, _ in found}:
            raise StartError(f"no message of a provider became the turn {sorted(missing)[0]}")
        made = [_again(parts.settings, row, key) for row, key in reversed(found)]
        return await _deliver(made, base) if send else [_row(one, None) for one in made]

    rows = with_parts(where, work)
    show(rows, as_json, partial(_lines, sent=send))
    if any(row["status"] is not None and not 200 <= row["status"] < 300 for row in rows):
        raise SystemExit(1)


def _loopback(url: str) -> str:
    """The address without a closing slash. Raises StartError unless it leads to this machine."""
    try:
        parts = urlsplit(url)
        here = parts.scheme in ("http", "https") and parts.hostname in _HERE and not parts.query
    except ValueError:
        here = False
    if not here:
        raise StartError("--url: replays go to this machine only, such as http://localhost:8000")
    return url.rstrip("/")


def _again(settings: Settings, row: TurnRow, key: SessionKey) -> Again:
    text = str(row.inbound["text"])
    known = Again(row.id, key.channel, row.message_id, text)
    secrets = webhook_secrets(settings, key.channel)
    if why_not := _why_not(settings, row, key, secrets):
        return Again(known.turn_id, known.provider, known.message_id, text, why_not)
    route = row.inbound["route"]
    stored = Stored(
        row.message_id, key.account, key.principal, key.label, route["reply_to"], route["thread"], text
    )
    body, base = compose(key.channel, stored), public_base(settings) or ""
    target = f"{base}/provider/{key.channel}/inbound"
    now = int(SystemClock().now().timestamp())
    try:
        signed, headers = sign(key.channel, Unsigned(secrets[0], target, body, now, row.message_id))
    except ValueError:
        raise StartError(
            f"{secret_setting(settings, key.channel)}: not what the provider gives out"
        ) from None
    return Again(
        known.turn_id, known.provider, known.message_id, text, None, signed.removeprefix(base), headers, body
    )


def _why_not(settings: Settings, row: TurnRow, key: SessionKey, secrets: Sequence[str]) -> str | None:
    if not secrets:
        return f"no secret to sign with; see {secret_setting(settings, key.channel)}"
    if public_base(settings) is None:
        return "it may sign our address, and PUBLIC_BASE_URL is not set"
    if _BLACKED_OUT in row.inbound["text"]:
        return "a token stood in it"
    if not (row.inbound["verbs"] or key.label):
        return "it was media, a choice, forwarded or a quote"
    return None


async def _deliver(made: Sequence[Again], base: str) -> list[dict[str, Any]]:
    rows = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        for one in made:
            if one.why_not is not None:
                rows.append(_row(one, None))
                continue
            rows.append(_row(one, await _posted(session, f"{base}{one.path}", one)))
    return rows


async def _posted(session: aiohttp.ClientSession, target: str, one: Again) -> int:
    try:
        async with session.post(target, data=one.body, headers=one.headers, allow_redirects=False) as answer:
            return answer.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise StartError(
            f"no answer from {target} ({type(error).__name__}); is the server running?"
        ) from None


def _row(one: Again, status: int | None) -> dict[str, Any]:
    return {
        "turn": one.turn_id,
        "provider": one.provider,
        "message_id": one.message_id,
        "text": one.text,
        "left_out": one.why_not,
        "status": status,
    }


def _lines(rows: Sequence[dict[str, Any]], *, sent: bool) -> list[str]:
    lines = [_line(row) for row in rows]
    left = sum(row["left_out"] is not None for row in rows)
    done = f"{len(rows) - left} {'sent' if sent else 'to send'}, {left} left out"
    return [*lines, done if sent or not rows else f"{done}; add --send to send them"]


def _line(row: dict[str, Any]) -> str:
    outcome = row["left_out"] and f"left out: {row['left_out']}"
    shown = outcome or (f"HTTP {row['status']}" if row["status"] is not None else "would be sent")
    text = " ".join(row["text"].split())[:_LONGEST_SHOWN]
    return f"{row['turn']}  {row['provider']} {row['message_id']}: {shown}: {text!r}"
