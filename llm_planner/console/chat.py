"""The chat: an operator talks to the agent as a person of their own, and sees each turn from inside."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from ..api.agui import Telling
from ..api.streaming import TurnStream, wants_stream
from ..errors import InvalidRequest
from ..i18n import LANGUAGES, language
from ..ids import new_id
from ..messages import InboundMessage, Json, SessionKey, TurnView
from ..neutral import CARD_MARK
from ..storage.repositories import confirmations, console, sessions
from ..storage.repositories.confirmations import ConfirmationRow
from ..storage.repositories.turns import TurnRow
from ..turn.view import without_tokens
from .approvals import origin_of
from .inspecting import Inside, heard_of, inside
from .visits import Visit

CHANNEL = "console"
LONGEST = 8000
TALK, RECENT = 20, 8
VERBS = {"es": ("confirmar", "cancelar"), "en": ("confirm", "cancel"), "pt": ("confirmar", "cancelar")}
_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of the conversation. `cards` are the writes that this operator may confirm as their own user:
    (confirmation, its token, its arguments with their origins); the reply is then what stands above them."""

    turn_id: str
    state: str
    heard: str
    reply: str
    cards: Sequence[tuple[ConfirmationRow, str, Sequence[tuple[str, Json, tuple[str, bool]]]]]


def key_of(visit: Visit, label: str) -> SessionKey:
    """The session of this operator with that label; nobody else's can be named."""
    return SessionKey(CHANNEL, CHANNEL, f"operator:{visit.operator.name}", label)


async def shown(visit: Visit) -> Response:
    """One conversation, the latest turn beside it, and the operator's other ones."""
    label = visit.asked("session") or f"c_{secrets.token_urlsafe(9)}"
    if not _LABEL.fullmatch(label):
        raise InvalidRequest("session: letters, digits, - and _")
    key = key_of(visit, label)

    def query(conn: Connection) -> tuple[Any, ...]:
        row = sessions.by_key(conn, key.digest())
        others = console.of_person(conn, key.principal, RECENT)
        return row, console.timeline(conn, [row.id], None, TALK) if row is not None else [], others

    row, found, others = await visit.read(query)
    wanted = visit.asked("turn") or (found[0].id if found else "")
    opened = await _inside(visit, wanted, row.id) if row is not None and wanted else None
    locale = visit.asked("locale")
    return visit.page(
        "chat.html", label=label, said=[await _said(visit, turn) for turn in reversed(found)],
        others=[other for other in others if other.label != label], inside=opened, once=new_id(),
        kept_days=visit.house.settings.retention_prompts_days, verbs=VERBS,
        spoken=locale if locale in LANGUAGES else language(visit.locale),
    )  # fmt: skip


async def _inside(visit: Visit, turn_id: str, session_id: str) -> Inside | None:
    found = await inside(visit, turn_id)
    return found if found.session.id == session_id else None


async def _said(visit: Visit, turn: TurnRow) -> Said:
    reply, cards = without_tokens(turn.reply or ""), []
    if turn.closed and turn.status == "needs_confirmation":
        view = await visit.house.views.turn(turn.session_id, turn.id, owner=True)
        tokens = {card.id: card.token for card in view.confirmations} if view is not None else {}
        rows = await visit.read(lambda conn: confirmations.of_turn(conn, turn.session_id, turn.id))
        for row in rows:
            if token := tokens.get(row.id):
                origins = [origin_of(visit, row.origins.get(name, "")) for name in row.args]
                args = [(*item, origin) for item, origin in zip(row.args.items(), origins, strict=True)]
                cards.append((row, token, args))
    if cards:
        reply = reply.partition(CARD_MARK)[0].strip()
    state = turn.state if turn.closed else "open"
    return Said(turn.id, state, heard_of(turn), reply, cards)


async def say(visit: Visit) -> Response:
    """One message, through the same path as any user's; streamed to whoever asks for a stream."""
    label, text = visit.field("label", 64), visit.field("message", LONGEST)
    if not _LABEL.fullmatch(label) or not text:
        raise InvalidRequest("a message has 1 to 8000 characters")
    locale = visit.field("locale", 2)
    spoken = locale if locale in LANGUAGES else visit.locale
    once = visit.field("once", 64)
    message = InboundMessage(key_of(visit, label), once if _LABEL.fullmatch(once) else new_id(), text, spoken)
    desk = visit.house.office.desk
    if wants_stream(visit.request):
        feed = await desk.open(message, listening=True)
        return TurnStream(feed, Telling(label, feed.accepted.turn_id), partial(_ended, label=label))
    view, _ = await desk.submit(message)
    return visit.back("/chat", session=label, locale=locale, turn=view.turn_id)


def _ended(view: TurnView, label: str) -> Json:
    """What the page needs at the end of a stream: where the turn can be seen."""
    return {"session": label, "turn": view.turn_id, "status": view.status}
