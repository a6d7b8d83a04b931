"""Replies on their way out: in order, none twice, put off, lost, and what the provider tells about them later."""

import asyncio
import json
from typing import Any

import pytest

from llm_planner.channels import StatusUpdate
from llm_planner.clock import SystemClock
from llm_planner.engine import EmbeddedEngine
from llm_planner.storage.database import now
from llm_planner.storage.repositories import outbox, receipts
from llm_planner.testing.providers import Fail, Lost, Slow, Throttle

from ..harness import operator
from ..tools import LEDGER, Echo, Ledger, plan
from ..turn_kit import always, eventually, ledger, move_back, there_are
from .kit import PEOPLE, Person, Signed, deliver

each_provider = pytest.mark.parametrize("name", list(PEOPLE))
each_reporting = pytest.mark.parametrize("name", ["twilio", "meta", "ycloud"])


async def takes(client: Any, signed: Signed) -> None:
    status, body, _ = await deliver(client, signed)
    assert status in (200, 204), body


async def rows(client: Any) -> list[Any]:
    return list(await client.rows("SELECT * FROM outbox ORDER BY created_at, id"))


async def ends(client: Any, state: str, count: int = 1) -> Any:
    """Wait until so many replies are in this state; the newest of them."""
    sql = f"SELECT id FROM outbox WHERE state = '{state}'"
    await eventually(lambda: there_are(client, count, sql))
    return [row for row in await rows(client) if row.state == state][-1]


def echoing() -> Any:
    return always(plan(reply="hola"))


@each_provider
async def test_a_lost_answer_is_unknown_and_nothing_is_sent_again(open_door: Any, name: str) -> None:
    client, person = await open_door(name, [Echo], echoing())
    person.double.then(Lost())
    await takes(client, person.says("hola"))
    await ends(client, "unknown")
    await move_back(client, "outbox", "due_at")
    await client.parts.worker.deliver()
    assert len(person.sent()) == 1


@each_provider
async def test_a_throttled_reply_leaves_later_and_that_was_no_attempt(open_door: Any, name: str) -> None:
    client, person = await open_door(name, [Echo], echoing())
    person.double.then(Throttle(1))
    await takes(client, person.says("hola"))
    put_off = await ends(client, "retrying")
    assert (put_off.attempts, person.sent()) == (0, [])
    done = await ends(client, "delivered")
    assert done.attempts == 1
    assert [sent.text for sent in person.sent()] == ["hola"]


async def test_a_provider_that_says_at_once_is_not_asked_in_a_circle(open_door: Any) -> None:
    client, person = await open_door("slack", [Echo], echoing(), workers_inline=False)
    person.double.then(Throttle(0))
    await takes(client, person.says("hola"))
    waiting = await ends(client, "retrying")
    row = await client.parts.database.read(lambda conn: outbox.find(conn, waiting.id))
    assert (row.due_at - row.created_at).total_seconds() >= 0.5


async def test_a_reply_that_went_further_since_it_was_read_goes_on_from_there(open_door: Any) -> None:
    long = always(plan(("echo", {"text": "x " * 3000})))
    client, person = await open_door("meta", [Echo], long, workers_inline=False)
    person.double.then(Throttle(600))
    await takes(client, person.says("hola"))
    waiting = await ends(client, "retrying")
    database, deliveries = client.parts.database, client.parts.worker._deliveries
    deliveries._couriers["reply"]._senders["meta"]._pace._full_at.clear()
    seen = await database.read(lambda conn: outbox.find(conn, waiting.id))
    person.double.then(None, Throttle(600))
    assert await deliveries._deliver(seen)
    again = await database.read(lambda conn: outbox.find(conn, waiting.id))
    assert (again.state, again.attempts, len(person.sent())) == (seen.state, seen.attempts, 1)
    deliveries._couriers["reply"]._senders["meta"]._pace._full_at.clear()
    assert await deliveries._deliver(seen)
    assert len(person.sent()) == 2
    assert person.sent()[0].text != person.sent()[1].text


