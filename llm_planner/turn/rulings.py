"""Rulings: what an operator may decide about a parked write (rule 5). They run in the session's own lane."""

import hmac

from pydantic import ValidationError
from sqlalchemy import Connection

from ..errors import Conflict, Forbidden, InvalidRequest, LaneLost, RequestError
from ..i18n import text
from ..messages import Decision
from ..neutral import plain
from ..storage.database import Database, now
from ..storage.repositories import confirmations, sessions
from ..storage.repositories.confirmations import ConfirmationRow, Verdict
from ..storage.states import ConfirmationState
from ..tools import ToolRegistry
from .confirmations import Claim, Confirmations, Refused
from .parking import Parking
from .record import TurnRecord

DECIDERS = frozenset(["operator", "approver", "admin"])
"""Roles that may reject and edit; approving needs the very role that the tool names."""
_PAST = {"reject": "rejected", "edit": "edited"}


def may_decide(row: ConfirmationRow, decision: Decision, principal: str) -> None:
    """Whether this operator may decide this. Raises Forbidden, Conflict or InvalidRequest."""
    roles = frozenset(decision.roles)
    if row.state != ConfirmationState.PENDING:
        raise Conflict(f"it is {row.state} already", code="already_resolved")
    if decision.digest is not None and not hmac.compare_digest(decision.digest.encode(), row.digest.encode()):
        raise Conflict("it is not what was looked at any more", code="stale_digest")
    if not roles & (DECIDERS | {row.approver}):
        raise Forbidden("this role decides nothing here")
    if decision.decision != "approve":
        return
    if decision.digest is None:
        raise InvalidRequest("approving needs the digest that was looked at")
    if row.approver == "user":
        raise Forbidden("only its own user can confirm this; it may be rejected or edited", code="user_only")
    if row.approver not in roles:
        raise Forbidden(f"this needs the role {row.approver}")
    if {decision.operator, *decision.also} & {*_names_of(principal), row.edited_by}:
        raise Forbidden("who asked for it, or edited it last, can't approve it", code="own_request")


def _names_of(principal: str) -> frozenset[str]:
    """The names a person may go by: `jwt:anne` and `backend/anne` are anne, who may also be an operator."""
    inner = principal.partition(":")[2] or principal
    return frozenset([principal, inner, inner.partition("/")[2] or inner])


class Rulings:
    """Applies one operator's decision."""

    def __init__(
        self, database: Database, registry: ToolRegistry, gate: Confirmations, parking: Parking
    ) -> None:
        self._database = database
        self._registry = registry
        self._gate = gate
        self._parking = parking

    async def apply(self, record: TurnRecord, decision: Decision) -> Claim | None:
        """Reject or edit at once; an approval gives the claim to execute.

        What may not be decided ends the turn as `refused` with the error's code.
        """
        try:
            return await self._apply(record, decision)
        except RequestError as error:
            record.note(
                "decision_refused",
                decision.operator,
                confirmation=decision.confirmation_id,
                reason=error.reason,
            )
            record.end("refused", error.reason, text("decision_stale", record.locale))
            return None

    async def _apply(self, record: TurnRecord, decision: Decision) -> Claim | None:
        row = await self._database.run(lambda conn: self._row(conn, record, decision))
        if decision.decision == "approve":
            return await self._approve(record, decision, row)
        args = dict(decision.args or {})
        if decision.decision == "edit":
            await self._edit(record, row, args, decision.operator)
        verdict = Verdict(
            row.session_id,
            row.id,
            ConfirmationState.REJECTED,
            decision.operator,
            record.lane.turn_id,
            decision.reason,
        )
        await self._database.run(lambda conn: self._end(conn, record, row, verdict))
        record.pending = tuple(other for other in record.pending if other.id != row.id)
        record.note(
            f"confirmation_{_PAST[decision.decision]}", decision.operator, confirmation=row.id, tool=row.tool
        )
        if decision.decision == "edit":
            record.end("needs_confirmation", None, text("operator_edited", record.locale, what=row.summary))
        else:
            why = f": {plain(decision.reason)}" if decision.reason else ""
            record.end(
                "cancelled", "rejected", text("operator_rejected", record.locale, what=row.summary, why=why)
            )
        return None

    def _row(self, conn: Connection, record: TurnRecord, decision: Decision) -> ConfirmationRow:
        row = confirmations.get(conn, record.lane.session_id, decision.confirmation_id)
        if row is None:
            raise Conflict("there is no such confirmation in this session", code="already_resolved")
        if row.decided_turn_id != record.lane.turn_id:
            may_decide(row, decision, record.session.principal)
        return row

    async def _approve(self, record: TurnRecord, decision: Decision, row: ConfirmationRow) -> Claim:
        claim = await self._gate.approve(record, row, decision.operator)
        if isinstance(claim, Refused):
            raise Conflict("it was decided already", code="already_resolved")
        return claim

    async def _edit(
        self, record: TurnRecord, row: ConfirmationRow, args: dict[str, object], editor: str
    ) -> None:
        spec = self._registry.get(row.tool)
        if spec is None:
            raise Conflict(f"there is no tool {row.tool} any more", code="already_resolved")
        try:
            await self._parking.edited(record, row, spec, args, editor)
        except ValidationError as error:
            raise InvalidRequest(f"the tool does not take these arguments: {_first(error)}") from error

    def _end(self, conn: Connection, record: TurnRecord, row: ConfirmationRow, verdict: Verdict) -> None:
        moment, lane = now(conn), record.lane
        if not sessions.hold(conn, lane.session_id, lane.epoch, moment + self._gate.margin):
            raise LaneLost("the session's lane was taken over")
        decided = confirmations.decide(conn, verdict, moment)
        if not decided and row.decided_turn_id != verdict.turn_id:
            raise LaneLost("it was decided by somebody else meanwhile")


def _first(error: ValidationError) -> str:
    item = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
