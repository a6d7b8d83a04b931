"""Rule 17: the trail is chained, verifiable after erasure, shows tampering, holds no secret, no token."""

import asyncio
import json
import logging
from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import Connection, text

from llm_planner.keys import Keyring
from llm_planner.messages import AuditEvent
from llm_planner.storage.database import now
from llm_planner.storage.repositories import audit as stored
from llm_planner.storage.repositories import sessions
from llm_planner.turn.audit import Audit, in_all_chains

from .harness import operator
from .tools import Echo, Ledger, plan
from .turn_kit import always, kinds, ledger, live_token, parked, token, with_ledger

Serve = Any


async def talked(serve: Serve, **more: Any) -> Any:
    """A session with a plan, a write, a wrong and a right token behind it."""
    answer = plan(("echo", {"text": "x"}), ("ledger_add", {"what": "tea"}))
    client = await with_ledger(await serve(tools=[Ledger, Echo], model=always(answer), **more))
    word = token(await parked(client))
    await client.say("confirm 00000000")
    await client.say(f"confirm {word}")
    return client


async def verified(client: Any) -> str | None:
    """What is wrong with the only chain, or None."""

    def check(conn: Connection) -> str | None:
        session = sessions.page(conn, None, 1)[0]
        broken = client.parts.audit.verify(
            stored.chain(conn, session.id), (session.audit_seq, session.audit_head)
        )
        return None if broken is None else f"{broken.seq}: {broken.reason}"

    found: str | None = await client.parts.database.read(check)
    return found


async def test_every_stage_writes_its_event_in_order(serve: Serve) -> None:
    client = await talked(serve)
    assert await kinds(client) == [
        "received", "planned", "step_finished", "confirmation_requested", "replied",
        "received", "confirmation_refused", "replied",
        "received", "confirmation_claimed", "write_ok", "replied",
    ]  # fmt: skip
    planned = (await client.rows("SELECT payload, actor FROM audit_events WHERE kind = 'planned'"))[0]
    told = json.loads(planned.payload)
    assert (told["model"], told["prompt"], len(told["prompt_hash"])) == (
        "script",
        "planner",
        len(told["prompt_hash"]),
    )
    assert told["prompt_hash"]
    assert await verified(client) is None


TAMPERINGS = {
    "UPDATE audit_events SET payload = '{}' WHERE seq = 4": 4,
    "UPDATE audit_events SET actor = 'somebody' WHERE seq = 5": 5,
    "UPDATE audit_events SET kind = 'planned' WHERE seq = 1": 1,
    "UPDATE audit_events SET at = '2020-01-01 00:00:00.000000' WHERE seq = 2": 2,
    "UPDATE audit_events SET turn_id = NULL WHERE seq = 3": 3,
    "UPDATE audit_events SET key_id = '00000000' WHERE seq = 3": 3,
    "UPDATE audit_events SET commitment = hash WHERE seq = 6": 6,
    "DELETE FROM audit_events WHERE seq = 7": 8,
    "DELETE FROM audit_events WHERE seq = 1": 2,
    "DELETE FROM audit_events WHERE seq > 10": 11,
    "DELETE FROM audit_events": 1,
}
"""What somebody with the database in hand may do, and the row at which it shows."""


async def test_whatever_is_changed_or_cut_shows_at_its_row(serve: Serve) -> None:
    client = await talked(serve)
    whole = [dict(row._mapping) for row in await client.rows("SELECT * FROM audit_events")]
    names = ", ".join(whole[0])
    insert = f"INSERT INTO audit_events ({names}) VALUES ({', '.join(f':{name}' for name in whole[0])})"

    def restore(conn: Connection) -> None:
        conn.execute(text("DELETE FROM audit_events"))
        conn.execute(text(insert), whole)

    for change, row in TAMPERINGS.items():
        assert await verified(client) is None
        await client.rows(change)
        assert (await verified(client) or "intact").startswith(f"{row}: "), change
        await client.parts.database.run(restore)


async def test_erasing_payload_and_salt_leaves_the_chain_verifiable(serve: Serve) -> None:
    client = await talked(serve)
    await client.rows("UPDATE audit_events SET payload = NULL, salt = NULL WHERE kind <> 'planned'")
    assert await verified(client) is None
    await client.rows(
        'UPDATE audit_events SET payload = \'{"made":"up"}\', salt = :s WHERE seq = 1', s="00" * 16
    )
    assert (await verified(client) or "intact").startswith("1: ")


async def test_the_same_payload_commits_differently_each_time(serve: Serve) -> None:
    client = await talked(serve)
    await client.say("confirm 00000000")
    rows = await client.rows(
        "SELECT payload, commitment FROM audit_events WHERE kind = 'confirmation_refused'"
    )
    assert len({row.payload for row in rows}) == 1
    assert len({row.commitment for row in rows}) == 2


