"""The answerer: results become the text for the user; what is not ours is made harmless first."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from zoneinfo import ZoneInfo

from ..errors import ModelBadAnswer, ModelError
from ..i18n import language, text
from ..messages import Json
from ..neutral import foreign, plain
from ..softening import Softening
from ..storage.repositories.confirmations import ConfirmationRow
from ..tools import ToolRegistry
from .cards import card
from .guard import Guard
from .models import Models
from .progress import Progress, Said, Silent, Unsaid
from .record import Answer, StepResult, TurnRecord

LANGUAGE_NAMES = {"es": "Spanish (voseo)", "en": "English", "pt": "Portuguese"}
LONGEST = 8000


class Answerer:
    """Puts a reply together: our sentences, foreign text, cards, and one line about what still waits."""

    def __init__(self, registry: ToolRegistry, guard: Guard, zone: ZoneInfo, models: Models | None) -> None:
        self._registry = registry
        self._guard = guard
        self._zone = zone
        self._models = models

    async def answer(self, record: TurnRecord) -> Answer:
        """The whole reply, with placeholders where tokens go."""
        above, said = await self._results(record), [record.said] if record.said else []
        above = [*above, *said] if record.executed is not None else [*said, *above]
        if record.stopped is not None:
            above.append(text("stopped", record.locale, why=text(f"why_{record.stopped}", record.locale)))
        parked = [*record.parked, *record.shown]
        cards = [(row.id, card(row, self._title(row), record.locale, self._zone)) for row in parked]
        shown = {row.id for row in parked} | {row.id for row in self._replaced(record)}
        waiting = any(row.approver == "user" and row.id not in shown for row in record.pending)
        below = [text("still_pending", record.locale)] if waiting else []
        if not (above or cards or below or record.quiet):
            above = [text("nothing_to_say", record.locale)]
        return Answer(tuple(above), tuple(cards), tuple(below))

    def _replaced(self, record: TurnRecord) -> list[ConfirmationRow]:
        """Pending rows that this turn's requests take the place of."""
        tools = {row.tool for row in record.parked if row.home_turn_id == record.lane.turn_id}
        return [row for row in record.pending if row.tool in tools]

    def _title(self, row: ConfirmationRow) -> str:
        spec = self._registry.get(row.tool)
        return plain(spec.title if spec is not None else row.tool)

    async def _results(self, record: TurnRecord) -> list[str]:
        steps = [step for step in record.steps if step.status not in ("awaiting_confirmation", "blocked")]
        if record.said and record.rounds and not record.rounds[-1].plan["tool_calls"]:
            # the last plan was the answer, with the results before it; that a write is done, we say ourselves
            steps = [
                step for step in steps if record.executed is not None and step.id == record.executed.step
            ]
        ours = record.parked or record.executed is not None or record.stopped is not None
        if self._models is not None and steps and not ours:
            written = await self._written(record, steps, self._models)
            if written:
                return [written]
        return [line for step in steps if (line := self._line(record, step))]

    async def _written(self, record: TurnRecord, steps: Sequence[StepResult], models: Models) -> str | None:
        """A model's own words about the results; without them the tidy default does."""
        slots = {"language": LANGUAGE_NAMES[language(record.locale)]}
        shown = [{"tool": s.tool, "status": s.status, "result": s.result, "error": s.error} for s in steps]
        # What is told must be how the reply begins.
        progress = record.progress if not record.said else Silent()
        try:
            async with aclosing(models.write(record, slots, shown, in_pieces=progress.wanted)) as pieces:
                if written := await self._softened(pieces, progress):
                    return written
            raise ModelBadAnswer("nothing of the answer can be shown")
        except ModelError as error:
            record.note("answer_failed", reason=error.code)
            progress.tell(Unsaid())
            return None

    async def _softened(self, pieces: AsyncIterator[str], progress: Progress) -> str:
        """The model's words made harmless; each is told as soon as nothing can change it."""
        soft, said, left = Softening(self._registry.hosts), list[str](), LONGEST
        async for piece in pieces:
            said.append(soft.add(piece[:left]))
            if said[-1]:
                progress.tell(Said(said[-1]))
            left -= len(piece)
            if left <= 0:
                break
        if rest := soft.end():
            progress.tell(Said(rest))
        return "".join([*said, rest])

    def _line(self, record: TurnRecord, step: StepResult) -> str:
        spec = self._registry.get(step.tool)
        title = (
            record.executed.summary if record.executed is not None and record.executed.step == step.id else ""
        )
        title = title or plain(spec.title if spec is not None else step.tool)
        locale = record.locale
        if step.status == "ok":
            told = self._guard.text(spec.tool.render, step.result, locale) if spec is not None else None
            if told is None:
                silent = step.result is None and spec is not None and spec.write
                told = "" if silent else tidy(step.result, locale)
            body = foreign(told[:LONGEST], self._registry.hosts)
            return (
                body
                if spec is None or not spec.write
                else "\n".join([text("done", locale, what=title), body]).strip()
            )
        if step.status == "unknown":
            return text("write_unknown", locale, what=title)
        told_why = step.error if step.status in ("error", "skipped") else None
        why = foreign(told_why, self._registry.hosts) if told_why else ""
        why = why.rstrip(".") or text(
            "step_error" if step.status == "error" else f"step_{step.status}", locale
        )
        failed_write = (
            spec is not None and spec.write and step.status == "error" and record.executed is not None
        )
        return text("write_failed" if failed_write else "step_failed", locale, what=title, why=why)


def tidy(value: Json, locale: str, depth: int = 0) -> str:
    """A JSON value as short lines for a person."""
    if isinstance(value, Mapping) and value and depth < 3:
        return "\n".join(_entry(str(name), item, locale, depth) for name, item in value.items())
    if isinstance(value, list) and value and depth < 3:
        if all(not isinstance(item, Mapping | list) for item in value):
            return ", ".join(tidy(item, locale, depth) for item in value)
        return "\n".join(f"{'  ' * depth}- {tidy(item, locale, depth + 1).strip()}" for item in value)
    if isinstance(value, bool):
        return text("yes" if value else "no", locale)
    if value is None or value in ([], {}, ""):
        return text("none_found", locale)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _entry(name: str, item: Json, locale: str, depth: int) -> str:
    label = name.replace("_", " ")
    body = tidy(item, locale, depth + 1)
    separator = "\n" if "\n" in body else " "
    return f"{'  ' * depth}{label}:{separator}{body}"
