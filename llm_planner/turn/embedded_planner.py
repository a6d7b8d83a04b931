"""The embedded planner behind the Planner protocol: no key; retrieval, rules and a small model in this process."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from pydantic import ValidationError

from ..embedded import Copier, EmbeddedCore, Proposal
from ..errors import PlanRejected, StartError
from ..tools import ToolRegistry
from .plan import PlannedCall, PlannerOutput, Rules, check
from .planner import Planned
from .record import TurnRecord
from .shortlist import tool_card
from .tokens import Tokens

RECENT = 3


class EmbeddedPlanner:
    """Plans by what the registered tools' examples say."""

    replans = False

    def __init__(
        self, registry: ToolRegistry, tokens: Tokens, today: Callable[[], date], copier: Copier | None
    ) -> None:
        if not len(registry):
            raise StartError(
                "the embedded planner needs at least one tool; register one, or configure a model"
            )
        self._tokens = tokens
        self._today = today
        self._copier = copier
        self._registry = registry
        self._core: EmbeddedCore | None = None
        self._thread = ThreadPoolExecutor(1, "embedded-planner")

    async def plan(self, record: TurnRecord, rules: Rules) -> Planned:
        recent = tuple(line.text for line in record.history if line.role == "user")[-RECENT:]
        text = self._tokens.redact(record.message.text)
        loop = asyncio.get_running_loop()
        proposal = await loop.run_in_executor(self._thread, self._propose, text, record.locale, recent)
        try:
            return Planned(check(_output(proposal), rules))
        except (PlanRejected, ValidationError) as error:
            problems = error.problems if isinstance(error, PlanRejected) else [error.title]
            record.note("plan_failed", "embedded", reason="no_plan", problems=problems)
            return Planned(None, "no_plan")

    async def warm(self) -> None:
        core = await asyncio.get_running_loop().run_in_executor(self._thread, self._made)
        if self._copier is not None:
            self._copier.start(core.prefixes)

    def _propose(self, text: str, locale: str, recent: tuple[str, ...]) -> Proposal:
        return self._made().propose(text, locale, recent)

    def _made(self) -> EmbeddedCore:
        """The core, made once, on the planner's own thread: it embeds every example."""
        if self._core is None:
            cards = [tool_card(spec) for spec in self._registry]
            self._core = EmbeddedCore(cards, self._today, copier=self._copier)
        return self._core


def _output(proposal: Proposal) -> PlannerOutput:
    calls = [
        PlannedCall(id=f"s{number}", tool=call.tool, args=dict(call.args))  # type: ignore[arg-type]
        for number, call in enumerate(proposal.calls, start=1)
    ]
    return PlannerOutput(reply=proposal.reply, tool_calls=calls)