async def test_a_cut_tail_with_a_matching_head_shows_against_the_checkpoint(serve: Serve) -> None:
    client = await talked(serve)
    audit = client.parts.audit

    def checkpoint(conn: Connection) -> Any:
        return audit.checkpoint(in_all_chains(lambda after: stored.heads(conn, after, 1)), now(conn))

    before = await client.parts.database.read(checkpoint)
    same = await client.parts.database.read(checkpoint)
    last = (await client.rows("SELECT hash FROM audit_events WHERE seq = 10"))[0].hash
    await client.rows("DELETE FROM audit_events WHERE seq > 10")
    await client.rows("UPDATE sessions SET audit_seq = 10, audit_head = :h", h=last)
    assert await verified(client) is None
    after = await client.parts.database.read(checkpoint)
    assert before["digest"] == same["digest"] != after["digest"]
    assert before["sessions"] == 1
    assert len(before["signature"]) == 64
    forged = Audit(Keyring(b"another key that is long enough")).checkpoint([], now_of(before))
    assert forged["signature"] != audit.checkpoint([], now_of(before))["signature"]


def now_of(checkpoint: dict[str, Any]) -> Any:
    return datetime.fromisoformat(checkpoint["at"])


async def test_rows_of_the_previous_key_verify_while_it_is_kept_and_not_after(serve: Serve) -> None:
    client = await talked(serve)
    old, new = b"a-secret-key-for-the-tests-0123456789", b"the-next-key-of-the-tests-0123456789"

    def check(conn: Connection, keys: Keyring) -> Any:
        session = sessions.page(conn, None, 1)[0]
        return Audit(keys).verify(stored.chain(conn, session.id), (session.audit_seq, session.audit_head))

    database = client.parts.database
    assert await database.read(lambda conn: check(conn, Keyring(new, old))) is None
    assert (await database.read(lambda conn: check(conn, Keyring(new)))).seq == 1


async def test_who_writes_outside_the_lane_never_forks_the_chain(serve: Serve) -> None:
    client = await talked(serve)
    session = (await client.rows("SELECT id FROM sessions"))[0].id

    async def outside(number: int) -> None:
        event = AuditEvent("confirmation_expired", "timer", {"number": number})
        database, audit = client.parts.database, client.parts.audit
        await database.run(lambda conn: audit.append(conn, session, [event], now(conn)))

    await asyncio.gather(
        *(outside(number) for number in range(15)), *(client.say("confirm 00000000") for _ in range(4))
    )
    assert await verified(client) is None
    seqs = [row.seq for row in await client.rows("SELECT seq FROM audit_events ORDER BY seq")]
    assert seqs == list(range(1, len(seqs) + 1))
    assert (await kinds(client)).count("confirmation_expired") == 15
    assert (await kinds(client)).count("replied") == 7


class SecretInput(BaseModel):
    user: str
    password: str
    note: str


class Login(Ledger):
    name = "login"
    input_model = SecretInput

    async def run(self, args: Any, ctx: Any) -> dict[str, object]:
        raise RuntimeError("refused")


async def test_no_secret_and_no_token_reaches_the_audit_the_log_or_a_stored_reply(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    args = {"user": "ana", "password": "hunter2-hunter2", "note": "with sk-abcdefghijklmnop1234 inside"}
    client = await with_ledger(
        await serve(tools=[Login], model=always(plan(("login", args))), log_level="debug")
    )
    caplog.set_level(logging.DEBUG)
    word = token(await parked(client))
    await client.say(f"note {word} please")
    newest = (await client.rows("SELECT id FROM pending_confirmations WHERE state = 'pending'"))[0].id
    live = live_token(client.parts, newest)
    await client.say(f"confirm {live}")
    await client.say("confirm 00000000")
    trail = str([list(row) for row in await client.rows("SELECT * FROM audit_events")])
    replies = str([list(row) for row in await client.rows("SELECT reply FROM turns")])
    lines = str([list(row) for row in await client.rows("SELECT text FROM messages")])
    _, listed = await client.get("/audit", operator("viewer"))
    for secret in (word, live):
        assert secret not in trail + replies + lines + caplog.text + json.dumps(listed), secret
    for secret in ("hunter2", "sk-abcdefghijklmnop1234", "a-secret-key-for-the-tests"):
        assert secret not in trail + caplog.text + json.dumps(listed), secret
    assert '"user": "ana"' in trail or '"user":"ana"' in trail


async def test_an_audit_of_many_sessions_has_one_head_each(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=[Ledger], model=always(ledger())))
    for number in range(3):
        await client.say("please", session=f"s{number}")
    heads = await client.parts.database.read(
        lambda conn: list(in_all_chains(lambda after: stored.heads(conn, after, 2)))
    )
    assert len({head for head, _, _ in heads}) == 3
    assert {seq for _, seq, _ in heads} == {4}
