"""The surroundings of a question: what a model is told that changes from message to message.

All of it stands behind the conversation. What comes before is the same, byte for byte, for every session of a
channel, so that a model's prefix cache is hit.
"""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from ..clock import Clock
from ..i18n import language
from ..messages import Json
from .answerer import LANGUAGE_NAMES
from .digest import digest
from .record import TurnRecord
from .record import known as results_of


class Surroundings:
    """Date and zone, language and locale, the channel's limits, facts, what was said earlier, results of this turn."""

    def __init__(self, clock: Clock, zone: ZoneInfo, longest: Mapping[str, int], result_bytes: int) -> None:
        """`longest` is how many characters one message of a channel holds; `result_bytes` bounds the results."""
        self._clock = clock
        self._zone = zone
        self._longest = longest
        self._result_bytes = result_bytes

    def of(self, record: TurnRecord) -> dict[str, Json]:
        """As JSON values, tokens not yet removed."""
        channel = record.session.channel
        told: dict[str, Json] = {
            "now": _local(self._clock.now(), self._zone),
            "time_zone": self._zone.key,
            "language": LANGUAGE_NAMES[language(record.locale)],
            "locale": record.locale,
            "channel": {"name": channel},
        }
        if channel in self._longest:
            told["channel"]["message_characters"] = self._longest[channel]
        facts = {
            name: fact["value"] for name, fact in record.caller.facts.items() if fact["value"] is not None
        }
        if facts:
            told["facts"] = facts
        if record.summary is not None:
            told["earlier"] = record.summary.text
        if record.rounds:
            told["results"] = digest(results_of(record.rounds).values(), self._result_bytes)
        return told


def _local(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).strftime("%A %Y-%m-%d %H:%M %Z")
