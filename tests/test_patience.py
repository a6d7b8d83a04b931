"""How long a door waits for the database, and what becomes of what it no longer waits for."""

import asyncio

import pytest

from llm_planner.api.patience import Patience
from llm_planner.errors import DatabaseUnavailable


async def test_a_door_answers_in_time_and_what_has_begun_is_finished() -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        await go.wait()
        done.set()

    with pytest.raises(DatabaseUnavailable, match="has not answered"):
        await Patience(0.01).wait(slow())
    go.set()
    async with asyncio.timeout(1):
        await done.wait()


async def test_what_comes_in_time_is_handed_on_result_or_error() -> None:
    async def answer() -> int:
        return 7

    async def fault() -> None:
        raise DatabaseUnavailable("away")

    assert await Patience(1).wait(answer()) == 7
    with pytest.raises(DatabaseUnavailable, match="away"):
        await Patience(1).wait(fault())
