"""WhatsApp's 24 hours, from the user's last message to the template that says what came too late."""

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from llm_planner.testing.providers import FakeMeta, FakeTwilio, FakeYCloud, Slow

from ..harness import operator
from ..providers.conftest import open_door as open_door
from ..providers.kit import Person, deliver
from ..tools import LEDGER, Echo, Ledger, plan
from ..turn_kit import always, eventually, ledger, there_are

NAMES = ["meta", "ycloud", "twilio"]
each_whatsapp = pytest.mark.parametrize("name", NAMES)
CODES = {"meta": "131047", "ycloud": "470", "twilio": "63016"}
TEMPLATES = {
    "meta": {"whatsapp_template": "aviso:es_AR"},
    "ycloud": {"whatsapp_template": "aviso:es_AR"},
    "twilio": {"twilio_window_content_sid": "HXwindow"},
}


async def takes(client: Any, signed: Any) -> None:
    status, body, _ = await deliver(client, signed)
    assert status in (200, 204), body


async def ends(client: Any, *states: str) -> list[Any]:
    """Wait until the outbox is in these states, oldest row first."""
    for state in set(states):
        sql = f"SELECT id FROM outbox WHERE state = '{state}'"
        await eventually(lambda sql=sql, state=state: there_are(client, states.count(state), sql))  # type: ignore[misc]
    rows = await client.rows("SELECT * FROM outbox ORDER BY created_at, id")
    assert [row.state for row in rows] == list(states)
    return list(rows)


def is_template(person: Person, place: int = -1) -> bool:
    body = person.sent()[place].body
    return body.get("type") == "template" or body.get("ContentSid") == "HXwindow"


def window_of(person: Person) -> None:
    double = person.double
    assert isinstance(double, FakeMeta | FakeYCloud | FakeTwilio)
    double.window_open = False
    if isinstance(double, FakeTwilio):
        double.contents["HXwindow"] = "window"


def failed(person: Person, place: int = -1) -> Any:
    """The report that a message came too late."""
    return person.status(person.sent()[place], "failed", code=CODES[person.name])


async def days_pass(client: Any, hours: float) -> None:
    """Everything that was said until now was said so many hours earlier."""
    for row in await client.rows("SELECT id, created_at FROM turns"):
        moment = row.created_at
        moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
        await client.rows(
            "UPDATE turns SET created_at = :t WHERE id = :i", t=moment - timedelta(hours=hours), i=row.id
        )


class Guarded(Ledger):
    approver = "billing"


async def decided_later(client: Any, person: Person, hours: float) -> None:
    """A write is asked for, and a person decides about it so many hours later."""
    await client.rows(LEDGER)
    await takes(client, person.says("anotá"))
    await ends(client, "delivered")
    await days_pass(client, hours)
    _, found = await client.get("/approvals?status=pending", operator("billing"))
    (item,) = found["items"]
    body = {"decision": "approve", "digest": item["digest"]}
    status, _ = await client.post(f"/approvals/{item['id']}/resolve", body, operator("billing"))
    assert status == 200


@each_whatsapp
async def test_after_24_hours_a_reply_leaves_as_a_template_at_once(open_door: Any, name: str) -> None:
    client, person = await open_door(name, [Guarded], always(ledger()), **TEMPLATES[name])
    window_of(person)
    person.double.window_open = True
    await decided_later(client, person, 24.1)
    person.double.window_open = False
    asked = len(person.double.asked)
    await ends(client, "delivered", "delivered")
    assert is_template(person)
    assert "Listo" in person.sent()[-1].text
    assert len(person.double.asked) == asked + 1


@each_whatsapp
async def test_after_24_hours_and_without_a_template_it_is_dead_unsent_and_says_why(
    open_door: Any, name: str
) -> None:
    client, person = await open_door(name, [Guarded], always(ledger()))
    await decided_later(client, person, 24.1)
    rows = await ends(client, "delivered", "dead")
    assert "24 hours" in rows[1].error
    assert len(person.sent()) == 1


async def test_before_24_hours_are_over_it_is_an_ordinary_reply(open_door: Any) -> None:
    client, person = await open_door("meta", [Guarded], always(ledger()), **TEMPLATES["meta"])
    await decided_later(client, person, 23.9)
    await ends(client, "delivered", "delivered")
    assert not is_template(person)


async def test_telegram_knows_no_24_hours(open_door: Any) -> None:
    client, person = await open_door("telegram", [Guarded], always(ledger()))
    await decided_later(client, person, 500)
    await ends(client, "delivered", "delivered")


