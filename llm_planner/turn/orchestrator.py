"""The orchestrator: the table of contents of a turn."""

from ..i18n import text
from ..messages import TurnView
from .answerer import Answerer
from .closing import Closing
from .decisions import Decisions
from .handover import Handover
from .inbox import Claimed
from .progress import Progress, Stage, Unsaid
from .record import Answer, TurnRecord
from .rounds import Planning
from .session import SessionLane
from .view import Views

MOST_ATTEMPTS = 3


class AgentOrchestrator:
    """Takes one claimed message through its stages, in this order, and no other."""

    def __init__(
        self, sessions: SessionLane, deciding: tuple[Decisions, Handover], planning: Planning, answerer: Answerer,
        closing: Closing, views: Views,
    ) -> None:  # fmt: skip
        self._sessions = sessions
        self._decisions, self._handover = deciding
        self._planning = planning
        self._answerer = answerer
        self._closing = closing
        self._views = views

    async def handle(self, claimed: Claimed, progress: Progress) -> TurnView:
        """Everything that happens to one message. Raises LaneLost when another worker took over."""
        record = await self._sessions.open(claimed, progress)
        progress.tell(Unsaid())  # by an earlier attempt
        if record.lane.attempts > MOST_ATTEMPTS:
            return await self._give_up(record)
        by_people = self._handover.speak(record) or await self._decisions.obey(record)
        if not (by_people or await self._handover.hold(record)):
            await self._planning.run(record)
        progress.tell(Stage("answer"))
        answer = await self._answerer.answer(record)
        await self._closing.close(record, answer)
        return self._views.of_record(record, answer.whole)

    async def _give_up(self, record: TurnRecord) -> TurnView:
        """One fixed sentence, and as few stages as possible: any of the others may be what failed."""
        await self._decisions.abandon(record)
        reply = text("gave_up", record.locale)
        record.end("failed", "gave_up", reply)
        await self._closing.close(record, Answer((reply,)))
        return self._views.of_record(record, reply)
