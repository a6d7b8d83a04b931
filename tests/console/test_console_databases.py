"""Every page and what its buttons write, on every database of the run."""

from typing import Any

from llm_planner.llm.scripted import ScriptedModel

from ..tools import LEDGER, plan
from .conftest import TOOLS, People

PAGES = (
    "/chat", "/approvals", "/approvals?status=decided", "/sessions", "/sessions?q=de", "/deliveries",
    "/deliveries?state=dead", "/doubts", "/doubts?all=1", "/audit", "/audit?kind=received", "/audit?actor=user",
    "/audit?until=2030-01-01", "/tools", "/health",
)  # fmt: skip


async def test_every_page_answers_and_a_person_is_erased_on_every_database(
    serve: Any, person: People
) -> None:
    model = ScriptedModel([plan(("ledger_add", {"what": "raise"})), plan(("refund", {"what": "b"}))])
    client = await serve(tools=TOOLS, model=model)
    await client.rows(LEDGER)
    token = (await client.say("do it"))["confirmations"][0]["token"]
    await client.say(f"confirm {token}")
    turn = (await client.say("do that"))["turn_id"]
    admin = await person(client, "ada", "admin")
    for path in PAGES:
        page = await admin.get(f"/console{path}")
        assert page.status == 200, path
    (session,) = await client.rows("SELECT id FROM sessions WHERE label = 'demo'")
    waiting = (await client.rows("SELECT id FROM pending_confirmations WHERE state = 'pending'"))[0].id
    run = (await client.rows("SELECT id FROM tool_runs"))[0].id
    for path in (
        f"/sessions/{session.id}?all=1", f"/turns/{turn}", f"/approvals/{waiting}", f"/doubts/{run}",
        f"/audit?turn_id={turn}", f"/audit?session_id={session.id}", f"/sessions?q={session.id}",
    ):  # fmt: skip
        assert (await admin.get(f"/console{path}")).status == 200, path
    await client.rows("UPDATE tool_runs SET deadline_at = started_at")
    assert (await admin.post(f"/console/doubts/{run}/settle", {"outcome": "not_done"})).status == 200
    assert (await admin.post(f"/console/sessions/{session.id}/export")).text.count("do it") >= 2
    assert (await admin.post(f"/console/sessions/{session.id}/erase", {"sure": "anon:demo"})).has("Erased.")
    assert (await admin.post("/console/audit/verify")).has("intact")
