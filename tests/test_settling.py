"""Rule 7, its last resort: a person says what became of a write whose outcome nobody knows."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from llm_planner.messages import Decision, InboundMessage

from .harness import operator, rows
from .tools import LEDGER, Echo, IdempotentLedger, Ledger, plan
from .turn_kit import (
    always,
    die_everywhere,
    effects,
    key_of,
    kinds,
    ledger,
    live_token,
    message,
    move_back,
    parked,
    process,
    run_in,
    states,
    token,
    with_ledger,
)

Serve = Any


class Billed(Ledger):
    """A write that the billing desk decides."""

    name = "billed"
    approver = "billing"


TOOLS = [Ledger, IdempotentLedger, Billed, Echo]


async def unknown(serve: Serve, answer: str | None = None) -> tuple[Any, dict[str, Any]]:
    """A server with one write that was cut off, and that write as the admin sees it."""
    model = always(answer or ledger("raise-after"))
    client = await with_ledger(await serve(tools=TOOLS, model=model, default_locale="en"))
    told = await client.say(f"confirm {token(await parked(client))}", locale="en")
    assert told["code"] == "write_unknown"
    return client, await only(client)


async def only(client: Any, state: str = "unknown") -> dict[str, Any]:
    status, found = await client.get(f"/writes?state={state}", operator("admin"))
    assert (status, len(found["items"])) == (200, 1), found
    item: dict[str, Any] = found["items"][0]
    return item


async def settle(client: Any, write: dict[str, Any], role: str = "operator", **body: Any) -> tuple[int, Any]:
    path = f"/writes/{write['id']}/settle"
    status, found = await client.post(path, body or {"outcome": "done"}, operator(role))
    return status, found


async def over(client: Any) -> None:
    """The time of every call is over."""
    await move_back(client, "tool_runs", "deadline_at")


@pytest.mark.parametrize(
    ("outcome", "run", "ended", "said"),
    [("done", "ok", "executed", "it was done"), ("not_done", "failed", "failed", "it was not done")],
)
async def test_an_unknown_write_is_settled_its_user_is_told_and_nothing_runs_again(
    serve: Serve, outcome: str, run: str, ended: str, said: str
) -> None:
    Ledger.calls.clear()
    client, write = await unknown(serve)
    await over(client)
    status, found = await settle(client, write, outcome=outcome, reason="seen in the bank's list")
    assert (status, found["state"], found["settled_by"]) == (200, run, "operator-anne")
    assert found["reason"] == "seen in the bank's list"
    assert await states(client) == [ended]
    last = (await client.rows("SELECT reply, code FROM turns ORDER BY seq"))[-1]
    assert (said in last.reply, "bank" in last.reply, last.code) == (True, False, f"settled_{outcome}")
    event = (await client.rows("SELECT payload, actor FROM audit_events WHERE kind = 'write_settled'"))[0]
    assert (event.actor, json.loads(event.payload)["outcome"]) == ("operator-anne", outcome)
    step = json.loads((await client.rows("SELECT rounds FROM turns ORDER BY seq"))[0].rounds)[0]
    assert step["results"]["s1"]["status"] == ("ok" if outcome == "done" else "error")
    assert len(Ledger.calls) == 1
    assert (await client.get("/writes?state=unknown", operator("admin")))[1]["items"] == []


async def test_nobody_settles_before_the_calls_own_time_is_over(serve: Serve) -> None:
    client, write = await unknown(serve)
    await client.rows("UPDATE tool_runs SET deadline_at = '2099-01-01 00:00:00.000000'")
    status, problem = await settle(client, write)
    assert (status, problem["code"]) == (409, "in_progress")
    assert await states(client) == ["unknown"]


async def test_of_many_who_settle_at_once_one_counts(serve: Serve) -> None:
    client, write = await unknown(serve)
    await over(client)
    answers = await asyncio.gather(
        *(settle(client, write, outcome=("done", "not_done")[number % 2]) for number in range(6))
    )
    assert sorted(status for status, _ in answers) == [200] + [409] * 5
    assert {found["code"] for status, found in answers if status == 409} == {"already_settled"}
    assert (await kinds(client)).count("write_settled") == 1


async def test_who_may_not_settle_is_refused_and_sees_only_their_own(serve: Serve) -> None:
    client, write = await unknown(serve)
    await over(client)
    assert (await settle(client, write, "viewer"))[0] == 403
    assert (await settle(client, write, "billing"))[0] == 404
    assert (await client.get("/writes", operator("billing")))[1]["items"] == []
    assert (await client.get(f"/writes/{write['id']}", operator("billing")))[0] == 404
    assert (await client.get("/writes", {}))[0] == 401
    assert (await client.post(f"/writes/{write['id']}/settle", {"outcome": "done"}, {}))[0] == 401
    assert (await settle(client, {"id": "nothing"}))[0] == 404
    for body in (
        {"outcome": "maybe"},
        {"outcome": "done", "more": 1},
        {"outcome": "done", "reason": "x" * 1001},
    ):
        assert (await settle(client, write, **body))[0] == 422, body
    assert (await client.get("/writes?state=nonsense", operator("admin")))[0] == 422
    assert await states(client) == ["unknown"]


async def test_a_write_whose_outcome_is_known_is_not_settled(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger())))
    await client.say(f"confirm {token(await parked(client))}")
    await over(client)
    status, problem = await settle(client, await only(client, "ok"), outcome="not_done")
    assert (status, problem["code"]) == (409, "already_settled")
    assert await states(client) == ["executed"]


async def test_what_depended_on_the_write_stays_skipped_and_the_chat_goes_on(serve: Serve) -> None:
    steps = [
        {"id": "s1", "tool": "ledger_add", "args": {"what": "raise-after"}},
        {"id": "s2", "tool": "ledger_add", "args": {"what": "second"}, "after": ["s1"]},
    ]
    client, write = await unknown(serve, json.dumps({"tool_calls": steps}))
    await over(client)
    assert (await settle(client, write))[0] == 200
    assert await states(client) == ["executed"]
    assert [what for what, _ in await effects(client)] == ["raise-after"]
    assert (await client.say("pending", locale="en"))["reply"] == "Nothing waits for your confirmation."


async def test_the_list_goes_on_page_by_page(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger())))
    for number in range(3):
        await client.say(f"confirm {token(await parked(client, f's{number}'))}", session=f"s{number}")
    seen, cursor = list[str](), ""
    while cursor is not None:
        _, found = await client.get(f"/writes?limit=1{cursor and '&cursor=' + cursor}", operator("viewer"))
        seen, cursor = seen + [item["id"] for item in found["items"]], found["next"]
    assert (len(seen), seen) == (3, sorted(seen, reverse=True))


async def test_a_settlement_that_dies_at_any_commit_is_resumed_with_one_outcome(
    serve: Serve, db_url: str, tmp_path: Path
) -> None:
    async with process(db_url, tmp_path, TOOLS, always(ledger("raise-after"))) as parts:
        await rows(parts.database, LEDGER)

        async def settling(label: str) -> InboundMessage:
            await run_in(parts, message(label, "ask", "tea please"))
            query = (
                "SELECT c.id FROM pending_confirmations c JOIN sessions s ON s.id = c.session_id "
                "WHERE s.label = :l"
            )
            waiting = (await rows(parts.database, query, l=label))[0].id
            await run_in(parts, message(label, "go", f"confirm {live_token(parts, waiting)}"))
            await rows(parts.database, "UPDATE tool_runs SET deadline_at = '2020-01-01 00:00:00.000000'")
            query = "SELECT id FROM tool_runs WHERE confirmation_id = :c"
            run = (await rows(parts.database, query, c=waiting))[0].id
            decision = Decision(run, "done", "anne", ("operator",))
            return InboundMessage(key_of(label), "settle", "", "en", decision=decision)

        labels = await die_everywhere(parts, ["after"], settling)
    client = await serve(tools=TOOLS, model=always(plan(reply="fine")))
    for label in labels:
        assert (await client.say("and now", session=label))["reply"] == "fine"
    assert await states(client) == ["executed"] * len(labels)
    assert (await kinds(client)).count("write_settled") == len(labels)
    found = await client.rows("SELECT code FROM turns WHERE message_id = 'settle'")
    assert [row.code for row in found] == ["settled_done"] * len(labels)
