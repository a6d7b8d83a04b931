"""The approvals: what is shown, and who may decide what (rule 5)."""

import json
import re
from typing import Any

import pytest

from llm_planner.llm.scripted import ScriptedModel

from ..harness import Client
from ..tools import Ledger, plan
from .conftest import Page, People, Person, ServeConsole

STATES = "SELECT state, decided_by, reason, edited_by, args FROM pending_confirmations ORDER BY id"


async def parked(serve: ServeConsole, tool: str = "refund", **settings: Any) -> tuple[Client, str]:
    """A served application with one write of `tool` that waits, and its id."""
    model = ScriptedModel([plan((tool, {"what": "a", "amount": 2}))] * 3)
    client = await serve(model=model, **settings)
    await client.say("do it")
    return client, (await client.rows("SELECT id FROM pending_confirmations"))[0].id


async def decide(somebody: Person, name: str, what: str, **fields: str) -> Page:
    """Look at it, and press the button."""
    page = await somebody.get(f"/console/approvals/{name}")
    return await somebody.post(f"/console/approvals/{name}/{what}", {"digest": digest(page), **fields})


def digest(page: Page) -> str:
    found = re.search(r'<code class="hash">([0-9a-f]{64})</code>', page.text)
    assert found is not None
    return found[1]


async def test_a_pending_write_is_shown_with_everything_but_a_token(
    serve_console: ServeConsole, person: People
) -> None:
    client, name = await parked(serve_console, "ledger_add")
    token = client.parts.views._tokens.of(name)
    viewer = await person(client, "vera", "viewer")
    listed = await viewer.get("/console/approvals")
    assert listed.has("Add to the ledger", "anon:demo", "the user")
    page = await viewer.get(f"/console/approvals/{name}")
    assert page.has(
        "what", '"a"', "amount", "2", "proposed by the plan", "Only its own user can confirm this"
    )
    assert token not in page.text + listed.text
    assert "<button" not in page.text.partition("<main")[2]


async def test_the_named_role_approves_once_and_it_runs_once(
    serve_console: ServeConsole, person: People
) -> None:
    client, name = await parked(serve_console)
    Ledger.calls.clear()
    bill = await person(client, "bill", "billing")
    page = await decide(bill, name, "approve")
    assert (page.status, page.has("Approved", "done")) == (200, True)
    assert [tuple(row)[:2] for row in await client.rows(STATES)] == [("executed", "bill")]
    assert len(await client.rows("SELECT * FROM ledger")) == 1
    again = await bill.post(f"/console/approvals/{name}/approve", {"digest": digest(page)})
    assert (again.status, len(Ledger.calls)) == (409, 1)
    events = await client.rows("SELECT actor FROM audit_events WHERE kind = 'confirmation_claimed'")
    assert [row.actor for row in events] == ["bill"]
    assert (await bill.get("/console/approvals?status=decided")).has("bill", "done")
    assert (await bill.get("/console/approvals")).has("There is nothing here.")


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "admin"])
async def test_no_other_role_approves(serve_console: ServeConsole, person: People, role: str) -> None:
    client, name = await parked(serve_console)
    somebody = await person(client, "anne", role)
    page = await decide(somebody, name, "approve")
    assert page.status == 403
    assert (await client.rows(STATES))[0].state == "pending"
    assert (await somebody.get(f"/console/approvals/{name}")).has("Approving needs the role billing.")


async def test_an_operator_never_confirms_for_a_user(serve_console: ServeConsole, person: People) -> None:
    client, name = await parked(serve_console, "ledger_add")
    anne = await person(client, "anne", "admin")
    assert (await decide(anne, name, "approve")).status == 403
    assert (await client.rows(STATES))[0].state == "pending"
    assert (await decide(anne, name, "reject", reason="a duplicate")).has("Rejected.", "a duplicate")
    assert tuple((await client.rows(STATES))[0])[:3] == ("rejected", "anne", "a duplicate")


async def test_a_named_role_sees_and_decides_its_own_only(
    serve_console: ServeConsole, person: People
) -> None:
    client, name = await parked(serve_console, "ledger_add")
    bill = await person(client, "bill", "billing")
    assert (await bill.get("/console/approvals")).has("There is nothing here.")
    for path in (f"/console/approvals/{name}", "/console/approvals/nothing"):
        assert (await bill.get(path)).status == 404
    for what in ("approve", "reject", "edit"):
        assert (await bill.post(f"/console/approvals/{name}/{what}", {"digest": "x"})).status == 404
    assert (await client.rows(STATES))[0].state == "pending"


async def test_a_viewer_decides_nothing(serve_console: ServeConsole, person: People) -> None:
    client, name = await parked(serve_console, "ledger_add")
    vera = await person(client, "vera", "viewer")
    for what in ("approve", "reject", "edit"):
        page = await decide(vera, name, what, **{"arg:what": "b", "arg:amount": "3"})
        assert page.status == 403
    assert (await client.rows(STATES))[0].state == "pending"


