"""Rounds: plan, store, execute, and look once more, until a plan is content or a person has to decide."""

import asyncio

from pydantic import ValidationError

from ..errors import PlanRejected
from ..i18n import text
from ..neutral import foreign
from ..tools import ToolRegistry
from .closing import Closing
from .executor import Executor
from .parking import Parking
from .plan import CheckedPlan, PlannerOutput, Rules, check
from .planner import Planned, Planner
from .progress import Stage
from .provenance import Spoken, origins
from .record import LIMITS, Round, TurnRecord, known


class Planning:
    """The part of a turn in which something is planned and read."""

    def __init__(
        self, planner: Planner, registry: ToolRegistry, closing: Closing, executor: Executor,
        parking: Parking, limits: tuple[int, int],
    ) -> None:  # fmt: skip
        """`limits` are (rounds, steps a plan)."""
        self._planner = planner
        self._registry = registry
        self._closing = closing
        self._executor = executor
        self._parking = parking
        self._most_rounds, self._most_steps = limits

    async def run(self, record: TurnRecord) -> None:
        """Go through the rounds. What an earlier attempt of this turn stored is used again (rule 8).

        A plan that was waiting for a confirmation and is carried on counts as the first round.
        """
        if record.message.over:
            self._fail(record, "too_many_messages")
            return
        before = 1 if record.carried is not None else 0
        if before and not self._planner.replans:
            return
        plan = self._stored(record) if len(record.rounds) > before else await self._next(record)
        while plan is not None:
            round_ = record.rounds[-1]
            record.progress.tell(Stage("act"))
            parked = await self._executor.run(record, round_, plan, record.rounds[:-1])
            await self._parking.park(record, round_, parked)
            more = self._planner.replans and round_.wants_another and len(record.rounds) < self._most_rounds
            plan = await self._next(record) if more else None
        if record.allowance.reached is not None:
            record.stop(record.allowance.reached)

    def _rules(self, record: TurnRecord, earlier: list[Round]) -> Rules:
        used = sum(len(round_.results) for round_ in earlier)
        return Rules(self._registry, record.session.channel, max(0, self._most_steps - used), known(earlier))

    def _stored(self, record: TurnRecord) -> CheckedPlan | None:
        last = record.rounds[-1]
        try:
            plan = check(PlannerOutput.model_validate(last.plan), self._rules(record, record.rounds[:-1]))
        except (PlanRejected, ValidationError) as error:
            record.note("plan_dropped", reason=str(error))
            self._fail(record, "no_plan")
            return None
        record.from_tools = bool(plan.steps) or _foreign_text_seen(record)
        self._speak(record, plan)
        return plan

    async def _next(self, record: TurnRecord) -> CheckedPlan | None:
        """Ask for a plan and store it before its first effect."""
        record.progress.tell(Stage("plan"))
        planned = await self._planned(record)
        if planned.plan is None:
            self._fail(record, planned.failure or "no_plan")
            return None
        plan, seen = planned.plan, _foreign_text_seen(record)
        own_words = [line.text for line in record.history if line.role == "user" and not line.from_tools]
        asked, own = record.asked
        own_words += [asked] if own else []
        home = (record.lane.turn_id, len(record.rounds))
        spoken = Spoken(own_words)
        sources = {step.id: origins(step, spoken, seen) for step in plan.steps}
        record.rounds.append(Round(plan.output.model_dump(mode="json"), sources, home))
        record.from_tools = record.from_tools or bool(plan.steps) or seen
        steps = [[step.id, step.spec.name] for step in plan.steps]
        record.note("planned", "planner", steps=steps, origins=sources, **_model(record))
        await self._closing.store_plan(record)
        self._speak(record, plan)
        return plan

    async def _planned(self, record: TurnRecord) -> Planned:
        """A plan, if one is to be had while this turn may still go on."""
        limit = record.allowance.forbids() if record.rounds else None
        if limit is None:
            try:
                async with asyncio.timeout_at(record.allowance.ends_at):
                    return await self._planner.plan(record, self._rules(record, record.rounds))
            except TimeoutError:
                limit = record.allowance.hit("turn_time")
        return Planned(None, limit)

    def _speak(self, record: TurnRecord, plan: CheckedPlan) -> None:
        """A reply counts only where nothing runs: before its results, a model can't know what to say."""
        if not plan.steps and plan.output.reply:
            record.said = foreign(plan.output.reply, self._registry.hosts) or None

    def _fail(self, record: TurnRecord, code: str) -> None:
        """Say why there is no plan: nothing was done, or this is as far as it went."""
        if record.rounds or code in LIMITS:
            record.stop(code)
        else:
            record.end("failed", code, text(code, record.locale))


def _foreign_text_seen(record: TurnRecord) -> bool:
    """Whether text from a tool, or from somebody else by way of the user, is in the planner's sight (rule 12)."""
    if record.rounds or record.caller.facts or not record.asked[1]:
        return True
    remembered = record.summary is not None and record.summary.from_tools
    return remembered or any(line.from_tools for line in record.history)


def _model(record: TurnRecord) -> dict[str, str]:
    """Which model and prompt made the plan, for the audit."""
    if not record.calls:
        return {"model": "embedded"}
    last = record.calls[-1]
    return {"model": last["model"], "prompt": last["prompt"], "prompt_hash": last["prompt_hash"]}
