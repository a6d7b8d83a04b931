"""The outbox: mail is stored with what it belongs to, delivered once, retried if refused, else unknown."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Connection

from llm_planner.delivery.base import TryLater
from llm_planner.delivery.pace import Pace
from llm_planner.mail import TO_ONE, SmtpCourier
from llm_planner.storage.database import now
from llm_planner.storage.repositories import outbox
from llm_planner.storage.repositories.outbox import OutboxRow
from llm_planner.testing.clock import FakeClock
from llm_planner.turn.outbox import ATTEMPTS, Deliveries, Refused, backoff

from .harness import rows
from .tools import Ledger, plan
from .turn_kit import (
    Stopped,
    always,
    eventually,
    live_token,
    message,
    move_back,
    parked,
    process,
    run_in,
    there_are,
    token,
)
from .turn_smtp import fake_smtp

Serve = Any


class LetterInput(BaseModel):
    to: str = "ana@example.com"
    then: str = "fine"


class Letter(Ledger):
    """A write that sends a letter, and may fail afterwards."""

    name = "letter"
    input_model = LetterInput  # type: ignore[assignment]

    async def run(self, args: Any, ctx: Any) -> dict[str, object]:
        await ctx.mail(args.to, "Tu código\r\nBcc: x@example.com", "Hola, ¿qué tal?\n.\nEl código es 123456.")
        if args.then == "raise":
            raise RuntimeError("boom")
        return {"sent": args.to}


async def wrote(serve: Serve, port: int | None = None, args: dict[str, str] | None = None) -> Any:
    """A server after a confirmed write with a letter; nothing but the test delivers."""
    more = {"smtp_url": f"smtp://127.0.0.1:{port}"} if port is not None else {}
    model = always(plan(("letter", args or {})))
    client = await serve(tools=[Letter], model=model, workers_inline=False, **more)
    await write(client)
    return client


async def write(client: Any) -> None:
    """One more confirmed write with a letter."""
    await client.say(f"confirm {token(await parked(client))}")


async def row(client: Any) -> Any:
    """The newest letter."""
    return (await client.rows("SELECT * FROM outbox ORDER BY created_at DESC"))[0]


async def deliver(client: Any) -> Any:
    """One round, and the row after it."""
    await client.parts.worker.deliver()
    return await row(client)


async def test_a_letter_is_stored_with_the_outcome_of_its_write(serve: Serve) -> None:
    client = await wrote(serve)
    kept = await row(client)
    run = (await client.rows("SELECT idempotency_key FROM tool_runs"))[0]
    assert (kept.state, kept.attempts, kept.destination) == ("queued", 0, "ana@example.com")
    assert kept.idempotency_key == f"{run.idempotency_key}:0"


async def test_a_letter_of_a_write_that_failed_is_not_sent(serve: Serve) -> None:
    client = await wrote(serve, args={"then": "raise"})
    assert await client.rows("SELECT * FROM outbox") == []


async def test_without_smtp_mail_is_kept_where_a_person_sees_it(serve: Serve) -> None:
    client = await wrote(serve)
    for _ in range(3):
        assert (await deliver(client)).state == "queued"
    assert (await row(client)).attempts == 0


async def test_a_letter_is_delivered_once_with_our_id(serve: Serve) -> None:
    async with fake_smtp() as smtp:
        client = await wrote(serve, smtp.port)
        done = await deliver(client)
        assert (done.state, done.attempts, done.error) == ("delivered", 1, None)
        assert done.finished_at is not None
        assert await client.parts.worker.deliver() == 0
    assert len(smtp.letters) == 1
    letter = smtp.letters[0]
    assert f"Message-ID: <{done.id}@llm-planner>" in letter
    assert "To: ana@example.com" in letter
    assert re.search(r"^Bcc:", letter, re.MULTILINE) is None


async def test_the_worker_delivers_by_itself_what_another_process_left(
    serve: Serve, db_url: str, tmp_path: Path
) -> None:
    model = always(plan(("letter", {})))
    async with process(db_url, tmp_path, [Letter], model) as parts:
        await run_in(parts, message("demo", "ask", "please"))
        waiting = (await rows(parts.database, "SELECT id FROM pending_confirmations"))[0].id
        await run_in(parts, message("demo", "go", f"confirm {live_token(parts, waiting)}"))
    async with fake_smtp() as smtp:
        client = await serve(tools=[Letter], model=model, smtp_url=f"smtp://127.0.0.1:{smtp.port}")
        await eventually(lambda: there_are(client, 1, "SELECT id FROM outbox WHERE state = 'delivered'"))
    assert len(smtp.letters) == 1


async def test_many_workers_at_once_deliver_a_letter_once(serve: Serve) -> None:
    async with fake_smtp() as smtp:
        client = await wrote(serve, smtp.port)
        tried = await asyncio.gather(*(client.parts.worker.deliver() for _ in range(8)))
        assert sum(tried) == 1
    assert len(smtp.letters) == 1
    assert (await row(client)).state == "delivered"


async def test_a_refusal_that_passes_is_retried_with_growing_pauses(serve: Serve) -> None:
    passing = [
        {"LETTER": "451 later"}, {"RCPT": "450 busy"}, {"MAIL": "421 no"}, {"GREETING": "554 no"},
        {"DATA": "452 full"},
    ]  # fmt: skip
    async with fake_smtp() as smtp:
        client = await wrote(serve, smtp.port)
        await deliver(client)
        for answers in passing:
            await write(client)
            smtp.answers.update(answers)
            refused = await deliver(client)
            assert (refused.state, refused.attempts) == ("retrying", 1), answers
            assert str(refused.due_at) > str(refused.created_at)
            assert await client.parts.worker.deliver() == 0
            smtp.answers.clear()
            await move_back(client, "outbox", "due_at")
            assert (await deliver(client)).state == "delivered", answers
    assert len(smtp.letters) == 1 + len(passing)


async def test_a_final_refusal_is_dead_at_once(serve: Serve) -> None:
    async with fake_smtp() as smtp:
        client = await wrote(serve, smtp.port)
        await deliver(client)
        for answers in ({"LETTER": "554 spam"}, {"RCPT": "550 nobody"}, {"MAIL": "553 who"}):
            await write(client)
            smtp.answers.update(answers)
            dead = await deliver(client)
            assert (dead.state, dead.attempts) == ("dead", 1), answers
            smtp.answers.clear()
            assert await client.parts.worker.deliver() == 0
    assert len(smtp.letters) == 1


async def test_a_letter_that_is_always_refused_ends_dead(serve: Serve) -> None:
    async with fake_smtp(RCPT="450 busy") as smtp:
        client = await wrote(serve, smtp.port)
        for number in range(1, ATTEMPTS + 1):
            await move_back(client, "outbox", "due_at")
            found = await deliver(client)
            assert (found.state, found.attempts) == ("retrying" if number < ATTEMPTS else "dead", number)
    assert [backoff(100) <= 3601, backoff(0) >= 1] == [True, True]


async def test_nobody_listening_is_a_refusal_and_not_the_end(serve: Serve) -> None:
    async with fake_smtp() as smtp:
        port = smtp.port
    client = await wrote(serve, port)
    assert (await deliver(client)).state == "retrying"


async def test_a_connection_cut_after_the_letter_left_is_unknown_and_not_sent_again(serve: Serve) -> None:
    async with fake_smtp("DATA") as smtp:
        client = await wrote(serve, smtp.port)
        lost = await deliver(client)
        assert (lost.state, lost.attempts) == ("unknown", 1)
        await move_back(client, "outbox", "due_at")
        assert await client.parts.worker.deliver() == 0
        assert smtp.connections == 1


async def test_a_connection_cut_before_the_letter_left_is_retried(serve: Serve) -> None:
    async with fake_smtp() as smtp:
        client = await wrote(serve, smtp.port)
        for smtp.cut in ("GREETING", "MAIL", "RCPT"):
            assert (await deliver(client)).state == "retrying", smtp.cut
            await write(client)
    assert smtp.letters == []


async def test_what_goes_wrong_after_the_letter_was_taken_changes_nothing(serve: Serve) -> None:
    async with fake_smtp() as smtp:
        client = await wrote(serve, smtp.port)
        for smtp.cut, smtp.answers["QUIT"] in (
            ("TAKEN", "221 bye"),
            ("QUIT", "221 bye"),
            ("", "421 too slow"),
        ):
            assert (await deliver(client)).state == "delivered", smtp.cut
            await write(client)
    assert len(smtp.letters) == 3


async def test_an_address_that_no_letter_can_have_is_dead_and_holds_up_nobody(serve: Serve) -> None:
    async with fake_smtp() as smtp:
        client = await wrote(serve, smtp.port)
        await client.rows("UPDATE outbox SET destination = :d", d="ana@example.com\r\nBcc: eve@example.com")
        await write(client)
        assert await client.parts.worker.deliver() == 2
        found = await client.rows("SELECT state FROM outbox ORDER BY created_at")
    assert [item.state for item in found] == ["dead", "delivered"]
    assert len(smtp.letters) == 1


async def test_a_letter_that_a_dead_worker_had_is_unknown(serve: Serve) -> None:
    async with fake_smtp() as smtp:
        client = await wrote(serve, smtp.port)

        def taken(conn: Connection) -> bool:
            return outbox.claim(conn, outbox.page(conn, None, None, 1)[0], now(conn))

        assert await client.parts.database.run(taken)
        assert (await row(client)).state == "sending"
        await move_back(client, "outbox", "due_at")
        assert (await deliver(client)).state == "unknown"
        assert await client.parts.worker.deliver() == 0
    assert smtp.letters == []


class Odd:
    """A courier with a fault that nobody thought of, for the first letter it gets."""

    def __init__(self) -> None:
        self.tried = 0

    async def deliver(self, row: Any) -> None:
        self.tried += 1
        if self.tried == 1:
            raise ZeroDivisionError("not one of ours")
        raise Refused("no")

    def settled(self, conn: Any, row: Any, moment: Any) -> bool:
        return False

    def repeatable(self, row: Any) -> bool:
        return False


class Keyed:
    """A courier whose other side tells repeats by our key."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def deliver(self, row: Any) -> None:
        self.keys.append(row.idempotency_key)

    def repeatable(self, row: Any) -> bool:
        return True

    def settled(self, conn: Any, row: Any, moment: Any) -> bool:
        return False


