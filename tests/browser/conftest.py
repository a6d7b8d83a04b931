"""Fixtures: a browser, the scripted backend, and a page that may not complain or call anybody else."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page

from .backend import ScriptedBackend
from .chat import Open, Watch, launched


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of the scripted page."""
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="package")
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with ScriptedBackend().serving() as served:
        yield served


@pytest_asyncio.fixture(loop_scope="package")
async def open_page(browser: Browser, backend: ScriptedBackend) -> AsyncIterator[Open]:
    """`page = await open_page(locale="es-AR", width=390, dark=True)`: the chat page of the scripted backend.
    At the end it must have said nothing on the console and called nobody but its own server."""
    watch = Watch()
    async with AsyncExitStack() as stack:

        async def make(
            *, locale: str = "es-AR", width: int = 1280, dark: bool = False, script: str = ""
        ) -> Page:
            options: dict[str, Any] = {"locale": locale, "viewport": {"width": width, "height": 800}}
            context = await browser.new_context(**options, color_scheme="dark" if dark else "light")
            stack.push_async_callback(context.close)
            context.set_default_timeout(10_000)
            page = await context.new_page()
            watch.over(page)
            if script:
                await page.add_init_script(script)
            await page.goto(backend.url)
            return page

        yield make
    watch.assert_quiet(backend.url)
