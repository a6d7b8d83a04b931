"""The write journal: one call for one confirmation, its outcome written down, and never a blind repeat (rule 7).

The intent is committed with the claim, before the call. Only `ToolFailed` and `ToolRetry` mean that nothing
was done; everything else is unknown, and then the tool is asked (`reconcile`), or the same call is made with
the same key where the tool is `idempotent`, or a person decides.
"""

import asyncio
import time
from datetime import timedelta

from pydantic import ValidationError
from sqlalchemy import Connection

from ..errors import LaneLost
from ..messages import AuditEvent, StepStatus
from ..storage.database import Database, insist, now
from ..storage.repositories import confirmations, outbox, sessions
from ..storage.repositories.confirmations import Outcome as Entry
from ..storage.states import ConfirmationState, RunState
from ..tools import ToolRegistry, ToolSpec
from .audit import Audit
from .confirmations import Claim, Confirmations
from .executor import Executor, keep
from .guard import Guard, Outcome, promise_kept
from .outbox import letters
from .record import StepResult, TurnRecord

UNKNOWN = Outcome("raised")


class Journal:
    """Makes the call of a claimed write and keeps its books."""

    def __init__(
        self, database: Database, registry: ToolRegistry, gate: Confirmations, audit: Audit, guard: Guard,
        executor: Executor,
    ) -> None:  # fmt: skip
        self._database = database
        self._registry = registry
        self._gate = gate
        self._audit = audit
        self._guard = guard
        self._executor = executor

    async def perform(self, record: TurnRecord, claim: Claim) -> StepResult:
        """Call once, or find out what an earlier attempt's call did. The outcome is stored on return."""
        if claim.run.state != RunState.INTENT:
            return _told(claim, claim.run.state, claim.run.result, claim.run.error)
        spec = self._unchanged(record, claim)
        if spec is None:
            outcome = Outcome("failed", error="the tool is gone or has changed") if claim.fresh else UNKNOWN
        elif claim.fresh:
            outcome = await self._executor.write(record, spec, claim.row.args, claim.run.idempotency_key)
            if outcome.kind in ("raised", "timeout"):
                outcome = await self._recover(spec, record, claim)
        else:
            await self._until_deadline(claim)
            outcome = await self._recover(spec, record, claim)
        return await self._settle(record, claim, outcome)

    async def abandon(self, record: TurnRecord) -> None:
        """This turn is given up: a call that it had begun ends as unknown, for a person to settle."""
        for claim in await self._database.read(lambda conn: _begun(conn, record)):
            await self._until_deadline(claim)
            await self._settle(record, claim, UNKNOWN)

    def _unchanged(self, record: TurnRecord, claim: Claim) -> ToolSpec | None:
        """The tool, if row and tool are what was approved, and the tool still takes these arguments."""
        spec = self._registry.get(claim.row.tool)
        if spec is None or not self._gate.intact(claim.row, record.session):
            return None
        try:
            spec.validate(claim.row.args)
        except ValidationError:
            return None
        return spec

    async def _until_deadline(self, claim: Claim) -> None:
        """The first call may still be running somewhere until its own limit is over."""
        moment = await self._database.read(now)
        await asyncio.sleep(max(0.0, (claim.run.deadline_at - moment).total_seconds()))

    async def _recover(self, spec: ToolSpec, record: TurnRecord, claim: Claim) -> Outcome:
        key = claim.run.idempotency_key
        if spec.reconciles:
            record.held.check()
            outcome = await self._guard.reconcile(spec, spec.validate(claim.row.args), record.caller, key)
            known = promise_kept(outcome) or (outcome.kind == "ok" and outcome.result is not None)
            return outcome if known else UNKNOWN
        outcome = UNKNOWN
        for _ in range(max(1, spec.tool.retries) if spec.tool.idempotent else 0):
            await self._again(record, claim, spec)
            outcome = await self._executor.write(record, spec, claim.row.args, key)
            if outcome.kind not in ("raised", "timeout"):
                break
        return outcome

    async def _again(self, record: TurnRecord, claim: Claim, spec: ToolSpec) -> None:
        """A new deadline for the repeat, under a lease that outlives it."""

        def extend(conn: Connection) -> None:
            deadline = now(conn) + timedelta(seconds=self._guard.timeout_of(spec))
            lane = record.lane
            held = sessions.hold(conn, lane.session_id, lane.epoch, deadline + self._gate.margin)
            if not held or not confirmations.extend(conn, claim.run, lane.turn_id, deadline):
                raise LaneLost("the session's lane was taken over")

        began = time.monotonic()
        await self._database.run(extend)
        record.held.extend(began + self._guard.timeout_of(spec) + self._gate.margin.total_seconds())

    async def _settle(self, record: TurnRecord, claim: Claim, outcome: Outcome) -> StepResult:
        """Outcome, confirmation, facts, letters and audit: one transaction."""
        state = (
            RunState.OK
            if outcome.kind == "ok"
            else RunState.FAILED
            if promise_kept(outcome)
            else RunState.UNKNOWN
        )
        keep(record, claim.row.tool, outcome, claim.run.idempotency_key)
        told = {
            "confirmation": claim.row.id,
            "tool": claim.row.tool,
            "ms": outcome.ms,
            "error": outcome.error,
        }
        event = AuditEvent(f"write_{state}", "tool", told, record.lane.turn_id)
        events = [*record.events, event]
        entry = Entry(record.lane.session_id, claim.run.id, state, outcome.result, outcome.error)
        patience = time.monotonic() + self._gate.margin.total_seconds() / 2
        await insist(self._database, lambda conn: self._store(conn, record, claim, entry, events), patience)
        record.events.clear()
        record.mails.clear()
        return _told(claim, state, outcome.result, outcome.error, outcome.ms)

    def _store(
        self, conn: Connection, record: TurnRecord, claim: Claim, entry: Entry, events: list[AuditEvent]
    ) -> None:
        moment, lane = now(conn), record.lane
        # An outcome is kept even if the lane was lost meanwhile: it is what happened.
        if not confirmations.finish(conn, entry, moment):
            raise LaneLost("the outcome of this call was settled by somebody else")
        ended = {RunState.OK: ConfirmationState.EXECUTED, RunState.FAILED: ConfirmationState.FAILED}
        confirmations.settle(
            conn, lane.session_id, claim.row.id, ended.get(RunState(entry.state), ConfirmationState.UNKNOWN)
        )
        outbox.add(conn, letters(record, moment))
        self._audit.append(conn, lane.session_id, events, moment)
        sessions.merge_facts(conn, lane.session_id, record.facts_at(moment))


def _begun(conn: Connection, record: TurnRecord) -> list[Claim]:
    """The calls of this turn whose outcome nobody wrote down."""
    lane, claims = record.lane, list[Claim]()
    for run in confirmations.runs_of_turn(conn, lane.session_id, lane.turn_id):
        row = confirmations.get(conn, lane.session_id, run.confirmation_id)
        if row is not None and run.state == RunState.INTENT:
            claims.append(Claim(row, run, fresh=False))
    return claims


def _told(claim: Claim, state: str, result: object, error: str | None, ms: int = 0) -> StepResult:
    status: StepStatus = "ok" if state == RunState.OK else "error" if state == RunState.FAILED else "unknown"
    return StepResult(
        claim.row.step, claim.row.tool, status, result, error if status == "error" else None, ms
    )