async def test_what_a_dead_worker_had_leaves_again_where_the_other_side_tells_repeats(serve: Serve) -> None:
    client = await wrote(serve)
    deliveries = Deliveries(client.parts.database, {"mail": Keyed()})

    def taken(conn: Connection) -> bool:
        return outbox.claim(conn, outbox.page(conn, None, None, 1)[0], now(conn))

    assert await client.parts.database.run(taken)
    await move_back(client, "outbox", "due_at")
    assert await deliveries.round() == 1
    done = await row(client)
    assert (done.state, done.attempts) == ("delivered", 2)


async def test_a_worker_that_was_stopped_past_its_time_sends_nothing_when_it_wakes_up(serve: Serve) -> None:
    client, courier = await wrote(serve), Keyed()
    stopped = Stopped(client.parts.database, after="Deliveries._deliver", seconds=0.2)
    assert await Deliveries(stopped, {"mail": courier}, attempt_s=0.1).round() == 1
    assert courier.keys == []
    assert (await row(client)).state == "retrying"


async def test_a_fault_of_a_courier_is_unknown_and_does_not_touch_the_other_letters(serve: Serve) -> None:
    client = await wrote(serve)
    await write(client)
    assert await Deliveries(client.parts.database, {"mail": Odd()}).round() == 2
    found = sorted(item.state for item in await client.rows("SELECT state FROM outbox"))
    assert found == ["retrying", "unknown"]


