"""Rules 7 and 8: one call for one confirmation, told honestly, never repeated blindly; one plan a turn."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm_planner.llm.base import ChatRequest
from llm_planner.messages import InboundMessage

from .harness import rows
from .tools import LEDGER, Echo, IdempotentLedger, Ledger, ReconcilingLedger, plan
from .turn_kit import (
    always,
    die_everywhere,
    effects,
    kinds,
    ledger,
    live_token,
    message,
    parked,
    process,
    run_in,
    states,
    token,
    with_ledger,
)

Serve = Any
TOOLS = [Ledger, IdempotentLedger, ReconcilingLedger, Echo]


@pytest.fixture(autouse=True)
def _no_calls_yet() -> None:
    Ledger.calls.clear()


def as_told(request: ChatRequest) -> str:
    """`tool what`, said by the user, as a plan with one write."""
    tool, what = request.messages[-1].content.rsplit("\n", 1)[-1].split()
    return ledger(what, 3, tool)


async def confirmed(client: Any, tool: str, what: str) -> tuple[dict[str, Any], list[str]]:
    """One confirmed write in a session of its own: the turn, and the keys it was called with."""
    before = len(Ledger.calls)
    asked = await parked(client, what, f"{tool} {what}")
    return await client.say(f"confirm {token(asked)}", session=what, locale="en"), Ledger.calls[before:]


async def outcome(client: Any, label: str) -> tuple[str, str]:
    """The states of a session's only confirmation and of its call."""
    found = await client.rows(
        "SELECT c.state, r.state AS run FROM sessions s JOIN pending_confirmations c ON c.session_id = s.id "
        "JOIN tool_runs r ON r.confirmation_id = c.id WHERE s.label = :l",
        l=label,
    )
    assert len(found) == 1
    return found[0].state, found[0].run


async def shop(serve: Serve) -> Any:
    return await with_ledger(await serve(tools=TOOLS, model=always(as_told)))


@pytest.mark.covers("turn.executed", "rule.7")
async def test_a_confirmed_write_runs_once_and_is_journalled(serve: Serve) -> None:
    client = await shop(serve)
    done, keys = await confirmed(client, "ledger_add", "tea")
    assert (done["status"], done["code"]) == ("executed", None)
    found = [(step["status"], step["result"]) for step in done["steps"]]
    assert found == [("ok", {"written": "tea", "amount": 3})]
    assert await effects(client) == [("tea", 3)]
    run = (await client.rows("SELECT * FROM tool_runs"))[0]
    assert (run.state, json.loads(run.result)) == ("ok", {"written": "tea", "amount": 3})
    assert [run.idempotency_key] == keys
    assert await states(client) == ["executed"]


@pytest.mark.covers("turn.failed-write", "tool.errors")
async def test_a_write_that_promises_nothing_was_done_has_failed(serve: Serve) -> None:
    client = await shop(serve)
    for what in ("fail", "retry"):
        done, keys = await confirmed(client, "ledger_add", what)
        step = done["steps"][0]["status"]
        assert (done["status"], done["code"], step) == ("failed", "write_failed", "error"), what
        assert "Nothing was done" in done["reply"]
        assert await outcome(client, what) == ("failed", "failed")
        assert len(keys) == 1


@pytest.mark.covers("turn.failed-write", "tool.errors", "rule.7")
async def test_a_connection_reset_after_the_write_left_is_unknown_and_never_repeated(serve: Serve) -> None:
    client = await shop(serve)
    for what in ("raise", "raise-after", "hang", "hang-after"):
        done, keys = await confirmed(client, "ledger_add", what)
        step = done["steps"][0]["status"]
        assert (done["status"], done["code"], step) == ("failed", "write_unknown", "unknown"), what
        assert "I don't know whether" in done["reply"]
        assert "boom" not in json.dumps(done)
        assert await outcome(client, what) == ("unknown", "unknown")
        assert len(keys) == 1
    await client.parts.engine._sweep()
    assert await effects(client) == [("hang-after", 3), ("raise-after", 3)]
    assert len(Ledger.calls) == 4


async def test_an_idempotent_write_is_repeated_once_with_the_same_key(serve: Serve) -> None:
    client = await shop(serve)
    done, keys = await confirmed(client, "ledger_add_once", "raise-after")
    assert done["status"] == "executed", done
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert await effects(client) == [("raise-after", 3)]
    assert await outcome(client, "raise-after") == ("executed", "ok")


async def test_a_reconciling_write_is_asked_what_happened(serve: Serve) -> None:
    client = await shop(serve)
    for what, status, state in (
        ("raise-after", "executed", "ok"), ("raise", "failed", "failed"), ("hang-after", "executed", "ok"),
    ):  # fmt: skip
        done, keys = await confirmed(client, "ledger_add_checked", what)
        assert done["status"] == status, done
        assert await outcome(client, what) == (status, state)
        assert len(keys) == 1
    assert await effects(client) == [("hang-after", 3), ("raise-after", 3)]


class Picky(Ledger):
    """Its validation depends on the world, not on the schema."""

    name = "picky"
    closed = False


