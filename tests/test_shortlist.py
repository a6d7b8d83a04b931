"""The shortlist: a model sees the tools that a message may mean, whatever the registry holds."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from llm_planner import Tool
from llm_planner.embedded import Catalogue, CharEmbedder, ToolCard
from llm_planner.llm.scripted import ScriptedModel

from .tools import plan

THINGS = (
    "invoice", "parcel", "umbrella", "bicycle", "passport", "violin", "tractor", "lantern", "carpet", "mirror",
    "kettle", "sandwich", "helmet", "notebook", "compass", "blanket", "candle", "saddle", "trumpet", "wardrobe",
    "telescope", "hammock", "pillow", "ladder", "fountain", "anchor", "barometer", "chandelier", "drum", "easel",
)  # fmt: skip
CARDS = [
    ToolCard(f"find_{thing}", f"Finds the {thing}.", {}, ((f"where is my {thing}?", {"whose": "mine"}),))
    for thing in THINGS
]


class Whose(BaseModel):
    whose: str = "anybody"


def _tool(thing: str) -> Tool:
    class Find(Tool):
        name = f"find_{thing}"
        description = f"Finds the {thing}."
        input_model = Whose
        write = False
        examples = ((f"where is my {thing}?", {"whose": "mine"}), (f"the {thing}, please", {}))

        async def run(self, args: Whose, ctx: Any) -> str:
            return thing

    return Find()


def _system(model: ScriptedModel, place: int) -> str:
    return model.requests[place].messages[0].content


def _last(model: ScriptedModel, place: int) -> str:
    return model.requests[place].messages[-1].content


def _in_schema(model: ScriptedModel, place: int) -> set[str]:
    sent = json.dumps(model.requests[place].schema)
    return {thing for thing in THINGS if f'"find_{thing}"' in sent}


def _listed(text: str) -> set[str]:
    return {thing for thing in THINGS if f"- find_{thing}:" in text}


async def test_a_small_registry_is_shown_whole_in_the_system_prompt(serve: Any) -> None:
    model = ScriptedModel([plan()])
    client = await serve(tools=[_tool(thing) for thing in THINGS[:24]], model=model)
    await client.say("where is my violin?")
    assert _listed(_system(model, 0)) == _in_schema(model, 0) == {*THINGS[:24]}
    assert not _listed(_last(model, 0))


async def test_of_a_large_registry_the_nearest_tools_go_before_the_message_and_the_prefix_stays(
    serve: Any,
) -> None:
    model = ScriptedModel([plan(("find_violin", {"whose": "mine"})), plan()])
    client = await serve(tools=[_tool(thing) for thing in THINGS], model=model)
    turn = await client.say("where has my violin gone?")
    assert [step["result"] for step in turn["steps"]] == ["violin"]
    await client.say("and my ladder, and the umbrella?")
    assert _system(model, 0) == _system(model, 1)
    assert not _listed(_system(model, 0))
    first, second = _listed(_last(model, 0)), _listed(_last(model, 1))
    assert len(first) == len(second) == 20
    assert "violin" in first
    assert {"ladder", "umbrella"} <= second
    assert _in_schema(model, 0) == first
    shots = _last(model, 0).partition("similar messages:")[2]
    assert shots.strip().startswith('"where is my violin?" -> {"tool":"find_violin","args":{"whose":"mine"}}')


async def test_a_tool_that_was_used_stays_on_the_list_when_the_planner_looks_once_more(serve: Any) -> None:
    model = ScriptedModel([plan(("find_easel", {}), then="replan"), plan()])
    client = await serve(tools=[_tool(thing) for thing in THINGS], model=model)
    await client.say("where is my violin, and where is my ladder?")
    assert "easel" in _listed(_last(model, 1))


async def test_a_tool_beside_the_list_may_be_called_all_the_same(serve: Any) -> None:
    model = ScriptedModel([plan(), plan(("find_easel", {}))])
    client = await serve(tools=[_tool(thing) for thing in THINGS], model=model)
    await client.say("where is my violin?")
    left_out = sorted({*THINGS} - _listed(_last(model, 0)))
    assert left_out
    turn = await client.say("where is my violin?")
    assert [step["status"] for step in turn["steps"]] == ["ok"]


@pytest.mark.parametrize(
    ("said", "earlier", "expected"),
    [
        ("I lost the barometer", [], ["find_barometer"]),
        ("find the drum and then the anchor", [], ["find_drum", "find_anchor"]),
        ("the other one", ["where is my trumpet?"], ["find_trumpet"]),
    ],
)
def test_without_any_extra_package_the_list_is_made_from_character_n_grams(
    said: str, earlier: Sequence[str], expected: list[str]
) -> None:
    names = frozenset(card.name for card in CARDS)
    nearest = Catalogue(CARDS, CharEmbedder()).nearest(said, earlier, names)
    assert {*nearest.tools[: len(expected)]} == {*expected}
    assert {*nearest.tools} == names


def test_a_tool_that_is_not_allowed_is_neither_listed_nor_an_example() -> None:
    nearest = Catalogue(CARDS, CharEmbedder()).nearest("where is my drum?", [], frozenset({"find_easel"}))
    assert nearest.tools == ("find_easel",)
    assert [name for name, _, _ in nearest.examples] == ["find_easel"]
