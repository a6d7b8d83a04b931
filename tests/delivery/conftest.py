"""What the delivery tests share: each provider's sender against its double, on a clock moved by hand."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from llm_planner.delivery.base import START, Card, OutgoingReply, Place, Receipt
from llm_planner.delivery.chatwoot import Chatwoot
from llm_planner.delivery.generic import GenericReply
from llm_planner.delivery.http import HttpPolicy, Outlet
from llm_planner.delivery.meta import Dialog360, Meta
from llm_planner.delivery.pace import Pace
from llm_planner.delivery.sending import Provider, ReplySender
from llm_planner.delivery.slack import Slack
from llm_planner.delivery.telegram import Telegram
from llm_planner.delivery.twilio import Twilio
from llm_planner.delivery.ycloud import YCloud
from llm_planner.testing.clock import FakeClock
from llm_planner.testing.providers import (
    Fake360Dialog,
    FakeChatwoot,
    FakeMeta,
    FakeProvider,
    FakeReceiver,
    FakeSlack,
    FakeTelegram,
    FakeTwilio,
    FakeYCloud,
)

WRONG = "wrong-credential-0123456789"


@dataclass
class Route:
    """A provider's double, the sender that talks to it, and what is true of the pair."""

    double: FakeProvider
    make: Callable[[str], Provider]
    credential: str
    wrong: str
    account: str
    reply_to: str
    clock: FakeClock
    outlet: Outlet

    def __post_init__(self) -> None:
        self.pace = Pace(self.clock)
        self.provider = self.make(self.credential)
        self.sender = self.sender_with(self.credential)

    def sender_with(self, credential: str) -> ReplySender:
        return ReplySender(self.make(credential), self.outlet, self.pace)

    def through(self, provider: Provider) -> None:
        """Send with another configuration of the provider."""
        self.provider = provider
        self.sender = ReplySender(provider, self.outlet, self.pace)

    def reply(self, text: str = "", *cards: Card, **more: Any) -> OutgoingReply:
        return OutgoingReply(self.account, "user-1", self.reply_to, text, cards, **more)

    async def send(self, reply: OutgoingReply, start_at: Place = START, key: str = "key-1") -> list[Receipt]:
        """All receipts; between two messages a minute passes, so that no pace is in the way."""
        self.receipts: list[Receipt] = []
        async for receipt in self.sender.send(reply, key, start_at):
            self.receipts.append(receipt)
            self.clock.advance(60.0)
        return self.receipts


def card(text: str = "", token: str = "K7QF2M9X") -> Card:
    """A card as the core writes it."""
    lines = f"▣ Necesito tu confirmación: Registrar cliente\n{text}\nVence: 2026-11-23 12:10 UTC\n"
    verbs = f"Para hacerlo, respondé: confirmar {token}\nPara descartarlo, respondé: cancelar {token}"
    return Card(lines + verbs, f"confirm:{token}", f"cancel:{token}", "Confirmar", "Cancelar")


def routes(
    clock: FakeClock,
) -> Mapping[str, tuple[FakeProvider, Callable[[str, str], Provider], str, str, str]]:
    """By provider: the double, a maker by (address, credential), a wrong one, account, recipient."""
    sid = FakeTwilio().sid
    return {
        "meta": (
            FakeMeta(),
            lambda url, key: Meta(key, "106540352242922", api=url),
            WRONG,
            "",
            "5215512345678",
        ),
        "360dialog": (Fake360Dialog(), lambda url, key: Dialog360(key, api=url), WRONG, "", "5215512345678"),
        "ycloud": (
            FakeYCloud(),
            lambda url, key: YCloud(key, "+14155238886", api=url),
            WRONG,
            "",
            "+5215512345678",
        ),
        "twilio": (
            FakeTwilio(),
            lambda url, key: Twilio(sid, key, "whatsapp:+14155238886", api=url),
            WRONG,
            "",
            "whatsapp:+5215512345678",
        ),
        "telegram": (
            FakeTelegram(),
            lambda url, key: Telegram(key, api=url),
            f"77:{WRONG}",
            "bot",
            "1111111",
        ),
        "slack": (FakeSlack(), lambda url, key: Slack(key, api=url), WRONG, "T0001", "D0AB12CD"),
        "chatwoot": (FakeChatwoot(), lambda url, key: Chatwoot(url, key), WRONG, "3", "42"),
        "generic": (FakeReceiver(), lambda url, key: GenericReply(url, (key,), clock), WRONG, "main", "ana"),
    }


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def outlet(clock: FakeClock) -> AsyncIterator[Outlet]:
    made = Outlet(clock, HttpPolicy(connect_s=2.0, answer_s=5.0))
    yield made
    await made.close()


@pytest.fixture
async def hasty(clock: FakeClock) -> AsyncIterator[Outlet]:
    """An outlet that waits a tenth of a second for an answer."""
    made = Outlet(clock, HttpPolicy(connect_s=2.0, answer_s=0.1))
    yield made
    await made.close()


@pytest.fixture
async def route(name: str, clock: FakeClock, outlet: Outlet) -> AsyncIterator[Route]:
    """The pair for the provider `name`, which the test is parametrised with."""
    double, make, wrong, account, reply_to = routes(clock)[name]
    async with double:
        right: str = vars(double)["credential"]
        yield Route(double, lambda key: make(double.url, key), right, wrong, account, reply_to, clock, outlet)
