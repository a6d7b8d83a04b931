"""The page while a turn runs: its steps, its words as they come, and a reload half-way that finds it finished."""

import asyncio
from typing import Any

import pytest
from playwright.async_api import Page, expect

from .backend import SESSION, ScriptedBackend, asks, finished, in_words, step, stream, turn
from .chat import Open, said, say, settled

pytestmark = pytest.mark.asyncio(loop_scope="package")


def _stage(name: str) -> dict[str, Any]:
    return {"type": "STEP_STARTED", "stepName": name}


def _call(status: str | None = None) -> list[dict[str, Any]]:
    """A tool call, or its result."""
    if status is None:
        return [
            {"type": "TOOL_CALL_START", "toolCallId": "t1:s1", "toolCallName": "get_order_status"},
            {"type": "TOOL_CALL_END", "toolCallId": "t1:s1"},
        ]
    result = {"messageId": "r", "toolCallId": "t1:s1", "content": "{}", "metadata": {"status": status}}
    return [{"type": "TOOL_CALL_RESULT", **result}]


def _words(*words: str) -> list[dict[str, Any]]:
    start = {"type": "TEXT_MESSAGE_START", "messageId": "t1", "role": "assistant"}
    return [start, *({"type": "TEXT_MESSAGE_CONTENT", "messageId": "t1", "delta": word} for word in words)]


async def _send(page: Page, text: str) -> None:
    await page.fill("#message", text)
    await page.press("#message", "Enter")


async def test_steps_are_shown_as_they_run_and_words_as_they_come(
    open_page: Open, backend: ScriptedBackend
) -> None:
    planned, called, answered, done = (asyncio.Event() for _ in range(4))
    last = finished(turn("Está en camino.", steps=[step("get_order_status", "ok")]))
    backend.will_answer(
        stream(
            _stage("plan"), planned, _stage("act"), *_call(), called, *_call("ok"), _stage("answer"),
            *_words("Está ", "en"), answered, *_words(" cam")[1:], done, last,
        )
    )  # fmt: skip
    page = await open_page()
    await _send(page, "¿dónde está?")
    await expect(page.locator("#waiting-text")).to_have_text("Pensando…")
    planned.set()
    live = page.locator("#live")
    await expect(live.locator("li")).to_have_text("get_order_statusen curso")
    await expect(page.locator("#waiting-text")).to_have_text("Trabajando…")
    called.set()
    await expect(live.locator(".status")).not_to_have_text("en curso")
    await expect(live.locator(".said")).to_have_text("Está en")
    await expect(page.locator("#waiting-text")).to_have_text("Escribiendo…")
    answered.set()
    await expect(live.locator(".said")).to_have_text("Está en cam")
    done.set()
    await settled(page)
    await expect(live).to_have_count(0)
    assert await said(page).all_inner_texts() == ["¿dónde está?", "Está en camino."]


async def test_streamed_words_are_never_markup(open_page: Open, backend: ScriptedBackend) -> None:
    done = asyncio.Event()
    bait = "<img src=x onerror=alert(1)><b>hola</b>\u202e"
    backend.will_answer(stream(*_words(bait), done, finished(turn("fin"))))
    page = await open_page()
    await _send(page, "a")
    await expect(page.locator("#live .said")).to_have_text(bait.replace("\u202e", "\\u202e"))
    await expect(page.locator("#live .said *")).to_have_count(0)
    done.set()
    await settled(page)


async def test_a_draft_that_is_withdrawn_disappears(open_page: Open, backend: ScriptedBackend) -> None:
    said_it, done = asyncio.Event(), asyncio.Event()
    withdrawn = {"type": "CUSTOM", "name": "llm-planner:draft-withdrawn", "value": {"messageId": "t1"}}
    backend.will_answer(
        stream(*_words("nada de esto"), said_it, withdrawn, *_words("esto"), done, finished(turn("esto")))
    )
    page = await open_page()
    await _send(page, "a")
    await expect(page.locator("#live .said")).to_have_text("nada de esto")
    said_it.set()
    await expect(page.locator("#live .said")).to_have_text("esto")
    done.set()
    await settled(page)


async def test_a_streamed_card_has_its_buttons(open_page: Open, backend: ScriptedBackend) -> None:
    asked = asks({"name": "Ana"})
    backend.will_answer(stream(*_call(), finished(turn(in_words(asked), asked))))
    page = await open_page()
    await say(page, "registrame")
    await expect(page.locator(".card button")).to_have_count(2)
    await expect(page.locator("#log article").last.locator(".said")).to_have_count(0)


@pytest.mark.parametrize("end", [[], [{"type": "RUN_ERROR", "message": "come back", "code": "busy"}]])
async def test_a_stream_that_breaks_off_is_taken_up_again_under_the_same_message_id(
    open_page: Open, backend: ScriptedBackend, end: list[dict[str, Any]]
) -> None:
    backend.will_answer(
        stream(_stage("plan"), *_words("a me"), *end), stream(finished(turn("a medias, entero")))
    )
    page = await open_page()
    await say(page, "a")
    first, second = backend.asked
    assert second["message_id"] == first["message_id"]
    assert await said(page).all_inner_texts() == ["a", "a medias, entero"]


async def test_a_reload_half_way_asks_for_the_same_message_again_and_shows_its_turn(
    open_page: Open, backend: ScriptedBackend
) -> None:
    never = asyncio.Event()
    backend.will_answer(stream(*_words("a me"), never), turn("entero", duplicate=True), turn("otra"))
    page = await open_page()
    await _send(page, "hola")
    await expect(page.locator("#live .said")).to_have_text("a me")
    await page.reload()
    await expect(said(page)).to_have_text(["hola", "entero"])
    first, second = backend.asked
    assert second == {**first}
    await page.reload()
    await expect(said(page)).to_have_count(0)
    await say(page, "otra")
    assert backend.asked[2]["session_id"] == SESSION
    never.set()


async def test_a_new_conversation_forgets_the_unanswered_message(
    open_page: Open, backend: ScriptedBackend
) -> None:
    never = asyncio.Event()
    backend.will_answer(stream(*_words("a me"), never))
    page = await open_page()
    await _send(page, "hola")
    await expect(page.locator("#live .said")).to_have_text("a me")
    await page.get_by_role("button", name="Nueva conversación").click()
    await expect(page.locator("#log article")).to_have_count(0)
    await expect(page.locator("#waiting")).to_be_hidden()
    await page.reload()
    await expect(said(page)).to_have_count(0)
    assert len(backend.asked) == 1
    never.set()
