"""Owns the proof that schemas of many shapes are held: python -m bench.schemas [NUMBER] [--seed SEED].

Each of 3,000 generated input models (nested, recursive to a depth, aliased, of enums, unions and bounded
numbers) is registered; the reduced schema of its plans is compiled with llguidance, the engine of constrained
decoders; calls that fit, and calls with one thing wrong, are put to that grammar and to the check of plans.
Exit status 1 when a call that fits is refused, or a wrong one by neither.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llguidance import LLMatcher, LLTokenizer
from pydantic import BaseModel

from bench._shapes import Shape, input_model
from llm_planner import Tool
from llm_planner.errors import PlanRejected
from llm_planner.llm.plan_schema import plan_schema
from llm_planner.tools import ToolRegistry
from llm_planner.turn.plan import PlannerOutput, Rules, check

MOST_WRONG = 12
UNKNOWN = "unknown tool"


@dataclass(slots=True)
class Tally:
    """What became of the calls, by what was wrong with them: who refused them, or nobody."""

    models: int = 0
    fitting: int = 0
    refused: list[str] = field(default_factory=list)
    by: dict[str, Counter[str]] = field(default_factory=dict)
    slipped: list[str] = field(default_factory=list)

    def count(self, what: str, by_grammar: bool, by_check: bool, call: str) -> None:
        kind = (
            "both"
            if by_grammar and by_check
            else "grammar"
            if by_grammar
            else "check"
            if by_check
            else "nobody"
        )
        self.by.setdefault(what, Counter())[kind] += 1
        if kind == "nobody":
            self.slipped.append(f"{what}: {call}")

    @property
    def clean(self) -> bool:
        return not self.refused and not self.slipped


class Judge:
    """The two layers: the grammar of the reduced schema, byte by byte, and the check of a whole plan."""

    def __init__(self, registry: ToolRegistry, tokenizer: LLTokenizer) -> None:
        """Compile. Raises ValueError when llguidance refuses the schema, or warns about a part of it."""
        self._rules = Rules(registry, "web", 16)
        schema = plan_schema({spec.name: spec.schema for spec in registry})
        self._grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema))
        self._tokenizer = tokenizer
        wrong, messages = LLMatcher.validate_grammar_with_warnings(self._grammar, tokenizer)
        if wrong or messages:
            raise ValueError("; ".join(messages))

    def grammar_takes(self, plan: str) -> bool:
        tokens = self._tokenizer.tokenize_bytes(plan.encode())
        matcher = LLMatcher(self._tokenizer, self._grammar)
        return bool(matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting())

    def check_takes(self, plan: str) -> bool:
        try:
            check(PlannerOutput.model_validate_json(plan), self._rules)
        except (PlanRejected, ValueError):
            return False
        return True


def tool_of(name: str, model: type[BaseModel]) -> Tool:
    """A tool with this input model."""

    class Made(Tool):
        description = "A generated tool."
        input_model = model
        write = False

        async def run(self, args: Any, ctx: Any) -> None:
            """It is never run."""

    made = Made()
    made.name = name
    return made


def plan_of(tool: str, args: Any) -> str:
    call = {"id": "s1", "tool": tool, "args": args, "after": []}
    return json.dumps({"reply": None, "tool_calls": [call], "then": "answer"}, ensure_ascii=False)


def calls(made: Shape, rng: random.Random) -> Iterator[tuple[str, str, Any]]:
    """Calls with one thing wrong: what, the tool's name, the arguments."""
    wrong = [*made.wrong]
    for what, args in rng.sample(wrong, min(MOST_WRONG, len(wrong))):
        yield what, "tool", args
    yield UNKNOWN, "toll", made.fits


def judge(rng: random.Random, tokenizer: LLTokenizer, tally: Tally) -> None:
    """One model with all its calls."""
    model, made = input_model(rng)
    layers = Judge(ToolRegistry([tool_of("tool", model)]), tokenizer)
    tally.models += 1
    tally.fitting += 1
    plan = plan_of("tool", made.fits)
    if not (layers.grammar_takes(plan) and layers.check_takes(plan)):
        tally.refused.append(plan)
    for what, name, args in calls(made, rng):
        plan = plan_of(name, args)
        tally.count(what, not layers.grammar_takes(plan), not layers.check_takes(plan), plan)


def table(tally: Tally) -> Iterator[str]:
    taken = tally.fitting - len(tally.refused)
    yield f"{tally.models} models: {taken} of {tally.fitting} fitting calls accepted by both"
    yield ""
    yield "| what is wrong | calls | refused by both | by the grammar alone | by the check alone | by nobody |"
    yield "|---|---|---|---|---|---|"
    for what, kinds in sorted(tally.by.items()):
        cells = " | ".join(str(kinds[kind]) for kind in ("both", "grammar", "check", "nobody"))
        yield f"| {what} | {kinds.total()} | {cells} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Judge all models, with progress on standard error, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("number", nargs="?", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(argv)
    tally, tokenizer, began = Tally(), LLTokenizer("byte"), time.perf_counter()
    for number in range(chosen.number):
        judge(random.Random(f"{chosen.seed}/{number}"), tokenizer, tally)
        if number % 25 == 24 or number + 1 == chosen.number:
            print(f"\r{number + 1}/{chosen.number} models", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print("\n".join(table(tally)))
    print(f"\n{time.perf_counter() - began:.0f} s")
    print("\n".join([*tally.refused, *tally.slipped][:10]))
    return 0 if tally.clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
