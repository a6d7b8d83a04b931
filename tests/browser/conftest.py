"""Fixtures: a Chromium, the scripted backend, and a page that may not complain or call anybody else."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright

from .backend import ScriptedBackend

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)
HINT = "No Chromium was found; on Debian: sudo apt-get install chromium"
LOAD_FAILED = "Failed to load resource"
"""What the browser itself notes about each answer above 399, scripted ones too."""


def chromium() -> str | None:
    """The browser's executable, on the PATH or where its installer puts it."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    return found or next((place for place in PLACES if Path(place).exists()), None)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A browser. Without one on this machine the test is skipped, and fails where CI says that it is CI."""
    executable = chromium()
    if executable is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(HINT)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of the scripted page."""
    async with launched() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="package")
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with ScriptedBackend().serving() as served:
        yield served


@dataclass(slots=True)
class Watch:
    """What a page did besides what was asked of it."""

    complaints: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def over(self, page: Page) -> None:
        def note(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and not message.text.startswith(LOAD_FAILED):
                self.complaints.append(message.text)

        def called(request: Request) -> None:
            if not request.url.startswith("data:"):
                self.hosts.add(urlsplit(request.url).netloc)

        page.on("console", note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", called)

    def assert_quiet(self, url: str) -> None:
        """Nothing on the console, no broken policy, and no word to anybody but the page's own server."""
        assert self.complaints == []
        assert self.hosts <= {urlsplit(url).netloc}


Open = Callable[..., Awaitable[Page]]


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