class PickyInput(Ledger.input_model):  # type: ignore[name-defined,misc]
    def model_post_init(self, context: Any) -> None:
        if Picky.closed:
            raise ValueError("the shop is closed")


Picky.input_model = PickyInput


async def test_arguments_that_are_not_valid_any_more_fail_before_the_call(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=[Picky], model=always(ledger(tool="picky"))))
    asked = await parked(client)
    Picky.closed = True
    try:
        done = await client.say(f"confirm {token(asked)}")
    finally:
        Picky.closed = False
    assert (done["status"], done["code"]) == ("failed", "write_failed"), done
    assert (Ledger.calls, await effects(client), await states(client)) == ([], [], ["failed"])


async def test_the_intent_is_committed_with_the_claim_before_the_call(serve: Serve) -> None:
    seen: list[Any] = []

    class Looking(Ledger):
        async def run(self, args: Any, ctx: Any) -> dict[str, object]:
            seen.extend(await client.rows("SELECT state, idempotency_key FROM tool_runs"))
            seen.extend(await client.rows("SELECT state, decided_by FROM pending_confirmations"))
            return {"key": ctx.idempotency_key}

    client = await with_ledger(await serve(tools=[Looking], model=always(ledger())))
    done = await client.say(f"confirm {token(await parked(client))}")
    assert tuple(seen[0]) == ("intent", done["steps"][0]["result"]["key"])
    assert tuple(seen[1]) == ("claimed", "anon:demo")


def ways(db_url: str) -> list[str]:
    """How to die: not begun, answer lost, or hanging; where a round trip is slow, only the worst of them."""
    return ["before", "after", "hang"] if db_url.startswith("sqlite") else ["after"]


@pytest.mark.parametrize("tool", ["ledger_add", "ledger_add_once", "ledger_add_checked"])
async def test_a_confirmation_that_dies_at_any_commit_is_resumed_with_one_effect_at_most(
    serve: Serve, db_url: str, tmp_path: Path, tool: str
) -> None:
    tokens: dict[str, str] = {}
    async with process(db_url, tmp_path, TOOLS, always(ledger("tea", 1, tool))) as parts:
        await rows(parts.database, LEDGER)

        async def confirming(label: str) -> InboundMessage:
            await run_in(parts, message(label, "ask", "tea please"))
            tokens[label] = live_token(parts, await _newest_confirmation(parts.database, label))
            return message(label, "go", f"confirm {tokens[label]}")

        for label in await die_everywhere(parts, ways(db_url), confirming):
            await parts.inbox.accept(message(label, "after", "and then"), take=False)
    client = await serve(tools=TOOLS, model=always(plan(reply="fine")))
    for label, word in tokens.items():
        again = await client.say(f"confirm {word}", session=label, message_id="go", locale="en")
        last = await client.say("and then", session=label, message_id="after", locale="en")
        await _one_effect_at_most(client, label, tool, again)
        assert last["duplicate"]
        assert last["reply"]
    assert {row.attempts for row in await client.rows("SELECT attempts FROM turns")} <= {1, 2}


async def _newest_confirmation(database: Any, label: str) -> str:
    query = (
        "SELECT c.id FROM pending_confirmations c JOIN sessions s ON s.id = c.session_id WHERE s.label = :l"
    )
    found: str = (await rows(database, query, l=label))[-1].id
    return found


async def _one_effect_at_most(client: Any, label: str, tool: str, again: dict[str, Any]) -> None:
    found = await client.rows(
        "SELECT r.state, r.idempotency_key, c.state AS decided FROM sessions s JOIN tool_runs r ON "
        "r.session_id = s.id JOIN pending_confirmations c ON c.id = r.confirmation_id WHERE s.label = :l",
        l=label,
    )
    assert len(found) == 1, label
    written = len(await client.rows("SELECT * FROM ledger WHERE call_key = :k", k=found[0].idempotency_key))
    expected = {"ok": "executed", "failed": "failed", "unknown": "unknown"}[found[0].state]
    assert found[0].decided == expected
    assert written <= 1, label
    assert again["status"] == ("executed" if expected == "executed" else "failed"), (label, again)
    assert again["reply"]
    if tool == "ledger_add":
        assert (found[0].state, written) in {("ok", 1), ("unknown", 0), ("unknown", 1)}, label
    elif tool == "ledger_add_once":
        assert (found[0].state, written) == ("ok", 1), label
    else:
        assert (found[0].state, written) in {("ok", 1), ("failed", 0)}, label


async def test_a_cancel_that_dies_at_any_commit_is_resumed_and_says_so(
    serve: Serve, db_url: str, tmp_path: Path
) -> None:
    async with process(db_url, tmp_path, TOOLS, always(ledger())) as parts:

        async def cancelling(label: str) -> InboundMessage:
            await run_in(parts, message(label, "ask", "tea please"))
            return message(label, "go", "cancel")

        labels = await die_everywhere(parts, ways(db_url), cancelling)
    client = await serve(tools=TOOLS, model=always(plan(reply="an ordinary message")))
    for label in labels:
        turn = await client.say("cancel", session=label, message_id="go", locale="en")
        assert turn["status"] == "cancelled", (label, turn)
    assert await states(client) == ["cancelled"] * len(labels)


