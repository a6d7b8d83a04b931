"""The chat page in a real browser, against scripted answers."""

import asyncio
import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from .backend import SESSION, TOKEN, Answer, ScriptedBackend, asks, in_words, letter, problem, step, turn
from .conftest import Open

pytestmark = pytest.mark.asyncio(loop_scope="package")

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> pa\u202egnp.exe'
PEOPLE = {"name": "Ana López", "email": "ana@example.com"}


async def say(page: Page, text: str) -> None:
    """Write, Enter, and wait for the end of the turn."""
    await page.fill("#message", text)
    await page.press("#message", "Enter")
    await settled(page)


async def settled(page: Page) -> None:
    await expect(page.locator("#waiting")).to_be_hidden()


def said(page: Page) -> Locator:
    return page.locator("#log article .said")


async def disabled(card: Locator) -> bool:
    return await card.locator("button:disabled").count() == 2


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


@pytest.mark.parametrize(
    ("locale", "language", "field", "greeting"),
    [
        ("es-AR", "es", "Tu mensaje", "¿En qué te ayudo?"),
        ("en-GB", "en", "Your message", "How can I help?"),
        ("pt-BR", "pt", "Sua mensagem", "Como posso ajudar?"),
        ("de-DE", "en", "Your message", "How can I help?"),
    ],
)
async def test_the_page_speaks_the_browsers_language_or_english(
    open_page: Open, locale: str, language: str, field: str, greeting: str
) -> None:
    page = await open_page(locale=locale)
    await expect(page.get_by_role("textbox", name=field)).to_be_focused()
    await expect(page.get_by_text(greeting)).to_be_visible()
    assert await page.get_attribute("html", "lang") == language


