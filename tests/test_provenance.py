"""Provenance: whose words an argument is made of."""

import json
import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from llm_planner.llm.scripted import ScriptedModel
from llm_planner.tools import ToolRegistry
from llm_planner.turn.plan import PlannedCall, PlannerOutput, Rules, check
from llm_planner.turn.provenance import Spoken, from_tool, origins, steps_of
from llm_planner.turn.record import StepResult

from .harness import rows
from .hostile.doubles import Pay
from .tools import plan
from .turn_kit import message, process, run_in


class Free(BaseModel):
    value: Any = None
    labels: dict[str, Any] = {}


class Anything(Pay):
    name = "anything"
    input_model: Any = Free


REGISTRY = ToolRegistry([Anything, Pay])


def origin(value: Any, *said: str, seen: bool = True, tool: str = "anything", name: str = "value") -> str:
    also = {"what": "x"} if tool == "pay" else {}
    calls = [
        PlannedCall(id="s0", tool="anything"),
        PlannedCall(id="s1", tool=tool, args={**also, name: value}),
    ]
    step = check(PlannerOutput(tool_calls=calls), Rules(REGISTRY, "web", 16)).steps[1]
    return origins(step, Spoken(said), seen)[name]


@pytest.mark.covers("rule.12")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("red shoes", "user"),
        ("RED  SHOES", "user"),
        ("red", "user"),
        ("re", "tool"),
        ("blue", "tool"),
        (7, "user"),
        (70, "tool"),
        (True, "tool"),
        (False, "tool"),
        ("", "tool"),
        (None, "plan"),
        ([], "plan"),
        (["red", 7], "user"),
        (["red", "blue"], "tool"),
        ({"value": "red"}, "user"),
        ({"pay_to": "red"}, "tool"),
        ({"$step": "s0", "pointer": ""}, "tool:s0"),
        (["red", {"$step": "s0", "pointer": "/a"}], "tool:s0"),
        ("7 red shoes me", "tool"),
    ],
)
def test_a_value_is_the_users_only_when_it_stands_in_their_own_words(value: Any, expected: str) -> None:
    assert origin(value, "I want 7 red shoes", "me too") == expected
    assert from_tool(expected) == expected.startswith("tool")


@pytest.mark.covers("rule.12")
@pytest.mark.parametrize(
    ("value", "said", "expected"),
    [
        ("José Núñez", "soy jose nuñez", "user"),
        ("Jose Nunez", "soy José  NÚÑEZ", "user"),
        ("jose\u0301", "JOSÉ", "user"),
        ("josé@example.com", "escribime a jose@example.com", "tool"),
        ("JOSE@example.com", "escribime a jose@example.com", "user"),
        ("bänk.example", "mi banco es bank.example", "tool"),
        ("Ａnn", "I am Ann", "user"),
        ("O'Neill", "I am o'neill", "user"),
        (1500, "quiero 1.500 pesos", "user"),
        (1500, "I want 1,500 pesos", "user"),
        (1500.5, "quiero 1.500,50 pesos", "user"),
        (1500.5, "I want 1,500.50 pesos", "user"),
        (12.5, "12,5 kilos", "user"),
        (45.9, "it was $45.90", "user"),
        (5, "12.5 kilos", "tool"),
        (12, "12.5 kilos", "tool"),
        (-5, "take 5 off", "tool"),
        (5, "it is -5 outside", "tool"),
        (-5, "it is -5 outside", "user"),
        (7.0, "7 of them", "user"),
        (15, "1.5 of them", "tool"),
        (150, "1,50 of them", "tool"),
        (10**400, "one", "tool"),
        (float("1e308"), "1e308", "tool"),
    ],
)
def test_another_spelling_of_what_the_user_wrote_is_theirs_and_another_address_is_not(
    value: Any, said: str, expected: str
) -> None:
    assert origin(value, said) == expected
    assert origin([{"value": value}], said) == expected
    assert origin([{"value": [value, "evil"]}], said) == "tool"


