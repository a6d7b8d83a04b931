"""The page talks: messages, sessions, waiting, errors and tries again, against scripted answers."""

import asyncio
import uuid

import pytest
from playwright.async_api import expect

from .backend import SESSION, Answer, ScriptedBackend, asks, problem, turn
from .chat import Open, said, say, settled

pytestmark = pytest.mark.asyncio(loop_scope="package")

PEOPLE = {"name": "Ana López", "email": "ana@example.com"}


async def test_the_first_message_starts_a_session_and_the_next_one_goes_on_in_it(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(turn("¡Hola!\n¿En qué te ayudo?"), turn("Chau."))
    page = await open_page()
    await say(page, "hola")
    await say(page, "chau")
    first, second = backend.asked
    assert first.keys() == {"message", "message_id", "locale"}
    assert (first["message"], first["locale"]) == ("hola", "es-AR")
    assert uuid.UUID(first["message_id"]).version == 4
    assert second["session_id"] == SESSION
    assert second["message_id"] != first["message_id"]
    assert await said(page).all_inner_texts() == ["hola", "¡Hola!\n¿En qué te ayudo?", "chau", "Chau."]


async def test_a_session_outlives_a_reload_and_a_new_conversation_forgets_it(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(turn("uno"), turn("dos"), turn("tres"))
    page = await open_page()
    await say(page, "a")
    await page.reload()
    await expect(page.get_by_text("La conversación sigue")).to_be_visible()
    await say(page, "b")
    await page.get_by_role("button", name="Nueva conversación").click()
    await expect(said(page)).to_have_count(0)
    await expect(page.get_by_text("La conversación sigue")).to_have_count(0)
    await page.reload()
    await expect(page.get_by_text("La conversación sigue")).to_have_count(0)
    await say(page, "c")
    assert [body.get("session_id") for body in backend.asked] == [None, SESSION, None]


async def test_an_answer_that_comes_after_a_new_conversation_began_is_not_shown(
    open_page: Open, backend: ScriptedBackend
) -> None:
    held = asyncio.Event()
    backend.will_answer(turn("tarde", held=held), turn("nuevo", session_id="s_other"))
    page = await open_page()
    await page.fill("#message", "a")
    await page.press("#message", "Enter")
    await expect(page.locator("#waiting")).to_be_visible()
    await page.get_by_role("button", name="Nueva conversación").click()
    held.set()
    await say(page, "b")
    assert await said(page).all_inner_texts() == ["b", "nuevo"]
    assert await page.evaluate("sessionStorage.getItem('llm-planner.session')") == "s_other"


async def test_a_retry_of_a_conversation_that_was_left_does_not_end_the_wait_of_the_new_one(
    open_page: Open, backend: ScriptedBackend
) -> None:
    held = asyncio.Event()
    backend.will_answer(problem(503, "busy", "-", retry_after="5"), turn("nuevo", held=held))
    page = await open_page()
    await page.clock.install()
    await page.fill("#message", "a")
    await page.press("#message", "Enter")
    await expect(page.locator("#waiting")).to_contain_text("ocupado")
    await page.get_by_role("button", name="Nueva conversación").click()
    await page.fill("#message", "b")
    await page.press("#message", "Enter")
    await page.clock.fast_forward(6_000)
    await expect(page.locator("#waiting")).to_contain_text("Pensando")
    held.set()
    await settled(page)
    assert backend.messages == ["a", "b"]


async def test_an_error_is_told_and_tried_again_with_the_same_message_id(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(problem(422, "invalid_request", "locale: no such language"), turn("Ahora sí."))
    page = await open_page()
    await say(page, "hola")
    await expect(page.get_by_role("alert")).to_contain_text("locale: no such language")
    await page.get_by_role("button", name="Reintentar").click()
    await settled(page)
    assert backend.asked[0] == backend.asked[1]
    assert await said(page).all_inner_texts() == ["hola", "Ahora sí."]
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_connection_that_breaks_can_be_tried_again_with_the_same_message_id(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(Answer("{}", cut=True), Answer("<html>Bad gateway", 502), turn("Ahora sí."))
    page = await open_page()
    await say(page, "hola")
    await expect(page.get_by_role("alert")).to_contain_text("No se pudo hablar con el servidor.")
    await page.get_by_role("button", name="Reintentar").click()
    await expect(page.get_by_role("alert")).to_contain_text("HTTP 502")
    await page.get_by_role("button", name="Reintentar").click()
    await expect(page.get_by_text("Ahora sí.")).to_be_visible()
    assert len({body["message_id"] for body in backend.asked}) == 1


async def test_a_retry_after_another_session_began_stays_in_its_own(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(
        problem(500, "internal_error", "Internal error"),
        turn("dos"),
        turn("uno", asks(PEOPLE), session_id="s_first"),
        turn("hecho"),
    )
    page = await open_page()
    await say(page, "uno")
    await say(page, "dos")
    await page.get_by_role("button", name="Reintentar").click()
    await page.get_by_role("button", name="Confirmar").click()
    await settled(page)
    assert backend.asked[2] == backend.asked[0]
    assert backend.asked[3]["session_id"] == "s_first"


async def test_a_busy_server_is_asked_again_with_the_same_message_id(
    open_page: Open, backend: ScriptedBackend
) -> None:
    busy = problem(503, "busy", "the turn is still in progress", retry_after="0")
    backend.will_answer(busy, busy, turn("Ahora sí."))
    page = await open_page()
    await say(page, "hola")
    await expect(page.get_by_text("Ahora sí.")).to_be_visible()
    assert len(backend.asked) == 3
    assert backend.asked[0] == backend.asked[1] == backend.asked[2]


async def test_a_busy_server_is_asked_only_when_it_says_when_and_a_few_times(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(problem(503, "unavailable", "no room"))
    page = await open_page()
    await say(page, "hola")
    await expect(page.get_by_role("alert")).to_contain_text("no room")
    assert len(backend.asked) == 1
    backend.will_answer(*[problem(503, "busy", "still in progress", retry_after="0")] * 5)
    await page.get_by_role("button", name="Reintentar").click()
    await expect(page.get_by_role("alert")).to_contain_text("still in progress")
    assert len(backend.asked) == 6


async def test_the_pause_that_a_busy_server_asks_for_is_kept(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(problem(503, "busy", "-", retry_after="5"), turn("Ahora sí."))
    page = await open_page()
    await page.clock.install(time=0)
    await page.clock.pause_at(1_000)
    await page.fill("#message", "hola")
    await page.press("#message", "Enter")
    await expect(page.locator("#waiting")).to_contain_text("ocupado")
    await page.clock.fast_forward(4_900)
    assert len(backend.asked) == 1
    await page.clock.fast_forward(200)
    await expect(page.get_by_text("Ahora sí.")).to_be_visible()


async def test_a_session_that_the_server_no_longer_knows_is_left(
    open_page: Open, backend: ScriptedBackend
) -> None:
    gone = problem(404, "session_not_found", "there is no such session")
    backend.will_answer(turn("uno"), gone, turn("dos", session_id="s_new"), turn("tres"))
    page = await open_page()
    await say(page, "a")
    await say(page, "b")
    await page.get_by_role("button", name="Reintentar").click()
    await settled(page)
    await say(page, "c")
    assert [body.get("session_id") for body in backend.asked] == [None, SESSION, None, "s_new"]
    assert backend.asked[1]["message_id"] == backend.asked[2]["message_id"]


async def test_while_an_answer_is_awaited_one_can_write_but_not_send(
    open_page: Open, backend: ScriptedBackend
) -> None:
    held = asyncio.Event()
    backend.will_answer(turn("a", asks(PEOPLE)), turn("b", held=held), turn("c"))
    page = await open_page()
    await say(page, "uno")
    await page.fill("#message", "dos")
    await page.get_by_role("button", name="Enviar").click()
    await expect(page.locator("#waiting")).to_contain_text("Pensando")
    await page.fill("#message", "tres")
    await page.press("#message", "Enter")
    await expect(page.get_by_role("button", name="Enviar")).to_be_disabled()
    await expect(page.get_by_role("button", name="Confirmar")).to_be_disabled()
    assert backend.messages == ["uno", "dos"]
    held.set()
    await settled(page)
    await expect(page.get_by_role("button", name="Confirmar")).to_be_enabled()
    await expect(page.locator("#message")).to_have_value("tres")
    await page.press("#message", "Enter")
    await expect(page.get_by_text("c", exact=True)).to_be_visible()
    assert backend.messages == ["uno", "dos", "tres"]


async def test_shift_enter_begins_a_line_and_blank_messages_are_not_sent(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(turn("ok"))
    page = await open_page()
    await page.press("#message", "Enter")
    await page.keyboard.type("uno")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("dos")
    await page.keyboard.press("Enter")
    await settled(page)
    assert backend.messages == ["uno\ndos"]


async def test_a_message_holds_8000_characters_as_the_server_counts_them(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(turn("ok"))
    page = await open_page()
    await page.fill("#message", "😀" * 8001)
    await expect(page.get_by_role("button", name="Enviar")).to_be_disabled()
    await expect(page.get_by_text("Es demasiado largo")).to_be_visible()
    await say(page, "😀" * 8000)
    assert [len(message) for message in backend.messages] == [8000]


async def test_ids_are_made_without_a_secure_context_too(open_page: Open, backend: ScriptedBackend) -> None:
    backend.will_answer(turn("ok"))
    page = await open_page(script="crypto.randomUUID = undefined;")
    await say(page, "hola")
    made = uuid.UUID(backend.asked[0]["message_id"])
    assert (made.version, made.variant) == (4, uuid.RFC_4122)


async def test_the_page_lives_without_storage(open_page: Open, backend: ScriptedBackend) -> None:
    backend.will_answer(turn("a"), turn("b"))
    page = await open_page(
        script="Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error() };"
    )
    await say(page, "uno")
    await say(page, "dos")
    assert backend.asked[1]["session_id"] == SESSION
