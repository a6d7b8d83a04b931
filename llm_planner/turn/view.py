"""The view: a stored turn as its owner, or an operator, may see it."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from ..errors import NotFound
from ..i18n import text
from ..messages import ConfirmationView, StepView, TurnStatus, TurnView
from ..neutral import TOKEN_CLOSE, TOKEN_OPEN
from ..storage.database import Database, now
from ..storage.repositories import confirmations, sessions, turns
from ..storage.repositories.confirmations import ConfirmationRow
from ..storage.repositories.turns import TurnRow
from ..storage.states import ConfirmationState, TurnState
from .cards import fill_tokens
from .progress import CallBegan, CallEnded, News, Stage
from .record import FINAL, StepResult, TurnRecord, stored_round
from .tokens import Tokens


class Views:
    """Renders closed turns; tokens of live cards are filled in only for their owner."""

    def __init__(self, database: Database, tokens: Tokens) -> None:
        self._database = database
        self._tokens = tokens

    async def turn(self, session_id: str, turn_id: str, *, owner: bool) -> TurnView | None:
        """The turn, or None while it is open. Raises NotFound."""
        return await self._database.read(lambda conn: self._turn(conn, session_id, turn_id, owner))

    async def so_far(self, session_id: str, turn_id: str) -> list[News]:
        """What the rows of an open turn tell about it, for those who listen where nobody works on it."""
        turn = await self._database.read(lambda conn: turns.get(conn, session_id, turn_id))
        if turn is None or turn.state == TurnState.QUEUED:
            return []
        return [
            Stage("act" if turn.rounds else "plan"),
            *(news for data in turn.rounds for news in _told(data)),
        ]

    def _turn(self, conn: Connection, session_id: str, turn_id: str, owner: bool) -> TurnView | None:
        turn, session = turns.get(conn, session_id, turn_id), sessions.by_id(conn, session_id)
        if turn is None or session is None:
            raise NotFound("there is no such turn")
        if not turn.closed:
            return None
        has_cards = TOKEN_OPEN in (turn.reply or "") or turn.status == "needs_confirmation"
        pending = confirmations.pending(conn, session_id, now(conn)) if has_cards else ()
        live = {row.id: self._tokens.of(row.id) for row in pending if owner and row.approver == "user"}
        parked = (
            confirmations.of_turn(conn, session_id, turn_id) if turn.status == "needs_confirmation" else ()
        )
        locale = turn.inbound["locale"] or session.locale
        return TurnView(
            session_id=session.label,
            turn_id=turn.id,
            message_id=turn.message_id,
            duplicate=False,
            status=_status(turn),
            code=turn.code,
            reply=text("forgotten", locale) if turn.reply is None else fill_tokens(turn.reply, live, locale),
            confirmations=tuple(_confirmation(row, live.get(row.id)) for row in parked),
            steps=tuple(_step(step, locale) for step in steps_of(turn)),
        )

    def of_record(self, record: TurnRecord, reply: str) -> TurnView:
        """The view of a turn that was closed this moment, for its owner."""
        cards = [*record.parked, *record.shown]
        live = {row.id: self._tokens.of(row.id) for row in cards if row.approver == "user"}
        return TurnView(
            session_id=record.session.label,
            turn_id=record.lane.turn_id,
            message_id=record.message.message_id,
            duplicate=False,
            status=record.status,
            code=record.code,
            reply=fill_tokens(reply, live, record.locale),
            confirmations=tuple(_confirmation(row, live.get(row.id)) for row in record.parked),
            steps=tuple(_step(step, record.locale) for step in record.steps),
        )


def steps_of(turn: TurnRow) -> tuple[StepResult, ...]:
    return tuple(step for data in turn.rounds for step in stored_round(data).results.values())


def _told(data: Mapping[str, Any]) -> Iterator[News]:
    """What a stored round tells. Arguments stand as they were planned, references and all."""
    round_ = stored_round(data)
    for call in round_.plan["tool_calls"]:
        home, step, tool = round_.home[0], call["id"], call["tool"]
        yield CallBegan(home, step, tool, call["args"])
        result = round_.results.get(step)
        if result is not None and result.status in FINAL:
            yield CallEnded(home, step, tool, result.status, result.result, result.error)


def without_tokens(reply: str) -> str:
    """A stored reply for other eyes than its owner's."""
    out, rest = [], reply
    while True:
        before, opened, tail = rest.partition(TOKEN_OPEN)
        out.append(before)
        if not opened:
            return "".join(out)
        out.append("████████")
        rest = tail.partition(TOKEN_CLOSE)[2]


def _status(turn: TurnRow) -> TurnStatus:
    return turn.status or "failed"  # type: ignore[return-value]


def _step(step: StepResult, locale: str) -> StepView:
    error = step.error or (text("step_error", locale) if step.status == "error" else None)
    return StepView(step.id, step.tool, step.status, step.result, error, step.ms)


def _confirmation(row: ConfirmationRow, token: str | None) -> ConfirmationView:
    pending = row.state == ConfirmationState.PENDING
    return ConfirmationView(
        row.id, token if pending else None, row.tool, row.args, row.summary, row.approver, row.expires_at,
        row.home_turn_id, row.step, pending,
    )  # fmt: skip
