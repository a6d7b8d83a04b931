"""A real browser over pages that are full of foreign text: nothing runs, and the policy had nothing to stop."""

from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from playwright.async_api import Browser

from ..console.conftest import Person as Guest
from ..console.conftest import add_operator
from ..console.test_console_injection import EVIL, addresses, stored
from ..harness import sqlite_servers

LISTEN = """
window.hits = 0; window.hit = () => { window.hits += 1; };
window.refused = [];
addEventListener("securitypolicyviolation", (event) => refused.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
PROBE = """() => { const made = document.createElement("div"); made.innerHTML = '<img src="x" onerror="hit()">';
document.body.append(made); return new Promise((done) => setTimeout(() => done(refused), 100)); }"""


@pytest.mark.asyncio(loop_scope="package")
async def test_nothing_that_anybody_wrote_runs_in_a_browser(
    browser: Browser, tmp_path: Path, sqlite_template: Path
) -> None:
    async with sqlite_servers(sqlite_template, tmp_path) as start:
        client = await stored(start)
        await add_operator(client, "ada", "admin")
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
            guest = Guest(client, http)
            assert (await guest.log_in("ada")).status == 200
            cookies = [
                {"name": cookie.key, "value": cookie.value, "domain": "127.0.0.1", "path": "/console"}
                for cookie in http.cookie_jar
            ]
        context = await browser.new_context()
        await context.add_cookies(cookies)  # type: ignore[arg-type]
        await context.add_init_script(LISTEN)
        page = await context.new_page()
        paths = [
            path for method, path in await addresses(client, 2) if method == "GET" and "static" not in path
        ]
        paths += [f"/console/{where}={quote(EVIL)}" for where in ("sessions?q", "audit?actor", "login?next")]
        for path in paths:
            await page.goto(client.url + path)
            assert await page.evaluate("[hits, refused.length]") == [0, 0], path
        assert "script-src" in str(await page.evaluate(PROBE))
        assert await page.evaluate("hits") == 0
        await context.close()
