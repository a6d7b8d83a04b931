"""What operators see and decide, by role."""

import base64
import json
from typing import Any

import pytest

from llm_planner import Tool
from llm_planner.llm.scripted import ScriptedModel

from ..harness import OPERATOR_KEYS, Client, operator
from ..tools import Echo, Ledger, plan
from .conftest import ServeSqlite
from .raw import ask, assert_problem, get, post

READS = ("/approvals", "/sessions", "/audit", "/metrics")


class Refund(Ledger):
    """A write that the role billing decides."""

    name = "refund"
    title = "Refund"
    approver = "billing"


TOOLS: list[type[Tool]] = [Echo, Ledger, Refund]


async def _parked(serve: Any, tool: str, **settings: Any) -> tuple[Client, dict[str, Any]]:
    model = ScriptedModel([plan((tool, {"what": "a", "amount": 2})), plan(reply="hola")])
    client = await serve(tools=TOOLS, model=model, **settings)
    await client.rows(
        "CREATE TABLE IF NOT EXISTS ledger (call_key VARCHAR(64), what VARCHAR(200), amount INTEGER)"
    )
    data: dict[str, Any] = await client.say("do it")
    assert data["status"] == "needs_confirmation"
    return client, data


async def _resolve(client: Client, name: str, role: str, **body: Any) -> tuple[int, Any]:
    return await client.post(f"/approvals/{name}/resolve", body, operator(role))


@pytest.mark.covers("http.operators")
async def test_every_route_asks_for_a_key(client: Client) -> None:
    for path in (*READS, "/approvals/x", "/sessions/x", "/turns/x"):
        for header in (
            "x: y",
            "Authorization: Bearer wrong",
            "Authorization: Basic YTpi",
            "Authorization: Bearer",
        ):
            answer = await ask(client, get(path, header))
            assert_problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "bearer"
    answer = await ask(client, post("/approvals/x/resolve", b"{}"))
    assert_problem(answer, 401, "unauthorized")
    line = f"Authorization: Bearer {OPERATOR_KEYS['admin']}"
    assert_problem(await ask(client, get("/audit", line, line)), 401, "unauthorized")


