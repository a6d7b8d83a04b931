"""What the agent does, in conversations over HTTP with the embedded planner. Change it with your tools."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.tools import TOOLS
from llm_planner import create_app
from llm_planner.testing.conversation import Conversation, served

APP = Path(__file__).parent.parent / "app"


@pytest.fixture
async def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Conversation]:
    """A server over an SQLite file of its own: no .env and no data of yours are touched."""
    monkeypatch.chdir(tmp_path)
    made = create_app(tools=TOOLS, prompts=APP / "prompts", migrations=APP / "migrations")
    async with served(made) as url, Conversation(url) as conversation:
        yield conversation


async def test_an_order_is_looked_up_without_asking(agent: Conversation) -> None:
    turn = await agent.say("where is order A-1234?", locale="en")
    assert [(step["tool"], step["status"]) for step in turn["steps"]] == [("get_order_status", "ok")]
    assert "A-1234" in turn["reply"]


async def test_a_registration_waits_for_its_token_and_runs_once(agent: Conversation) -> None:
    asked = await agent.say("registrame, soy Ana López, mi mail es ana@example.com")
    assert asked["status"] == "needs_confirmation"
    token = asked["confirmations"][0]["token"]
    assert (await agent.say("sí"))["status"] != "executed"
    assert (await agent.say(f"confirmar {token}"))["status"] == "executed"
    assert (await agent.say(f"confirmar {token}"))["code"] == "token_used"