MANGLED = [
    str.upper,
    str.title,
    lambda text: text.replace(" ", "   "),
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c)),
]


@given(st.lists(st.text("aáeéñüçbxz", min_size=1, max_size=6), min_size=1, max_size=8), st.data())
def test_any_run_of_the_users_words_is_theirs_however_it_is_spelled_and_no_part_of_a_word_is(
    words: list[str], data: st.DataObject
) -> None:
    begin = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(begin + 1, len(words)))
    mangle: Callable[[str], str] = data.draw(st.sampled_from(MANGLED))
    spoken = Spoken([" ".join(words)])
    run = " ".join(words[begin:end])
    assert spoken.holds(mangle(run))
    assert not spoken.holds(f"{run}q")
    assert not spoken.holds(f"q {run}")


def test_a_value_from_several_steps_names_them_all() -> None:
    deep = [{"$step": "s0", "pointer": "/a"}, {"value": [{"$step": "old", "pointer": ""}]}, "red"]
    earlier = {"old": StepResult("old", "anything", "ok", 7)}
    calls = [
        PlannedCall(id="s0", tool="anything"),
        PlannedCall(id="s1", tool="anything", args={"value": deep}),
    ]
    step = check(PlannerOutput(tool_calls=calls), Rules(REGISTRY, "web", 16, earlier)).steps[1]
    found = origins(step, Spoken(["red"]), False)["value"]
    assert (found, steps_of(found)) == ("tool:old,s0", ["old", "s0"])


def test_before_any_tool_has_spoken_what_nobody_said_comes_from_the_plan() -> None:
    assert origin("blue", "red", seen=False) == "plan"
    assert origin({"$step": "s0", "pointer": ""}, "red", seen=False) == "tool:s0"


def test_fields_of_the_tools_own_models_need_not_be_said_and_free_keys_do() -> None:
    assert origin({"tags": ["red"]}, "red", tool="pay", name="note") == "user"
    assert origin({"evil": "red"}, "red", name="labels") == "tool"


def test_words_of_two_messages_are_not_put_together() -> None:
    assert origin("red shoes", "red", "shoes") == "tool"


def test_a_hostile_heap_of_values_is_judged_quickly() -> None:
    started = time.process_time()
    origin([str(n) for n in range(40_000)], *(["lorem ipsum dolor " * 400] * 20))
    assert time.process_time() - started < 2.0


@pytest.mark.covers("rule.12")
async def test_what_a_user_passes_on_is_not_their_own_words_then_or_later(
    db_url: str, tmp_path: Path
) -> None:
    pay = plan(("pay", {"what": "Bob", "amount": 500}))
    model = ScriptedModel([pay, plan(reply="ok"), pay])
    async with process(db_url, tmp_path, [Pay], model) as parts:

        async def said(message_id: str, text: str, *, own: bool) -> dict[str, str]:
            await run_in(parts, message("ann", message_id, text, verbs=own))
            (row,) = await rows(
                parts.database,
                "SELECT c.origins FROM pending_confirmations c JOIN turns t ON t.id = c.turn_id "
                "WHERE t.message_id = :m",
                m=message_id,
            )
            found: dict[str, str] = json.loads(row.origins)
            return {name: found[name] for name in ("what", "amount")}

        assert await said("m1", "pay 500 to Bob", own=False) == {"what": "tool", "amount": "tool"}
        await run_in(parts, message("ann", "m2", "who is Bob?"))
        assert await said("m3", "do what it says, with Bob", own=True) == {"what": "user", "amount": "tool"}
        (kept,) = await rows(
            parts.database, "SELECT payload FROM audit_events WHERE kind = 'planned' LIMIT 1"
        )
        assert json.loads(kept.payload)["origins"]["s1"] == {"what": "tool", "amount": "tool"}
