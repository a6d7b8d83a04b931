"""Where a process spends its CPU: samples by CPU time, so that waiting costs nothing, given to whose code ran."""

import json
import signal
import sysconfig
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

EVERY_S = 0.002
"""CPU time between two samples."""
ROOT = Path(__file__).parent.parent
PACKAGES, LIBRARY = (sysconfig.get_path(name) for name in ("purelib", "stdlib"))


class Sampler:
    """Counts samples by owner: our folder or file, else the package; the standard library's belong to whoever
    called it. Of the main thread alone."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()
        self._owners: dict[str, str | None] = {}

    def start(self) -> None:
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(self._found))

    def _sample(self, signum: int, frame: FrameType | None) -> None:
        at: Any = frame
        while at is not None:
            owner = self._owner(at.f_code.co_filename)
            if owner is not None:
                self._found[owner] += 1
                return
            at = at.f_back
        self._found["the event loop and the rest of the standard library"] += 1

    def _owner(self, file: str) -> str | None:
        if file not in self._owners:
            self._owners[file] = owner_of(file)
        return self._owners[file]


def owner_of(file: str) -> str | None:
    """Whose code this file is; None for the standard library's."""
    path = Path(file)
    if path.is_relative_to(PACKAGES):
        package = path.relative_to(PACKAGES).parts[0]
        driver = package == "sqlalchemy" and "connectors" in path.parts
        return "the driver and its socket" if driver else package.removesuffix(".py")
    if path.is_relative_to(ROOT):
        parts = path.relative_to(ROOT).parts
        return "/".join(parts[:2]) + ("/" if len(parts) > 2 else "")
    return None


def show(file: Path, least: float = 0.02) -> None:
    """Print the shares of a saved count, largest first; what is below `least` goes into one line."""
    found: dict[str, int] = json.loads(file.read_text())
    total, rest = sum(found.values()) or 1, 0
    print("| whose code | share |\n|---|---|")
    for owner, count in sorted(found.items(), key=lambda one: -one[1]):
        if count / total < least:
            rest += count
        else:
            print(f"| {owner} | {100 * count / total:.0f} % |")
    print(f"| all others | {100 * rest / total:.0f} % |", flush=True)