async def test_what_is_put_off_for_a_day_is_dead(open_door: Any) -> None:
    client, person = await open_door("meta", [Echo], echoing(), workers_inline=False)
    person.double.then(Throttle(600))
    await takes(client, person.says("hola"))
    await ends(client, "retrying")
    await move_back(client, "outbox", "due_at")
    await move_back(client, "outbox", "created_at")
    client.parts.worker._deliveries._couriers["reply"]._senders["meta"]._pace._full_at.clear()
    person.double.then(Throttle(600))
    await client.parts.worker.deliver()
    assert (await ends(client, "dead")).attempts == 1


async def test_replies_of_one_session_leave_in_their_order(open_door: Any) -> None:
    client, person = await open_door("meta", [Echo], always(lambda r: plan(reply=r.messages[-1].text[-30:])))
    gate = asyncio.Event()
    person.double.then(Slow(gate))
    for number in range(3):
        await takes(client, person.says(f"number {number}"))
    await eventually(lambda: there_are(client, 3, "SELECT id FROM outbox"))
    await client.parts.worker.deliver()
    assert [row.state for row in await rows(client)] == ["sending", "queued", "queued"]
    gate.set()
    await ends(client, "delivered", 3)
    assert [sent.text[-8:] for sent in person.sent()] == [
        sent.text[-8:] for sent in sorted(person.sent(), key=lambda s: s.reference)
    ]
    assert len(person.sent()) == 3


async def test_one_session_s_slow_reply_holds_up_nobody_else(open_door: Any) -> None:
    client, person = await open_door("meta", [Echo], echoing())
    other = type(person)(person.double, 2)
    gate = asyncio.Event()
    person.double.then(Slow(gate))
    await takes(client, person.says("hola"))
    await person.double.arrived(1)
    await takes(client, other.says("hola"))
    await ends(client, "delivered")
    assert len(other.sent()) == 1
    gate.set()
    await ends(client, "delivered", 2)


async def test_a_card_that_is_dead_when_it_leaves_says_so_and_has_no_buttons(open_door: Any) -> None:
    client, person = await open_door("meta", [Ledger], always(ledger()))
    await client.rows(LEDGER)
    person.double.then(Throttle(1))
    await takes(client, person.says("anotá"))
    await ends(client, "retrying")
    await client.rows("UPDATE pending_confirmations SET state = 'cancelled'")
    await ends(client, "delivered")
    (sent,) = person.sent()
    assert (sent.buttons, "(ya no vale)" in sent.text) == ((), True)


async def test_a_stored_reply_holds_no_token(open_door: Any) -> None:
    client, person = await open_door("meta", [Ledger], always(ledger()))
    await client.rows(LEDGER)
    await takes(client, person.says("anotá"))
    row = await ends(client, "delivered")
    token = person.sent()[0].buttons[0][1].partition(":")[2]
    assert token in person.sent()[0].text
    assert token not in row.body
    assert json.loads(row.body)["references"] == [person.sent()[0].reference]


async def test_an_operator_s_answer_goes_where_the_user_wrote(open_door: Any) -> None:
    class Guarded(Ledger):
        approver = "billing"

    client, person = await open_door("telegram", [Guarded], always(ledger()))
    await client.rows(LEDGER)
    await takes(client, person.says("anotá"))
    await ends(client, "delivered")
    assert person.sent()[0].buttons == ()
    _, found = await client.get("/approvals?status=pending", operator("billing"))
    (item,) = found["items"]
    body = {"decision": "approve", "digest": item["digest"]}
    status, _ = await client.post(f"/approvals/{item['id']}/resolve", body, operator("billing"))
    assert status == 200
    await ends(client, "delivered", 2)
    assert "Listo" in person.sent()[-1].text


@each_reporting
async def test_a_reported_failure_ends_the_row_and_nothing_goes_backwards(open_door: Any, name: str) -> None:
    client, person = await open_door(name, [Echo], echoing())
    await takes(client, person.says("hola"))
    await ends(client, "delivered")
    (sent,) = person.sent()
    await takes(client, person.status(sent, "failed"))
    dead = await ends(client, "dead")
    assert "reported" in dead.error
    await takes(client, person.status(sent, "sent"))
    assert (await rows(client))[0].state == "dead"
    for state in ("delivered", "failed", "sent", "failed"):
        await takes(client, person.status(sent, state))
        assert (await rows(client))[0].state == "delivered", state


