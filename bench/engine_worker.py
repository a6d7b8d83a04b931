"""The application of `bench engine`'s processes: a model that thinks for 30 ms and answers in words."""

import itertools
import json
from pathlib import Path

from pydantic import BaseModel

from llm_planner import Tool, ToolContext, create_app
from llm_planner.llm.scripted import ScriptedModel

THINKS_S = 0.03
PROMPTS = Path(__file__).parent.parent / "app" / "prompts"


class Nothing(BaseModel):
    """No arguments."""


class Wait(Tool):
    """There has to be a tool; nobody calls it."""

    name = "wait"
    description = "Do nothing."
    input_model = Nothing
    write = False

    async def run(self, args: Nothing, ctx: ToolContext) -> dict[str, object]:
        return {}


_answer = json.dumps({"reply": "done", "tool_calls": []})
app = create_app(
    tools=[Wait], prompts=PROMPTS, model=ScriptedModel(itertools.repeat(_answer), latency_s=THINKS_S)
)
