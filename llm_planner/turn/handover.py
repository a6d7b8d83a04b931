"""The handover: a person answers in the agent's place, and the agent stays quiet until it is handed back."""

from sqlalchemy import Connection

from ..i18n import text
from ..neutral import foreign
from ..storage.database import Database
from ..storage.repositories import turns
from ..tools import ToolRegistry
from .record import TurnRecord

RECENT = 20
"""How many of an operator's lines one answer brings, where the caller waits for answers only."""


class Handover:
    """What an operator writes goes out as the turn's reply; what the user writes meanwhile meets no planner."""

    def __init__(self, database: Database, registry: ToolRegistry) -> None:
        self._database = database
        self._registry = registry

    def speak(self, record: TurnRecord) -> bool:
        """An operator's own words become the reply. False: the message is not an operator's."""
        speaker = record.message.speaker
        if speaker is None:
            return False
        record.said = foreign(record.message.text, self._registry.hosts)
        record.note("operator_said", speaker)
        return True

    async def hold(self, record: TurnRecord) -> bool:
        """Leave an ordinary message to the person in charge. False: the agent is."""
        if record.session.handed_to is None:
            return False
        record.note("left_to_operator", operator=record.session.handed_to)
        record.end("answered", "handed_over")
        if record.message.route is not None:
            record.quiet = True  # what the person in charge writes goes out by itself
            return True
        said = await self._database.read(lambda conn: _unheard(conn, record))
        record.said = "\n\n".join(said) or text("handed_over", record.locale)
        return True


def _unheard(conn: Connection, record: TurnRecord) -> list[str]:
    """What operators wrote since the user's last message: here nothing can be sent before they write again."""
    lines: list[str] = []
    for turn in turns.page(conn, record.lane.session_id, record.lane.seq, RECENT):
        if not turn.inbound.get("speaker"):
            break
        lines.append(turn.reply or "")
    return lines[::-1]