@each_whatsapp
async def test_what_is_reported_as_too_late_is_said_again_as_a_template_once(
    open_door: Any, name: str
) -> None:
    client, person = await open_door(name, [Echo], always(plan(reply="hola")), **TEMPLATES[name])
    await takes(client, person.says("hola"))
    await ends(client, "delivered")
    window_of(person)
    report = failed(person)
    for _ in range(3):
        await takes(client, report)
    rows = await ends(client, "dead", "delivered")
    assert CODES[name] in rows[0].error
    assert "24 hours" in rows[0].error
    assert [sent.text for sent in person.sent()] == ["hola", "hola"]
    assert is_template(person)
    await takes(client, failed(person))
    rows = await ends(client, "dead", "dead")
    assert len(person.sent()) == 2


@each_whatsapp
async def test_without_a_template_the_report_makes_it_dead_with_that_reason(
    open_door: Any, name: str
) -> None:
    client, person = await open_door(name, [Echo], always(plan(reply="hola")))
    await takes(client, person.says("hola"))
    await ends(client, "delivered")
    await takes(client, failed(person))
    (row,) = await ends(client, "dead")
    assert "24 hours" in row.error
    assert len(person.sent()) == 1


async def test_until_the_user_writes_again_nothing_is_sent_in_vain(open_door: Any) -> None:
    client, person = await open_door("meta", [Guarded], always(ledger()), **TEMPLATES["meta"])
    await client.rows(LEDGER)
    await takes(client, person.says("anotá"))
    await ends(client, "delivered")
    person.double.window_open = False
    await takes(client, failed(person))
    await ends(client, "dead", "delivered")
    _, found = await client.get("/approvals?status=pending", operator("billing"))
    body = {"decision": "reject", "digest": found["items"][0]["digest"]}
    await client.post(f"/approvals/{found['items'][0]['id']}/resolve", body, operator("billing"))
    await ends(client, "dead", "delivered", "delivered")
    assert len(person.double.asked) == 3  # not one was sent freely and refused
    person.double.window_open = True
    await takes(client, person.says("anotá otra vez"))
    await ends(client, "dead", "delivered", "delivered", "delivered")
    assert not is_template(person)


@each_whatsapp
async def test_a_long_reply_that_came_too_late_is_said_again_in_templates_that_hold_it(
    open_door: Any, name: str
) -> None:
    client, person = await open_door(name, [Echo], always(plan(reply="palabra " * 600)), **TEMPLATES[name])
    await takes(client, person.says("hola"))
    await ends(client, "delivered")
    whole, many = " ".join(sent.text for sent in person.sent()), len(person.sent())
    window_of(person)
    for place in range(many - 1, -1, -1):
        await takes(client, failed(person, place))
    await ends(client, "dead", "delivered")
    templates = person.sent()[many:]
    assert " ".join(sent.text for sent in templates) == " ".join(whole.split())
    assert all(sent.body.get("type") == "template" or sent.body.get("ContentSid") for sent in templates)


async def test_a_report_that_comes_while_the_rest_is_being_sent_counts_when_that_is_done(
    open_door: Any,
) -> None:
    client, person = await open_door(
        "meta", [Echo], always(plan(reply="palabra " * 600)), **TEMPLATES["meta"]
    )
    gate = asyncio.Event()
    person.double.then(None, Slow(gate))
    await takes(client, person.says("hola"))
    await person.double.arrived(2)
    await takes(client, failed(person, 0))
    await ends(client, "sending")
    gate.set()
    rows = await ends(client, "dead", "delivered")
    assert json.loads(rows[1].body)["window_closed"] is True


async def test_an_sms_through_ycloud_is_answered_by_sms_and_knows_no_24_hours(open_door: Any) -> None:
    client, person = await open_door("ycloud", [Guarded], always(ledger()))
    await client.rows(LEDGER)
    sms = {"id": "s1", "from": person.address, "to": "+14155238886", "text": "anotá"}
    await takes(client, person._signed("evt_s1", "sms.inbound.received", {"smsInbound": sms}))
    await ends(client, "delivered")
    await days_pass(client, 100)
    _, found = await client.get("/approvals?status=pending", operator("billing"))
    body = {"decision": "reject", "digest": found["items"][0]["digest"]}
    await client.post(f"/approvals/{found['items'][0]['id']}/resolve", body, operator("billing"))
    await ends(client, "delivered", "delivered")
    assert [sent.to for sent in person.double.sent] == [f"sms:{person.address}"] * 2
    assert person.double.sent[0].body["senderId"] == "+14155238886"
