"""The page asks: cards show exactly what will run, and hostile text stays text."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, expect

from .backend import SESSION, TOKEN, Answer, ScriptedBackend, asks, in_words, letter, problem, step, turn
from .chat import Open, disabled, said, say, settled

pytestmark = pytest.mark.asyncio(loop_scope="package")

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> pa\u202egnp.exe'
PEOPLE = {"name": "Ana López", "email": "ana@example.com"}


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
    [
        ("López", "Lopes"),
        ("  • email", "  • e-mail"),
        (TOKEN, "AB12CD34"),
        ("\nPara hacerlo", "\n¡Ojo!\nPara hacerlo"),
    ],
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


async def test_hostile_text_shows_as_text(open_page: Open, backend: ScriptedBackend) -> None:
    waits = asks(
        {"note": HOSTILE, "p\u0430ypal": "p\u0430ypal\u200b\ue000\u00a0"}, summary=HOSTILE, tool=HOSTILE
    )
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
        '"p\\u0430ypal\\u200b\\ue000\\u00a0"',
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
