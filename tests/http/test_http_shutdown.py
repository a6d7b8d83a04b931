"""Going down: a running turn is finished and answered."""

import asyncio
from pathlib import Path

from llm_planner.messages import InboundMessage, SessionKey

from ..harness import open_database, rows, serving, settings_for
from ..tools import Echo
from .test_http_idempotency import Gated


async def test_shutting_down_finishes_the_running_turn(db_url: str, tmp_path: Path) -> None:
    model = Gated()
    async with serving(settings_for(db_url, tmp_path), [Echo], model) as client:
        asked = asyncio.create_task(client.say("hola", message_id="m1"))
        await model.asked.wait()
        asyncio.get_running_loop().call_later(0.3, model.gate.set)
    assert (await asked)["reply"] == "al fin"


async def test_shutting_down_finishes_a_turn_that_nobody_waits_for(db_url: str, tmp_path: Path) -> None:
    model = Gated()
    async with serving(settings_for(db_url, tmp_path), [Echo], model) as client:
        message = InboundMessage(SessionKey("web", "web", "anon:s", "s"), "m1", "hola")
        accepted = await client.parts.inbox.accept(message, take=True)
        client.parts.engine.notify(accepted.session_id, accepted.claimed)
        await model.asked.wait()
        asyncio.get_running_loop().call_later(0.3, model.gate.set)
    database = open_database(db_url)
    found = await rows(database, "SELECT state, reply FROM turns")
    await database.close()
    assert [tuple(row) for row in found] == [("answered", "al fin")]
