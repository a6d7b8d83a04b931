"""Progress: what a turn tells about itself while it runs. Best effort: the stored turn is the truth."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ..messages import Json, StepStatus, TurnView

MOST_NEWS: Final = 4000
"""Of one turn; what it tells beyond that is dropped. Its end is not news, and never is."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the turn does now."""

    name: Literal["plan", "act", "answer"]


@dataclass(frozen=True, slots=True)
class CallBegan:
    """A tool is called, or its write is put before the user. `home` is the turn whose plan the step is in."""

    home: str
    step: str
    tool: str
    args: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class CallEnded:
    """What became of a call."""

    home: str
    step: str
    tool: str
    status: StepStatus
    result: Json
    error: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """The next piece of the reply, fit to be shown."""

    text: str


@dataclass(frozen=True, slots=True)
class Unsaid:
    """What was said so far is not the reply."""


News = Stage | CallBegan | CallEnded | Said | Unsaid


class Progress(Protocol):
    """Where the stages of a turn tell what they do. Telling costs nothing and never fails."""

    @property
    def wanted(self) -> bool:
        """Whether somebody listens."""

    def tell(self, news: News) -> None:
        """One thing that happened."""


class Silent:
    """Nobody listens."""

    wanted = False

    def tell(self, news: News) -> None:
        """Nothing becomes of it."""


class Watch:
    """One turn that somebody in this process works on, waits for, or listens to.

    The news stay here until the turn has ended, and each listener reads on from where it was: one that came
    late hears it all, and a slow one holds nobody up.
    """

    def __init__(self) -> None:
        self.news: list[News] = []
        self.view: TurnView | None = None
        self.listeners = 0
        self.at_work = False
        self._bell = asyncio.Event()

    @property
    def wanted(self) -> bool:
        return self.listeners > 0

    def tell(self, news: News) -> None:
        if len(self.news) < MOST_NEWS:
            self.news.append(news)
        if self.listeners:
            self._ring()

    @contextmanager
    def working(self) -> Iterator[None]:
        """While this process works on the turn, its rows tell nothing new."""
        self.at_work = True
        try:
            yield
        finally:
            self.at_work = False
            self._ring()

    async def stirred(self, timeout_s: float) -> None:
        """Return at the next piece of news, at the end, or when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._bell.wait()

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()
