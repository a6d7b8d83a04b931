"""What the walk through the console needs: a day's rows made by real turns, and a person at a browser."""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from playwright.async_api import Locator, Page, expect
from pydantic import BaseModel, Field

from app.tools import TOOLS as SHOP
from llm_planner import Tool, ToolContext
from llm_planner.llm.scripted import ScriptedModel

from ..harness import Client
from ..tools import plan

SECRET = "a-webhook-secret-for-the-tests"
AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
GRAVE = ("serious", "critical")
_RUN_AXE = """async (only) => {
    const options = only.length ? { runOnly: { type: "rule", values: only } } : {};
    const { violations } = await axe.run(document, { resultTypes: ["violations"], ...options });
    return violations.map((v) => [v.impact, v.id, v.nodes.map((node) => node.target.join(" ")).join(", ")]);
}"""
_FOCUSED = """(target) => {
    const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    const seen = at === document.body || (outlined && box.bottom > 0 && box.top < innerHeight);
    return [at === target, seen ? "" : `${at.tagName} ${at.id} ${at.innerText ?? ""}`];
}"""


class RefundInput(BaseModel):
    order_id: str = Field(title="Pedido", description="Número del pedido", max_length=40)
    amount: float = Field(title="Importe", description="En dólares", gt=0, le=500)
    why: str = Field("", title="Por qué", max_length=400)


class Refund(Tool):
    """A write that the role finanzas decides."""

    name = "refund"
    title = "Devolver dinero"
    description = "Pay an order back, in whole or in part."
    input_model = RefundInput
    write = True
    approver = "finanzas"

    async def run(self, args: RefundInput, ctx: ToolContext) -> dict[str, object]:
        return {"order_id": args.order_id, "amount": args.amount, "reference": "DEV-4471"}

    def summary(self, args: RefundInput, locale: str) -> str:
        return f"Devolver {args.amount:.2f} USD del pedido {args.order_id}"


class CancelInput(BaseModel):
    order_id: str = Field(title="Pedido", max_length=40)


class CancelOrder(Tool):
    """A write whose answer gets lost."""

    name = "cancel_order"
    title = "Cancelar pedido"
    description = "Cancel an order that has not left yet."
    input_model = CancelInput
    write = True
    timeout_s = 0.5

    async def run(self, args: CancelInput, ctx: ToolContext) -> dict[str, object]:
        raise ConnectionResetError("the connection was reset after the write left")

    def summary(self, args: CancelInput, locale: str) -> str:
        return f"Cancelar el pedido {args.order_id}"


TOOLS: list[type[Tool]] = [*SHOP, Refund, CancelOrder]
ANA = {"name": "Ana López", "email": "ana@example.com"}
SCRIPT = [
    plan(("get_order_status", {"order_id": "A-1234"})),
    plan(("register_customer", {"name": "Juan Pérez", "email": "juan@example.com"})),
    plan(("refund", {"order_id": "A-1234", "amount": 45.5, "why": "llegó roto"})),
    plan(("refund", {"order_id": "B-77", "amount": 480})),
    plan(("register_customer", ANA)),
    plan(("cancel_order", {"order_id": "B-77"})),
    plan(("cancel_order", {"order_id": "C-9"})),
    plan(reply="¡Hola! ¿En qué te ayudo?"),
    plan(reply="Abrimos a las 9."),
    plan(  # from here on, in the console's own chat
        ("get_order_status", {"order_id": "A-1234"}),
        ("search_products", {"query": "auriculares"}),
        ("register_customer", {"name": "Lucía Díaz", "email": "lucia@example.com"}),
    ),
]


