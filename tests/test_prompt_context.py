"""What a model is shown: a beginning that is the same for everybody, a window of whole lines, and at the end what
changes from message to message."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.tools import TOOLS
from llm_planner import Tool, ToolContext
from llm_planner.llm.base import ChatRequest
from llm_planner.llm.counting import estimated_tokens
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.messages import InboundMessage, SessionKey
from llm_planner.storage.repositories.turns import Line
from llm_planner.testing.clock import FakeClock
from llm_planner.testing.servers import FakeOllama, FakeOpenAI, FakeServer
from llm_planner.testing.servers_script import PLAIN_REPLY
from llm_planner.turn.window import within

from .harness import INTERNAL_KEY, Client, serving, settings_for, sqlite_servers
from .tools import Echo, EchoInput, plan
from .turn_kit import run_in

ServeSqlite = Callable[..., Awaitable[Client]]
HELLO = plan(reply="hola")


@pytest.fixture
async def serve_sqlite(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[ServeSqlite]:
    async with sqlite_servers(sqlite_template, tmp_path) as start:
        yield start


class Rememberer(Tool):
    """A read that leaves a fact."""

    name = "remember"
    description = "Remember."
    input_model = EchoInput
    write = False

    async def run(self, args: EchoInput, ctx: ToolContext) -> dict[str, object]:
        ctx.facts["favourite"] = args.text
        return {}


def _told(request: ChatRequest) -> dict[str, Any]:
    """The data behind the conversation."""
    _, _, rest = request.messages[-1].content.rpartition("<data>\n")
    found: dict[str, Any] = json.loads(rest.partition("\n</data>")[0])
    return found


@pytest.mark.parametrize("mode", ["schema", "tool", "prompt"])
@pytest.mark.parametrize("kind", [FakeOllama, FakeOpenAI])
async def test_the_beginning_of_a_prompt_is_the_same_bytes_for_every_session_and_message(
    serve_sqlite: ServeSqlite, kind: type[FakeServer], mode: str
) -> None:
    name = "ollama" if kind is FakeOllama else "openai"
    async with kind(default=PLAIN_REPLY) as server:
        where = {f"{name}_base_url": server.url, f"{name}_model": "fake", "llm_output_mode": mode}
        client = await serve_sqlite(tools=TOOLS, **where)
        await client.say("hola", session="a", locale="es-AR")
        await client.say("where is my order?", session="b", locale="en")
        await client.say("and again", session="b", locale="pt")
        await client.post("/wa/agent", {"message": "oi", "session_id": "c"}, {"x-api-key": INTERNAL_KEY})
        bodies = [request.body for request in server.requests]
    prefixes = {json.dumps(body["messages"][0], ensure_ascii=False) for body in bodies}  # type: ignore[index]
    shapes = {
        json.dumps([body.get(part) for part in ("format", "response_format", "tools")]) for body in bodies
    }
    assert len(prefixes) == len(shapes) == 1
    (system,) = prefixes
    assert "get_order_status" in system
    assert "e.g." in system
    wire = [json.dumps(body, ensure_ascii=False) for body in bodies]
    end = wire[0].index(system) + len(system)
    assert len({line[:end] for line in wire}) == 1


async def test_the_end_of_a_prompt_says_when_where_and_to_whom(db_url: str, tmp_path: Path) -> None:
    model = ScriptedModel([plan(("remember", {"text": "té"})), HELLO])
    clock = FakeClock(datetime(2026, 11, 26, 2, 30, tzinfo=UTC))
    settings = settings_for(db_url, tmp_path, timezone="America/Montevideo")
    async with serving(settings, [Rememberer], model, clock) as client:
        await client.say("me gusta el té", locale="es-UY")
        await client.say("hola", locale="es-UY")
    first, second = map(_told, model.requests)
    assert first == {
        "now": "Wednesday 2026-11-25 23:30 -03",
        "time_zone": "America/Montevideo",
        "language": "Spanish (voseo)",
        "locale": "es-UY",
        "channel": {"name": "web"},
    }
    assert second == {**first, "facts": {"favourite": "té"}}


async def test_a_provider_s_channel_says_how_much_one_message_holds(serve_sqlite: ServeSqlite) -> None:
    model = ScriptedModel([HELLO])
    client = await serve_sqlite(tools=[Echo], model=model, telegram_bot_token="123456:" + "a" * 35)
    await run_in(client.parts, InboundMessage(SessionKey("telegram", "bot", "u1", ""), "m1", "hola"))
    assert _told(model.requests[0])["channel"] == {"name": "telegram", "message_characters": 4096}


@given(st.lists(st.text(max_size=60), max_size=12), st.integers(0, 80))
def test_the_window_is_the_newest_lines_that_fit_each_whole(texts: list[str], tokens: int) -> None:
    lines = [Line("user", text, False) for text in texts]
    shown = within(lines, tokens)
    assert list(shown) == lines[len(lines) - len(shown) :]
    assert sum(estimated_tokens(line.text) for line in shown) <= tokens
    if len(shown) < len(lines):
        next_one = lines[-len(shown) - 1]
        assert sum(estimated_tokens(line.text) for line in [*shown, next_one]) > tokens


async def test_lines_beyond_the_token_limit_are_not_shown_nor_cut(serve_sqlite: ServeSqlite) -> None:
    model = ScriptedModel([HELLO, HELLO, HELLO])
    client = await serve_sqlite(tools=[Echo], model=model, history_tokens=120)
    for words in ("uno " * 60, "dos " * 60, "tres"):
        await client.say(words.strip())
    shown = [message.content for message in model.requests[-1].messages[1:-1]]
    assert shown == ["hola", ("dos " * 60).strip(), "hola"]
