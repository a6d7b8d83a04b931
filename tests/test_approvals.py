"""Rule 5: who may decide. A role's writes have no chat token; an approval names what was looked at."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from llm_planner.errors import Forbidden
from llm_planner.messages import Decision, InboundMessage
from llm_planner.storage.repositories.confirmations import ConfirmationRow
from llm_planner.turn.rulings import may_decide

from .harness import INTERNAL_KEY, OPERATOR_KEYS, operator, rows
from .tools import LEDGER, Echo, Ledger, plan
from .turn_kit import (
    always,
    die_everywhere,
    effects,
    eventually,
    kinds,
    ledger,
    live_token,
    message,
    move_back,
    parked,
    process,
    run_in,
    states,
    there_are,
    token,
    with_ledger,
)

Serve = Any
EPOCH = datetime(2026, 11, 23, tzinfo=UTC)


class Billed(Ledger):
    """A write that the billing desk decides."""

    name = "billed"
    title = "Bill"
    approver = "billing"


TOOLS = [Ledger, Billed, Echo]


async def shop(serve: Serve, answer: Any = None, **more: Any) -> Any:
    return await with_ledger(
        await serve(tools=TOOLS, model=always(answer or ledger("bill", 5, "billed")), **more)
    )


async def approval(client: Any, place: int = 0) -> dict[str, Any]:
    """A pending approval, as the admin sees it."""
    status, found = await client.get("/approvals?status=pending", operator("admin"))
    assert status == 200
    item: dict[str, Any] = found["items"][place]
    return item


async def resolve(client: Any, role: str, item: dict[str, Any], **body: Any) -> tuple[int, Any]:
    status, found = await client.post(f"/approvals/{item['id']}/resolve", body, operator(role))
    return status, found


async def test_a_roles_write_has_no_token_and_the_reply_says_who_decides(serve: Serve) -> None:
    client = await shop(serve)
    turn = await parked(client, locale="en")
    assert (turn["confirmations"][0]["token"], turn["confirmations"][0]["approver"]) == (None, "billing")
    assert "billing" in turn["reply"]
    assert "confirm " not in turn["reply"].lower().replace("i need your confirmation", "")
    derived = live_token(client.parts, turn["confirmations"][0]["id"])
    refused = await client.say(f"confirm {derived}")
    assert refused["code"] == "token_unknown"
    shown = await client.say("pending")
    assert derived not in json.dumps([turn, refused, shown])
    assert await states(client) == ["pending"]
    assert await effects(client) == []


async def test_the_role_approves_with_the_digest_and_it_runs_once(serve: Serve) -> None:
    client = await shop(serve)
    await parked(client)
    item = await approval(client)
    answers = await asyncio.gather(
        *(resolve(client, "billing", item, decision="approve", digest=item["digest"]) for _ in range(5))
    )
    assert sorted(status for status, _ in answers) == [200, 409, 409, 409, 409]
    done = next(found for status, found in answers if status == 200)
    assert (done["status"], done["decided_by"]) == ("executed", "billing-anne")
    assert await effects(client) == [("bill", 5)]
    assert len(await client.rows("SELECT * FROM tool_runs")) == 1
    assert "confirmation_claimed" in await kinds(client)


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("billing", {"decision": "approve"}, 422, "invalid_request"),
    ("billing", {"decision": "approve", "digest": "0" * 64}, 409, "stale_digest"),
    ("billing", {"decision": "reject", "digest": "0" * 64}, 409, "stale_digest"),
    ("operator", {"decision": "approve", "digest": "right"}, 403, "forbidden"),
    ("admin", {"decision": "approve", "digest": "right"}, 403, "forbidden"),
    ("viewer", {"decision": "approve", "digest": "right"}, 403, "forbidden"),
    ("viewer", {"decision": "reject"}, 403, "forbidden"),
    ("viewer", {"decision": "edit", "args": {"what": "x"}}, 403, "forbidden"),
    ("operator", {"decision": "edit", "args": {"wrong": "x"}}, 422, "invalid_request"),
    ("operator", {"decision": "edit", "args": {"what": "x" * 9000}}, 422, "invalid_request"),
]
"""Who tries what, and how it is refused; the digest `right` stands for the one that was shown."""


async def test_whoever_may_not_decide_is_refused_and_nothing_changes(serve: Serve) -> None:
    client = await shop(serve)
    await parked(client)
    item = await approval(client)
    for role, body, status, code in REFUSED:
        sent = {**body, "digest": item["digest"]} if body.get("digest") == "right" else body
        got, problem = await resolve(client, role, item, **sent)
        assert (got, problem["code"]) == (status, code), (role, body)
        assert await states(client) == ["pending"], (role, body)
    assert await effects(client) == []


async def test_without_a_key_nothing_is_seen_or_decided(serve: Serve) -> None:
    client = await shop(serve)
    await parked(client)
    item = await approval(client)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"x-api-key": INTERNAL_KEY}):
        assert (await client.get("/approvals", headers))[0] == 401
        status, _ = await client.post(f"/approvals/{item['id']}/resolve", {"decision": "reject"}, headers)
        assert status == 401
    assert await states(client) == ["pending"]


async def test_a_role_sees_its_own_approvals_only(serve: Serve) -> None:
    client = await shop(serve, plan(("billed", {"what": "a"}), ("ledger_add", {"what": "b"})))
    turn = await parked(client)
    users = turn["confirmations"][1]["id"]
    status, found = await client.get("/approvals", operator("billing"))
    assert (status, [item["tool"] for item in found["items"]]) == (200, ["billed"])
    assert (await client.get(f"/approvals/{users}", operator("billing")))[0] == 404
    status, _ = await client.post(f"/approvals/{users}/resolve", {"decision": "reject"}, operator("billing"))
    assert status == 404
    assert token(turn, 1) not in json.dumps(found)


async def test_an_operator_never_confirms_for_the_user_but_may_reject(serve: Serve) -> None:
    client = await shop(serve, ledger())
    turn = await parked(client)
    item = await approval(client)
    for role in ("operator", "approver", "admin"):
        status, problem = await resolve(client, role, item, decision="approve", digest=item["digest"])
        assert (status, problem["code"]) == (403, "user_only")
    status, found = await resolve(client, "operator", item, decision="reject", reason="no ▣ more")
    assert (status, found["status"], found["decided_by"]) == (200, "rejected", "operator-anne")
    assert (await client.say(f"confirm {token(turn)}"))["code"] == "token_used"
    assert await effects(client) == []
    replies = await client.rows("SELECT reply FROM turns ORDER BY seq")
    assert "no more" in replies[1].reply


async def test_who_asked_for_it_cannot_approve_it(serve: Serve) -> None:
    keys = f"backend/anne:billing:{OPERATOR_KEYS['billing']},root:admin:{OPERATOR_KEYS['admin']}"
    client = await shop(serve, operator_api_keys=keys)
    body = {"message": "please", "session_id": "demo", "user": "anne"}
    _, turn = await client.post("/wa/agent", body, {"x-api-key": INTERNAL_KEY})
    assert turn["status"] == "needs_confirmation"
    item = await approval(client)
    status, problem = await resolve(client, "billing", item, decision="approve", digest=item["digest"])
    assert (status, problem["code"]) == (403, "own_request")
    assert await states(client) == ["pending"]


async def test_an_edit_makes_a_new_row_that_its_editor_cannot_approve(serve: Serve) -> None:
    client = await shop(serve)
    await parked(client)
    old = await approval(client)
    edit = {"decision": "edit", "args": {"what": "bill", "amount": 4}}
    status, found = await resolve(client, "billing", old, **edit)
    assert (status, found["status"]) == (200, "rejected")
    new = await approval(client)
    assert (new["args"], new["edited_by"]) == ({"what": "bill", "amount": 4}, "billing-anne")
    assert new["id"] != old["id"]
    assert new["digest"] != old["digest"]
    assert new["origins"]["amount"] == "operator"
    status, problem = await resolve(client, "billing", new, decision="approve", digest=new["digest"])
    assert (status, problem["code"]) == (403, "own_request")
    status, problem = await resolve(client, "billing", old, decision="approve", digest=old["digest"])
    assert (status, problem["code"]) == (409, "already_resolved")
    status, _ = await resolve(client, "admin", new, decision="edit", args={"what": "bill", "amount": 3})
    assert status == 200
    last = await approval(client)
    status, _ = await resolve(client, "billing", last, decision="approve", digest=last["digest"])
    assert status == 200
    assert await effects(client) == [("bill", 3)]
    assert await states(client) == ["rejected", "rejected", "executed"]


async def test_an_edit_kills_the_users_old_button_and_leaves_the_sibling_alone(serve: Serve) -> None:
    client = await shop(serve, plan(("ledger_add", {"what": "a"}), ("ledger_add", {"what": "b"})))
    turn = await parked(client)
    item = next(
        row for row in [await approval(client, 0), await approval(client, 1)] if row["args"]["what"] == "a"
    )
    status, _ = await resolve(client, "operator", item, decision="edit", args={"what": "c", "amount": 1})
    assert status == 200
    assert (await client.say(f"confirm {token(turn, 0)}"))["code"] == "token_used"
    assert (await client.say(f"confirm {token(turn, 1)}"))["status"] == "executed"
    new = await approval(client)
    shown = await client.say("pending", locale="en")
    assert f"confirm {live_token(client.parts, new['id'])}" in shown["reply"]
    assert (await client.say(f"confirm {live_token(client.parts, new['id'])}"))["status"] == "executed"
    assert await effects(client) == [("b", 1), ("c", 1)]


async def test_what_is_decided_or_expired_is_a_conflict(serve: Serve) -> None:
    client = await shop(serve)
    await parked(client)
    item = await approval(client)
    await client.say("cancel")
    status, problem = await resolve(client, "billing", item, decision="approve", digest=item["digest"])
    assert (status, problem["code"]) == (409, "already_resolved")
    await parked(client)
    item = await approval(client)
    await move_back(client, "pending_confirmations", "expires_at")
    status, problem = await resolve(client, "billing", item, decision="approve", digest=item["digest"])
    assert (status, problem["code"]) == (409, "already_resolved")
    assert await effects(client) == []


async def test_an_approval_of_a_row_that_was_tampered_with_is_refused(serve: Serve) -> None:
    client = await shop(serve)
    await parked(client)
    item = await approval(client)
    await client.rows("UPDATE pending_confirmations SET args = :a", a='{"what":"bill","amount":5000}')
    status, _ = await resolve(client, "billing", item, decision="approve", digest=item["digest"])
    assert status == 409
    assert await effects(client) == []
    assert await client.rows("SELECT * FROM tool_runs") == []


async def test_a_decision_waits_for_its_turn_in_the_sessions_lane(serve: Serve) -> None:
    client = await shop(serve, workers_inline=False)
    await parked(client)
    item = await approval(client)
    accepted = await client.parts.inbox.accept(message("demo", "m2", "cancel"), take=True)
    deciding = asyncio.create_task(
        resolve(client, "billing", item, decision="approve", digest=item["digest"])
    )
    await eventually(lambda: there_are(client, 3, "SELECT id FROM turns"))
    assert await client.parts.worker.run_next(accepted.session_id, accepted.claimed) in (True, False)
    status, problem = await deciding
    assert (status, problem["code"]) == (409, "already_resolved")
    assert await states(client) == ["cancelled"]
    assert await effects(client) == []


async def test_an_approval_does_not_lift_the_owners_lock(serve: Serve) -> None:
    client = await shop(serve)
    await parked(client)
    for number in range(5):
        await client.say(f"confirm 0000000{number}")
    item = await approval(client)
    status, _ = await resolve(client, "billing", item, decision="approve", digest=item["digest"])
    assert status == 200
    assert (await client.say("confirm 00000000"))["code"] == "token_locked"


@pytest.mark.parametrize("kind", ["approve", "edit", "reject"])
async def test_a_decision_that_dies_at_any_commit_is_resumed_and_counts_once(
    serve: Serve, db_url: str, tmp_path: Path, kind: Literal["approve", "edit", "reject"]
) -> None:
    async with process(db_url, tmp_path, TOOLS, always(ledger("bill", 5, "billed"))) as parts:
        await rows(parts.database, LEDGER)

        async def deciding(label: str) -> InboundMessage:
            await run_in(parts, message(label, "ask", "please"))
            query = (
                "SELECT c.id, c.digest FROM pending_confirmations c JOIN sessions s ON s.id = c.session_id "
                "WHERE s.label = :l"
            )
            row = (await rows(parts.database, query, l=label))[0]
            args = {"what": "bill", "amount": 4}
            decision = Decision(row.id, kind, "anne", ("billing",), row.digest, args)
            return message(label, "go", "", decision=decision)

        labels = await die_everywhere(parts, ["after"], deciding)
    client = await with_ledger(await serve(tools=TOOLS, model=always(plan(reply="fine"))))
    await eventually(lambda: there_are(client, 0, "SELECT id FROM sessions WHERE open_turns > 0"))
    decided = await client.rows(
        "SELECT c.session_id, c.state, c.edited_by, c.decided_by, r.state AS run "
        "FROM pending_confirmations c LEFT JOIN tool_runs r ON r.confirmation_id = c.id "
        "ORDER BY c.session_id, c.edition"
    )
    _decided_once(kind, len(labels), decided)
    lines = await client.rows("SELECT COUNT(*) AS n FROM ledger GROUP BY call_key")
    assert {line.n for line in lines} <= {1}


def _decided_once(kind: str, sessions: int, found: list[Any]) -> None:
    by_session: dict[str, list[Any]] = {}
    for row in found:
        by_session.setdefault(row.session_id, []).append(row)
    assert len(by_session) == sessions
    for rows_of in by_session.values():
        states_of = [row.state for row in rows_of]
        if kind == "approve":
            assert states_of in (["executed"], ["unknown"])
            assert rows_of[0].run in ("ok", "unknown")
        elif kind == "reject":
            assert states_of == ["rejected"]
        else:
            assert states_of == ["rejected", "pending"]
            assert (rows_of[1].edited_by, rows_of[1].decided_by) == ("anne", None)


async def test_the_owner_confirms_while_an_operator_rejects_and_one_of_them_counts(serve: Serve) -> None:
    client = await shop(serve, ledger())
    word = token(await parked(client))
    item = await approval(client)
    turn, (status, _) = await asyncio.gather(
        client.say(f"confirm {word}"), resolve(client, "operator", item, decision="reject")
    )
    ran = await effects(client)
    assert (turn["status"], status) == (("executed", 409) if ran else ("refused", 200))
    assert await states(client) == (["executed"] if ran else ["rejected"])


@pytest.mark.parametrize("principal", ["jwt:billing-anne", "backend/billing-anne", "billing-anne"])
def test_who_asked_can_not_approve_under_another_login_of_the_same_name(principal: str) -> None:
    row = ConfirmationRow(
        "s", "c", "t", "t", 0, "s1", 0, "refund", "", {}, {}, "", "digest", "billing", "pending", EPOCH, EPOCH
    )
    decision = Decision("c", "approve", "billing-anne", ("billing",), "digest")
    with pytest.raises(Forbidden, match="who asked"):
        may_decide(row, decision, principal)
    may_decide(row, decision, "jwt:somebody-else")
