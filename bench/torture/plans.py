"""How much of everything: the whole run, and the short form that the tests run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """Messages and sessions of the load, seconds of killing, trials of a race, seconds a server is away."""

    messages: int
    sessions: int
    seconds: float
    confirms: int
    trials: int
    away_s: float
    every_point: bool


WHOLE = Size(5000, 200, 60.0, 200, 40, 10.0, True)
QUICK = Size(48, 8, 2.0, 40, 2, 1.5, False)
