"""Schemas of many shapes: what models are told, and what becomes of calls that don't fit it."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llguidance import LLTokenizer

from bench._shapes import input_model
from bench.schemas import UNKNOWN, Tally, judge, tool_of
from llm_planner.tools import ToolRegistry

TOKENIZER = LLTokenizer("byte")
ROUGH = {"missing", "extra", "type", "enum", UNKNOWN}
"""What the reduced schema says: all but bounds, which stand in its descriptions."""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**48))
def test_a_call_that_fits_is_accepted_and_a_wrong_one_refused_by_the_grammar_or_by_the_check(
    seed: int,
) -> None:
    tally = Tally()
    judge(random.Random(seed), TOKENIZER, tally)
    assert tally.refused == []
    assert tally.slipped == []
    for what, refused in tally.by.items():
        assert refused["grammar"] == 0, "the check of plans refuses all that the grammar refuses"
        assert what not in ROUGH or not refused["check"], "the grammar refuses all that its schema can say"


def test_three_hundred_of_them_are_registered_together() -> None:
    rng = random.Random(7)
    registry = ToolRegistry(tool_of(f"tool_{number}", input_model(rng)[0]) for number in range(300))
    assert len(registry) == 300
