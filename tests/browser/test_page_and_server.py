"""The chat page on the real server: the main job with a mouse, from the greeting to the confirmed write."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import expect

from app.tools import TOOLS

from ..test_answer_stream import Dictating
from ..tools import Echo
from .chat import Watch, launched, said

Serve = Any


async def test_the_main_job_is_done_with_the_page_alone(serve: Serve) -> None:
    client = await serve(tools=TOOLS)
    watch = Watch()
    async with launched() as browser:
        page = await browser.new_page(locale="es-AR")
        watch.over(page)
        await page.goto(client.url + "/chat")

        async def say(text: str) -> str:
            await page.fill("#message", text)
            await page.press("#message", "Enter")
            await expect(page.locator("#waiting")).to_be_hidden(timeout=30_000)
            return await page.locator("#log article").last.inner_text()

        assert "hola" in (await say("hola")).lower()
        assert "A-1234" in await say("¿dónde está mi pedido A-1234?")
        await say("registrame, soy Ana López, mi mail es ana@example.com")
        card = page.locator(".card")
        assert sorted(await card.locator("dd").all_inner_texts()) == ['"Ana López"', '"ana@example.com"']
        await expect(page.locator("#log article").last.locator(".said")).to_have_count(0)
        assert await client.rows("SELECT * FROM customers") == []

        await card.get_by_role("button", name="Confirmar").click()
        await expect(page.locator("[data-status=executed]")).to_be_visible(timeout=30_000)
        assert [row.name for row in await client.rows("SELECT name FROM customers")] == ["Ana López"]

        letter = page.locator("#letters .said")
        code = re.search(r"\d{6}", await letter.inner_text())
        assert code is not None
        await say(f"mi código es {code.group()}, ana@example.com")
        assert "customer_verified" in (await client.rows("SELECT facts FROM sessions"))[0].facts
        watch.assert_quiet(client.url)


@pytest.mark.covers("http.stream")
async def test_a_streamed_turn_is_seen_and_a_reload_half_way_finds_it_finished(serve: Serve) -> None:
    half, end = asyncio.Event(), asyncio.Event()
    model = Dictating(["Tu ", "eco ", half, "dice ", end, "«a»."])
    client = await serve(tools=[Echo], model=model, answerer="on")
    watch = Watch()
    async with launched() as browser:
        page = await browser.new_page(locale="es-AR")
        watch.over(page)
        await page.goto(client.url + "/chat")
        await page.fill("#message", "eco")
        await page.press("#message", "Enter")
        await expect(page.locator("#live .steps li")).to_have_text(re.compile("echo"))
        await expect(page.locator("#live .said")).to_have_text("Tu eco")
        half.set()
        await expect(page.locator("#live .said")).to_have_text("Tu eco dice")
        await page.reload()
        end.set()
        await expect(said(page)).to_have_text(["eco", "Tu eco dice «a»."])
        watch.assert_quiet(client.url)
    assert model.streams == 1
    assert [row.status for row in await client.rows("SELECT status FROM turns")] == ["answered"]
