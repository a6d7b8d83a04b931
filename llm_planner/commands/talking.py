"""A session of the command line's own: it speaks as a user does, and its turns run in this process."""

import getpass
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ..api.feed import Feed, Sources
from ..api.turns import Desk
from ..assembly import Parts
from ..ids import new_id
from ..messages import InboundMessage, SessionKey, TurnView
from ..turn.progress import News

CHANNEL = "cli"
DRAIN_S = 25.0


class Talk:
    """Says one thing after the other in the session `label`."""

    def __init__(self, desk: Desk, label: str, locale: str | None = None) -> None:
        self.label = label
        self.key = SessionKey(CHANNEL, CHANNEL, f"cli:{getpass.getuser()}"[:200], label)
        self._desk = desk
        self._locale = locale

    async def say(self, text: str, heard: Callable[[News], None] | None = None) -> TurnView:
        """One turn; `heard` gets its news while it runs. Raises Busy when it does not end."""
        message = InboundMessage(self.key, new_id(), text, self._locale)
        feed: Feed = await self._desk.open(message, listening=heard is not None)
        try:
            view = None
            while view is None:
                news, view = await feed.next()
                if heard is not None:
                    for item in news:
                        heard(item)
        finally:
            feed.leave()
        return view


@asynccontextmanager
async def talking(parts: Parts, label: str | None = None, locale: str | None = None) -> AsyncIterator[Talk]:
    """A Talk while the engine of this process runs what it accepts, and nothing else."""
    await parts.engine.start(parts.worker, background=False)
    try:
        sources = Sources(parts.engine, parts.worker.waiters, parts.views)
        yield Talk(Desk(parts.inbox, sources), label or new_id(), locale)
    finally:
        await parts.engine.drain(DRAIN_S)