async def test_the_chosen_language_is_kept_and_told_to_the_server(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(turn("Olá!"))
    page = await open_page(locale="es-AR")
    await page.get_by_label("Idioma").select_option("pt")
    await expect(page.get_by_role("button", name="Nova conversa")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("button", name="Nova conversa")).to_be_visible()
    await say(page, "oi")
    assert backend.asked[0]["locale"] == "pt"


async def test_a_card_shows_every_argument_and_its_button_confirms_as_the_users_own_message(
    open_page: Open, backend: ScriptedBackend
) -> None:
    waits = asks(PEOPLE | {"age": 41, "tags": ["a", None, True], "note": ""})
    backend.will_answer(turn("Decime si está bien.", waits), turn("Listo.", status="executed"))
    page = await open_page()
    await say(page, "registrame")
    card = page.locator(".card")
    await expect(card).to_contain_text("Registrar a Ana López")
    await expect(card).to_contain_text("register_customer")
    await expect(card).to_contain_text("Vence")
    names, values = await card.locator("dt").all_inner_texts(), await card.locator("dd").all_inner_texts()
    assert dict(zip(names, map(json.loads, values), strict=True)) == waits["args"]
    await card.get_by_role("button", name="Confirmar").click()
    await settled(page)
    assert backend.messages == ["registrame", f"confirm {TOKEN}"]
    assert backend.asked[1]["session_id"] == SESSION
    assert await said(page).all_inner_texts() == [
        "registrame",
        "Decime si está bien.",
        f"confirm {TOKEN}",
        "Listo.",
    ]
    await expect(card).to_contain_text("Confirmación enviada")
    assert await disabled(card)


async def test_a_card_can_be_cancelled_and_a_typed_verb_closes_it_too(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(
        turn("a", asks({})), turn("Cancelado."), turn("b", asks({}, token="AB12CD34")), turn("Listo.")
    )
    page = await open_page()
    await say(page, "uno")
    await page.get_by_role("button", name="Cancelar").click()
    await settled(page)
    await say(page, "dos")
    await say(page, "Confirmar ab12-cd34")
    assert backend.messages == ["uno", f"cancel {TOKEN}", "dos", "Confirmar ab12-cd34"]
    states = await page.locator(".card .state").all_inner_texts()
    assert states == ["Cancelación enviada", "Confirmación enviada"]


async def test_a_card_loses_its_buttons_when_it_expires(open_page: Open, backend: ScriptedBackend) -> None:
    backend.will_answer(turn("a", asks(PEOPLE)))
    page = await open_page()
    await page.clock.install(time=datetime.now(UTC))
    await page.reload()
    await say(page, "registrame")
    await page.clock.fast_forward(timedelta(minutes=9) // timedelta(milliseconds=1))
    await expect(page.get_by_role("button", name="Confirmar")).to_be_enabled()
    await page.clock.fast_forward(timedelta(minutes=1, seconds=2) // timedelta(milliseconds=1))
    await expect(page.locator(".card .state")).to_have_text("Venció")
    assert await disabled(page.locator(".card"))


async def test_expiry_is_counted_on_the_servers_clock(open_page: Open, backend: ScriptedBackend) -> None:
    backend.will_answer(turn("a", asks(PEOPLE)))
    page = await open_page()
    await page.clock.install(time=datetime.now(UTC) + timedelta(hours=5))
    await page.reload()
    await say(page, "registrame")
    await expect(page.get_by_role("button", name="Confirmar")).to_be_enabled()


async def test_a_write_that_another_person_decides_has_no_buttons(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(turn("Lo decide otra persona.", asks(PEOPLE, token=None, approver="billing")))
    page = await open_page()
    await say(page, "devolveme la plata")
    await expect(page.get_by_text("Lo decide otra persona.")).to_be_visible()
    await expect(page.locator(".card")).to_have_count(0)


async def test_the_servers_card_in_words_is_not_repeated_when_the_shown_card_says_it_all(
    open_page: Open, backend: ScriptedBackend
) -> None:
    waits = asks(PEOPLE | {"address": {"street": "Corrientes 1234", "tags": ["a", 2]}})
    words = in_words(waits, origins={"email": "tool:s1"})
    backend.will_answer(turn(f"Encontré esto.\n\n{words}\n\nHay más.", waits))
    page = await open_page()
    await say(page, "registrame")
    assert (await said(page).all_inner_texts())[1] == "Encontré esto.\n\nHay más."
    await expect(page.locator(".card h2")).to_have_text("Necesito tu confirmación: Registrar cliente")
    await expect(page.locator(".card")).to_contain_text(f"confirm {TOKEN}")
    await expect(page.locator(".card dl div", has_text="email")).to_contain_text("salió de una herramienta")


@pytest.mark.parametrize(
    "change",
    [("López", "Lopes"), ("  • email", "  • e-mail"), (TOKEN, "AB12CD34"), ("\nVence", "\n¡Ojo!\nVence")],
)
async def test_a_card_in_words_that_says_anything_else_is_shown_whole(
    open_page: Open, backend: ScriptedBackend, change: tuple[str, str]
) -> None:
    waits = asks(PEOPLE)
    words = in_words(waits).replace(*change)
    backend.will_answer(turn(words, waits))
    page = await open_page()
    await say(page, "registrame")
    assert (await said(page).all_inner_texts())[1] == words


async def test_numbers_of_a_card_stand_as_they_came(open_page: Open, backend: ScriptedBackend) -> None:
    exact = '{"account": 12345678901234567890, "amount": 1.0, "rate": 1e-7}'
    body = turn("a", asks({"account": 0})).text.replace('{"account": 0}', exact)
    backend.will_answer(Answer(body))
    page = await open_page()
    await say(page, "transferí")
    assert await page.locator(".card dd").all_inner_texts() == ["12345678901234567890", "1.0", "1e-7"]


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
    await page.clock.install()
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
    await expect(page.get_by_text("El mensaje es demasiado largo")).to_be_visible()
    await say(page, "😀" * 8000)
    assert [len(message) for message in backend.messages] == [8000]


async def test_steps_are_folded_away_with_tool_status_and_time(
    open_page: Open, backend: ScriptedBackend
) -> None:
    steps = [step("get_order_status", "ok", 14), step("get_customer", "error", 250, "no hay tal cliente")]
    backend.will_answer(turn("Está en camino.", steps=steps))
    page = await open_page()
    await say(page, "¿mi pedido?")
    await expect(page.get_by_text("get_order_status")).to_be_hidden()
    await page.get_by_text("Pasos").click()
    rows = await page.locator(".steps li").all_inner_texts()
    assert [" ".join(row.split()) for row in rows] == [
        "get_order_status listo 14 ms",
        "get_customer error 250 ms no hay tal cliente",
    ]


async def test_mail_is_shown_after_the_turn_that_wrote_it(open_page: Open, backend: ScriptedBackend) -> None:
    backend.will_answer(turn("Te mandé un código."), turn("Nada más."))
    backend.mail = [letter("m1", "Bienvenida", "Hola.")]
    page = await open_page()
    mailbox = page.get_by_role("complementary", name="Correo local")
    await expect(mailbox).to_contain_text("Bienvenida")
    await expect(mailbox.get_by_text("Hola.")).to_be_hidden()
    backend.mail.append(letter("m2", "Tu código", "Es 123456.\nVence pronto.", minute=5))
    await say(page, "registrame")
    await expect(mailbox.get_by_text("Es 123456.\nVence pronto.")).to_be_visible()
    await expect(mailbox).to_contain_text("ana@example.com")
    assert await mailbox.locator(".subject").all_inner_texts() == ["Tu código", "Bienvenida"]
    await mailbox.get_by_text("Tu código").click()
    await say(page, "gracias")
    await expect(mailbox.get_by_text("Es 123456.")).to_be_hidden()


async def test_where_there_is_no_mailbox_nothing_of_it_shows(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(turn("a"), turn("b"))
    page = await open_page()
    await say(page, "uno")
    await say(page, "dos")
    await expect(page.locator("#mail")).to_be_hidden()
    assert backend.visited.count("/page-mail") == 1


async def test_hostile_text_shows_as_text(open_page: Open, backend: ScriptedBackend) -> None:
    waits = asks({"note": HOSTILE, "p\u0430ypal": "p\u0430ypal\u200b"}, summary=HOSTILE, tool=HOSTILE)
    steps = [step(HOSTILE, HOSTILE, error=HOSTILE)]
    backend.mail = [letter("m1", HOSTILE, HOSTILE)]
    backend.will_answer(turn(HOSTILE, waits, steps=steps), problem(500, "x", HOSTILE))
    page = await open_page()
    await say(page, HOSTILE)
    await say(page, "otra")
    visible = HOSTILE.replace("\u202e", "\\u202e")
    texts = await said(page).all_inner_texts()
    assert texts == [visible, visible, "otra"]
    await expect(page.get_by_role("alert")).to_contain_text(visible)
    await expect(page.locator(".card .summary")).to_have_text(visible)
    assert await page.locator(".card dt").all_inner_texts() == ["note", "p\\u0430ypal"]
    assert await page.locator(".card dd").all_inner_texts() == [
        json.dumps(HOSTILE, ensure_ascii=False).replace("\u202e", "\\u202e"),
        '"p\\u0430ypal\\u200b"',
    ]
    await expect(page.locator("#letters .subject")).to_have_text(visible)
    assert await page.locator("main img, main script, aside img, aside script").count() == 0
    assert await page.evaluate("window.hacked") is None


async def test_the_policy_stops_what_is_inline_or_elsewhere_and_the_tests_would_notice(
    browser: Browser, backend: ScriptedBackend
) -> None:
    complaints: list[str] = []
    page = await browser.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    await page.goto(backend.url)
    await page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.hacked = 1";
            const image = document.createElement("img");
            image.src = "http://127.0.0.1:9/x.png";
            document.body.append(script, image);
        }"""
    )
    assert await page.evaluate("window.hacked") is None
    assert len([text for text in complaints if "Content Security Policy" in text]) == 2
    await page.close()


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


LOW_CONTRAST = """() => {
    const parts = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const color = parts(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] === 1) return color;
        }
        return [255, 255, 255];
    };
    const seen = new Set();
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        const blank = !walker.currentNode.data.trim();
        if (blank || !element.checkVisibility() || element.closest(":disabled")) continue;
        const [one, other] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
        const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
        if (ratio < 4.5) seen.add(`${ratio.toFixed(2)} ${walker.currentNode.data}`);
    }
    return Array.from(seen);
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
async def test_everything_fits_can_be_touched_and_can_be_read(
    open_page: Open, backend: ScriptedBackend, width: int, dark: bool
) -> None:
    waits = asks(PEOPLE | {"note": "w" * 300})
    backend.mail = [letter("m1", "Tu código", "https://example.com/" + "x" * 200)]
    steps = [
        step("a_tool_with_quite_a_long_name_that_does_not_end_soon", "error", 8000, "no hay tal cliente")
    ]
    backend.will_answer(turn("x" * 300, waits, steps=steps), problem(500, "internal_error", "Internal error"))
    page = await open_page(width=width, dark=dark)
    await say(page, "y" * 200)
    await say(page, "otra")
    await page.get_by_text("Pasos").click()
    wide, tall = await page.evaluate(
        "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    )
    assert (wide, tall) == (width, 800)
    assert await page.evaluate(
        "document.getElementById('log').scrollWidth <= document.getElementById('log').clientWidth"
    )
    for name in ("Confirmar", "Cancelar", "Reintentar", "Nueva conversación", "Enviar"):
        box = await page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["height"] >= 40
        assert 0 <= box["x"] < box["x"] + box["width"] <= width
    assert await page.evaluate(LOW_CONTRAST) == []


async def test_the_mailbox_stands_beside_the_chat_where_there_is_room(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.mail = []
    edges = """() => {
        const [mail, chat] = ["#mail", "main"].map((name) => document.querySelector(name).getBoundingClientRect());
        return [mail.bottom <= chat.top, chat.right <= mail.left];
    }"""
    for width, sides in ((390, [True, False]), (1280, [False, True])):
        page = await open_page(width=width)
        await expect(page.locator("#mail")).to_be_visible()
        assert await page.evaluate(edges) == sides


async def test_the_newest_message_stays_in_sight(open_page: Open, backend: ScriptedBackend) -> None:
    held = asyncio.Event()
    backend.will_answer(*[turn(f"respuesta {number}\n" * 4) for number in range(6)], turn("fin", held=held))
    page = await open_page(width=390)
    for number in range(6):
        await say(page, f"mensaje {number}")
    await page.fill("#message", "el último")
    await page.press("#message", "Enter")
    await page.fill("#message", "uno\ndos\ntres\ncuatro")
    await expect(page.get_by_text("el último")).to_be_in_viewport(ratio=1)
    held.set()
    await expect(page.get_by_text("fin", exact=True)).to_be_in_viewport(ratio=1)


async def test_a_keyboard_and_a_screen_reader_find_their_way(
    open_page: Open, backend: ScriptedBackend
) -> None:
    backend.will_answer(turn("a", asks(PEOPLE)), turn("Listo."))
    page = await open_page()
    log = page.get_by_role("log", name="Conversación")
    assert await log.get_attribute("aria-live") == "polite"
    await say(page, "registrame")
    assert await page.get_by_role("group", name="Registrar a Ana López").count() == 1
    assert await log.get_by_text("Asistente").count() == 1
    await expect(page.get_by_role("link", name="API")).to_have_attribute("href", "docs")
    await page.get_by_role("button", name="Confirmar").focus()
    await page.keyboard.press("Enter")
    await settled(page)
    await expect(log).to_be_focused()
    assert backend.messages[-1] == f"confirm {TOKEN}"