class Receiver:
    """Where replies to webhooks are POSTed: takes none as long as `closed`."""

    def __init__(self) -> None:
        self.closed = True
        self.took: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        if self.closed:
            return web.Response(status=410)
        self.took.append((await request.json())["data"]["text"])
        return web.Response()


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Receiver, str]]:
    receiver, application = Receiver(), web.Application()
    application.router.add_post("/", receiver.answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield receiver, f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def settings(url: str) -> dict[str, Any]:
    """What `serve_console` needs for these rows: webhooks in, replies to `url` out."""
    return {
        "tools": TOOLS,
        "model": ScriptedModel(SCRIPT),
        "provider_hmac_secret": SECRET,
        "standard_webhooks_secret": SECRET,
        "generic_reply_url": url,
    }


async def seed(client: Client) -> None:
    """A day: answered, waiting for its user, for finanzas twice, executed with a letter, two in doubt, and two
    replies that their receiver refused."""
    await client.say("¿dónde está mi pedido A-1234?", "ana")
    await client.say("registrame, soy Juan Pérez, juan@example.com", "juan")
    await client.say("me llegó roto el pedido A-1234, quiero que me devuelvan 45.50", "rosa")
    await client.say("quiero la plata del pedido B-77", "pedro")
    for label, text in (
        ("eva", "registrame, soy Ana López, mi mail es ana@example.com"),
        ("luis", "cancelá el pedido B-77"),
        ("sol", "cancelá el pedido C-9"),
    ):
        token = (await client.say(text, label))["confirmations"][0]["token"]
        await client.say(f"confirmar {token}", label)
    await client.rows("UPDATE tool_runs SET deadline_at = started_at WHERE state = 'unknown'")
    for number, text in enumerate(("hola", "¿a qué hora abren?")):
        await webhook(client, f"m{number}", text)
        await until(client, "SELECT id FROM outbox WHERE state = 'dead'", number + 1)


async def webhook(client: Client, key: str, text: str) -> None:
    """One signed message of a person who writes through a provider."""
    body = json.dumps({"message_id": key, "from": "+59899000111", "text": text}).encode()
    stamp = str(int(time.time()))
    signature = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Provider-Timestamp": stamp,
        "X-Provider-Signature": f"sha256={signature}",
    }
    async with client.http.post(client.url + "/provider/inbound", data=body, headers=headers) as answer:
        assert answer.status == 202, await answer.text()


async def until(client: Client, sql: str, count: int = 1, **values: Any) -> list[Any]:
    """The rows, once there are so many."""
    for _ in range(1000):
        if len(found := await client.rows(sql, **values)) >= count:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"never {count} rows: {sql}")


@dataclass(slots=True)
class Walk:
    """A person at a browser, who works with the keyboard or with a finger; `view` names the pictures."""

    client: Client
    receiver: Receiver
    page: Page
    folder: Path
    view: str
    keyboard: bool
    grave: list[str] = field(default_factory=list)

    async def go(self, path: str) -> None:
        await self.page.goto(f"{self.client.url}/console{path}")

    async def look(self, name: str) -> None:
        """The page in light and dark: a picture of each, nothing wider than the window, nothing for axe to say."""
        wide = await self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if wide > 0:
            self.grave.append(f"{name}: {wide} px wider than the window")
        await self.page.evaluate(AXE)
        for scheme, only in (("light", []), ("dark", ["color-contrast"])):
            await self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            path = self.folder / f"{self.view}-{scheme}-{name}.png"
            await self.page.screenshot(path=path, full_page=True)
            found = await self.page.evaluate(_RUN_AXE, only)
            self.grave += [
                f"{name} {scheme}: {rule} at {where}" for impact, rule, where in found if impact in GRAVE
            ]
        await self.page.emulate_media(color_scheme="light")

    async def portrait(self, name: str) -> None:
        """What the window shows, for the README."""
        await self.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        phone = "-phone" if self.view == "phone" else ""
        await self.page.screenshot(path=self.folder / f"console-{name}{phone}.png")

    def button(self, name: str, within: str = "main") -> Locator:
        return self.page.locator(within).get_by_role("button", name=name, exact=True)

    async def press(self, target: Locator) -> None:
        """Press it with the keyboard alone, focus in sight all the way, or with a finger."""
        if not self.keyboard:
            await target.click()
            return
        await self.reach(target)
        await self.page.keyboard.press("Enter")

    async def follow(self, target: Locator) -> None:
        """Press it, and wait for the page that comes."""
        async with self.page.expect_navigation():
            await self.press(target)

    async def reach(self, target: Locator) -> None:
        """Tab until the target has the focus."""
        await expect(target).to_be_visible()
        element = await target.element_handle()
        for _ in range(400):
            await self.page.keyboard.press("Tab")
            reached, unseen = await element.evaluate(_FOCUSED)
            assert not unseen, f"no focus to be seen on {unseen}"
            if reached:
                return
        raise AssertionError(f"Tab never came to {target}")

    async def write(self, label: str, text: str, within: str = "main") -> None:
        await self.page.locator(within).get_by_label(label).fill(text)

    async def told(self, text: str) -> None:
        await expect(self.page.locator("main")).to_contain_text(text)

    async def saved(self, target: Locator) -> str:
        """The text of the file that pressing it gives."""
        async with self.page.expect_download() as coming:
            await self.press(target)
        path = await (await coming.value).path()
        return path.read_text("utf-8")

    async def row(self, sql: str, **values: Any) -> Any:
        (found,) = await self.client.rows(sql, **values)
        return found

    async def audited(self, kind: str, who: str = "ana") -> Mapping[str, Any]:
        """The newest audit row of this kind, by who did it."""
        sql = "SELECT payload FROM audit_events WHERE kind = :k AND actor = :a ORDER BY at DESC LIMIT 1"
        payload: dict[str, Any] = json.loads((await self.row(sql, k=kind, a=who)).payload or "{}")
        return payload

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path
