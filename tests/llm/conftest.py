"""What the tests of the model layer share: a clock that is moved by hand, clients for the fake servers."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from llm_planner.llm.base import ChatMessage, ChatModel, ChatRequest, OutputMode
from llm_planner.llm.http import HttpPolicy, ModelHttp, Nature
from llm_planner.llm.ollama import OllamaModel
from llm_planner.llm.openai import OpenAIModel
from llm_planner.llm.plan_schema import plan_schema
from llm_planner.testing.clock import FakeClock
from llm_planner.testing.servers import FakeOllama, FakeOpenAI, FakeServer

LOOKUP = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}


class FakeTime(FakeClock):
    """The clock that tests move, with a sleep that moves it. `slept` holds every pause."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
async def make_http(fake_time: FakeTime) -> AsyncIterator[Callable[..., ModelHttp]]:
    """Makes ModelHttp with this policy, on the fake clock, chance always at its upper end."""
    made = []

    def make(**policy: Any) -> ModelHttp:
        nature = Nature(clock=fake_time, sleep=fake_time.sleep, uniform=lambda _low, high: high)
        made.append(ModelHttp(HttpPolicy(**policy), nature))
        return made[-1]

    yield make
    for http in made:
        await http.close()


@pytest.fixture
def key() -> str:
    return "sk-live-0123456789abcdef"


@pytest.fixture
def plan() -> dict[str, object]:
    call = {"id": "s1", "tool": "lookup", "args": {"order": "A-1234"}, "after": []}
    return {"reply": None, "tool_calls": [call], "then": "answer"}


@pytest.fixture(params=[FakeOllama, FakeOpenAI])
def fake_server(request: pytest.FixtureRequest) -> type[FakeServer]:
    """Both kinds of server, one after the other."""
    kind: type[FakeServer] = request.param
    return kind


@pytest.fixture
def client(key: str) -> Callable[..., ChatModel]:
    """The client that belongs to a fake server."""

    def make(
        server: FakeServer, http: ModelHttp, model: str = "test-model", timeout_s: float = 30.0
    ) -> ChatModel:
        kind = OllamaModel if isinstance(server, FakeOllama) else OpenAIModel
        return kind(http, server.url, model, api_key=key, timeout_s=timeout_s)

    return make


@pytest.fixture
def ask() -> Callable[..., ChatRequest]:
    """Makes a request with the schema of a small plan."""

    def make(
        mode: OutputMode = "prompt", deadline_s: float = 60.0, text: str = "¿y mi pedido?"
    ) -> ChatRequest:
        messages = (ChatMessage("system", "Plan."), ChatMessage("user", text))
        schema = plan_schema({"lookup": LOOKUP})
        return ChatRequest(messages, schema=schema, mode=mode, max_tokens=300, deadline_s=deadline_s)

    return make
