"""How fast each provider is written to: no burst and no second holds more than its documents allow."""

from dataclasses import replace

import pytest

from llm_planner.delivery.base import TryLater

PAIR = {
    "meta": (45, 6.0), "360dialog": (45, 6.0), "ycloud": (45, 6.0), "twilio": (45, 6.0), "telegram": (1, 1.0),
    "slack": (4, 1.0),
}  # fmt: skip
"""To one user: how many at once after a rest, and seconds between two in the long run."""
ACCOUNT = {"meta": 80, "360dialog": 80, "ycloud": 200, "twilio": 80, "telegram": 30}
"""To all users: how many in the first second."""
OTHER = {"twilio": "whatsapp:+59899{:06}", "ycloud": "+59899{:06}", "slack": "D{:08}"}


async def sent_until_told_to_wait(route, replies):
    """How many leave without a pause, and the seconds that the next one has to wait."""
    for count, reply in enumerate(replies):
        try:
            [_ async for _ in route.sender.send(reply, f"key-{count}")]
        except TryLater as told:
            return count, told.seconds
    raise AssertionError("there is no limit")


@pytest.mark.parametrize("name", PAIR)
async def test_to_one_user_no_faster_than_the_provider_allows(route, name):
    burst, every = PAIR[name]
    hola = route.reply("hola")
    count, wait = await sent_until_told_to_wait(route, [hola] * (burst + 1))
    assert count == burst
    for _ in range(3):
        route.clock.advance(wait)
        count, wait = await sent_until_told_to_wait(route, [hola] * 2)
        assert count == 1
        assert wait == pytest.approx(every, abs=0.01)


@pytest.mark.parametrize("name", ACCOUNT)
async def test_to_all_users_no_faster_than_the_provider_allows(route, name):
    shape = OTHER.get(name, "59899{:06}")
    replies = [replace(route.reply("hola"), reply_to=shape.format(n)) for n in range(ACCOUNT[name] + 1)]
    count, wait = await sent_until_told_to_wait(route, replies)
    assert ACCOUNT[name] - 1 <= count <= ACCOUNT[name]
    assert 0.0 < wait <= 1.01 / ACCOUNT[name]


@pytest.mark.parametrize("name", ["telegram"])
async def test_a_telegram_group_gets_twenty_a_minute(route):
    count, wait = await sent_until_told_to_wait(
        route, [replace(route.reply("hola"), reply_to="-1001234")] * 21
    )
    assert (count, wait) == (20, pytest.approx(3.0, abs=0.01))
