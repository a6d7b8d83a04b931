"""The answerer's words over a stream: as they come, harmless at every moment, and taken back where they fail."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from llm_planner.errors import ModelUnavailable
from llm_planner.i18n import text
from llm_planner.llm.base import ChatReply, ChatRequest
from llm_planner.testing.servers import FakeOllama, FakeOpenAI, FakeServer
from llm_planner.testing.servers_script import Behaviour, Content, Status

from .agui import listening, streamed
from .harness import Client, sqlite_servers
from .tools import Echo, Ledger, plan
from .turn_kit import ledger, with_ledger

ServeSqlite = Callable[..., Awaitable[Client]]
ECHO = plan(("echo", {"text": "a"}))
KINDS: list[type[FakeServer]] = [FakeOllama, FakeOpenAI]


@pytest.fixture
async def serve_sqlite(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[ServeSqlite]:
    async with sqlite_servers(sqlite_template, tmp_path) as start:
        yield start


class Dictating:
    """Plans `planned` for everything, and says its pieces one by one; an event waits until it is set, an error
    is raised."""

    def __init__(self, pieces: Sequence[str | asyncio.Event | Exception], planned: str = ECHO) -> None:
        self.name = "dictating/model"
        self.streams = 0
        self._pieces = pieces
        self._planned = planned

    async def complete(self, request: ChatRequest) -> ChatReply:
        words = "".join(piece for piece in self._pieces if isinstance(piece, str))
        answer = self._planned if request.mode != "text" else words
        return ChatReply(answer, "dictated", None, None, 1, "stop", 1)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        self.streams += 1
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                yield piece

    async def close(self) -> None:
        pass


def _deltas(run: Any) -> list[str]:
    return [event["delta"] for event in run.all_of("TEXT_MESSAGE_CONTENT")]


@pytest.mark.covers("http.stream")
async def test_words_arrive_before_the_turn_is_over(serve: Any) -> None:
    gate = asyncio.Event()
    client = await serve(tools=[Echo], model=Dictating(["Tu ", "eco ", "dice ", gate, "«a»."]), answerer="on")
    async with listening(client, "eco") as stream:
        await stream.until("TEXT_MESSAGE_CONTENT")
        assert (await client.rows("SELECT state FROM turns"))[0].state == "running"
        gate.set()
        run = await stream.until("RUN_FINISHED")
    assert _deltas(run) == ["Tu", " eco", " dice", " «a»."]
    assert run.reply == run.turn["reply"] == "Tu eco dice «a»."


async def test_who_waits_for_json_gets_the_same_words_in_one_call(serve_sqlite: ServeSqlite) -> None:
    model = Dictating(["Tu eco ", "dice «a»."])
    client = await serve_sqlite(tools=[Echo], model=model, answerer="on")
    assert (await client.say("eco"))["reply"] == (await streamed(client, "eco")).turn["reply"]
    assert model.streams == 1


@pytest.mark.covers("rule.3", "rule.13")
async def test_no_moment_shows_a_verb_with_a_token_an_image_or_a_foreign_link(
    serve_sqlite: ServeSqlite,
) -> None:
    words = "Listo. Respondé: confirmar AAAA2222 ![x](https://evil.example/leak) o [esto](https://evil.example) ▣ fin"
    client = await serve_sqlite(tools=[Echo], model=Dictating(list(words)), answerer="on")
    run = await streamed(client, "eco")
    for forbidden in ("AAAA", "evil", "▣", "https"):
        assert forbidden not in "".join(_deltas(run))
    assert run.turn["reply"] == run.reply == "Listo. Respondé: confirmar […] x o esto  fin"


@pytest.mark.parametrize("words", [["Tu eco ", "dice"], ["  ", "\n"], []])
async def test_words_that_break_off_are_taken_back_and_the_tool_s_own_text_is_said(
    serve_sqlite: ServeSqlite, words: list[str]
) -> None:
    pieces = [*words, *([ModelUnavailable("the answer broke off")] if words != ["  ", "\n"] else [])]
    client = await serve_sqlite(tools=[Echo], model=Dictating(pieces), answerer="on")
    run = await streamed(client, "eco", message_id="m1")
    assert len(run.withdrawn) == (1 if any(map(str.strip, words)) else 0)
    assert run.reply == run.turn["reply"]
    assert "Tu eco" not in run.reply
    assert len(await client.rows("SELECT 1 FROM audit_events WHERE kind = 'answer_failed'")) == 1
    assert (await client.say("eco", message_id="m1"))["reply"] == run.reply


@pytest.mark.covers("rule.3")
async def test_a_turn_that_parks_a_write_streams_no_model_text(serve_sqlite: ServeSqlite) -> None:
    model = Dictating(["¡Ya lo anoté!"], planned=ledger())
    client = await with_ledger(await serve_sqlite(tools=[Ledger, Echo], model=model, answerer="on"))
    run = await streamed(client, "anotá un té")
    assert model.streams == 0
    assert _deltas(run) == [run.turn["reply"]]


async def test_what_still_waits_is_said_behind_the_words(serve_sqlite: ServeSqlite) -> None:
    model = Dictating(["Tu eco."], planned=ledger())
    client = await with_ledger(await serve_sqlite(tools=[Ledger, Echo], model=model, answerer="on"))
    await client.say("anotá un té")
    model._planned = ECHO
    run = await streamed(client, "eco")
    assert _deltas(run) == ["Tu", " eco.", "\n\n" + text("still_pending", "es")]


async def test_a_model_that_never_stops_is_cut(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(tools=[Echo], model=Dictating(["blah "] * 5000), answerer="on")
    run = await streamed(client, "eco")
    assert run.reply == run.turn["reply"] == ("blah " * 1600).strip()


@pytest.mark.covers("rule.16")
async def test_streamed_tokens_count_against_the_ceiling(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(
        tools=[Echo], model=Dictating(["palabras " * 100]), answerer="on", budget_session_tokens=2000
    )
    await streamed(client, "eco")
    (row,) = await client.rows("SELECT * FROM model_calls WHERE purpose = 'answer'")
    assert (row.outcome, row.output_tokens) == ("ok", 300)
    assert row.input_tokens > 50
    assert (await client.say("eco"))["code"] is None
    assert (await client.say("eco"))["code"] == "over_budget"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "behaviour", [Content("Tu pedido ya está en camino."), Status(400)], ids=["ok", "400"]
)
async def test_real_protocols_stream_too(
    serve_sqlite: ServeSqlite, kind: type[FakeServer], behaviour: Behaviour
) -> None:
    name = "ollama" if kind is FakeOllama else "openai"
    async with kind(Content(ECHO), behaviour) as server:
        where = {f"{name}_base_url": server.url, "llm_output_mode": "prompt", "answerer": "on"}
        client = await serve_sqlite(tools=[Echo], **where)
        run = await streamed(client, "eco")
        assert server.requests[1].body["stream"] is True
    assert run.reply == run.turn["reply"]
    assert (run.reply == "Tu pedido ya está en camino.") == isinstance(behaviour, Content)
    assert (len(_deltas(run)) > 1) == isinstance(behaviour, Content)
