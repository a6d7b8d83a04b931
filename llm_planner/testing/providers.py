"""The fake messaging providers and what can happen to a message there, under one name."""

from .providers_base import Asked, Down, Fail, FakeProvider, Garbled, Lost, Sent, Slow, Throttle
from .providers_chat import FakeChatwoot, FakeReceiver, FakeSlack, FakeTelegram
from .providers_whatsapp import Fake360Dialog, FakeMeta, FakeTwilio, FakeYCloud

__all__ = [
    "Asked",
    "Down",
    "Fail",
    "Fake360Dialog",
    "FakeChatwoot",
    "FakeMeta",
    "FakeProvider",
    "FakeReceiver",
    "FakeSlack",
    "FakeTelegram",
    "FakeTwilio",
    "FakeYCloud",
    "Garbled",
    "Lost",
    "Sent",
    "Slow",
    "Throttle",
]
