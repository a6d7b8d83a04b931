"""The executor: runs the steps of a checked plan, each as soon as it can; writes are set aside.

A write never runs here. It comes back as `awaiting_confirmation` with the exact arguments to park, and what
depends on it stays `blocked` until it has been confirmed and done.
"""

import asyncio
import json
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import ValidationError

from ..i18n import text
from ..messages import Json
from ..tools import ToolSpec
from .guard import Guard, Outcome
from .plan import CheckedPlan, CheckedStep, resolve
from .provenance import PLAN
from .record import FINAL, Round, StepResult, TurnRecord, known
from .references import BadPointer

RETRY_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Parked:
    """A write that passed everything but its confirmation."""

    step: CheckedStep
    args: Mapping[str, Json]
    origins: Mapping[str, str]


@dataclass(slots=True)
class _Run:
    """One run over one plan: what is known so far, and who waits for whom."""

    record: TurnRecord
    round: Round
    results: dict[str, StepResult]
    finished: dict[str, asyncio.Event]
    places: asyncio.Semaphore
    parked: list[Parked] = field(default_factory=list)


class Executor:
    """Order, parallelism, references, timeouts and retries of read steps."""

    def __init__(self, guard: Guard, parallel: int) -> None:
        """`parallel` steps of one turn run at the same time, at most."""
        self._guard = guard
        self._parallel = parallel

    async def run(
        self, record: TurnRecord, round_: Round, plan: CheckedPlan, earlier: Sequence[Round]
    ) -> tuple[Parked, ...]:
        """Run what is not final yet; results go into `round_.results` in the order of the plan.

        `earlier` rounds may be referred to. Returns the writes to park, in the order of the plan.
        """
        run = _Run(
            record,
            round_,
            {**known(earlier), **round_.known},
            {step.id: asyncio.Event() for step in plan.steps},
            asyncio.Semaphore(self._parallel),
        )
        try:
            async with asyncio.TaskGroup() as group:
                for step in plan.steps:
                    group.create_task(self._step(run, step))
        except ExceptionGroup as several:
            raise several.exceptions[0] from several
        round_.results = {call.id: run.results[call.id] for call in plan.output.tool_calls}
        order = {call.id: place for place, call in enumerate(plan.output.tool_calls)}
        return tuple(sorted(run.parked, key=lambda parked: order[parked.step.id]))

    async def _step(self, run: _Run, step: CheckedStep) -> None:
        try:
            before = run.results.get(step.id)
            if before is None or before.status not in FINAL:
                for name in step.needs & run.finished.keys():
                    await run.finished[name].wait()
                run.results[step.id] = await self._reached(run, step, before)
                run.record.ended(run.round.home[0], run.results[step.id])
        finally:
            run.finished[step.id].set()

    async def _reached(self, run: _Run, step: CheckedStep, before: StepResult | None) -> StepResult:
        """What becomes of a step whose predecessors are through."""
        statuses = {run.results[name].status for name in step.needs if name in run.results}
        if statuses & {"awaiting_confirmation", "blocked"}:
            return StepResult(step.id, step.spec.name, "blocked")
        if statuses - {"ok"} or len(step.needs - run.results.keys()) > 0:
            return StepResult(step.id, step.spec.name, "skipped")
        if before is not None and before.status == "awaiting_confirmation":
            return before
        limit = run.record.allowance.forbids()
        if limit is not None:
            return StepResult(
                step.id, step.spec.name, "skipped", error=text(f"why_{limit}", run.record.locale)
            )
        try:
            args = resolve(step, {name: result.result for name, result in run.results.items()})
            return await self._with(run, step, args)
        except BadPointer as error:
            return StepResult(step.id, step.spec.name, "error", error=str(error), again=True)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
            return StepResult(step.id, step.spec.name, "error", error=problem, again=True)

    async def _with(self, run: _Run, step: CheckedStep, args: Mapping[str, Json]) -> StepResult:
        if not await self._guard.within_rate(step.spec, run.record.caller):
            run.record.note("step_refused", step=step.id, tool=step.spec.name, reason="rate_limited")
            why = text("step_rate_limited", run.record.locale)
            return StepResult(step.id, step.spec.name, "error", error=why)
        if step.spec.write:
            pinned = step.spec.pin(args)
            run.record.began(run.round.home[0], step.id, step.spec.name, pinned)
            run.parked.append(Parked(step, pinned, _origins(run.round, step, pinned)))
            return StepResult(step.id, step.spec.name, "awaiting_confirmation")
        try:
            async with asyncio.timeout_at(run.record.allowance.ends_at), run.places:
                run.record.began(run.round.home[0], step.id, step.spec.name, args)
                key = f"{run.record.lane.turn_id}:{step.id}"
                outcome = self._sized(run.record, await self._read(run.record, step.spec, args, key))
        except TimeoutError:
            run.record.allowance.hit("turn_time")
            outcome = Outcome("timeout")
        run.record.note(
            "step_finished", "tool", step=step.id, tool=step.spec.name, outcome=outcome.kind, ms=outcome.ms
        )
        keep(run.record, step.spec.name, outcome, f"{run.record.lane.turn_id}:{step.id}")
        return step_result(step.id, step.spec.name, outcome)

    def _sized(self, record: TurnRecord, outcome: Outcome) -> Outcome:
        """What no longer fits into this turn is dropped, and says so."""
        if record.allowance.spend(len(json.dumps(outcome.result, ensure_ascii=False).encode())):
            return outcome
        record.allowance.hit("turn_bytes")
        return replace(outcome, result={"truncated": True, "preview": ""})

    async def _read(self, record: TurnRecord, spec: ToolSpec, args: Mapping[str, Json], key: str) -> Outcome:
        """One read, with the retries that its tool allows."""
        model, caller = spec.validate(args), record.caller
        started = time.monotonic()
        for attempt in range(spec.tool.retries + 1):
            record.held.check()
            outcome = await self._guard.run(spec, model, caller, key)
            if outcome.kind not in ("raised", "timeout") or attempt == spec.tool.retries:
                break
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_S * 2**attempt))  # noqa: S311 - jitter
        ms = round((time.monotonic() - started) * 1000)
        return Outcome(outcome.kind, outcome.result, outcome.error, ms, outcome.facts, outcome.mails)

    async def write(self, record: TurnRecord, spec: ToolSpec, args: Mapping[str, Json], key: str) -> Outcome:
        """The one call of a confirmed write; only the confirmation stage calls this. Raises LaneLost, without
        calling, when the lease may end before the call does."""
        record.held.check(self._guard.timeout_of(spec))
        return await self._guard.run(spec, spec.validate(args), record.caller, key)


def _origins(round_: Round, step: CheckedStep, pinned: Mapping[str, Json]) -> dict[str, str]:
    planned = round_.origins.get(step.id, {})
    return {name: planned.get(name, PLAN) for name in pinned}


def keep(record: TurnRecord, tool: str, outcome: Outcome, key: str) -> None:
    """Take a call's facts and letters into the record, to be stored with the next transaction."""
    for name, value in outcome.facts.items():
        record.facts[name] = {"value": value, "tool": tool, "turn": record.lane.turn_id}
    record.mails += [(f"{key}:{number}", mail) for number, mail in enumerate(outcome.mails)]


def step_result(step_id: str, tool: str, outcome: Outcome) -> StepResult:
    """A read's outcome as the step's result: from a read, an exception is a plain failure."""
    if outcome.kind == "ok":
        return StepResult(step_id, tool, "ok", outcome.result, ms=outcome.ms)
    if outcome.kind == "timeout":
        return StepResult(step_id, tool, "timeout", error="timeout", ms=outcome.ms)
    told = outcome.error if outcome.kind in ("failed", "retry") else None
    return StepResult(step_id, tool, "error", error=told, ms=outcome.ms, again=outcome.kind == "retry")
