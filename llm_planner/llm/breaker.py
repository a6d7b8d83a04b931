"""The circuit breaker: after failures in a row an endpoint rests, then one call tries it again."""

from ..clock import Clock


class Breaker:
    """One endpoint's circuit. `enter` before a call, `leave` with its outcome after it, always.

    Open after `failures` in a row; after `pause_s` one probe may pass: its success closes the circuit, its
    failure opens it for another pause. A call that began before the circuit opened no longer counts.
    """

    def __init__(self, clock: Clock, failures: int, pause_s: float) -> None:
        self._clock = clock
        self._allowed = failures
        self._pause_s = pause_s
        self._failures = 0
        self._era = 0
        self._rests_until: float | None = None
        self._probing = False

    def enter(self) -> int | None:
        """A ticket for one call, or None while the endpoint rests."""
        if self._rests_until is not None:
            if self._probing or self._clock.monotonic() < self._rests_until:
                return None
            self._probing = True
        return self._era

    def leave(self, ticket: int, healthy: bool | None) -> None:
        """Record how the call went; None means that it ended without saying anything about the endpoint."""
        if ticket != self._era:
            return
        was_probe, self._probing = self._probing, False
        if healthy is None:
            return
        if healthy:
            self._failures = 0
            self._rests_until = None
            return
        self._failures += 1
        if was_probe or self._failures >= self._allowed:
            self._era += 1
            self._failures = 0
            self._rests_until = self._clock.monotonic() + self._pause_s
