"""The score of an evaluation: what was expected of each message, what was planned, and the shares of both."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..messages import Json, canonical
from .eval_file import Line

Call = tuple[str, Json]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one message: its plan's calls, or why there is none; repairs, tokens and milliseconds."""

    line: Line
    wanted: tuple[Call, ...]
    got: tuple[Call, ...]
    failure: str | None
    replied: bool
    repairs: int
    tokens: int
    ms: float

    @property
    def tools_right(self) -> bool:
        return self.failure is None and sorted(t for t, _ in self.wanted) == sorted(t for t, _ in self.got)

    @property
    def right(self) -> bool:
        """Everything as expected, in any order."""
        if not self.tools_right or (self.line.case.refuses and not self.replied):
            return False
        return sorted(map(_key, self.wanted)) == sorted(map(_key, self.got))


def _key(call: Call) -> bytes:
    return canonical(list(call))


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The numbers: each share as (right, of)."""
    using = [one for one in outcomes if one.wanted]
    without = [one for one in outcomes if not one.wanted]
    refusing = [one for one in without if one.line.case.refuses]
    times = sorted(one.ms for one in outcomes)
    return {
        "messages": len(outcomes),
        "tools": _share(one.tools_right for one in using),
        "arguments": _share(one.right for one in using),
        "no_tool": _share(one.tools_right for one in without),
        "refusals": _share(one.right for one in refusing),
        "all_right": _share(one.right for one in outcomes),
        "invalid_plans": sum(one.failure is not None for one in outcomes),
        "repairs": sum(one.repairs for one in outcomes),
        "tokens": sum(one.tokens for one in outcomes),
        "ms_p50": round(statistics.median(times), 1),
        "ms_p95": round(times[min(len(times) - 1, int(len(times) * 0.95))], 1),
        "misses": [_miss(one) for one in outcomes if not one.right],
    }


def _share(right: Iterable[bool]) -> dict[str, Any]:
    found = list(right)
    return {"right": sum(found), "of": len(found), "share": sum(found) / len(found) if found else None}


def _miss(one: Outcome) -> dict[str, Any]:
    return {
        "line": one.line.number,
        "message": one.line.case.message,
        "wanted": [{"tool": tool, "args": args} for tool, args in one.wanted],
        "got": [{"tool": tool, "args": args} for tool, args in one.got],
        "failure": one.failure,
    }


NAMES = {
    "tools": "right tools",
    "arguments": "right tools and arguments",
    "no_tool": "no tool where none is meant",
    "refusals": "refused in words",
    "all_right": "all as expected",
}


def lines(found: dict[str, Any]) -> list[str]:
    """The report as a table for people, the misses below it."""
    rows = [f"{'':<28} {'right':>6} {'of':>6} {'share':>7}"]
    for key, name in NAMES.items():
        share = found[key]["share"]
        shown = f"{share:.1%}" if share is not None else "-"
        rows.append(f"{name:<28} {found[key]['right']:>6} {found[key]['of']:>6} {shown:>7}")
    rows.append(
        f"invalid plans {found['invalid_plans']}, repairs {found['repairs']}, tokens {found['tokens']}, "
        f"latency p50 {found['ms_p50']:.0f} ms, p95 {found['ms_p95']:.0f} ms"
    )
    for miss in found["misses"]:
        got = miss["failure"] or _calls(miss["got"])
        rows += [
            f"line {miss['line']}: {miss['message']}",
            f"  wanted {_calls(miss['wanted'])}",
            f"  got    {got}",
        ]
    return rows


def _calls(calls: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{call['tool']} {call['args']}" for call in calls) or "no tool"
