"""What the browser tests share: a Chromium, a watch over what the page does unasked, and a user's hands."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, async_playwright, expect

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
