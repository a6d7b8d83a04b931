"""Settling: a person found out what became of a write whose outcome was unknown (rule 7).

Whoever asks for it checks with `settlement` what can be said at once, sends the message that it returns into
the session's own lane, like any other message, and hands what came back to `settled`.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from ..errors import Conflict, Forbidden, LaneLost, NotFound, RequestError
from ..i18n import text
from ..ids import new_id
from ..messages import Decision, InboundMessage, StepStatus, TurnView
from ..storage.database import Database, now
from ..storage.repositories import sessions, turns, writes
from ..storage.repositories.writes import Settled, Write
from ..storage.states import RunState
from .record import StepResult, TurnRecord, stored_round
from .rulings import DECIDERS

OUTCOMES = ("done", "not_done")


def may_settle(write: Write, decision: Decision, moment: datetime) -> None:
    """Whether this operator may settle this write now. Raises Forbidden or Conflict."""
    if not DECIDERS & frozenset(decision.roles):
        raise Forbidden("settling needs the role operator, approver or admin")
    if write.run.state == RunState.INTENT or write.run.deadline_at > moment:
        raise Conflict("the call may still be running; try again when its time is over", code="in_progress")
    if write.run.state != RunState.UNKNOWN:
        raise Conflict(f"its outcome is known: {write.run.state}", code="already_settled")


async def settlement(database: Database, run_id: str, decision: Decision) -> InboundMessage:
    """The message that settles this write in its session's lane; `decision.confirmation_id` is filled in
    here. Raises NotFound, Forbidden or Conflict."""

    def checked(conn: Connection) -> InboundMessage:
        write = writes.find(conn, run_id)
        session = sessions.by_id(conn, write.row.session_id) if write is not None else None
        if write is None or session is None:
            raise NotFound("there is no such write")
        may_settle(write, decision, now(conn))
        ordered = Decision(
            write.run.id, decision.decision, decision.operator, decision.roles, reason=decision.reason
        )
        return InboundMessage(
            session.key, f"{turns.SETTLEMENT}{new_id()}", "", session.locale, decision=ordered
        )

    return await database.read(checked)


def settled(view: TurnView) -> None:
    """Raise what the lane answered, if it refused."""
    if view.status == "refused":
        raise Conflict(view.reply, code=view.code)


class Settling:
    """Applies one settlement in the session's lane."""

    def __init__(self, database: Database, margin: timedelta) -> None:
        self._database = database
        self._margin = margin

    async def apply(self, record: TurnRecord, decision: Decision) -> None:
        """Write down what the operator found out, and tell the user. What may not be settled ends the turn as
        `refused` with the error's code."""
        try:
            write = await self._database.run(lambda conn: self._settle(conn, record, decision))
        except RequestError as error:
            record.note(
                "settlement_refused", decision.operator, write=decision.confirmation_id, reason=error.reason
            )
            record.end("refused", error.reason, text("decision_stale", record.locale))
            return
        record.note(
            "write_settled", decision.operator, confirmation=write.row.id, tool=write.row.tool,
            outcome=decision.decision, reason=decision.reason,
        )  # fmt: skip
        code = f"settled_{decision.decision}"
        record.end("answered", code, text(code, record.locale, what=write.row.summary))
        await self._mark(record, write, decision)

    def _settle(self, conn: Connection, record: TurnRecord, decision: Decision) -> Write:
        moment, lane = now(conn), record.lane
        write = writes.find(conn, decision.confirmation_id)
        if write is None or write.run.session_id != lane.session_id:
            raise NotFound("there is no such write in this session")
        if write.run.settled_turn_id == lane.turn_id:
            return write  # an earlier attempt of this turn did it
        may_settle(write, decision, moment)
        if not sessions.hold(conn, lane.session_id, lane.epoch, moment + self._margin):
            raise LaneLost("the session's lane was taken over")
        told = Settled(decision.decision == "done", decision.operator, decision.reason, lane.turn_id)
        if not writes.settle(conn, write, told, moment):
            raise Conflict("its outcome became known meanwhile", code="already_settled")
        return write

    async def _mark(self, record: TurnRecord, write: Write, decision: Decision) -> None:
        """The step of the plan that this write belongs to gets its outcome; its dependants stay skipped, as
        the user was told."""
        row = write.row
        home = await self._database.read(lambda conn: turns.get(conn, row.session_id, row.home_turn_id))
        if home is None:
            return
        rounds = [stored_round(data) for data in home.rounds]
        status: StepStatus = "ok" if decision.decision == "done" else "error"
        error = None if decision.decision == "done" else text("settled_step", record.locale)
        rounds[row.round].results[row.step] = StepResult(row.step, row.tool, status, error=error)
        record.home_rounds[row.home_turn_id] = rounds