@pytest.mark.covers("rule.8")
async def test_a_plan_that_was_stored_is_not_asked_for_again(
    serve: Serve, db_url: str, tmp_path: Path
) -> None:
    answer = plan(("echo", {"text": "hello"}), ("ledger_add", {"what": "tea"}))
    async with process(db_url, tmp_path, TOOLS, always(answer)) as parts:
        await rows(parts.database, LEDGER)

        async def asking(label: str) -> InboundMessage:
            return message(label, "ask", f"words of {label}")

        stored = dict.fromkeys(await die_everywhere(parts, ways(db_url), asking), False)
        query = "SELECT s.label, t.rounds FROM turns t JOIN sessions s ON s.id = t.session_id"
        stored.update({row.label: row.rounds != "[]" for row in await rows(parts.database, query)})
        assert set(stored.values()) == {True, False}
    asked: list[str] = []

    def answering(request: ChatRequest) -> str:
        asked.append(request.messages[-1].content)
        return answer

    client = await serve(tools=TOOLS, model=always(answering))
    for label, was_stored in stored.items():
        turn = await client.say(f"words of {label}", session=label, message_id="ask", locale="en")
        assert [step["status"] for step in turn["steps"]] == ["ok", "awaiting_confirmation"], turn
        assert token(turn) in turn["reply"]
        times = sum(text.endswith(f"words of {label}") for text in asked)
        assert times == (0 if was_stored else 1), label
    per_turn = await client.rows("SELECT COUNT(*) AS n FROM pending_confirmations GROUP BY turn_id")
    assert [row.n for row in per_turn] == [1] * len(stored)
    assert await effects(client) == []


class Letter(Echo):
    """A read that also sends a letter and sets a fact."""

    name = "letter"

    async def run(self, args: Any, ctx: Any) -> dict[str, object]:
        await ctx.mail("ana@example.com", "Hello", args.text)
        ctx.facts["seen"] = args.text
        return {"text": args.text}


async def test_letters_and_facts_of_an_earlier_round_survive_a_crash(
    serve: Serve, db_url: str, tmp_path: Path
) -> None:
    first, second = plan(("letter", {"text": "one"}), then="replan"), json.dumps({"reply": "done"})
    both = [first, second]
    async with process(db_url, tmp_path, [Letter], _Scripted(both)) as parts:

        async def asking(label: str) -> InboundMessage:
            return message(label, "ask", "write to Ana")

        labels = await die_everywhere(parts, ["after"], asking)
    client = await serve(tools=[Letter], model=_Scripted(both))
    for label in labels:
        turn = await client.say("write to Ana", session=label, message_id="ask", locale="en")
        assert turn["status"] == "answered", turn
    letters = await client.rows("SELECT COUNT(*) AS n FROM outbox GROUP BY session_id")
    assert [row.n for row in letters] == [1] * len(labels)
    assert all('"seen"' in row.facts for row in await client.rows("SELECT facts FROM sessions"))


def _Scripted(answers: list[str]) -> Any:  # noqa: N802 - reads as the model it makes
    """The first plan to whoever has no results yet, the second to the others."""
    return always(lambda request: answers[1] if '"results"' in request.messages[-1].content else answers[0])


async def test_a_turn_that_fails_every_time_ends_after_the_third_attempt_and_the_session_lives_on(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []

    def broken(request: ChatRequest) -> str:
        if "break" in request.messages[-1].content:
            asked.append(1)
            raise RuntimeError("a fault of the core")
        return plan(reply="hello again")

    client = await serve(tools=TOOLS, model=always(broken))
    turn = await client.say("break", locale="en")
    assert (turn["status"], turn["code"]) == ("failed", "gave_up")
    assert "several attempts" in turn["reply"]
    assert len(asked) == 3
    assert (await client.say("hi"))["reply"] == "hello again"
    assert [row.open_turns for row in await client.rows("SELECT open_turns FROM sessions")] == [0]


async def test_a_call_that_was_begun_ends_as_unknown_when_its_turn_is_given_up(serve: Serve) -> None:
    client = await with_ledger(await serve(tools=TOOLS, model=always(ledger("hang"))))
    asked = await parked(client)
    guard = client.parts.guard
    call = guard._call

    async def failing(*args: Any, **more: Any) -> Any:
        raise RuntimeError("a fault of the core")

    guard._call = failing  # type: ignore[method-assign]
    ending = client.parts.worker._orchestrator._decisions._journal
    recover = ending._recover
    ending._recover = failing  # type: ignore[method-assign]
    turn = await client.say(f"confirm {token(asked)}", locale="en")
    guard._call, ending._recover = call, recover  # type: ignore[method-assign]
    assert (turn["status"], turn["code"]) == ("failed", "gave_up")
    assert await states(client) == ["unknown"]
    assert [row.state for row in await client.rows("SELECT state FROM tool_runs")] == ["unknown"]
    assert "write_unknown" in await kinds(client)
    assert await effects(client) == []
