"""Rules 1 to 4: a write waits as a row, its owner's token lets exactly that run, once; all else is no."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from llm_planner.clock import SystemClock
from llm_planner.testing.clock import FakeClock
from llm_planner.turn.inbox import to_row

from .harness import INTERNAL_KEY
from .tools import Echo, IdempotentLedger, Ledger, ReconcilingLedger, Undeclared, plan
from .turn_kit import (
    LONG_AGO,
    always,
    effects,
    kinds,
    ledger,
    message,
    move_back,
    parked,
    run_in,
    states,
    token,
    with_ledger,
)

Serve = Any
TOOLS = [Ledger, IdempotentLedger, ReconcilingLedger, Echo, Undeclared]
TWO = plan(("ledger_add", {"what": "tea"}), ("ledger_add_once", {"what": "milk"}))


def after_the_user(request: Any) -> str:
    """What the user wrote last, as the thing to write down."""
    return ledger(request.messages[-1].content.rsplit("\n", 1)[-1].strip())


async def shop(serve: Serve, answer: Any = None, **more: Any) -> Any:
    return await with_ledger(await serve(tools=TOOLS, model=always(answer or ledger()), **more))


@pytest.mark.covers("turn.needs-confirmation", "rule.1")
async def test_a_write_becomes_a_row_with_a_card_and_nothing_runs(serve: Serve) -> None:
    client = await shop(serve)
    turn = await parked(client, locale="en")
    row = (await client.rows("SELECT * FROM pending_confirmations"))[0]
    card = turn["confirmations"][0]
    assert (row.id, row.state, json.loads(row.args)) == (card["id"], "pending", {"what": "tea", "amount": 1})
    assert f"confirm {card['token']}" in turn["reply"]
    assert [step["status"] for step in turn["steps"]] == ["awaiting_confirmation"]
    assert await effects(client) == []
    assert await client.rows("SELECT * FROM tool_runs") == []


async def test_an_undeclared_tool_is_a_write(serve: Serve) -> None:
    client = await shop(serve, plan(("undeclared", {"text": "x"})))
    assert (await client.say("do it"))["status"] == "needs_confirmation"


@pytest.mark.covers("rule.2")
async def test_the_token_is_stored_nowhere(serve: Serve) -> None:
    client = await shop(serve)
    turn = await parked(client)
    word = token(turn)
    await client.say(f"is {word} my code?")
    await client.say(f"confirm {word}", session="somebody-else")
    for table in ("turns", "messages", "audit_events", "pending_confirmations", "outbox", "model_calls"):
        found = [list(row) for row in await client.rows(f"SELECT * FROM {table}")]
        assert word not in str(found), table
    asked = client.parts.model.requests[-1]
    assert word not in str(asked.messages)


@pytest.mark.parametrize("same_id", [True, False])
async def test_one_token_confirmed_fifty_times_at_once_executes_once(serve: Serve, same_id: bool) -> None:
    client = await shop(serve, budget_queued_messages=60)
    word = token(await parked(client))
    ids = ["one" if same_id else f"m{number}" for number in range(50)]
    turns = await asyncio.gather(*(client.say(f"confirm {word}", message_id=name) for name in ids))
    assert await effects(client) == [("tea", 1)]
    assert len(await client.rows("SELECT * FROM tool_runs")) == 1
    if same_id:
        assert len({turn["turn_id"] for turn in turns}) == 1
        assert [turn["status"] for turn in turns] == ["executed"] * 50
        assert sum(not turn["duplicate"] for turn in turns) == 1
    else:
        ended = sorted((turn["status"], turn["code"] or "") for turn in turns)
        assert ended == [("executed", "")] + [("refused", "token_used")] * 49
    assert (await client.rows("SELECT open_turns, lease_until FROM sessions"))[0] == (0, None)


async def test_confirm_racing_cancel_ends_in_one_of_the_two(serve: Serve) -> None:
    client = await shop(serve, after_the_user)
    for number in range(4):
        label = f"s{number}"
        word = token(await parked(client, label, label))
        verbs = [f"confirm {word}", f"cancel {word}"]
        turns = await asyncio.gather(*(client.say(text, session=label) for text in verbs[:: (-1) ** number]))
        done = {turn["status"] for turn in turns}
        ran = (label, 1) in await effects(client)
        assert done == ({"executed", "refused"} if ran else {"cancelled", "refused"}), turns
        row = (
            await client.rows(
                "SELECT c.state FROM pending_confirmations c JOIN sessions s ON "
                "s.id = c.session_id WHERE s.label = :l",
                l=label,
            )
        )[0]
        assert row.state == ("executed" if ran else "cancelled")


@pytest.mark.covers("turn.refused", "rule.4")
async def test_a_stale_button_does_nothing(serve: Serve) -> None:
    client = await shop(serve, after_the_user)
    first = token(await parked(client, message="two teas"))
    second = token(await parked(client, message="no three teas"))
    superseded = await client.say(f"confirm {first}")
    assert (superseded["status"], superseded["code"]) == ("refused", "token_used")
    assert (await client.say(f"confirm {second}"))["status"] == "executed"
    used = await client.say(f"confirm {second}")
    assert used["code"] == "token_used"
    third = token(await parked(client, message="more"))
    assert (await client.say(f"cancel {third}"))["status"] == "cancelled"
    assert (await client.say(f"confirm {third}"))["code"] == "token_used"
    assert await effects(client) == [("no three teas", 1)]
    assert await states(client) == ["superseded", "executed", "cancelled"]


async def test_an_expired_token_is_refused_and_stays_expired(serve: Serve, db_url: str) -> None:
    clock = FakeClock() if db_url.startswith("sqlite") else SystemClock()
    client = await shop(serve, clock=clock)
    word = token(await parked(client))
    if isinstance(clock, FakeClock):
        clock.advance(601)
    else:
        await move_back(client, "pending_confirmations", "expires_at")
    late = await client.say(f"confirm {word}", locale="en")
    assert (late["status"], late["code"]) == ("refused", "token_expired")
    assert "expired" in late["reply"]
    if isinstance(clock, FakeClock):
        clock.advance(-3600)  # the database's time decides, and what it decided stays
        assert (await client.say(f"confirm {word}"))["code"] == "token_expired"
    assert await states(client) == ["expired"]
    assert (await kinds(client)).count("confirmation_expired") == 1
    assert await effects(client) == []
    assert await client.rows("SELECT * FROM tool_runs") == []


def an_hour_ago() -> datetime:
    """As the servers store it; what is long past would be forgotten as well."""
    return datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=1)


async def test_confirmations_expire_by_timer_while_nobody_writes(serve: Serve, db_url: str) -> None:
    clock = FakeClock() if db_url.startswith("sqlite") else SystemClock()
    client = await shop(serve, clock=clock)
    word = token(await parked(client))
    await client.parts.worker.fire_timers()
    assert await states(client) == ["pending"]
    if isinstance(clock, FakeClock):
        clock.advance(601)
    else:
        await client.rows("UPDATE pending_confirmations SET expires_at = :t", t=an_hour_ago())
    await client.parts.worker.fire_timers()
    await client.parts.worker.fire_timers()
    assert await states(client) == ["expired"]
    assert (await kinds(client)).count("confirmation_expired") == 1
    if isinstance(clock, FakeClock):
        clock.advance(-3600)
    assert (await client.say(f"confirm {word}"))["code"] == "token_expired"


@pytest.mark.covers("turn.refused", "rule.2")
async def test_five_wrong_tokens_lock_the_session_and_nobody_else(serve: Serve) -> None:
    client = await shop(serve)
    word, other = token(await parked(client)), token(await parked(client, "other"))
    wrong = [await client.say(f"confirm 0000000{number}", locale="en") for number in range(5)]
    assert [turn["code"] for turn in wrong] == ["token_unknown"] * 5
    assert "still wait" in wrong[0]["reply"]
    assert "still wait" not in wrong[4]["reply"]
    locked = await client.say(f"confirm {word}", locale="en")
    assert (locked["status"], locked["code"]) == ("refused", "token_locked")
    assert sorted(await states(client)) == ["expired", "pending"]
    assert (await client.say(f"confirm {other}", session="other"))["status"] == "executed"
    assert len(await effects(client)) == 1
    again = token(await parked(client))
    assert (await client.say(f"confirm {again}"))["code"] == "token_locked"
    await move_back(client, "sessions", "locked_until")
    assert (await client.say(f"confirm {word}"))["code"] == "token_expired"
    assert (await client.say(f"confirm {again}"))["status"] == "executed"


async def test_five_wrong_tokens_at_once_are_five_tries(serve: Serve) -> None:
    client = await shop(serve)
    word = token(await parked(client))
    turns = await asyncio.gather(*(client.say(f"confirm 0000000{number}") for number in range(8)))
    codes = sorted(turn["code"] for turn in turns)
    assert codes == ["token_locked"] * 3 + ["token_unknown"] * 5
    assert (await client.say(f"confirm {word}"))["code"] == "token_locked"
    assert await effects(client) == []


async def test_a_right_token_forgives_the_wrong_ones_before_it(serve: Serve) -> None:
    client = await shop(serve)
    for _ in range(2):
        word = token(await parked(client))
        for number in range(4):
            await client.say(f"confirm 0000000{number}")
        assert (await client.say(f"confirm {word}"))["status"] == "executed"


@pytest.mark.covers("turn.foreign-token")
async def test_another_sessions_token_is_word_for_word_a_wrong_one(serve: Serve) -> None:
    client = await shop(serve)
    word = token(await parked(client, "hers"))
    theirs = await client.say(f"confirm {word}", session="his")
    wrong = await client.say("confirm 00000000", session="his")
    same = ["status", "code", "reply", "confirmations", "steps"]
    assert [theirs[name] for name in same] == [wrong[name] for name in same]
    headers = {"x-api-key": INTERNAL_KEY}
    _, through_whatsapp = await client.post(
        "/wa/agent", {"message": f"confirm {word}", "session_id": "hers"}, headers
    )
    assert through_whatsapp["code"] == "token_unknown"
    assert await effects(client) == []
    assert await states(client) == ["pending"]


TAMPERED = {
    "args": '{"what":"gold","amount":1}',
    "tool": "ledger_add_once",
    "expires_at": LONG_AGO.replace(year=2099),
    "schema_hash": "0" * 64,
    "digest": "0" * 64,
    "approver": "billing",
}


async def test_a_row_that_was_tampered_with_is_refused(serve: Serve) -> None:
    client = await shop(serve)
    for column, value in TAMPERED.items():
        word = token(await parked(client, column))
        where = "session_id IN (SELECT id FROM sessions WHERE label = :l)"
        await client.rows(f"UPDATE pending_confirmations SET {column} = :v WHERE {where}", v=value, l=column)
        turn = await client.say(f"confirm {word}", session=column)
        assert turn["status"] == "refused", column
    assert await effects(client) == []
    assert await client.rows("SELECT * FROM tool_runs") == []


async def test_a_row_that_was_moved_to_another_session_is_refused_there(serve: Serve) -> None:
    client = await shop(serve)
    word = token(await parked(client, "hers"))
    await client.say("confirm 00000000", session="his")
    his = (await client.rows("SELECT id FROM sessions WHERE label = 'his'"))[0].id
    await client.rows("UPDATE pending_confirmations SET session_id = :s", s=his)
    assert (await client.say(f"confirm {word}", session="his"))["status"] == "refused"
    assert await effects(client) == []


async def test_a_tool_that_changed_between_parking_and_confirming_is_refused(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    class WiderInput(BaseModel):
        what: str
        amount: int = 1
        currency: str = "EUR"

    class Changed(Ledger):
        input_model = WiderInput  # type: ignore[assignment]

    class Graver(Ledger):
        approver = "billing"

    client = await shop(serve)
    word = token(await parked(client))
    registry = client.parts.registry
    for tool in (Changed, Graver, Echo):
        kept = registry._specs["ledger_add"]
        registry._specs["ledger_add"] = type(registry)([tool])._specs.popitem()[1]
        assert (await client.say(f"confirm {word}"))["status"] == "refused", tool
        registry._specs["ledger_add"] = kept
    assert await effects(client) == []
    assert (await client.say(f"confirm {word}"))["status"] == "executed"


async def test_one_confirmation_a_write_so_one_is_confirmed_and_the_other_cancelled(serve: Serve) -> None:
    client = await shop(serve, TWO)
    turn = await parked(client)
    assert len(turn["confirmations"]) == 2
    assert (await client.say(f"confirm {token(turn, 0)}"))["status"] == "executed"
    assert (await client.say(f"cancel {token(turn, 1)}"))["status"] == "cancelled"
    assert await effects(client) == [("tea", 1)]
    assert sorted(await states(client)) == ["cancelled", "executed"]


def chained() -> str:
    steps = [
        {"id": "s1", "tool": "ledger_add", "args": {"what": "tea", "amount": 7}},
        {
            "id": "s2",
            "tool": "ledger_add",
            "args": {"what": "copy", "amount": {"$step": "s1", "pointer": "/amount"}},
        },
        {"id": "s3", "tool": "ledger_add", "args": {"what": "aside", "amount": 2}},
        {"id": "s4", "tool": "echo", "args": {"text": {"$step": "s2", "pointer": "/written"}}},
    ]
    return json.dumps({"tool_calls": steps})


async def test_a_write_that_depends_on_another_is_parked_when_that_was_done(serve: Serve) -> None:
    client = await shop(serve, chained())
    first = await parked(client)
    assert [step["status"] for step in first["steps"]] == [
        "awaiting_confirmation", "blocked", "awaiting_confirmation", "blocked",
    ]  # fmt: skip
    second = await client.say(f"confirm {token(first, 0)}")
    assert second["status"] == "needs_confirmation", second
    assert [(s["id"], s["status"]) for s in second["steps"]] == [
        ("s1", "ok"),
        ("s2", "awaiting_confirmation"),
    ]
    assert second["confirmations"][0]["args"] == {"what": "copy", "amount": 7}
    assert token(second) not in {token(first, 0), token(first, 1)}
    third = await client.say(f"confirm {token(second)}")
    assert [(s["id"], s["status"]) for s in third["steps"]] == [("s2", "ok"), ("s4", "ok")]
    assert await effects(client) == [("copy", 7), ("tea", 7)]
    # A step that goes on after another is no new request: its sibling of the same tool still waits.
    assert (await client.say(f"confirm {token(first, 1)}"))["status"] == "executed"
    assert await effects(client) == [("aside", 2), ("copy", 7), ("tea", 7)]
    assert await states(client) == ["executed"] * 3


async def test_what_depends_on_a_write_that_failed_is_not_asked_for(serve: Serve) -> None:
    client = await shop(serve, chained().replace('"tea"', '"fail"'))
    first = await parked(client)
    done = await client.say(f"confirm {token(first)}")
    assert [(s["id"], s["status"]) for s in done["steps"]] == [
        ("s1", "error"), ("s2", "skipped"), ("s4", "skipped"),
    ]  # fmt: skip
    assert done["confirmations"] == []
    assert done["status"] == "failed"


async def test_a_newer_request_for_the_same_tool_supersedes_only_that_tool(serve: Serve) -> None:
    client = await shop(
        serve, lambda request: TWO if "both" in request.messages[-1].content else ledger("new")
    )
    both = await parked(client, message="both")
    newer = await parked(client, message="just one")
    assert (await client.say(f"confirm {token(both, 0)}"))["code"] == "token_used"
    assert (await client.say(f"confirm {token(both, 1)}"))["status"] == "executed"
    assert (await client.say(f"confirm {token(newer)}"))["status"] == "executed"
    assert await effects(client) == [("milk", 1), ("new", 1)]


@pytest.mark.covers("verb.bare-cancel")
async def test_bare_cancel_cancels_all_of_ones_own_and_is_an_ordinary_message_without_any(
    serve: Serve,
) -> None:
    client = await shop(serve, TWO)
    theirs = await parked(client, "theirs")
    await parked(client)
    done = await client.say("¡Cancelar!")
    assert done["status"] == "cancelled"
    assert await client.say(f"confirm {token(theirs)}", session="theirs")
    assert sorted(await states(client)) == ["cancelled", "cancelled", "executed", "pending"]
    before = len(client.parts.model.requests)
    ordinary = await client.say("cancel")
    assert len(client.parts.model.requests) == before + 1
    assert ordinary["status"] == "needs_confirmation"


async def test_cancel_after_the_execution_says_that_it_is_too_late(serve: Serve) -> None:
    client = await shop(serve)
    word = token(await parked(client))
    await client.say(f"confirm {word}")
    late = await client.say(f"cancel {word}", locale="en")
    assert (late["status"], late["code"]) == ("refused", "token_used")
    assert "too late" in late["reply"]
    assert await states(client) == ["executed"]


async def test_pending_shows_the_live_cards_again_and_only_those(serve: Serve) -> None:
    client = await shop(serve, TWO)
    turn = await parked(client)
    await client.say(f"cancel {token(turn, 0)}")
    shown = await client.say("pending", locale="en")
    assert shown["status"] == "answered"
    assert f"confirm {token(turn, 1)}" in shown["reply"]
    assert token(turn, 0) not in shown["reply"]
    assert (await client.say(f"confirm {token(turn, 1)}"))["status"] == "executed"
    assert "Nothing waits" in (await client.say("pending", locale="en"))["reply"]


@pytest.mark.covers("rule.4")
async def test_a_pending_write_never_blocks_the_chat_and_no_token_follows_it_around(serve: Serve) -> None:
    client = await shop(
        serve,
        lambda request: ledger() if "tea" in request.messages[-1].content else plan(reply="It is noon."),
    )
    word = token(await parked(client, message="tea"))
    turn = await client.say("what time is it?", locale="en")
    assert turn["status"] == "answered"
    assert turn["reply"].startswith("It is noon.")
    assert "Some of your operations still wait" in turn["reply"]
    assert word not in turn["reply"]


async def test_a_replayed_answer_shows_a_live_card_and_no_dead_one(serve: Serve) -> None:
    client = await shop(serve)
    first = await parked(client, message_id="ask")
    again = await client.say("please", message_id="ask")
    assert (again["duplicate"], again["reply"]) == (True, first["reply"])
    assert again["confirmations"] == first["confirmations"]
    await client.say(f"cancel {token(first)}")
    dead = await client.say("please", message_id="ask")
    assert token(first) not in json.dumps(dead)
    assert dead["confirmations"][0]["token"] is None


async def test_a_forwarded_verb_approves_nothing_and_cancels_nothing(serve: Serve) -> None:
    client = await shop(
        serve, lambda request: ledger() if "tea" in str(request.messages[-1]) else plan(reply="ok")
    )
    word = token(await parked(client, message="tea"))
    model = client.parts.model
    for number, (text, status) in enumerate(
        [(f"confirm {word}", "refused"), (f"cancel {word}", "answered"), ("cancel", "answered")]
    ):
        asked = len(model.requests)
        turn_id = await run_in(client.parts, message("demo", f"f{number}", text, verbs=False))
        row = (await client.rows("SELECT status, inbound FROM turns WHERE id = :i", i=turn_id))[0]
        assert row.status == status
        assert (len(model.requests) > asked) is (status == "answered")
        assert to_row(message("demo", "", text, verbs=False))["verbs"] is False
    assert await states(client) == ["pending"]
    assert await effects(client) == []
    assert word not in str([request.messages for request in client.parts.model.requests])


async def test_nothing_else_approves(serve: Serve) -> None:
    client = await shop(
        serve, lambda request: ledger() if "tea" in str(request.messages[-1]) else plan(reply="ok")
    )
    word = token(await parked(client, message="tea"))
    for said in ("yes", "ok dale", "sí, confirmo", "I confirm it", word, f"please confirm {word}", "👍"):
        assert (await client.say(said))["status"] == "answered", said
    assert await states(client) == ["pending"]
    assert await effects(client) == []


async def test_an_old_pending_write_is_found_among_any_number_of_newer_ones(serve: Serve) -> None:
    client = await shop(
        serve,
        lambda request: (
            ledger("old") if "old" in str(request.messages[-1]) else ledger("new", 1, "ledger_add_once")
        ),
    )
    old = token(await parked(client, message="old"))
    row = (await client.rows("SELECT * FROM pending_confirmations"))[0]._mapping
    for number in range(60):
        made = {
            **row,
            "id": f"ffffffff-0000-7000-8000-{number:012d}",
            "state": "superseded",
            "edition": number + 1,
        }
        columns = ", ".join(made)
        values = ", ".join(f":{name}" for name in made)
        await client.rows(f"INSERT INTO pending_confirmations ({columns}) VALUES ({values})", **made)
    assert (await client.say(f"confirm {old}"))["status"] == "executed"
    assert await effects(client) == [("old", 1)]


async def test_the_limit_of_pending_writes_is_a_fixed_text(serve: Serve) -> None:
    client = await shop(serve, TWO, budget_pending_writes=1)
    turn = await client.say("please", locale="en")
    assert [step["status"] for step in turn["steps"]] == ["awaiting_confirmation", "error"]
    assert "Too many operations" in turn["steps"][1]["error"]
    assert await states(client) == ["pending"]


async def test_tries_while_locked_do_not_move_the_lock(serve: Serve) -> None:
    client = await shop(serve)
    for number in range(5):
        await client.say(f"confirm 0000000{number}")
    until = (await client.rows("SELECT locked_until FROM sessions"))[0].locked_until
    await client.say("confirm 00000009")
    assert (await client.rows("SELECT locked_until FROM sessions"))[0].locked_until == until
