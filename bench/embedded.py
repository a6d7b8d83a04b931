"""Owns the measurement of the embedded planner: python -m bench.embedded [TOOLS.json MESSAGES.json].

Without paths it runs on our own starter set. The tools file holds `tools` (name, description, parameters,
examples) and maybe `registries` (name -> tool names; each is measured with the messages it can answer); the
messages file is a list of `message`, `lang`, `calls`. Exit status 1 when a string argument was invented.
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from llm_planner.embedded import Call, CharEmbedder, EmbeddedCore, Embedder, ToolCard, load_embedder

STARTER = Path(__file__).with_name("embedded_starter.json")
Row = Mapping[str, Any]


@dataclass(slots=True)
class Score:
    """The counts of one run; `ms` are the times of the single messages."""

    start_s: float = 0.0
    plans: int = 0
    exact: int = 0
    with_tool: int = 0
    tool_right: int = 0
    args_right: int = 0
    without: int = 0
    without_right: int = 0
    invented: int = 0
    ms: list[float] = field(default_factory=list)

    def add(self, row: Row, calls: Sequence[Call], took_ms: float, members: frozenset[str]) -> None:
        """Count one message; `members` are strings that need not stand in it."""
        wanted = sorted(_key(call["tool"], call["args"]) for call in row["calls"])
        got = sorted(_key(call.tool, call.args) for call in calls)
        same_tools = [tool for tool, _ in wanted] == [tool for tool, _ in got]
        self.plans += 1
        self.exact += wanted == got
        self.ms.append(took_ms)
        if wanted:
            self.with_tool += 1
            self.tool_right += same_tools
            self.args_right += same_tools and wanted == got
        else:
            self.without += 1
            self.without_right += not got
        self.invented += sum(_invented(call.args, row["message"], members) for call in calls)

    def line(self, name: str) -> str:
        """One row of the table."""
        ordered = sorted(self.ms)
        p50, p95 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        shares = (
            _share(self.exact, self.plans),
            _share(self.tool_right, self.with_tool),
            _share(self.args_right, self.tool_right),
            _share(self.without_right, self.without),
        )
        cells = (
            str(self.plans),
            *shares,
            str(self.invented),
            f"{self.start_s:.2f}",
            f"{p50:.1f}",
            f"{p95:.1f}",
        )
        return f"{name:<18}" + "".join(f"{cell:>10}" for cell in cells)


HEAD = f"{'set':<18}" + "".join(
    f"{title:>10}"
    for title in ("messages", "exact", "tool", "args", "no tool", "invented", "start s", "p50 ms", "p95 ms")
)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _key(tool: str, args: Mapping[str, object]) -> tuple[str, str]:
    plain = {name: float(value) if isinstance(value, int | float) else value for name, value in args.items()}
    return tool, json.dumps(plain, sort_keys=True)


def _invented(args: Mapping[str, object], message: str, members: frozenset[str]) -> int:
    """How many strings stand neither in the message nor among the enum members nor are ISO dates."""
    strings = [value for value in args.values() if isinstance(value, str)]
    return sum(value not in message and value not in members and not _is_date(value) for value in strings)


def _is_date(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def enum_members(node: object) -> frozenset[str]:
    """All strings that some enum of a schema allows."""
    if isinstance(node, Mapping):
        own = frozenset(item for item in node.get("enum", ()) if isinstance(item, str))
        return own.union(*(enum_members(child) for child in node.values()))
    if isinstance(node, list | tuple):
        return frozenset().union(*(enum_members(child) for child in node))
    return frozenset()


def read_cards(data: Mapping[str, Any], names: Sequence[str] | None) -> list[ToolCard]:
    """The cards of a tools file, all of them or those of one registry."""
    return [
        ToolCard(
            tool["name"],
            tool["description"],
            tool["parameters"],
            tuple((example["text"], example["args"]) for example in tool["examples"]),
        )
        for tool in data["tools"]
        if names is None or tool["name"] in names
    ]


def measure(cards: Sequence[ToolCard], rows: Sequence[Row], embedder: Embedder) -> Score:
    """Run all messages that these tools can answer, one after the other."""
    score, began = Score(), time.perf_counter()
    core = EmbeddedCore(cards, date.today, embedder)
    score.start_s = time.perf_counter() - began
    known = {card.name for card in cards}
    members = enum_members([card.schema for card in cards])
    for row in rows:
        if all(call["tool"] in known for call in row["calls"]):
            began = time.perf_counter()
            proposal = core.propose(row["message"], row["lang"])
            score.add(row, proposal.calls, 1000 * (time.perf_counter() - began), members)
    return score


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; one row a registry and similarity."""
    paths = [Path(name) for name in (sys.argv[1:] if argv is None else argv)]
    if len(paths) not in (0, 2):
        print(__doc__)
        return 2
    data = json.loads((paths[0] if paths else STARTER).read_text("utf-8"))
    rows = json.loads(paths[1].read_text("utf-8")) if paths else data["messages"]
    registries: Mapping[str, Sequence[str] | None] = data.get("registries") or {"starter": None}
    best = load_embedder()
    embedders = [best] if isinstance(best, CharEmbedder) else [best, CharEmbedder()]
    print(HEAD)
    invented = 0
    for name, members in registries.items():
        for embedder in embedders:
            score = measure(read_cards(data, members), rows, embedder)
            invented += score.invented
            print(score.line(f"{name}, {'n-grams' if isinstance(embedder, CharEmbedder) else 'vectors'}"))
    return 1 if invented else 0


if __name__ == "__main__":
    raise SystemExit(main())
