"""A whole conversation through each provider: text, tool, card, button, execution, reply, receipt."""

import asyncio
import itertools
from typing import Any

import pytest

from llm_planner.llm.scripted import ScriptedModel
from llm_planner.testing.providers import Sent

from ..tools import LEDGER, Echo, Ledger, plan
from ..turn_kit import effects, eventually, there_are
from .kit import OTHERS, PEOPLE, Person, Signed, deliver

each_provider = pytest.mark.parametrize("name", list(PEOPLE))
TOOLS = [Ledger, Echo]


def model(*answers: str) -> ScriptedModel:
    return ScriptedModel(itertools.chain(answers, itertools.repeat(plan(reply="ok"))))


async def takes(client: Any, signed: Signed) -> None:
    status, body, _ = await deliver(client, signed)
    assert status in (200, 202, 204), body


async def replied(client: Any, count: int) -> None:
    sql = "SELECT id FROM outbox WHERE kind = 'reply' AND state = 'delivered'"
    await eventually(lambda: there_are(client, count, sql))


async def with_buttons(person: Person) -> Sent:
    (found,) = [sent for sent in person.sent() if sent.buttons]
    return found


@each_provider
async def test_a_conversation_from_text_to_receipt(open_door: Any, name: str) -> None:
    write = plan(("ledger_add", {"what": "tea", "amount": 2}))
    client, person = await open_door(name, TOOLS, model(plan(("echo", {"text": "hola"})), write))
    await client.rows(LEDGER)
    await takes(client, person.says("repetí hola"))
    await replied(client, 1)
    assert "hola" in person.sent()[0].text
    await takes(client, person.says("anotá 2 tea"))
    await replied(client, 2)
    card = await with_buttons(person)
    assert "tea" in card.text
    assert await effects(client) == []
    titles, payloads = zip(*card.buttons, strict=True)
    assert titles == ("Confirmar", "Cancelar")
    assert payloads[0].partition(":")[2] in card.text
    press = person.presses(payloads[0])
    await asyncio.gather(*(takes(client, press) for _ in range(5)))
    await replied(client, 3)
    assert await effects(client) == [("tea", 2)]
    assert "Listo" in person.sent()[-1].text
    await takes(client, press)
    await takes(client, person.presses(payloads[0]))
    await replied(client, 4)
    assert await effects(client) == [("tea", 2)]
    if person.reports:
        done = person.sent()[-1]
        for state in ("delivered", "sent", "read"):
            await takes(client, person.status(done, state))
        told = [
            row.status
            for row in await client.rows("SELECT status FROM outbox_receipts WHERE status <> 'taken'")
        ]
        assert told == ["read"]
    await replied(client, 4)


@each_provider
async def test_repeated_and_reordered_deliveries_are_each_handled_once(open_door: Any, name: str) -> None:
    client, person = await open_door(name, TOOLS, ScriptedModel(itertools.repeat(plan(reply="hola"))))
    wanted = [person.says(f"número {number}") for number in range(5)]
    await asyncio.gather(*(takes(client, signed) for signed in [*reversed(wanted), *wanted, *wanted]))
    sql = "SELECT id FROM turns WHERE state = 'answered'"
    await eventually(lambda: there_are(client, 5, sql))
    for signed in wanted:
        await takes(client, signed)
    assert len(await client.rows("SELECT id FROM turns")) == 5
    assert len(await client.rows("SELECT id FROM outbox")) == 5


@pytest.mark.parametrize("name", list(OTHERS))
async def test_a_short_conversation_through_each_other_provider(open_door: Any, name: str) -> None:
    write = plan(("ledger_add", {"what": "tea", "amount": 2}))
    client, person = await open_door(name, TOOLS, model(write))
    await client.rows(LEDGER)
    asked = person.says("anotá 2 tea")
    await asyncio.gather(*(takes(client, asked) for _ in range(3)))
    await replied(client, 1)
    card = await with_buttons(person)
    assert await effects(client) == []
    press = person.presses(dict(card.buttons)["Confirmar"])
    await asyncio.gather(*(takes(client, signed) for signed in [press, asked, press, asked, press]))
    await replied(client, 2)
    assert await effects(client) == [("tea", 2)]
    assert "Listo" in person.sent()[-1].text
    assert len(person.sent()) == 2
