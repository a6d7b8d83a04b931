"""One task over several plans and confirmations: what was decided is kept, whenever the process dies."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from llm_planner.llm.base import ChatRequest
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.messages import InboundMessage
from llm_planner.testing.servers import FakeOpenAI
from llm_planner.testing.servers_script import Hang

from .harness import ROOT, Client, open_database, operator, rows
from .hostile.world import no_token_in
from .shop import CALLS, HOLD, SHOP, CancelOrder, FindCustomer, ListOrders
from .turn_kit import bury, die_everywhere, live_token, message, process, run_in, token

Serve = Any
ASKED = "Cancel the order of Ann Lee with the blue hat"


def step(name: str, tool: str, /, **args: Any) -> dict[str, Any]:
    return {"id": name, "tool": tool, "args": args}


def ref(name: str, pointer: str) -> dict[str, str]:
    return {"$step": name, "pointer": pointer}


def planned(*steps: dict[str, Any], then: str = "answer", reply: str | None = None) -> dict[str, Any]:
    return {"reply": reply, "tool_calls": list(steps), "then": then}


LOOK = planned(
    step("s1", "find_customer", name="Ann Lee"),
    step("s2", "list_orders", customer_id=ref("s1", "/id")),
    then="replan",
)
CANCEL = planned(step("s3", "cancel_order", order_id=ref("s2", "/orders/1/id")), then="replan")
REFUND = planned(step("s4", "refund_status", refund=ref("s3", "/refund")), then="replan")
NOTE = planned(step("s5", "add_note", text=ref("s4", "/refund")), then="replan")
REPORT = planned(reply="The blue hat is cancelled; refund R-5 is on its way.")


def as_it_goes(request: ChatRequest) -> str:
    """The next plan, by what is known so far."""
    shown = request.messages[-1].content
    assert shown.endswith(ASKED)
    seen = [name for name in ("s4", "s3", "s1") if f'"step": "{name}"' in shown]
    return json.dumps({"s4": REPORT, "s3": REFUND, "s1": CANCEL}[seen[0]] if seen else LOOK)


async def calls(client: Client) -> list[tuple[str, str]]:
    found = await client.rows("SELECT tool, about FROM shop_calls ORDER BY tool")
    return [(row.tool, row.about) for row in found]


@pytest.mark.covers("plan.replan", "plan.references")
async def test_a_task_of_several_steps_is_done_in_one_conversation(serve: Serve) -> None:
    model = ScriptedModel([json.dumps(item) for item in (LOOK, CANCEL, REFUND, REPORT, REPORT)])
    client = await serve(tools=SHOP, model=model)
    await client.rows(CALLS)
    asked = await client.say(ASKED, locale="en")
    assert asked["status"] == "needs_confirmation"
    assert asked["confirmations"][0]["args"] == {"order_id": "A-2"}
    assert "it came from a tool (s2)" in asked["reply"]
    done = await client.say(f"confirm {token(asked)}", locale="en")
    assert (done["status"], done["code"]) == ("executed", None)
    assert [(item["id"], item["status"]) for item in done["steps"]] == [("s3", "ok"), ("s4", "ok")]
    assert done["reply"].startswith("Done: Cancel an order")
    assert done["reply"].endswith("The blue hat is cancelled; refund R-5 is on its way.")
    assert await calls(client) == [
        ("cancel_order", "A-2"),
        ("find_customer", "Ann Lee"),
        ("list_orders", "7"),
        ("refund_status", "R-5"),
    ]
    for request in model.requests:
        assert request.messages[-1].content.endswith(ASKED)
    assert '"refund": "R-5"' in model.requests[2].messages[-1].content
    await client.say("when does it arrive?")
    later = [item.content for item in model.requests[4].messages[1:]]
    assert len(later) == 3
    assert later[0] == ASKED
    assert later[1].endswith("refund R-5 is on its way.")
    assert token(asked) not in "".join(later)


async def test_each_later_write_asks_for_its_own_token_and_may_use_what_was_found_before_the_first(
    serve: Serve,
) -> None:
    note = planned(step("s5", "add_note", text=ref("s1", "/name")), then="replan")
    script = [LOOK, CANCEL, note, planned(reply="All done.")]
    model = ScriptedModel([json.dumps(item) for item in script])
    client = await serve(tools=SHOP, model=model)
    await client.rows(CALLS)
    asked = await client.say(ASKED, locale="en")
    second = await client.say(f"confirm {token(asked)}", locale="en")
    assert second["status"] == "needs_confirmation"
    assert "Done: Cancel an order" in second["reply"]
    assert second["confirmations"][0]["args"] == {"text": "Ann Lee"}
    assert token(second) != token(asked)
    assert ("add_note", "Ann Lee") not in await calls(client)
    assert (await client.say(f"confirm {token(asked)}"))["code"] == "token_used"
    last = await client.say(f"confirm {token(second)}", locale="en")
    assert (last["status"], [item["id"] for item in last["steps"]]) == ("executed", ["s5"])
    assert last["reply"].endswith("All done.")
    assert [name for name, _ in await calls(client)] == [
        "add_note",
        "cancel_order",
        "find_customer",
        "list_orders",
    ]
    shown = model.requests[3].messages[-1].content
    assert all(f'"step": "{name}"' in shown for name in ("s1", "s2", "s3", "s5"))
    assert shown.endswith(ASKED)


async def test_two_writes_of_one_plan_are_both_decided_before_it_looks_again(serve: Serve) -> None:
    both = planned(
        step("s1", "cancel_order", order_id="A-2"), step("s2", "add_note", text="hat"), then="replan"
    )
    model = ScriptedModel([json.dumps(item) for item in (both, planned(reply="Both."))])
    client = await serve(tools=SHOP, model=model)
    await client.rows(CALLS)
    asked = await client.say("cancel A-2 and note hat", locale="en")
    first = await client.say(f"confirm {token(asked, 0)}", locale="en")
    assert (first["status"], len(model.requests)) == ("executed", 1)
    second = await client.say(f"confirm {token(asked, 1)}", locale="en")
    assert second["reply"].endswith("Both.")
    assert len(model.requests) == 2


async def test_a_write_that_is_cancelled_does_not_hold_up_the_other(serve: Serve) -> None:
    both = planned(
        step("s1", "cancel_order", order_id="A-2"), step("s2", "add_note", text="hat"), then="replan"
    )
    model = ScriptedModel([json.dumps(item) for item in (both, planned(reply="Only one."))])
    client = await serve(tools=SHOP, model=model)
    await client.rows(CALLS)
    asked = await client.say("cancel A-2 and note hat", locale="en")
    await client.say(f"cancel {token(asked, 1)}", locale="en")
    assert (await client.say(f"confirm {token(asked, 0)}", locale="en"))["reply"].endswith("Only one.")


@pytest.mark.parametrize("failure", ["not a plan", "no answer"])
async def test_a_model_that_fails_after_the_write_does_not_undo_what_is_said_about_it(
    serve: Serve, failure: str
) -> None:
    after = ["nonsense"] * 3 if failure == "not a plan" else []
    client = await serve(
        tools=SHOP, model=ScriptedModel([*[json.dumps(item) for item in (LOOK, CANCEL)], *after])
    )
    await client.rows(CALLS)
    asked = await client.say(ASKED, locale="en")
    done = await client.say(f"confirm {token(asked)}", locale="en")
    assert done["status"] == "executed"
    assert done["reply"].startswith("Done: Cancel an order")
    assert "I could not go on" in done["reply"]


async def test_a_plan_goes_on_after_an_operators_approval(serve: Serve) -> None:
    class Guarded(CancelOrder):
        approver = "billing"

    model = ScriptedModel([json.dumps(item) for item in (LOOK, CANCEL, REPORT)])
    client = await serve(tools=[FindCustomer, ListOrders, Guarded], model=model)
    await client.rows(CALLS)
    asked = await client.say(ASKED, locale="en")
    assert token(asked) is None
    (item,) = (await client.get("/approvals", operator("billing")))[1]["items"]
    decided = {"decision": "approve", "digest": item["digest"]}
    status, done = await client.post(f"/approvals/{item['id']}/resolve", decided, operator("billing"))
    assert (status, done["status"]) == (200, "executed"), done
    assert model.requests[2].messages[-1].content.endswith(ASKED)
    replies = await client.rows("SELECT reply FROM turns ORDER BY seq")
    assert replies[-1].reply.endswith("The blue hat is cancelled; refund R-5 is on its way.")


async def test_a_write_that_failed_is_not_planned_on(serve: Serve) -> None:
    model = ScriptedModel([json.dumps(planned(step("s1", "cancel_order", order_id="A-2"), then="replan"))])
    client = await serve(tools=SHOP, model=model)  # without its table, every call of the shop fails
    await client.rows("DROP TABLE IF EXISTS shop_calls")
    asked = await client.say("cancel A-2", locale="en")
    done = await client.say(f"confirm {token(asked)}", locale="en")
    assert (done["status"], done["code"], len(model.requests)) == ("failed", "write_unknown", 1)


@pytest.mark.covers("rule.7", "rule.8")
async def test_dying_at_any_commit_of_the_confirming_turn_repeats_neither_the_write_nor_what_was_decided(
    serve: Serve, db_url: str, tmp_path: Path
) -> None:
    model = ScriptedModel([as_it_goes] * 400)
    async with process(db_url, tmp_path, SHOP, model) as parts:
        await rows(parts.database, CALLS)
        await rows(parts.database, "DELETE FROM shop_calls")

        async def confirming(label: str) -> InboundMessage:
            await run_in(parts, message(label, "ask", ASKED))
            query = (
                "SELECT c.id FROM pending_confirmations c JOIN sessions s ON s.id = c.session_id "
                "WHERE s.label = :l"
            )
            (row,) = await rows(parts.database, query, l=label)
            return message(label, "go", f"confirm {live_token(parts, row.id)}")

        ways = ["before", "after"] if db_url.startswith("sqlite") else ["after"]
        labels = await die_everywhere(parts, ways, confirming)
        query = "SELECT s.label, t.rounds FROM turns t JOIN sessions s ON s.id = t.session_id WHERE t.message_id = 'go'"
        decided = {row.label: len(json.loads(row.rounds)) for row in await rows(parts.database, query)}
    again = ScriptedModel([as_it_goes] * 400)
    client = await serve(tools=SHOP, model=again)
    asked_again = 0
    for label in (name for name in labels if name in decided):  # the first death leaves no message
        turn = await client.say("pending", session=label, locale="en")
        assert turn["status"] == "answered"
        asked_again += max(0, 3 - max(1, decided[label]))
        found = await client.rows(
            "SELECT t.status, t.attempts, t.reply, r.state, r.idempotency_key FROM turns t JOIN sessions s "
            "ON s.id = t.session_id LEFT JOIN tool_runs r ON r.turn_id = t.id WHERE s.label = :l AND "
            "t.message_id = 'go'",
            l=label,
        )
        assert len(found) == 1
        written = await client.rows(
            "SELECT about FROM shop_calls WHERE call_key = :k", k=found[0].idempotency_key
        )
        assert len(written) <= 1, label
        if found[0].state == "ok":
            assert (found[0].status, len(written)) == ("executed", 1), label
            assert "refund R-5 is on its way" in found[0].reply, label
        else:
            assert (found[0].state, found[0].status) == ("unknown", "failed"), label
    assert set(decided.values()) >= {0, 2, 3}, decided
    assert 0 < len(again.requests) <= asked_again


@contextmanager
def shop_process(db_url: str, folder: Path, model_url: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ, "DB_URL": db_url, "DATA_DIR": str(folder), "LLM_PROVIDER": "openai",
        "OPENAI_BASE_URL": model_url, "LLM_OUTPUT_MODE": "prompt", "DB_AUTO_MIGRATE": "0",
        "SECRET_KEY": "a-secret-key-for-the-tests-0123456789", HOLD: str(folder / "hold"), "DEFAULT_LOCALE": "en",
    }  # fmt: skip
    running = subprocess.Popen(
        [sys.executable, "-m", "tests.shop_server", str(port)], env=environment, cwd=ROOT
    )
    try:
        yield running, f"http://127.0.0.1:{port}"
    finally:
        running.kill()
        running.wait()


async def _post(http: aiohttp.ClientSession, url: str, text: str, message_id: str) -> dict[str, Any]:
    body = {"message": text, "session_id": "ann", "message_id": message_id}
    async with http.post(f"{url}/agent", json=body) as answer:
        data: dict[str, Any] = await answer.json()
        assert answer.status == 200, data
        return data


async def _up(http: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                async with http.get(f"{url}/health"):
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


@pytest.mark.covers("rule.7", "rule.8", "plan.replan")
async def test_a_server_killed_between_the_confirmed_write_and_the_next_step_goes_on_where_it_was(
    db_url: str, tmp_path: Path
) -> None:
    """Killed twice: while the model is asked what comes after the write, and while the step runs that it then
    decided on. Over HTTP, with a model over HTTP."""
    database, hold = open_database(db_url), tmp_path / "hold"
    script: Sequence[Any] = [LOOK, CANCEL, Hang(), REFUND, REPORT]
    async with FakeOpenAI(*script) as model, aiohttp.ClientSession() as http:
        await rows(database, CALLS)
        await rows(database, "DELETE FROM shop_calls")
        with shop_process(db_url, tmp_path, model.url) as (running, url):
            await _up(http, url)
            asked = await _post(http, url, ASKED, "m1")
            word = f"confirm {token(asked)}"
            confirming = asyncio.create_task(_post(http, url, word, "m2"))
            await model.arrived(3)
            running.send_signal(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await confirming
        assert [row.state for row in await rows(database, "SELECT state FROM tool_runs")] == ["ok"]
        await bury(database)
        hold.touch()
        with shop_process(db_url, tmp_path, model.url) as (running, url):
            await _until(database, "SELECT * FROM shop_calls WHERE tool = 'refund_status'")
            running.send_signal(signal.SIGKILL)
        await bury(database)
        hold.unlink()
        with shop_process(db_url, tmp_path, model.url) as (_, url):
            await _up(http, url)
            done = await _post(http, url, word, "m2")
    assert (done["status"], done["duplicate"]) == ("executed", True)
    assert done["reply"].startswith("Done: Cancel an order")
    assert done["reply"].endswith("The blue hat is cancelled; refund R-5 is on its way.")
    assert [(item["id"], item["status"]) for item in done["steps"]] == [("s3", "ok"), ("s4", "ok")]
    assert len(model.requests) == 5
    found = await rows(database, "SELECT tool FROM shop_calls ORDER BY tool")
    assert [row.tool for row in found] == [
        "cancel_order", "find_customer", "list_orders", "refund_status", "refund_status",
    ]  # fmt: skip
    for seen in model.requests:
        no_token_in([token(asked)], json.dumps(seen.body, ensure_ascii=False), "a request to the model")
    await database.close()


async def _until(database: Any, query: str) -> None:
    async with asyncio.timeout(30):
        while not await rows(database, query):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)
