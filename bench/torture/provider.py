"""The provider's side: signs webhooks and sends them until they are acknowledged; takes replies and counts them."""

import asyncio
import hashlib
import hmac
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from .house import OPERATOR_KEY, SECRET

PATIENCE_S = 20.0
"""How long the provider waits for an answer; then it sends the same again."""


@dataclass(slots=True)
class Heard:
    """What was acknowledged, and what came back. `refused` counts answers by status."""

    acknowledged: set[tuple[str, str]] = field(default_factory=set)
    deliveries: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    replies: list[tuple[str, str]] = field(default_factory=list)


class Provider:
    """One client and one receiver of replies."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.url = ""
        self.heard = Heard()
        self.deadly: dict[str, tuple[int, int]] = {}
        """Whom to kill when a reply arrives, before it is answered: {user: (which reply, process id)}."""

    @classmethod
    @asynccontextmanager
    async def serving(cls) -> "AsyncIterator[Provider]":
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        connector = aiohttp.TCPConnector(limit=0, force_close=False)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector) as http:
            made = cls(http)
            app = web.Application()
            app.router.add_post("/replies", made._take)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/replies"
            try:
                yield made
            finally:
                await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        data = (await request.json())["data"]
        user = data["reply_to"]
        self.heard.replies.append((user, request.headers["webhook-id"]))
        number, victim = self.deadly.get(user, (0, 0))
        if number == len({name.partition(".")[0] for who, name in self.heard.replies if who == user}):
            del self.deadly[user]
            os.kill(victim, signal.SIGKILL)
        return web.Response(status=202)

    def forget(self) -> None:
        self.heard = Heard()
        self.deadly.clear()

    async def say(self, url: str, user: str, message_id: str, said: str) -> None:
        """One message, again and again until somebody says that it is stored."""
        while not await self.try_to_say(url, user, message_id, said):  # noqa: ASYNC110 - it is how they do it
            await asyncio.sleep(0.2)

    async def try_to_say(self, url: str, user: str, message_id: str, said: str) -> bool:
        """One delivery. False: no answer, or one that asks for another try."""
        body = json.dumps({"message_id": message_id, "from": user, "text": said}).encode()
        self.heard.deliveries += 1
        began = time.perf_counter()
        try:
            async with self.http.post(f"{url}/provider/inbound", data=body, headers=signed(body)) as answer:
                told = await answer.read()
        except (aiohttp.ClientError, TimeoutError):
            self.heard.refused[0] += 1
            return False
        if answer.status == 202:
            self.heard.took_s.append(time.perf_counter() - began)
            self.heard.acknowledged.add((user, message_id))
            return True
        self.heard.refused[answer.status] += 1
        if answer.status < 500:
            raise SystemExit(f"a delivery was refused: {answer.status} {told.decode(errors='replace')}")
        return False

    async def resolve(self, url: str, confirmation_id: str, decision: dict[str, Any]) -> int:
        """An operator decides; the status of the answer, 0 for none."""
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        where = f"{url}/approvals/{confirmation_id}/resolve"
        try:
            async with self.http.post(where, json=decision, headers=headers) as answer:
                await answer.read()
                return answer.status
        except (aiohttp.ClientError, TimeoutError):
            return 0

    async def status(self, url: str) -> tuple[int, str]:
        """Status and body of a GET; 0 where no answer comes."""
        try:
            async with self.http.get(url) as answer:
                return answer.status, (await answer.read()).decode(errors="replace")
        except (aiohttp.ClientError, TimeoutError):
            return 0, ""

    async def answers(self, url: str) -> None:
        """Wait until something answers there. Raises TimeoutError after half a minute."""
        async with asyncio.timeout(30):
            while (await self.status(url))[0] == 0:  # noqa: ASYNC110 - another process has to come up
                await asyncio.sleep(0.05)


def signed(body: bytes) -> dict[str, str]:
    """The headers of the generic provider."""
    stamp = str(int(time.time()))
    mac = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-Provider-Timestamp": stamp,
        "X-Provider-Signature": f"sha256={mac}",
    }