async def test_retry_queues_again_what_ended_and_nothing_that_was_delivered(serve: Serve) -> None:
    async with fake_smtp("DATA") as smtp:
        client = await wrote(serve, smtp.port)
        lost = await deliver(client)

        def again(conn: Connection) -> bool:
            found = outbox.find(conn, lost.id)
            assert found is not None
            return outbox.requeue(conn, found, now(conn))

        assert await client.parts.database.run(again)
        smtp.cut = ""
        assert (await deliver(client)).state == "delivered"
        assert not await client.parts.database.run(again)
        assert (await deliver(client)).state == "delivered"
    assert len(smtp.letters) == 1


async def test_the_same_letter_is_stored_once(serve: Serve) -> None:
    client = await wrote(serve)

    def twice(conn: Connection) -> None:
        outbox.add(conn, outbox.page(conn, None, None, 1))

    await client.parts.database.run(twice)
    assert len(await client.rows("SELECT * FROM outbox")) == 1


async def test_one_address_gets_so_many_letters_at_once_and_the_others_a_little_later() -> None:
    clock = FakeClock()
    moment = clock.now()
    letter = OutboxRow(
        "s", "l", None, "mail", "ana@example.com", {"subject": "Hello", "text": "again"}, "k", "sending", 1,
        moment, None, moment, None,
    )  # fmt: skip
    async with fake_smtp() as smtp:
        courier = SmtpCourier(f"smtp://127.0.0.1:{smtp.port}", "shop@example.com", Pace(clock))
        for _ in range(TO_ONE.burst):
            await courier.deliver(letter)
        with pytest.raises(TryLater) as late:
            await courier.deliver(letter)
        await courier.deliver(replace(letter, destination="bob@example.com"))
        clock.advance(late.value.seconds)
        await courier.deliver(letter)
    assert len(smtp.letters) == TO_ONE.burst + 2
