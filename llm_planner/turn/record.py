"""The record of one turn in progress: what came in, what was planned and done, what will be stored at the close."""

import asyncio
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..context import Caller, Mail
from ..errors import LaneLost
from ..messages import AuditEvent, InboundMessage, Json, StepStatus, TurnStatus
from ..storage.repositories.confirmations import ConfirmationRow
from ..storage.repositories.sessions import SessionRow
from ..storage.repositories.summaries import Summary
from ..storage.repositories.turns import Line
from .progress import CallBegan, CallEnded, Progress, Silent

USER = "user"
"""The audit's name for the session's own person: who that is stands in the session, and can be erased there."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The right to work on one turn: whoever holds a newer epoch of the session has taken it over."""

    session_id: str
    turn_id: str
    seq: int
    epoch: int
    attempts: int

    @property
    def fence(self) -> tuple[str, str, int]:
        return self.session_id, self.turn_id, self.epoch


class Held:
    """Until when the lease lasts at least, by this process' own clock. A process that was stopped past it, and
    wakes up, must not begin a call: the lane may be somebody else's."""

    def __init__(self, until_s: float) -> None:
        self._until_s = until_s

    def extend(self, until_s: float) -> None:
        """A transaction that was begun early enough has set the lease to that, or later."""
        self._until_s = max(self._until_s, until_s)

    def check(self, takes_s: float = 0.0) -> None:
        """Before a call that may take so long. Raises LaneLost."""
        if time.monotonic() + takes_s > self._until_s:
            raise LaneLost("the lease ran out before a call was begun")


@dataclass(frozen=True, slots=True)
class StepResult:
    """What became of one step. `again` says that the tool asked for another plan (`ToolRetry`)."""

    id: str
    tool: str
    status: StepStatus
    result: Json = None
    error: str | None = None
    ms: int = 0
    again: bool = False

    def stored(self) -> dict[str, Json]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a turn says, with placeholders where tokens go: paragraphs, cards as (confirmation id, text), and
    what stands below the cards."""

    above: tuple[str, ...]
    cards: tuple[tuple[str, str], ...] = ()
    below: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        """All of it as one text."""
        return "\n\n".join([*self.above, *(card for _, card in self.cards), *self.below])

    @property
    def text(self) -> str:
        """All of it but the cards."""
        return "\n\n".join([*self.above, *self.below])


FINAL = frozenset(["ok", "error", "timeout", "skipped", "unknown"])
"""Statuses that a step does not leave again."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What a plan that goes on after a confirmation brings from the turns before: the words that asked for
    it, whether they are the user's own, and what was found so far."""

    text: str
    own: bool
    results: Mapping[str, StepResult]

    def stored(self) -> dict[str, Json]:
        return {"text": self.text, "own": self.own, "results": _stored(self.results)}


@dataclass(slots=True)
class Round:
    """One checked plan with its results. `home` is (turn id, round number) of where the plan is kept: its
    own turn, or, when a confirmation lets a plan go on, the turn that made it."""

    plan: Mapping[str, Json]
    origins: Mapping[str, Mapping[str, str]]
    home: tuple[str, int]
    results: dict[str, StepResult] = field(default_factory=dict)
    carried: Carried | None = None

    def stored(self) -> dict[str, Json]:
        return {
            "plan": self.plan,
            "origins": self.origins,
            "home": list(self.home),
            "results": _stored(self.results),
            "carried": self.carried.stored() if self.carried is not None else None,
        }

    @property
    def known(self) -> dict[str, StepResult]:
        """The results of this round, and of those before the confirmation that it goes on from."""
        return {**(self.carried.results if self.carried is not None else {}), **self.results}

    @property
    def wants_another(self) -> bool:
        """Whether the plan, or a tool, asked for one more look, and nothing waits for a person."""
        if any(result.status in ("awaiting_confirmation", "blocked") for result in self.results.values()):
            return False
        return self.asks_again

    @property
    def asks_again(self) -> bool:
        return self.plan.get("then") == "replan" or any(result.again for result in self.results.values())


def stored_round(data: Mapping[str, Any]) -> Round:
    """A round as it was stored with its turn."""
    home, carried = (data["home"][0], data["home"][1]), data.get("carried")
    if carried is not None:
        carried = Carried(carried["text"], carried["own"], _results(carried["results"]))
    return Round(data["plan"], data["origins"], home, _results(data["results"]), carried)


def _stored(results: Mapping[str, StepResult]) -> dict[str, Json]:
    return {name: result.stored() for name, result in results.items()}


def _results(data: Mapping[str, Any]) -> dict[str, StepResult]:
    return {name: StepResult(**value) for name, value in data.items()}


def known(rounds: Iterable[Round]) -> dict[str, StepResult]:
    """What the steps of these rounds found, in the order of the plans."""
    return {name: result for round_ in rounds for name, result in round_.known.items()}


