"""The planner: context in, checked plan out; ask, validate, and repair within bounds.

Two things make plans behind one protocol: a language model (here) and the embedded planner.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from pydantic import ValidationError

from ..errors import ModelBadAnswer, ModelError, ModelRefusedMode, PlanRejected
from ..i18n import language
from ..llm.base import ChatMessage, ChatReply, ChatRequest, OutputMode
from ..llm.extract import NoJson, extract_plan_json
from ..llm.names import NameMap
from ..llm.plan_schema import plan_schema
from ..prompts import Prompt
from ..tools import ToolRegistry
from .answerer import LANGUAGE_NAMES
from .models import Models, with_messages
from .plan import CheckedPlan, PlannerOutput, Rules, check
from .record import TurnRecord
from .shortlist import Offer, Shortlist
from .surroundings import Surroundings

REPAIRS = 2
QUOTED = 4000
"""Characters of a wrong answer that a repair round quotes."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A checked plan, or why there is none: the code of an honest reply."""

    plan: CheckedPlan | None
    failure: str | None = None


class Planner(Protocol):
    """Proposes a plan for the record's message and checks it against the rules."""

    replans: bool
    """Whether another plan, made in sight of the results, can differ from the first."""

    async def plan(self, record: TurnRecord, rules: Rules) -> Planned:
        """A checked plan. Never raises for what a model does."""

    async def warm(self) -> None:
        """Make ready what takes time, before the first message waits for it."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How a model is asked: modes to try in order, seconds, tokens, and what it is told besides."""

    modes: tuple[OutputMode, ...]
    timeout_s: float
    max_tokens: int
    surroundings: Surroundings


class ModelPlanner:
    """Plans with any ChatModel."""

    replans = True

    def __init__(self, models: Models, registry: ToolRegistry, prompt: Prompt, asking: Asking) -> None:
        self._models = models
        self._registry = registry
        self._prompt = prompt
        self._asking = asking
        self._names = NameMap(spec.name for spec in registry)
        self._shortlist = Shortlist(registry, self._names, models.redact)
        self._modes = list(asking.modes)
        self._system = lru_cache(maxsize=64)(self._make_system)
        self._schema = lru_cache(maxsize=16)(self._make_schema)

    async def plan(self, record: TurnRecord, rules: Rules) -> Planned:
        offer = await self._shortlist.offer(record)
        request = self._request(record, offer)
        problems: list[str] = []
        for attempt in range(REPAIRS + 1):
            try:
                reply = await self._ask(record, request, offer)
            except ModelBadAnswer as error:
                problems = [error.detail]
                continue
            except ModelError as error:
                return self._failed(
                    record, "over_budget" if error.code == "over_budget" else "model_away", [error.code]
                )
            try:
                return Planned(check(self._read(reply.text), rules))
            except PlanRejected as error:
                problems = error.problems
            record.note("plan_rejected", "model", attempt=attempt + 1, problems=problems)
            request = with_messages(
                request,
                ChatMessage("assistant", self._models.redact(reply.text[:QUOTED]) or "(empty)"),
                ChatMessage("user", self._models.redact(_complaint(problems))),
            )
        return self._failed(record, "no_plan", problems)

    async def warm(self) -> None:
        await self._shortlist.warm()

    def _failed(self, record: TurnRecord, code: str, problems: Sequence[str]) -> Planned:
        record.note("plan_failed", "model", reason=code, problems=list(problems))
        return Planned(None, code)

    async def _ask(self, record: TurnRecord, request: ChatRequest, offer: Offer) -> ChatReply:
        """One question; a mode that the endpoint refuses is remembered and not tried again."""
        while True:
            mode = self._modes[0]
            schema = self._schema(offer.names) if mode in ("schema", "tool") else None
            deadline_s = max(0.001, min(self._asking.timeout_s, record.allowance.seconds))
            sent = ChatRequest(request.messages, schema, mode, self._asking.max_tokens, deadline_s=deadline_s)
            try:
                return await self._models.call(record, "plan", self._prompt, sent)
            except ModelRefusedMode:
                if self._modes[0] == mode:
                    if len(self._modes) == 1:
                        raise
                    self._modes.pop(0)

    def _read(self, text: str) -> PlannerOutput:
        """The plan in a model's answer, with our names for the tools. Raises PlanRejected."""
        try:
            found = extract_plan_json(text).value
        except NoJson as error:
            raise PlanRejected([f"the answer is not one JSON object: {error.reason}"]) from None
        calls = found.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict) and isinstance(call.get("tool"), str):
                call["tool"] = self._names.to_tool(call["tool"]) or call["tool"]
        try:
            return PlannerOutput.model_validate(found)
        except ValidationError as error:
            raise PlanRejected(_shape_problems(error)) from None

    def _request(self, record: TurnRecord, offer: Offer) -> ChatRequest:
        redact = self._models.redact
        lines = [
            ChatMessage("user" if line.role == "user" else "assistant", redact(line.text))
            for line in record.history
        ]
        system = ChatMessage("system", self._system(offer.standing, language(record.locale)))
        return ChatRequest((system, *lines, ChatMessage("user", offer.appended + self._question(record))))

    def _question(self, record: TurnRecord) -> str:
        """What changes from message to message, after the part that a prefix cache keeps."""
        known = self._models.data(self._asking.surroundings.of(record))
        return f"<data>\n{known}\n</data>\n\n{self._models.redact(record.asked[0])}"

    def _make_system(self, tools: str, tongue: str) -> str:
        return self._prompt.render(tools=tools, language=LANGUAGE_NAMES[tongue])

    def _make_schema(self, names: Sequence[str]) -> Mapping[str, object]:
        specs = [spec for spec in self._registry if spec.name in names]
        return plan_schema({self._names.to_model(spec.name): spec.schema for spec in specs})


def _shape_problems(error: ValidationError) -> list[str]:
    items = error.errors(include_input=False, include_url=False)[:10]
    return [f"{'.'.join(map(str, item['loc'])) or 'plan'}: {item['msg']}" for item in items]


def _complaint(problems: Sequence[str]) -> str:
    listed = "\n".join(f"- {problem[:300]}" for problem in problems[:10])
    return f"That plan was refused:\n{listed}\nAnswer with the corrected JSON object and nothing else."
