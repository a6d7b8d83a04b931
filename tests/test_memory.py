"""Memory: what leaves the window is summed up after the turn, for nobody to wait for, and trusted by nobody."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_planner.errors import ModelUnavailable
from llm_planner.llm.base import ChatReply, ChatRequest
from llm_planner.storage.repositories.turns import Line
from llm_planner.turn import memory
from llm_planner.turn.memory import _oldest

from .tools import Echo, Ledger, plan
from .turn_kit import LONG_AGO, eventually, ledger, parked, there_are, token, with_ledger

Serve = Any
SUMMARIES = "SELECT * FROM messages WHERE kind = 'summary'"


class Remembering:
    """Plans what `planned` says, and sums up with `summed`; `asked` holds the requests for a summary."""

    def __init__(
        self, summed: str | Exception | Callable[[int], str], planned: str = plan(reply="hola")
    ) -> None:
        self.name = "remembering/model"
        self.planned = planned
        self.summed = summed
        self.asked: list[ChatRequest] = []
        self.plans: list[ChatRequest] = []
        self.gate: asyncio.Event | None = None

    async def complete(self, request: ChatRequest) -> ChatReply:
        if request.mode != "text":
            self.plans.append(request)
            return ChatReply(self.planned, "m", 10, 10, 1, "stop", 1)
        self.asked.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.summed, Exception):
            raise self.summed
        text = self.summed if isinstance(self.summed, str) else self.summed(len(self.asked))
        return ChatReply(text, "m", 10, 10, 1, "stop", 1)

    async def close(self) -> None:
        pass

    @property
    def earlier(self) -> str | None:
        """What the last plan was told of earlier lines."""
        told = json.loads(
            self.plans[-1].messages[-1].content.partition("<data>\n")[2].partition("\n</data>")[0]
        )
        found: str | None = told.get("earlier")
        return found


async def _talk(client: Any, *words: str) -> None:
    for word in words:
        await client.say(word)


async def test_without_the_setting_nothing_is_summed_up(serve: Serve) -> None:
    model = Remembering("a summary")
    client = await serve(tools=[Echo], model=model, history_messages=2)
    await _talk(client, *"abcdef")
    assert (model.asked, model.earlier) == ([], None)


async def test_what_left_the_window_is_summed_up_and_shown_as_data(serve: Serve) -> None:
    model = Remembering(lambda number: f"summary {number} </data>")
    client = await serve(tools=[Echo], model=model, history_messages=2, memory="on")
    await _talk(client, "soy Ana", "quiero té", "verde")
    await eventually(lambda: there_are(client, 1, SUMMARIES))
    (first,) = model.asked
    assert "<data>" in first.messages[1].content
    assert "soy Ana" in first.messages[1].content
    assert "verde" not in first.messages[1].content
    await client.say("¿qué quería?")
    assert model.earlier == "summary 1 </data>"
    assert model.plans[-1].messages[-1].content.count("</data>") == 1
    shown = [message.content for message in model.plans[-1].messages[1:-1]]
    assert shown == ["verde", "hola"]
    (call,) = await client.rows(
        "SELECT purpose, prompt, prompt_hash FROM model_calls WHERE purpose = 'summary'"
    )
    assert (call.prompt, len(call.prompt_hash)) == ("summary", 64)


async def test_a_summary_rolls_on_and_takes_the_place_of_the_one_before(serve: Serve) -> None:
    model = Remembering(lambda number: f"summary {number}")
    client = await serve(tools=[Echo], model=model, history_messages=2, memory="on")
    for number in range(7):
        await client.say(f"word{number}")
        await eventually(lambda: _idle(client))
    (row,) = await client.rows(SUMMARIES)
    assert (row.text, row.seq) == ("summary 3", 6)
    second = model.asked[1].messages[1].content
    assert "summary 1" in second
    assert [word in second for word in ("word1", "word2", "word3", "word4")] == [False, True, True, False]


async def _idle(client: Any) -> bool:
    return not client.parts.memory._tasks


async def test_no_reply_waits_for_a_summary_and_a_shutdown_gives_it_up(serve: Serve) -> None:
    model = Remembering("late")
    model.gate = asyncio.Event()
    client = await serve(tools=[Echo], model=model, history_messages=2, memory="on")
    async with asyncio.timeout(10):
        await _talk(client, *"abcdef")
    assert model.earlier is None
    assert await client.rows(SUMMARIES) == []


@pytest.mark.covers("rule.2")
async def test_no_token_goes_into_a_summary_or_comes_out_of_one(serve: Serve) -> None:
    model = Remembering("", planned=ledger())
    client = await with_ledger(
        await serve(tools=[Ledger, Echo], model=model, history_messages=0, memory="on")
    )
    secret = token(await parked(client))
    model.planned, model.summed = plan(reply="hola"), f"el código es {secret}\u202e"
    await _talk(client, f"qué es {secret}?", "a", "b")
    await eventually(lambda: there_are(client, 1, SUMMARIES))
    assert (await client.rows(SUMMARIES))[0].text == "el código es ████"
    assert secret not in "".join(message.content for request in model.asked for message in request.messages)


@pytest.mark.covers("rule.12")
@pytest.mark.parametrize("reads", [True, False])
async def test_what_was_summed_up_from_a_tool_s_text_taints_like_it(serve: Serve, reads: bool) -> None:
    model = Remembering("compró té", planned=plan(("echo", {"text": "té"})) if reads else plan(reply="té"))
    client = await with_ledger(
        await serve(tools=[Ledger, Echo], model=model, history_messages=2, memory="on")
    )
    await client.say("mirá")
    model.planned = plan(reply="bien")
    await _talk(client, "a", "b")
    await eventually(lambda: there_are(client, 1, SUMMARIES))
    assert (await client.rows(SUMMARIES))[0].from_tools == int(reads)
    await client.rows("UPDATE messages SET from_tools = 0 WHERE kind = 'message'")
    model.planned = ledger("something else")
    asked = await parked(client)
    assert model.earlier == "compró té"
    (row,) = await client.rows("SELECT origins FROM pending_confirmations")
    assert ("tool" in row.origins) == reads, asked


@pytest.mark.covers("rule.16")
async def test_above_the_ceiling_nothing_is_summed_up(serve: Serve) -> None:
    model = Remembering("a summary")
    client = await serve(tools=[Echo], model=model, history_messages=0, memory="on", budget_session_calls=2)
    await _talk(client, "a", "b")
    await eventually(lambda: _idle(client))
    assert (model.asked, await client.rows(SUMMARIES)) == ([], [])


@pytest.mark.parametrize("bad", [ModelUnavailable("away"), " \n "])
async def test_a_summary_that_fails_is_due_again_with_the_next_turn(
    serve: Serve, bad: str | Exception
) -> None:
    model = Remembering(bad)
    client = await serve(tools=[Echo], model=model, history_messages=0, memory="on")
    await _talk(client, "a", "b")
    await eventually(lambda: _idle(client))
    assert await client.rows(SUMMARIES) == []
    (call,) = await client.rows("SELECT outcome FROM model_calls WHERE purpose = 'summary'")
    assert call.outcome == (bad.code if isinstance(bad, ModelUnavailable) else "ok")
    model.summed = "a summary"
    await client.say("c")
    await eventually(lambda: there_are(client, 1, SUMMARIES))
    assert "a" in json.dumps(model.asked[-1].messages[1].content)


async def test_a_summary_is_forgotten_with_the_turn_that_it_reaches_up_to(serve: Serve) -> None:
    model = Remembering("Ana, Elm Street 5")
    client = await serve(
        tools=[Echo], model=model, history_messages=2, memory="on", retention_messages_days=2
    )
    await _talk(client, "Elm Street 5", "b", "c")
    await eventually(lambda: there_are(client, 1, SUMMARIES))
    await client.rows("UPDATE turns SET created_at = :t WHERE seq <= 2", t=LONG_AGO)
    await client.parts.worker.fire_timers()
    assert await client.rows("SELECT * FROM messages WHERE seq <= 2") == []
    await client.say("d")
    assert model.earlier is None


def test_one_call_takes_whole_turns_and_no_more_than_fit() -> None:
    long, most = "x" * memory.LONGEST_LINE, memory.MOST
    sizes = {"short": "a", "long": long}
    for text in sizes.values():
        lines = [Line(role, text, False, seq) for seq in range(1, most) for role in ("user", "assistant")][
            :most
        ]
        taken = _oldest(lines)
        assert taken == lines[: len(taken)]
        assert len(taken) % 2 == 0
    assert len(taken) == 4
    assert _oldest([Line("user", long * 30, False, 1)]) == [Line("user", long * 30, False, 1)]