LIMITS = frozenset(["turn_time", "turn_bytes"])


class Allowance:
    """What this turn may still take: the event loop's time at which it is over, bytes of results.

    Counted anew where another worker takes the turn over.
    """

    def __init__(self, ends_at: float | None = None, result_bytes: int | None = None) -> None:
        self.ends_at = ends_at
        self._bytes = result_bytes
        self.reached: str | None = None

    @property
    def seconds(self) -> float:
        """Seconds that are left; infinite where there is no limit."""
        return math.inf if self.ends_at is None else self.ends_at - asyncio.get_running_loop().time()

    def forbids(self) -> str | None:
        """Which limit forbids to begin anything more, `turn_time` or `turn_bytes`; it counts as reached then."""
        if self.seconds <= 0:
            return self.hit("turn_time")
        return self.hit("turn_bytes") if self._bytes is not None and self._bytes <= 0 else None

    def hit(self, limit: str) -> str:
        """Remember the first limit that was reached."""
        self.reached = self.reached or limit
        return limit

    def spend(self, size: int) -> bool:
        """Count the bytes of a result. False: it does not fit any more."""
        if self._bytes is None:
            return True
        self._bytes -= size
        return self._bytes >= 0


@dataclass(slots=True)
class TurnRecord:
    """Everything the stages of one turn hand to each other; stored by the closing transaction."""

    lane: Lane
    message: InboundMessage
    session: SessionRow
    history: tuple[Line, ...]
    held: Held
    progress: Progress = field(default_factory=Silent)
    pending: tuple[ConfirmationRow, ...] = ()
    rounds: list[Round] = field(default_factory=list)
    home_rounds: dict[str, list[Round]] = field(default_factory=dict)
    parked: list[ConfirmationRow] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)
    prompts: list[dict[str, Any]] = field(default_factory=list)
    prompt_texts: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, Json]] = field(default_factory=dict)
    mails: list[tuple[str, Mail]] = field(default_factory=list)
    executed: ConfirmationRow | None = None
    shown: list[ConfirmationRow] = field(default_factory=list)
    is_verb: bool = False
    quiet: bool = False
    """Whether nothing at all is said: a person will."""
    from_tools: bool = False
    said: str | None = None
    status: TurnStatus = "answered"
    code: str | None = None
    allowance: Allowance = field(default_factory=Allowance)
    stopped: str | None = None
    summary: Summary | None = None

    @property
    def locale(self) -> str:
        return self.message.locale or self.session.locale

    @property
    def caller(self) -> Caller:
        session = self.session
        known = {**session.facts, **self.facts}
        return Caller(session.id, session.principal, session.channel, self.locale, known)

    @property
    def carried(self) -> Carried | None:
        """What the plan brings along that goes on in this turn."""
        return self.rounds[0].carried if self.rounds else None

    @property
    def asked(self) -> tuple[str, bool]:
        """The request that this turn plans for, and whether it is the user's own words."""
        if self.carried is not None:
            return self.carried.text, self.carried.own
        return self.message.text, self.message.verbs

    @property
    def steps(self) -> tuple[StepResult, ...]:
        """The results of all rounds, in the order of the plans."""
        return tuple(result for round_ in self.rounds for result in round_.results.values())

    def began(self, home: str, step: str, tool: str, args: Mapping[str, Json]) -> None:
        """Tell who listens that a step's tool is called, or its write put before the user."""
        self.progress.tell(CallBegan(home, step, tool, args))

    def ended(self, home: str, result: StepResult) -> None:
        """Tell who listens what became of a step."""
        if result.status in FINAL:
            told = (result.status, result.result, result.error)
            self.progress.tell(CallEnded(home, result.id, result.tool, *told))

    def facts_at(self, moment: datetime) -> dict[str, dict[str, Json]]:
        """The facts of this turn, as the session keeps them."""
        return {name: {**fact, "at": moment.isoformat()} for name, fact in self.facts.items()}

    def note(self, kind: str, actor: str = "system", **payload: Json) -> None:
        """Remember an audit event; it is chained and stored by the next transaction of this turn."""
        self.events.append(AuditEvent(kind, actor, payload, self.lane.turn_id))

    def stop(self, code: str) -> None:
        """Something forbids to go on: the reply says so. What was confirmed, or waits for it, stays so."""
        if self.stopped is None:
            self.stopped = code
            self.note("stopped", reason=code)
        if not self.parked and self.executed is None:
            self.end("failed", code)

    def end(self, status: TurnStatus, code: str | None = None, said: str | None = None) -> None:
        """Set how this turn ends, and what it says about it; the last call counts."""
        self.status, self.code = status, code
        if said is not None:
            self.said = said
