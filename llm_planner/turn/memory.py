"""The memory of a conversation: a summary of the lines that have left the window, made after a turn is closed.

Nobody waits for it, and what goes wrong with it costs nothing but the summary: it is due again with the next turn.
What it says is as untrusted as what it was made from.
"""

import asyncio
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import Connection

from ..errors import ModelError, PlannerError
from ..i18n import language
from ..llm.base import ChatMessage, ChatRequest
from ..llm.counting import estimated_tokens
from ..neutral import shown
from ..prompts import Prompt
from ..storage.database import Database, now
from ..storage.repositories import summaries, turns
from ..storage.repositories.summaries import Summary
from ..storage.repositories.turns import Line
from .answerer import LANGUAGE_NAMES
from .models import Models
from .record import Held, TurnRecord
from .window import within

logger = logging.getLogger("llm_planner.memory")
LEAST = 4
"""Lines that have to have left the window before they are worth a call."""
MOST = 100
LONGEST_LINE = 4000
CALL_TOKENS = 8000
"""Lines, characters of each, and tokens of all that one call sums up; what is left over comes with the next."""
AT_ONCE = 2
LONGEST = 2000
"""Characters of a summary."""
TOKENS = 600


@dataclass(frozen=True, slots=True)
class _Due:
    """What is to be summed up: what was remembered before, and the lines that have left since."""

    before: Summary | None
    lines: Sequence[Line]


class Memory:
    """Remembers what a model is not shown any more."""

    def __init__(self, database: Database, models: Models, prompt: Prompt, window: tuple[int, int]) -> None:
        """`window` is how many lines, and about how many tokens of them, a model is shown."""
        self._database = database
        self._models = models
        self._prompt = prompt
        self._lines, self._tokens = window
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def after(self, record: TurnRecord) -> None:
        """A turn was closed."""
        task = asyncio.create_task(self._remember(record))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Give up what is not made yet."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        fault = None if task.cancelled() else task.exception()
        if isinstance(fault, PlannerError):
            logger.warning("no summary: %s: %s", type(fault).__name__, fault)
        elif fault is not None:
            logger.error("no summary: %s", type(fault).__name__, exc_info=fault)

    async def _remember(self, record: TurnRecord) -> None:
        async with self._places:
            due = await self._database.read(lambda conn: self._due(conn, record))
            if due is None:
                return
            # A record of its own, for the books of this call: the turn's are closed.
            books = TurnRecord(record.lane, record.message, record.session, (), Held(math.inf))
            request = self._request(due, LANGUAGE_NAMES[language(record.locale)])
            try:
                reply = await self._models.call(books, "summary", self._prompt, request)
            except ModelError:
                await self._database.run(lambda conn: _keep(conn, books, None))
                raise
            text = self._models.redact(shown(reply.text))[:LONGEST].strip()
            tainted = any(line.from_tools for line in due.lines) or (
                due.before is not None and due.before.from_tools
            )
            made = Summary(text, tainted, due.lines[-1].seq)
            await self._database.run(lambda conn: _keep(conn, books, made))

    def _due(self, conn: Connection, record: TurnRecord) -> _Due | None:
        """The lines between the last summary and the window, if there are enough of them."""
        session, seq = record.session.id, record.lane.seq
        window = within(turns.history(conn, session, seq + 1, self._lines), self._tokens)
        before = summaries.latest(conn, session)
        first = window[0].seq if window else seq + 1
        left = summaries.between(conn, session, before.up_to if before is not None else 0, first, MOST)
        return _Due(before, _oldest(left)) if len(left) >= LEAST else None

    def _request(self, due: _Due, tongue: str) -> ChatRequest:
        told = {
            "remembered": due.before.text if due.before is not None else None,
            "lines": [[line.role, line.text[:LONGEST_LINE]] for line in due.lines],
        }
        user = f"<data>\n{self._models.data(told)}\n</data>"
        system = self._prompt.render(language=tongue)
        messages = (ChatMessage("system", system), ChatMessage("user", user))
        return ChatRequest(messages, mode="text", max_tokens=TOKENS)


def _oldest(lines: Sequence[Line]) -> list[Line]:
    """As many of the oldest turns as one call takes, whole ones; one at least."""
    turns_ = [list(group) for _, group in groupby(lines, lambda line: line.seq)]
    if len(lines) == MOST and len(turns_) > 1:
        turns_.pop()  # it may go on behind the limit
    taken, tokens = turns_[0], 0
    for number, turn in enumerate(turns_):
        tokens += sum(estimated_tokens(line.text[:LONGEST_LINE]) for line in turn)
        if number and tokens <= CALL_TOKENS:
            taken += turn
    return taken


def _keep(conn: Connection, books: TurnRecord, made: Summary | None) -> None:
    moment = now(conn)
    turns.record_calls(conn, [{**call, "at": moment} for call in books.calls])
    if made is not None and made.text:
        row = {"session_id": books.session.id, "turn_id": books.lane.turn_id, "created_at": moment}
        summaries.put(conn, made, row)
