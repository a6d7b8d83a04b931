"""The page as it is seen and heard: languages, steps, mailbox, width, contrast, keyboard."""

import asyncio

import pytest
from playwright.async_api import expect

from .backend import TOKEN, ScriptedBackend, asks, letter, problem, step, turn
from .chat import Open, say, settled

pytestmark = pytest.mark.asyncio(loop_scope="package")

PEOPLE = {"name": "Ana López", "email": "ana@example.com"}


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
        const box = (name) => document.querySelector(name).getBoundingClientRect();
        const [mail, chat] = [box("#mail"), box("main")];
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
