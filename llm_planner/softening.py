"""Foreign text made harmless while it arrives: whatever the pieces, what comes out is `foreign` of the whole."""

import re

from .neutral import SWEEPS, Sweep, shown, swept, without_verbs

_SPACES = " \n\t"


class Softening:
    """Takes a model's words piece by piece and gives back what can be shown: text that no later word changes.

    Each stage works as its pass in `neutral.foreign` does, and holds back what that pass would read together
    with more text. It cuts only between matches, so that the parts come out as the whole does.
    """

    def __init__(self, hosts: frozenset[str]) -> None:
        self._raw = ""
        self._stages = [_Stage(sweep, hosts) for sweep in SWEEPS]
        self._words = ""
        self._space: str | None = None

    def add(self, piece: str) -> str:
        """What can be shown now."""
        raw = self._raw + piece
        cut = max(raw.rfind(space) for space in _SPACES) + 1  # nothing composes, or hides, over a space
        ready, self._raw = raw[:cut], raw[cut:]
        text = shown(ready)
        for stage in self._stages:
            text = stage.add(text)
        ready, self._words = without_verbs(self._words + text, more=True)
        return self._stripped(ready)

    def end(self) -> str:
        """What was held back."""
        text = shown(self._raw)
        for stage in self._stages:
            text = stage.add(text) + stage.end()
        return self._stripped(without_verbs(self._words + text)[0])

    def _stripped(self, text: str) -> str:
        """Without the white space at both ends of the whole."""
        text = text.lstrip() if self._space is None else self._space + text
        kept = text.rstrip()
        if kept:
            self._space = text[len(kept) :]
        elif self._space is not None:
            self._space = text
        return kept


class _Stage:
    """One sweep over a text that arrives."""

    def __init__(self, sweep: Sweep, hosts: frozenset[str]) -> None:
        self._sweep = sweep
        self._hosts = hosts
        self._held = ""

    def add(self, text: str) -> str:
        held = self._held + text
        cut = self._settled(held)
        self._held = held[cut:]
        return swept(self._sweep, held[:cut], self._hosts)

    def end(self) -> str:
        held, self._held = self._held, ""
        return swept(self._sweep, held, self._hosts)

    def _settled(self, text: str) -> int:
        """Up to where more text changes nothing: the first place outside every match from which on the text is
        the beginning of one."""
        place = 0
        while (open_at := _begun(self._sweep.begun, text, place)) is not None:
            match = next(
                (found for found in self._sweep.whole.finditer(text, place) if found.end() > open_at), None
            )
            if match is None or match.start() >= open_at:
                return open_at
            place = match.end()
        return len(text)


def _begun(begun: re.Pattern[str], text: str, place: int) -> int | None:
    found = begun.search(text, place)
    return found.start() if found is not None and found.group() else None
