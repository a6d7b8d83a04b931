"""Joining: a burst of chat messages becomes one turn (`DEBOUNCE_MS`); a verb or a pressed button never does."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..messages import InboundMessage
from ..storage.repositories.turns import TurnRow
from ..storage.states import TurnState
from .verbs import parse

MOST_WINDOWS = 10
"""Whoever writes on and on is answered after so many of them."""
LONGEST = 8000
"""Characters of a message, and of what is joined."""


@dataclass(frozen=True, slots=True)
class Joining:
    """How long a turn waits for one more message of its burst; no time at all: nothing is joined."""

    window: timedelta

    def may(self, message: InboundMessage) -> bool:
        """Whether this message may be joined with others at all."""
        return bool(self.window) and message.chat and parse(message.text) is None

    def until(self, first: datetime, moment: datetime) -> datetime:
        """Until when a turn waits whose first message came then, and the latest now."""
        return min(moment + self.window, first + MOST_WINDOWS * self.window)

    def joined(
        self, turn: TurnRow, earlier: InboundMessage, message: InboundMessage
    ) -> InboundMessage | None:
        """What the waiting turn says with this message in it; None where the two don't belong together."""
        text = f"{earlier.text}\n{message.text}"
        alike = (earlier.verbs, earlier.locale, earlier.route) == (
            message.verbs,
            message.locale,
            message.route,
        )
        if turn.state != TurnState.QUEUED or not self.may(earlier) or not alike:
            return None
        if len(text) > LONGEST or parse(text) is not None:
            return None
        return replace(earlier, text=text)


def joined_ids(inbound: Mapping[str, Any]) -> list[str]:
    """The ids of the messages that joined a turn, after its own."""
    return list(inbound.get("joined", ()))
