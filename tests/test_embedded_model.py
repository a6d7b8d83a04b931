"""EMBEDDED_MODEL: any GGUF file plans in this process, through the ordinary planner."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from llm_planner import Tool
from llm_planner.embedded.small_model import find_weights
from llm_planner.errors import StartError
from llm_planner.llm.base import ChatMessage, ChatRequest
from llm_planner.llm.llamacpp import LlamaModel, NoEngine

from .harness import serving, settings_for
from .turn_kit import process

PLAN = '{"reply": null, "tool_calls": [{"id": "s1", "tool": "flip_coin", "args": {}, "after": []}], "then": "answer"}'
PROMPT = f"You flip coins, in {{{{language}}}}.\n\nTo every message you answer with this:\n{PLAN}\nOnce more:\n{PLAN}\n"
YES_OR_NO = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes", "no"]}},
    "required": ["answer"],
    "additionalProperties": False,
}


class Nothing(BaseModel):
    pass


class FlipCoin(Tool):
    name = "flip_coin"
    description = "Flip a coin."
    input_model = Nothing
    write = False
    examples = (("flip a coin", {}),)

    async def run(self, args: Nothing, ctx: Any) -> str:
        return "heads"


@pytest.fixture
def weights() -> Path:
    pytest.importorskip("xllamacpp")
    try:
        return find_weights()
    except NoEngine as error:
        pytest.skip(str(error))


@pytest.mark.covers("settings.embedded-model")
async def test_a_gguf_file_is_asked_for_plans_and_its_answers_are_checked_like_every_models(
    tmp_path: Path, sqlite_template: Path, weights: Path
) -> None:
    (tmp_path / "planner.md").write_text(PROMPT)
    (tmp_path / "answerer.md").write_text("{{language}}")
    shutil.copy(sqlite_template, tmp_path / "test.db")
    url = f"sqlite:///{tmp_path / 'test.db'}"
    settings = settings_for(url, tmp_path, embedded_model=weights, llm_max_tokens=64)
    async with serving(settings, [FlipCoin], prompts=tmp_path) as client:
        turn = await client.say("flip a coin", locale="en")
        calls = await client.rows("SELECT model, outcome, output_tokens FROM model_calls")
    assert (turn["status"], turn["code"]) in [("answered", None), ("failed", "no_plan")]
    assert {(call.model, call.outcome) for call in calls} == {(f"llama.cpp/{weights.name}", "ok")}
    assert all(0 < call.output_tokens <= 64 for call in calls)


async def test_it_keeps_to_a_schema_and_streams(weights: Path) -> None:
    model = LlamaModel(weights, 60)
    asked = (ChatMessage("user", "Is water wet? Answer as JSON."),)
    reply = await model.complete(ChatRequest(asked, YES_OR_NO, "schema", max_tokens=60))
    pieces = [piece async for piece in model.stream(ChatRequest(asked, mode="text", max_tokens=5))]
    await model.close()
    assert json.loads(reply.text)["answer"] in ("yes", "no")
    assert len(pieces) > 1


@pytest.mark.covers("settings.embedded-model")
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "can't be read"),
        (b"PK\x03\x04", "is no GGUF file"),
        (b"GGUF, and then something else", "can't load"),
    ],
)
async def test_a_wrong_path_stops_the_start_and_names_the_variable(
    tmp_path: Path, weights: Path, content: bytes | None, why: str
) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    url = f"sqlite:///{tmp_path / 'test.db'}"
    with pytest.raises(StartError, match=rf"EMBEDDED_MODEL: .*{why}"):
        async with process(url, tmp_path, [FlipCoin], None, embedded_model=path):  # type: ignore[arg-type]
            pass
    assert settings_for(url, tmp_path, embedded_model=path).llm == "embedded"
