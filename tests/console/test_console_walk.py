"""The console in a real browser, in Spanish: every page looked at and every action done, on a laptop and a phone.

`CONSOLE_PICTURES=folder` keeps the pictures; `console-*.png` among them are the README's.
"""

import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import expect

from ..browser.chat import Watch, launched
from .conftest import PASSWORD, ServeConsole, add_operator
from .walk import Walk, receiving, seed, settings, until

VIEWS = {"desktop": (1280, 800), "phone": (390, 844)}
CHAT = "¿dónde está mi pedido A-1234? mostrame auriculares y registrame, soy Lucía Díaz, lucia@example.com"


@asynccontextmanager
async def walking(serve: ServeConsole, folder: Path, view: str) -> AsyncIterator[Walk]:
    width, height = VIEWS[view]
    watch = Watch()
    async with receiving() as (receiver, url), launched() as browser:
        client = await serve(**settings(url))
        await add_operator(client, "ana", "admin")
        await add_operator(client, "bruno", "finanzas")
        await seed(client)
        context = await browser.new_context(
            locale="es-AR",
            viewport={"width": width, "height": height},
            has_touch=view == "phone",
            reduced_motion="reduce",
        )
        context.set_default_timeout(10_000)
        page = await context.new_page()
        watch.over(page)
        walk = Walk(client, receiver, page, folder, view, view == "desktop")
        yield walk
        assert walk.grave == []
        watch.assert_quiet(client.url)


@pytest.mark.parametrize("view", VIEWS)
async def test_a_day_of_operation_is_run_from_the_console(
    serve_console: ServeConsole, tmp_path: Path, view: str
) -> None:
    folder = Path(os.environ.get("CONSOLE_PICTURES") or tmp_path)
    async with walking(serve_console, folder, view) as walk:
        await enters(walk, "ana")
        await talks(walk)
        await decides(walk)
        await answers_in_person(walk)
        await delivers(walk)
        await settles(walk)
        await tries_a_tool(walk)
        await reads_the_audit(walk)
        await erases(walk)
        await walk.go("/health")
        await walk.told("Demora del modelo")
        await expect(walk.page.locator("svg.chart").first).to_be_visible()
        await walk.look("health")
        await walk.portrait("health")
        await walk.follow(walk.button("Salir", "header"))
        await walk.go("/sessions")
        assert walk.path == "/console/login"


async def enters(walk: Walk, name: str) -> None:
    await walk.go("/approvals")
    assert walk.path == "/console/login"
    await walk.look("login")
    await walk.write("Nombre", name)
    await walk.write("Contraseña", "not it")
    await walk.follow(walk.button("Entrar"))
    await walk.told("no van juntos")
    await walk.write("Contraseña", PASSWORD)
    await walk.follow(walk.button("Entrar"))
    await walk.page.wait_for_url("**/console/approvals")
    assert (await walk.audited("logged_in", name)) is not None


