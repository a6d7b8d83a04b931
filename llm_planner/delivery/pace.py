"""How fast a provider may be written to, per account and per user: says how long to wait, never sleeps.

It counts in this process alone. The provider's own answer (429 and its kin) is the limit that holds for all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ..clock import Clock

_ROOM: Final = 10_000


@dataclass(frozen=True, slots=True)
class Limit:
    """One message every `every_s` seconds in the long run, `burst` of them at once after a rest."""

    every_s: float
    burst: int


@dataclass(frozen=True, slots=True)
class Lane:
    """Something that has a limit of its own, by name."""

    name: str
    limit: Limit


class Pace:
    """Token buckets, each kept as the moment at which it will be full again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def take(self, lanes: Sequence[Lane]) -> float:
        """0.0, and a message's worth is taken from every lane; or seconds to wait, and nothing is taken."""
        now = self._clock.monotonic()
        wait = max(
            (self._full_at.get(lane.name, now) - _slack(lane.limit) - now for lane in lanes), default=0.0
        )
        if wait > 0.0:
            return wait
        self._make_room(now)
        for lane in lanes:
            self._full_at[lane.name] = max(self._full_at.get(lane.name, now), now) + lane.limit.every_s
        return 0.0

    def hold(self, lane: Lane, seconds: float) -> None:
        """Nothing more from this lane for so long, and no burst after it."""
        until = self._clock.monotonic() + seconds + _slack(lane.limit)
        self._full_at[lane.name] = max(self._full_at.get(lane.name, until), until)

    def _make_room(self, now: float) -> None:
        if len(self._full_at) >= _ROOM:
            self._full_at = {name: moment for name, moment in self._full_at.items() if moment > now}


def _slack(limit: Limit) -> float:
    return limit.every_s * (limit.burst - 1)
