"""What the tests of the engines share: an engine's settings, a model in company, messages that nobody waits for."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from llm_planner.assembly import Parts
from llm_planner.llm.base import ChatReply, ChatRequest
from llm_planner.messages import InboundMessage, Route, SessionKey

from ..tools import plan

SWEEP_S = 0.3
LEASE_S = 30.0
SHORT_LEASE_S = 2.5
"""Where something has to be taken over; elsewhere a loaded machine must not look like a dead process."""


@dataclass(frozen=True)
class Engine:
    """One engine, and the settings of all processes of one installation under it."""

    name: str
    address: str | None = None
    key: str = field(default_factory=lambda: f"secret-key-of-one-test-{secrets.token_hex(8)}")

    @property
    def settings(self) -> dict[str, Any]:
        where = {"temporal_address": self.address} if self.address is not None else {}
        return {"turn_engine": self.name, "secret_key": self.key, **where}


class Crowd:
    """A model that notes who is with it at the same time; nobody leaves before `company` are there."""

    name = "scripted/crowd"

    def __init__(self, company: int = 1, thinks_s: float = 0.03) -> None:
        self.asked: list[str] = []
        self.most = 0
        self.most_of_one = 0
        self._company = company
        self._thinks_s = thinks_s
        self._here: Counter[str] = Counter()
        self._enough = asyncio.Event()

    async def complete(self, request: ChatRequest) -> ChatReply:
        said = request.messages[-1].content.rsplit("\n", 1)[-1]
        session = said.split()[0]
        self.asked.append(said)
        self._here[session] += 1
        self.most = max(self.most, self._here.total())
        self.most_of_one = max(self.most_of_one, self._here[session])
        if self._here.total() >= self._company:
            self._enough.set()
        async with asyncio.timeout(10):
            await self._enough.wait()
        await asyncio.sleep(self._thinks_s)
        self._here[session] -= 1
        return ChatReply(plan(reply=f"heard {said}"), "crowd", None, None, 0, "stop", 1)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        yield (await self.complete(request)).text

    async def close(self) -> None:
        """Nothing to close."""


def webhook(label: str, number: int) -> InboundMessage:
    """A message whose answer nobody waits for."""
    key = SessionKey("generic", "shop", label, label)
    return InboundMessage(key, f"m{number}", f"{label} {number}", route=Route(label))


async def take(parts: Parts, message: InboundMessage) -> str:
    """As the providers' door does: stored, then told. The id of the turn."""
    accepted = await parts.inbox.accept(message, take=False)
    parts.engine.notify(accepted.session_id)
    return accepted.turn_id
