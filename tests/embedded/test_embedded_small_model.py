"""The small model itself, in this process: it copies, keeps the time, and stays away where it can't be had."""

import asyncio
import logging
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from llm_planner.embedded import CharEmbedder, EmbeddedCore, SmallModel, ToolCard
from llm_planner.embedded.arguments import compile_tool
from llm_planner.embedded.copying import Question, copied, prefix_of
from llm_planner.embedded.message import read_message
from llm_planner.embedded.small_model import find_weights
from llm_planner.llm.llamacpp import LlamaServer, NoEngine, Size

TODAY = date(2026, 11, 23)
WORK = ToolCard(
    "find_work",
    "Find a book, a film or a game by its title.",
    {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "kind": {"type": "string", "description": "kind of work"},
        },
        "required": ["title"],
    },
    (
        ("find the movie Alien", {"title": "Alien", "kind": "movie"}),
        ("look for the game Star Quest", {"title": "Star Quest", "kind": "game"}),
        ("busca el videojuego Tetris", {"title": "Tetris", "kind": "videojuego"}),
    ),
)


@pytest.fixture(scope="module")
def weights() -> Path:
    pytest.importorskip("xllamacpp")
    try:
        return find_weights()
    except NoEngine as error:
        pytest.skip(str(error))


async def _ready(model: SmallModel, logged: Callable[[], str]) -> None:
    async with asyncio.timeout(60):
        while "small model is ready" not in logged():  # noqa: ASYNC110 - it loads on a thread of its own
            await asyncio.sleep(0.02)


@pytest.fixture
async def model(weights: Path, caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO)
    model = SmallModel(weights, wait_s=60)
    core = EmbeddedCore([WORK], lambda: TODAY, CharEmbedder(), model)
    model.start(core.prefixes)
    await _ready(model, lambda: caplog.text)
    yield model
    model.close()


async def test_it_copies_what_the_message_says_and_its_prompt_comes_out_of_the_cache(
    model: SmallModel,
) -> None:
    tool = compile_tool(WORK)
    for said, title in (("look for the game Dark Moon", "Dark Moon"), ("find the movie Tango", "Tango")):
        message = read_message(said, TODAY, "en")
        values = await asyncio.to_thread(copied, tool, message, {}, model)
        assert values.get(("title",)) == title
    assert model.reused_tokens > model.prompt_tokens / 2


async def test_who_finds_it_busy_or_late_goes_on_without_it(weights: Path, model: SmallModel) -> None:
    late = SmallModel(weights, wait_s=0.0)
    question = Question(prefix_of(compile_tool(WORK)) or "", "Message: a b\ntitle:", 'root ::= " a\\n"', 1)
    assert late.answer(question) is None, "it was never started"
    model._wait_s = 0.0
    answers = [await asyncio.to_thread(model.answer, question) for _ in range(2)]
    assert answers == [None, None]


async def test_a_grammar_that_llama_cpp_refuses_is_no_answer(model: SmallModel) -> None:
    question = Question("x", "y", "root ::= (", 1)
    assert await asyncio.to_thread(model.answer, question) is None


def test_after_its_end_it_gives_no_answer(weights: Path) -> None:
    model = SmallModel(weights)
    model.start(["Message:"])
    model.close()
    assert model.answer(Question("x", "y", 'root ::= "a"', 1)) is None


@pytest.mark.parametrize(
    ("content", "why"),
    [(None, "No such file"), (b"GGUF but another one", "is not the file that was released")],
)
def test_without_the_right_weights_the_rules_work_alone_and_the_log_says_so(
    tmp_path: Path, content: bytes | None, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "weights.gguf"
    if content is not None:
        path.write_bytes(content)
    model = SmallModel(path)
    model.start(["Message:"])
    model._thread.shutdown(wait=True)
    assert "works by rules alone" in caplog.text
    assert why in caplog.text
    assert model.answer(Question("x", "y", 'root ::= "a"', 1)) is None
    model.close()


@pytest.fixture(scope="module")
def server(weights: Path) -> Iterator[LlamaServer]:
    server = LlamaServer(weights, Size(256, 1, 0))
    yield server
    server.close()


def _status(url: str, key: str | None = None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_its_port_is_on_loopback_and_closed_to_whoever_has_no_key(server: LlamaServer) -> None:
    assert server.address.startswith("http://127.0.0.1:")
    assert len(server.key) >= 32
    assert _status(f"{server.address}/v1/models") == 401
    assert _status(f"{server.address}/v1/models", "wrong") == 401
    assert _status(f"{server.address}/v1/models", server.key) == 200
    assert _status(f"{server.address}/") == 404
    assert _status(f"{server.address}/slots", server.key) == 501


def test_a_run_stops_when_it_is_told_to(server: LlamaServer) -> None:
    grammar = 'root ::= "a"*'
    assert server.complete("a", grammar, 200, lambda: True) is None
    whole = server.complete("a", 'root ::= " b\\n"', 9, lambda: False)
    assert whole is not None
    assert "".join(piece.text for piece in whole.pieces).strip() == "b"
    assert all(piece.logprob <= 0 for piece in whole.pieces)