async def test_an_edit_is_a_new_row_with_a_new_token_that_its_editor_does_not_approve(
    serve_console: ServeConsole, person: People
) -> None:
    client, name = await parked(serve_console)
    bill = await person(client, "bill", "billing")
    page = await bill.get(f"/console/approvals/{name}")
    assert (page.value("arg:what"), page.value("arg:amount")) == ("a", "2")
    edited = await decide(bill, name, "edit", **{"arg:what": "b", "arg:amount": "3"})
    assert edited.has("Edited: this is the new one", '"b"', "set by an operator", "Edited by bill")
    old, new = await client.rows(STATES)
    assert (old.state, new.state, new.edited_by, json.loads(new.args)) == (
        "rejected", "pending", "bill", {"what": "b", "amount": 3},
    )  # fmt: skip
    fresh = edited.path.partition("?")[0].rpartition("/")[2]
    assert fresh != name
    assert edited.has("The same person as you asked for it or edited it")
    assert (await decide(bill, fresh, "approve")).status == 403
    other = await person(client, "bea", "billing")
    assert (await decide(other, fresh, "approve")).has("Approved")


async def test_linked_logins_are_one_person(serve_console: ServeConsole, person: People) -> None:
    client, name = await parked(serve_console)
    anne = await person(client, "anne", "operator", "anne")
    edited = await decide(anne, name, "edit", **{"arg:what": "b", "arg:amount": "3"})
    fresh = edited.path.partition("?")[0].rpartition("/")[2]
    same = await person(client, "anne-billing", "billing", "anne")
    assert (await decide(same, fresh, "approve")).status == 403
    assert [row.state for row in await client.rows(STATES)] == ["rejected", "pending"]
    other = await person(client, "bea", "billing")
    assert (await decide(other, fresh, "approve")).status == 200


async def test_who_asked_for_it_does_not_approve_it_under_another_login(
    serve_console: ServeConsole, person: People
) -> None:
    model = ScriptedModel([plan(("refund", {"what": "a"}))])
    client = await serve_console(model=model)
    await client.post(
        "/wa/agent", {"message": "do it", "user": "anne"}, {"x-api-key": "internal-key-of-the-tests"}
    )
    name = (await client.rows("SELECT id FROM pending_confirmations"))[0].id
    anne = await person(client, "finance-1", "billing", "anne")
    assert (await decide(anne, name, "approve")).status == 403
    assert (await client.rows(STATES))[0].state == "pending"


async def test_deciding_needs_the_digest_that_was_looked_at(
    serve_console: ServeConsole, person: People
) -> None:
    client, name = await parked(serve_console)
    bill = await person(client, "bill", "billing")
    for what in ("approve", "reject", "edit"):
        assert (await bill.post(f"/console/approvals/{name}/{what}")).status == 422
        stale = await bill.post(f"/console/approvals/{name}/{what}", {"digest": "0" * 64, "arg:what": "b"})
        assert stale.status == 409
    assert (await client.rows(STATES))[0].state == "pending"


async def test_values_that_the_tool_does_not_take_change_nothing(
    serve_console: ServeConsole, person: People
) -> None:
    client, name = await parked(serve_console)
    bill = await person(client, "bill", "billing")
    for amount in ("many", "-1", "1e999", "NaN", "{"):
        page = await decide(bill, name, "edit", **{"arg:what": "b", "arg:amount": amount})
        assert page.status == 422, amount
    assert [row.state for row in await client.rows(STATES)] == ["pending"]


async def test_what_has_expired_can_not_be_decided(serve_console: ServeConsole, person: People) -> None:
    client, name = await parked(serve_console)
    bill = await person(client, "bill", "billing")
    page = await bill.get(f"/console/approvals/{name}")
    await client.rows("UPDATE pending_confirmations SET expires_at = '2020-01-01 00:00:00.000000'")
    answer = await bill.post(f"/console/approvals/{name}/approve", {"digest": digest(page)})
    assert answer.status == 409
    assert await client.rows("SELECT * FROM tool_runs") == []
    assert (await bill.get("/console/approvals")).has("There is nothing here.")


async def test_the_list_is_paged_by_key_and_refreshed_by_itself(
    serve_console: ServeConsole, person: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm_planner.console.approvals.PAGE", 2)
    model = ScriptedModel([plan(("refund", {"what": str(number)})) for number in range(5)])
    client = await serve_console(model=model)
    for number in range(5):
        await client.say("do it", session=f"s{number}")
    bill = await person(client, "bill", "billing")
    page = await bill.get("/console/approvals")
    assert 'hx-get="/console/approvals/rows"' in page.text
    seen: list[str] = []
    while True:
        seen += re.findall(r"anon:s\d", page.text)
        following = page.link("?after=")
        if following is None:
            break
        page = await bill.get(following)
    assert seen == ["anon:s4", "anon:s3", "anon:s2", "anon:s1", "anon:s0"]
    part = await bill.get("/console/approvals/rows", **{"HX-Request": "true"})
    assert "<html" not in part.text


async def test_a_value_that_would_mislead_an_eye_is_spelled_out(
    serve_console: ServeConsole, person: People
) -> None:
    evil = "<img src=x onerror=alert(1)>\u202e\u200b"
    client = await serve_console(model=ScriptedModel([plan(("refund", {"what": evil}))]))
    await client.say(evil)
    bill = await person(client, "bill", "billing")
    name = (await client.rows("SELECT id FROM pending_confirmations"))[0].id
    page = await bill.get(f"/console/approvals/{name}")
    assert "<img src=x" not in page.text
    assert page.has("\\u202e\\u200b")