async def test_every_route_is_shut_while_no_operator_is_configured(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(operator_api_keys=None)
    for path in READS:
        assert_problem(await ask(client, get(path, "Authorization: Bearer ")), 401, "unauthorized")


async def test_the_general_roles_read_everything(client: Client) -> None:
    for role in ["viewer", "operator", "approver", "admin"]:
        await client.say("hola")
        turn = (await client.rows("SELECT session_id, id FROM turns"))[0]
        for path in (*READS[:3], f"/sessions/{turn.session_id}", f"/turns/{turn.id}"):
            status, data = await client.get(path, operator(role))
            assert status == 200
            assert path.count("/") > 1 or set(data) == {"items", "next"}


async def test_a_role_that_tools_name_reads_its_own_approvals_only(serve_sqlite: ServeSqlite) -> None:
    client, _ = await _parked(serve_sqlite, "ledger_add")
    for path in READS[1:]:
        assert_problem(
            await ask(client, get(path, f"Authorization: Bearer {OPERATOR_KEYS['billing']}")),
            403,
            "forbidden",
        )
    name = (await client.rows("SELECT id FROM pending_confirmations"))[0].id
    assert (await client.get("/approvals", operator("billing")))[1] == {"items": [], "next": None}
    for path in (f"/approvals/{name}", "/approvals/nothing"):
        status, data = await client.get(path, operator("billing"))
        assert (status, data["code"], data["detail"]) == (404, "not_found", "there is no such approval")
    status, data = await _resolve(client, name, "billing", decision="reject")
    assert (status, data["code"]) == (404, "not_found")


@pytest.mark.covers("http.approvals")
async def test_an_approval_shows_everything_but_a_token(serve_sqlite: ServeSqlite) -> None:
    client, asked = await _parked(serve_sqlite, "ledger_add")
    _, listed = await client.get("/approvals?status=pending", operator("viewer"))
    item = listed["items"][0]
    assert (item["status"], item["tool"], item["args"]) == (
        "pending",
        "ledger_add",
        {"what": "a", "amount": 2},
    )
    assert item["approver"] == "user"
    assert len(item["digest"]) == 64
    assert asked["confirmations"][0]["token"] not in json.dumps(listed)
    assert await client.get(f"/approvals/{item['id']}", operator("viewer")) == (200, item)
    assert (await client.get("/approvals?status=executed", operator("viewer")))[1]["items"] == []
    assert (await client.get("/approvals?status=nonsense", operator("viewer")))[0] == 422


async def test_a_stored_turn_shows_no_token_to_operators(serve_sqlite: ServeSqlite) -> None:
    client, asked = await _parked(serve_sqlite, "ledger_add")
    token = asked["confirmations"][0]["token"]
    for path in (f"/turns/{asked['turn_id']}", "/audit", "/sessions"):
        _, data = await client.get(path, operator("admin"))
        assert token not in json.dumps(data)


@pytest.mark.covers("http.approvals", "rule.5", "turn.operator-role")
async def test_the_role_of_the_tool_approves_what_it_looked_at(serve: Any) -> None:
    client, asked = await _parked(serve, "refund")
    assert asked["confirmations"][0]["token"] is None
    name = asked["confirmations"][0]["id"]
    digest = (await client.get(f"/approvals/{name}", operator("billing")))[1]["digest"]
    assert (await _resolve(client, name, "billing", decision="approve"))[0] == 422
    stale = await _resolve(client, name, "billing", decision="approve", digest="0" * 64)
    assert (stale[0], stale[1]["code"]) == (409, "stale_digest")
    for role in ("viewer", "operator", "approver", "admin"):
        assert (await _resolve(client, name, role, decision="approve", digest=digest))[0] == 403
    status, data = await _resolve(client, name, "billing", decision="approve", digest=digest)
    assert (status, data["status"], data["decided_by"]) == (200, "executed", "billing-anne")
    assert len(await client.rows("SELECT 1 FROM ledger")) == 1
    again = await _resolve(client, name, "billing", decision="approve", digest=digest)
    assert (again[0], again[1]["code"]) == (409, "already_resolved")
    assert len(await client.rows("SELECT 1 FROM ledger")) == 1


@pytest.mark.covers("http.approvals", "rule.5")
async def test_operators_reject_what_a_user_would_confirm_and_may_not_approve_it(serve: Any) -> None:
    client, asked = await _parked(serve, "ledger_add")
    name = asked["confirmations"][0]["id"]
    digest = (await client.get(f"/approvals/{name}", operator("viewer")))[1]["digest"]
    assert (await _resolve(client, name, "viewer", decision="reject"))[0] == 403
    refused = await _resolve(client, name, "admin", decision="approve", digest=digest)
    assert (refused[0], refused[1]["code"]) == (403, "user_only")
    status, data = await _resolve(client, name, "operator", decision="reject", reason="no")
    assert (status, data["status"], data["reason"]) == (200, "rejected", "no")
    used = await client.say(f"confirm {asked['confirmations'][0]['token']}")
    assert (used["status"], used["code"]) == ("refused", "token_used")
    assert await client.rows("SELECT 1 FROM ledger") == []


@pytest.mark.covers("rule.5")
async def test_an_edit_is_validated_and_makes_a_new_row(serve: Any) -> None:
    client, asked = await _parked(serve, "ledger_add")
    name = asked["confirmations"][0]["id"]
    for args in ({"what": 5}, {"what": "a", "amount": -1}, {"what": "a", "more": 1}, {}, None):
        status, data = await _resolve(client, name, "operator", decision="edit", args=args)
        assert (status, data["code"]) == (422, "invalid_request"), args
    status, data = await _resolve(client, name, "operator", decision="edit", args={"what": "b", "amount": 3})
    assert (status, data["status"]) == (200, "rejected")
    rows = (await client.get("/approvals?status=pending", operator("viewer")))[1]["items"]
    assert [(row["args"], row["edited_by"]) for row in rows] == [
        ({"what": "b", "amount": 3}, "operator-anne")
    ]
    assert rows[0]["id"] != name


STRANGE: list[Any] = [
    {},
    {"decision": "yes"},
    {"decision": "approve", "more": 1},
    {"decision": 5},
    {"decision": "reject", "reason": "x" * 1001},
    {"decision": "reject", "reason": "\ud800"},
    {"decision": "approve", "digest": "\ud800"},
    {"decision": "approve", "digest": 5},
    {"decision": "edit", "args": {"what": "\ud800"}},
    {"decision": "edit", "args": {"\ud800": 1}},
    {"decision": "edit", "args": []},
]


async def test_strange_resolutions_are_refused(serve_sqlite: ServeSqlite) -> None:
    client, asked = await _parked(serve_sqlite, "ledger_add")
    name = asked["confirmations"][0]["id"]
    line = f"Authorization: Bearer {OPERATOR_KEYS['admin']}"
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    for body in [*STRANGE, {"decision": "edit", "args": {"what": deep}}]:
        answer = await ask(client, post(f"/approvals/{name}/resolve", json.dumps(body).encode(), line))
        assert_problem(answer, 422, "invalid_request")
    answer = await ask(
        client, post(f"/approvals/{name}/resolve", b'{"decision":"edit","args":{"a":NaN}}', line)
    )
    assert_problem(answer, 400, "malformed_request")
    status, data = await _resolve(client, name, "admin", decision="reject", digest="ñandú")
    assert (status, data["code"]) == (409, "stale_digest")


@pytest.mark.covers("http.lists")
async def test_lists_go_on_where_the_cursor_says(serve: Any) -> None:
    client = await serve(tools=[Echo], model=ScriptedModel([plan(reply="hola")] * 5))
    for number in range(5):
        await client.say("hola", session=f"s{number}")
    for path in ("/sessions", "/audit"):
        whole = (await client.get(f"{path}?limit=200", operator("viewer")))[1]
        assert whole["next"] is None
        found: list[Any] = []
        cursor = ""
        while cursor is not None:
            page = (await client.get(f"{path}?limit=2{cursor}", operator("viewer")))[1]
            assert len(page["items"]) <= 2
            found += page["items"]
            cursor = f"&cursor={page['next']}" if page["next"] is not None else None  # type: ignore[assignment]
        assert found == whole["items"]
        assert len(found) >= 5


async def test_the_audit_can_be_narrowed(client: Client) -> None:
    first, _ = await client.say("hola", session="a"), await client.say("hola", session="b")
    _, data = await client.get(f"/audit?turn_id={first['turn_id']}", operator("viewer"))
    assert {item["turn_id"] for item in data["items"]} == {first["turn_id"]}
    _, data = await client.get("/audit?kind=received", operator("viewer"))
    assert [item["kind"] for item in data["items"]] == ["received"] * 2
    _, data = await client.get(f"/audit?session_id={data['items'][0]['session_id']}", operator("viewer"))
    assert len({item["session_id"] for item in data["items"]}) == 1


def _cursor(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


async def test_limits_and_cursors_that_are_not_ours_are_refused(client: Client) -> None:
    for query in [
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=",
        "limit=x",
        "limit=٣",
        "limit=0000001000",
        "limit=" + "1" * 5000,
        "cursor=x",
        "cursor=%FF",
        "cursor=" + _cursor({}),
        "cursor=" + _cursor(["x", "s", 1]),
        "cursor=" + _cursor(["2026-01-01T00:00:00", "s", 10**30]),
        "cursor=" + _cursor(["2026-01-01T00:00:00", "s", -1]),
        "cursor=" + _cursor(["0001-01-01T00:00:00+14:00", "s", 1]),
        "cursor=" + _cursor(["2026-01-01", "\ud800", 1]),
        "cursor=" + base64.urlsafe_b64encode(b'["2026-01-01","s",1e999]').decode(),
        "cursor=" + base64.urlsafe_b64encode(b"[" * 50_00).decode(),
    ]:
        from urllib.parse import quote

        answer = await ask(
            client,
            get(f"/audit?{quote(query, safe='=%&')}", f"Authorization: Bearer {OPERATOR_KEYS['viewer']}"),
        )
        assert_problem(answer, 422, "invalid_request")


async def test_what_is_not_there_is_404(client: Client) -> None:
    for path in ["/sessions", "/turns", "/approvals"]:
        for name in (
            "nothing",
            "%00",
            "%FF",
            "x" * 3000,
            "..%2F..",
            "'; DROP TABLE turns; --".replace(" ", "%20"),
        ):
            answer = await ask(
                client, get(f"{path}/{name}", f"Authorization: Bearer {OPERATOR_KEYS['admin']}")
            )
            assert_problem(answer, 404, "not_found")


@pytest.mark.covers("http.lists")
async def test_a_roles_page_is_filled_with_what_it_may_see(serve_sqlite: ServeSqlite) -> None:
    model = ScriptedModel([plan(("refund", {"what": "a"})), *[plan(("ledger_add", {"what": "b"}))] * 3])
    client = await serve_sqlite(tools=TOOLS, model=model)
    for number in range(4):
        await client.say("do it", session=f"s{number}")
    _, page = await client.get("/approvals?limit=1", operator("billing"))
    assert [item["tool"] for item in page["items"]] == ["refund"]
