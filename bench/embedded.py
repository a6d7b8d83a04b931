"""Owns the measurement of the embedded planner: python -m bench.embedded [TOOLS.json MESSAGES.json] [--wait S].

Without paths it runs on our own starter set. The tools file holds `tools` (name, description, parameters,
examples) and maybe `registries` (name -> tool names; each is measured with the messages it can answer); the
messages file is a list of `message`, `lang`, `calls`. Each registry is measured with character n-grams, with
sentence vectors and, where they are installed, with the small model, which has `--wait` seconds a message.
Exit status 1 when a string argument was invented.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from llm_planner.embedded import (
    Call,
    CharEmbedder,
    EmbeddedCore,
    Embedder,
    SmallModel,
    ToolCard,
    find_weights,
    load_embedder,
)
from llm_planner.embedded.small_model import WAIT_S
from llm_planner.llm.llamacpp import NoEngine

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
    reused: str = "-"
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
            self.reused,
        )
        return f"{name:<18}" + "".join(f"{cell:>10}" for cell in cells)


HEAD = f"{'set':<18}" + "".join(
    f"{title:>10}"
    for title in (
        "messages",
        "exact",
        "tool",
        "args",
        "no tool",
        "invented",
        "start s",
        "p50 ms",
        "p95 ms",
        "reused",
    )
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


Ways = Sequence[tuple[str, Embedder, bool]]


def measure(
    cards: Sequence[ToolCard], rows: Sequence[Row], embedder: Embedder, model: SmallModel | None
) -> Score:
    """Run all messages that these tools can answer, one after the other."""
    score, began = Score(), time.perf_counter()
    core = EmbeddedCore(cards, date.today, embedder, model)
    if model is not None:
        model.start(core.prefixes)
        while not model.ready:
            time.sleep(0.02)
    score.start_s = time.perf_counter() - began
    known = {card.name for card in cards}
    members = enum_members([card.schema for card in cards])
    for number, row in enumerate(rows, start=1):
        if all(call["tool"] in known for call in row["calls"]):
            began = time.perf_counter()
            proposal = core.propose(row["message"], row["lang"])
            score.add(row, proposal.calls, 1000 * (time.perf_counter() - began), members)
        print(f"\r{number}/{len(rows)} messages ", end="", file=sys.stderr, flush=True)
    print("\r", end="", file=sys.stderr)
    if model is not None:
        score.reused = _share(model.reused_tokens, model.prompt_tokens)
    return score


def ways() -> Ways:
    """What can be measured here: name, similarity, and whether with the small model."""
    best = load_embedder()
    found: list[tuple[str, Embedder, bool]] = [("n-grams", CharEmbedder(), False)]
    if not isinstance(best, CharEmbedder):
        found.append(("vectors", best, False))
    try:
        find_weights()
    except NoEngine as error:
        print(f"without the small model: {error}", file=sys.stderr)
        return found
    return [*found, ("model", best, True)]


def run(data: Mapping[str, Any], rows: Sequence[Row], wait_s: float) -> int:
    """Measure every registry in every way and print a line for each; the number of invented strings."""
    registries: Mapping[str, Sequence[str] | None] = data.get("registries") or {"starter": None}
    invented = 0
    for name, members in registries.items():
        for way, embedder, with_model in ways():
            model = SmallModel(wait_s=wait_s) if with_model else None
            score = measure(read_cards(data, members), rows, embedder, model)
            if model is not None:
                model.close()
            invented += score.invented
            print(score.line(f"{name}, {way}"), flush=True)
    return invented


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; one row a registry and way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="TOOLS.json MESSAGES.json")
    parser.add_argument("--wait", type=float, default=WAIT_S, help="seconds a message waits for the model")
    chosen = parser.parse_args(argv)
    if len(chosen.files) not in (0, 2):
        parser.print_usage()
        return 2
    data = json.loads((chosen.files[0] if chosen.files else STARTER).read_text("utf-8"))
    rows = json.loads(chosen.files[1].read_text("utf-8")) if chosen.files else data["messages"]
    print(HEAD)
    return 1 if run(data, rows, chosen.wait) else 0


if __name__ == "__main__":
    raise SystemExit(main())
