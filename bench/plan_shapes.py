"""The shapes of plans for `bench plans`: read from a file of measured ones, or generated."""

import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEDIANS = {"search": 400.0, "math": 300.0}
"""Milliseconds that a call takes, by tool."""
SIGMA = 0.5


@dataclass(frozen=True, slots=True)
class Step:
    """One call: its tool, the steps whose results it takes, how long it takes in milliseconds."""

    id: str
    tool: str
    needs: tuple[str, ...]
    ms: int


@dataclass(frozen=True, slots=True)
class Shape:
    """One plan."""

    name: str
    steps: tuple[Step, ...]

    @property
    def whole_ms(self) -> int:
        """One step after the other."""
        return sum(step.ms for step in self.steps)

    @property
    def path_ms(self) -> int:
        """The critical path: the longest chain of steps that wait for each other."""
        ends: dict[str, int] = {}
        for step in self.steps:
            ends[step.id] = step.ms + max((ends[name] for name in step.needs), default=0)
        return max(ends.values())


def load(path: Path) -> list[Shape]:
    """The shapes of a JSON file: `plans`, each with `id` and `steps` (`id`, `tool`, `depends_on`, `latency_ms`),
    in an order in which each step follows what it needs. Raises SystemExit that says what is wrong."""
    try:
        data = json.loads(path.read_text("utf-8"))
        return [Shape(str(plan["id"]), tuple(map(_step, plan["steps"]))) for plan in data["plans"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SystemExit(f"{path}: no file of plans ({type(error).__name__}: {error})") from None


def _step(data: Mapping[str, Any]) -> Step:
    tool = data["tool"] if data["tool"] in MEDIANS else "search"
    return Step(str(data["id"]), tool, tuple(data["depends_on"]), int(data["latency_ms"]))


def generated(count: int, seed: int = 7) -> list[Shape]:
    """As many shapes of the usual kinds: wide ones, branches that meet, chains, layers."""
    chance = random.Random(seed)
    kinds: Sequence[tuple[str, Callable[[random.Random], list[tuple[str, ...]]]]] = [
        ("wide", _wide), ("wide", _wide), ("branches", _branches), ("chain", _chain), ("layers", _layers),
    ]  # fmt: skip
    found = []
    for number in range(count):
        name, make = kinds[number % len(kinds)]
        steps = [_timed(f"s{place}", needs, chance) for place, needs in enumerate(make(chance), start=1)]
        found.append(Shape(f"{name}/{number + 1}", tuple(steps)))
    return found


def _timed(name: str, needs: tuple[str, ...], chance: random.Random) -> Step:
    tool = "math" if needs else "search"
    return Step(name, tool, needs, round(chance.lognormvariate(math.log(MEDIANS[tool]), SIGMA)))


def _wide(chance: random.Random) -> list[tuple[str, ...]]:
    return [()] * chance.randint(3, 8)


def _branches(chance: random.Random) -> list[tuple[str, ...]]:
    """Two or three branches of two steps, and one step over their ends."""
    found: list[tuple[str, ...]] = []
    ends = []
    for _ in range(chance.randint(2, 3)):
        found += [(), (f"s{len(found) + 1}",)]
        ends.append(f"s{len(found)}")
    return [*found, tuple(ends)]


def _chain(chance: random.Random) -> list[tuple[str, ...]]:
    return [(f"s{place}",) if place else () for place in range(chance.randint(2, 4))]


def _layers(chance: random.Random) -> list[tuple[str, ...]]:
    """Three layers; each step takes one or two of the layer before."""
    found: list[tuple[str, ...]] = []
    before: list[str] = []
    for _ in range(3):
        layer = []
        for _ in range(chance.randint(1, 3)):
            found.append(tuple(sorted(chance.sample(before, min(len(before), chance.randint(1, 2))))))
            layer.append(f"s{len(found)}")
        before = layer
    return found