async def talks(walk: Walk) -> None:
    page = walk.page
    await walk.go("/chat")
    await walk.look("chat-empty")
    await page.get_by_label("Mensaje").fill(CHAT)
    await page.keyboard.press("Enter")
    await walk.told("Necesita tu confirmación")
    await expect(page.locator("svg.graph")).to_be_visible()
    await walk.look("chat")
    await walk.portrait("chat")
    await page.locator(".inspector details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
    await walk.told("Prompt exacto")
    await walk.look("chat-inside")
    await walk.follow(page.get_by_role("button", name="Confirmar Registrar a Lucía Díaz"))
    await walk.told("Lucía Díaz quedó registrado")
    assert await walk.client.rows("SELECT name FROM customers WHERE email = 'lucia@example.com'")
    await walk.look("chat-done")


async def decides(walk: Walk) -> None:
    page = walk.page
    await walk.go("/approvals")
    await walk.told("Se actualiza sola.")
    await walk.look("approvals")
    await walk.follow(page.get_by_role("link", name="Devolver 480.00 USD"))
    await walk.told("hace falta el rol finanzas")
    await walk.write("Motivo para la persona", "Ese pedido salió ayer")
    await walk.look("approval")
    await walk.follow(walk.button("Rechazar"))
    await walk.told("Rechazada.")
    row = await walk.row(
        "SELECT state, decided_by, reason FROM pending_confirmations WHERE summary LIKE '%480.00%'"
    )
    assert tuple(row) == ("rejected", "ana", "Ese pedido salió ayer")

    await walk.go("/approvals")
    await walk.follow(page.get_by_role("link", name="Devolver 45.50 USD"))
    await walk.press(page.locator("summary", has_text="Crea una nueva"))
    await walk.write("Importe", "40")
    await walk.look("approval-edit")
    await walk.follow(walk.button("Corregir"))
    await walk.told("Corregida: esta es la nueva")
    edited = walk.path.removeprefix("/console")
    row = await walk.row("SELECT state, edited_by FROM pending_confirmations WHERE summary LIKE '%40.00%'")
    assert tuple(row) == ("pending", "ana")

    await walk.follow(walk.button("Salir", "header"))
    await enters(walk, "bruno")
    await walk.go(edited)
    await walk.look("approval-billing")
    await walk.portrait("approval")
    await walk.follow(walk.button("Aprobar"))
    await walk.told("DEV-4471")
    row = await walk.row("SELECT state, decided_by FROM pending_confirmations WHERE summary LIKE '%40.00%'")
    assert tuple(row) == ("executed", "bruno")
    await walk.look("approval-done")
    await walk.go("/approvals?status=decided")
    await walk.told("bruno")
    await walk.look("approvals-decided")
    await walk.follow(walk.button("Salir", "header"))
    await enters(walk, "ana")


async def answers_in_person(walk: Walk) -> None:
    page = walk.page
    await walk.go("/sessions")
    await walk.look("sessions")
    await walk.write("Persona, etiqueta", "eva")
    await walk.follow(walk.button("Buscar"))
    await walk.follow(page.get_by_role("link", name="anon:eva"))
    await walk.told("Ana López quedó registrado")
    await walk.follow(walk.button("Contestar yo"))
    await walk.told("Ahora contestás vos.")
    assert (await walk.row("SELECT handed_to FROM sessions WHERE label = 'eva'")).handed_to == "ana"
    await walk.write("Mensaje para la persona", "Hola, soy Ana. Ya lo miro.")
    await walk.look("session")
    await walk.follow(walk.button("Escribirle"))
    await walk.told("Enviado.")
    assert (await walk.client.say("¿hola?", "eva"))["reply"] == "Hola, soy Ana. Ya lo miro."
    file = json.loads(await walk.saved(walk.button("Descargar todo (JSON)")))
    assert "Ya lo miro" in json.dumps(file, ensure_ascii=False)
    await walk.follow(walk.button("Devolver al agente"))
    await walk.told("Vuelve a contestar el agente.")
    assert (await walk.row("SELECT handed_to FROM sessions WHERE label = 'eva'")).handed_to is None
    await walk.follow(page.get_by_role("link", name="Ver por dentro").first)
    await walk.told("Auditoría de este turno")
    await walk.look("turn")


async def delivers(walk: Walk) -> None:
    page = walk.page
    await walk.go("/deliveries")
    await walk.look("deliveries")
    await walk.follow(page.get_by_role("link", name="Tu código").first)
    text = await page.locator("main pre").inner_text()
    assert re.search(r"Tu código es \d{6}", text)
    await walk.look("delivery-mail")

    await walk.go("/deliveries?state=dead")
    rows = page.locator("main .rows a")
    await expect(rows).to_have_count(2)
    await walk.follow(rows.first)
    await walk.look("delivery-dead")
    walk.receiver.closed = False
    await walk.follow(walk.button("Reintentar"))
    await walk.told("En cola de nuevo.")
    await until(walk.client, "SELECT id FROM outbox WHERE kind = 'reply' AND state = 'delivered'")
    assert walk.receiver.took == ["Abrimos a las 9."]
    await walk.go("/deliveries?state=dead")
    await walk.follow(rows.first)
    await walk.follow(walk.button("Llegó"))
    await walk.told("Anotado.")
    assert await walk.client.rows("SELECT id FROM outbox WHERE state = 'dead'") == []
    assert await walk.audited("delivery_settled")


async def settles(walk: Walk) -> None:
    page = walk.page
    await walk.go("/doubts")
    await walk.look("doubts")
    for order, said, state in (("B-77", "Se hizo", "ok"), ("C-9", "No se hizo", "failed")):
        await walk.go("/doubts")
        await walk.follow(page.get_by_role("link", name=f"Cancelar el pedido {order}"))
        await walk.write("Cómo lo sabés", "Lo vi en el depósito")
        await walk.look(f"doubt-{state}")
        await walk.follow(walk.button(said))
        await walk.told("Anotado; se le avisó a la persona.")
        row = await walk.row(
            "SELECT state, settled_by FROM tool_runs WHERE id = :i", i=walk.path.rpartition("/")[2]
        )
        assert tuple(row) == (state, "ana")
    await walk.go("/doubts?all=1")
    await walk.told("Cancelar el pedido C-9")
    await walk.look("doubts-journal")


async def tries_a_tool(walk: Walk) -> None:
    page = walk.page
    await walk.go("/tools")
    await walk.look("tools")
    await walk.follow(page.get_by_role("link", name="Estado del pedido"))
    await walk.write("Order number", "A-1234")
    await walk.look("tool")
    await walk.follow(walk.button("Probar"))
    await walk.told("A-1234")
    await walk.told("Qué dio")
    assert (await walk.audited("tool_tried"))["tool"] == "get_order_status"
    await walk.look("tool-tried")
    await walk.go("/tools/refund")
    await walk.told("finanzas")
    await expect(walk.button("Probar")).to_have_count(0)
    await walk.look("tool-write")


async def reads_the_audit(walk: Walk) -> None:
    page = walk.page
    await walk.go("/audit")
    await walk.look("audit")
    await walk.write("Qué pasó", "session_taken")
    await walk.follow(walk.button("Filtrar"))
    await expect(page.locator("main .rows > li")).to_have_count(1)
    lines = (await walk.saved(walk.button("Descargar (JSONL)"))).splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["session_taken"]
    await walk.go("/audit?kind=received")
    await walk.follow(page.get_by_role("link", name="Seguir este mensaje").first)
    await walk.told("received")
    await walk.look("audit-followed")
    await walk.follow(walk.button("Verificar todas las cadenas"))
    await walk.told("intactas.")
    await walk.look("verified")


async def erases(walk: Walk) -> None:
    await walk.go("/sessions?q=rosa")
    await walk.follow(walk.page.get_by_role("link", name="anon:rosa"))
    await walk.press(walk.page.locator("summary", has_text="Borrar para siempre"))
    await walk.write("Escribí el nombre", "anon:rosa")
    await walk.look("session-erase")
    await walk.follow(walk.button("Borrar para siempre"))
    await walk.told("Borrado.")
    left = await walk.client.rows("SELECT text FROM messages WHERE text LIKE '%llegó roto%'")
    assert left == []
    await walk.go("/audit")
    await walk.follow(walk.button("Verificar todas las cadenas"))
    await walk.told("intactas.")