@each_reporting
async def test_a_person_tries_again_what_was_reported_as_undelivered(open_door: Any, name: str) -> None:
    client, person = await open_door(name, [Echo], echoing())
    await takes(client, person.says("hola"))
    await ends(client, "delivered")
    await takes(client, person.status(person.sent()[0], "failed"))
    await ends(client, "dead")

    def again(conn: Any) -> bool:
        row = outbox.page(conn, None, None, 1)[0]
        return receipts.requeue(conn, row, now(conn))

    assert await client.parts.database.run(again)
    await ends(client, "delivered")
    assert [sent.text for sent in person.sent()] == ["hola", "hola"]
    await takes(client, person.status(person.sent()[1], "failed"))
    await ends(client, "dead")


@each_reporting
async def test_a_report_that_comes_before_the_answer_counts(open_door: Any, name: str) -> None:
    client, person = await open_door(name, [Echo], echoing())
    gate = asyncio.Event()
    person.double.then(Slow(gate))
    await takes(client, person.says("hola"))
    await person.double.arrived(1)
    async with asyncio.timeout(5):
        while not person.sent():  # noqa: ASYNC110 - the double keeps it a moment after it arrived
            await asyncio.sleep(0.01)
    await takes(client, person.status(person.sent()[0], "failed"))
    gate.set()
    await ends(client, "dead")


@pytest.mark.parametrize("name", ["meta", "ycloud"])
async def test_a_lost_answer_is_found_by_what_we_gave_along_and_the_rest_is_sent(
    open_door: Any, name: str
) -> None:
    client, person = await open_door(name, [Ledger, Echo], always(plan(("echo", {"text": "x " * 3000}))))
    person.double.then(Lost())
    await takes(client, person.says("hola"))
    await ends(client, "unknown")
    (first,) = person.sent()
    await takes(client, person.status(first, "delivered"))
    await ends(client, "delivered")
    assert len(person.sent()) == 2
    assert person.sent()[1].text != first.text


async def test_a_status_of_a_stranger_s_message_changes_nothing_and_is_forgotten(open_door: Any) -> None:
    client, _ = await open_door("meta", [Echo], echoing())
    odd = ["reply:nothing.0.0", "reply:" + "0" * 36 + ".0.0", "x" * 5000]
    for number, key in enumerate(odd):
        update = StatusUpdate(f"e{number}", f"wamid.{number}", "failed", "1", key)
        await client.parts.statuses.apply("meta", update)
    await client.parts.statuses.apply("meta", StatusUpdate("e", "w" * 300, "sent"))
    assert len(await client.rows("SELECT reference FROM outbox_receipts")) == 3
    await move_back(client, "outbox_receipts", "at")
    await client.parts.worker.fire_timers()
    assert await client.rows("SELECT reference FROM outbox_receipts") == []


async def test_a_reply_that_is_refused_for_good_is_dead(open_door: Any) -> None:
    client, person = await open_door("meta", [Echo], echoing())
    person.double.then(Fail(131026))
    await takes(client, person.says("hola"))
    assert "131026" in (await ends(client, "dead")).error


async def test_without_an_api_to_send_through_the_reply_is_dead_and_says_why(open_door: Any) -> None:
    client, person = await open_door("meta", [Echo], echoing(), whatsapp_access_token=None)
    await takes(client, person.says("hola"))
    assert "not configured" in (await ends(client, "dead")).error


def test_every_person_has_another_address() -> None:
    for kind, make in PEOPLE.values():
        people: list[Person] = [kind(make(), number) for number in (1, 2)]
        assert people[0].address != people[1].address


async def test_a_reply_that_is_leaving_when_the_process_ends_is_finished_first() -> None:
    class Handlers:
        began, go, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def deliver(self) -> int:
            self.began.set()
            await self.go.wait()
            self.done.set()
            return 1

        async def posted(self) -> None:
            await asyncio.sleep(0)

        renew = fire_timers = posted

        async def waiting(self) -> list[str]:
            return []

    engine, handlers = EmbeddedEngine(SystemClock(), 60, 60, 10), Handlers()
    await engine.start(handlers, background=False)  # type: ignore[arg-type]
    await handlers.began.wait()
    ending = asyncio.create_task(engine.drain(5))
    await asyncio.sleep(0)
    handlers.go.set()
    await ending
    assert handlers.done.is_set()
