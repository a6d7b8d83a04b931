"""The same conversation with servers that speak like Ollama and OpenAI: in every output mode, and failing."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.tools import TOOLS
from llm_planner.i18n import text
from llm_planner.testing.servers import FakeOllama, FakeOpenAI, FakeServer
from llm_planner.testing.servers_script import (
    EMPTY_BODY,
    PLAIN_REPLY,
    Behaviour,
    Content,
    Hang,
    JsonObject,
    Reset,
    Status,
    after_thinking,
    fenced,
    in_prose,
    rate_limited,
    refusing,
    truncated,
)

from .harness import Client, sqlite_servers

Kind = type[FakeServer]
KINDS: list[Kind] = [FakeOllama, FakeOpenAI]
MODES = ("schema", "tool", "prompt", "auto")


def _calls(*calls: tuple[str, JsonObject], **more: object) -> JsonObject:
    steps = [{"id": f"s{n}", "tool": tool, "args": args} for n, (tool, args) in enumerate(calls, 1)]
    return {"reply": None, "tool_calls": steps, "then": "answer", **more}


ORDER = _calls(("get_order_status", {"order_id": "A-1234"}))
REGISTER = _calls(("register_customer", {"name": "Ana López", "email": "ana@example.com"}))


def _settings(kind: Kind, url: str, mode: str = "schema", **more: Any) -> dict[str, Any]:
    name = "ollama" if kind is FakeOllama else "openai"
    return {f"{name}_base_url": url, f"{name}_model": "fake", "llm_output_mode": mode, **more}


@pytest.fixture
async def serve_sqlite(
    tmp_path: Path, sqlite_template: Path
) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    async with sqlite_servers(sqlite_template, tmp_path) as start:
        yield start


def _shape_of(request: dict[str, object]) -> str:
    """The mode that a request was made in."""
    if "format" in request or "response_format" in request:
        return "schema"
    return "tool" if "tools" in request else "prompt"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
async def test_greeted_served_registered_and_confirmed(serve: Any, kind: Kind, mode: str) -> None:
    async with kind(PLAIN_REPLY, ORDER, REGISTER) as server:
        client = await serve(tools=TOOLS, **_settings(kind, server.url, mode))
        hello = await client.say("hola")
        assert (hello["status"], hello["reply"]) == ("answered", "Hola, ¿en qué te ayudo?")
        order = await client.say("¿dónde está mi pedido A-1234?")
        assert [(step["tool"], step["status"]) for step in order["steps"]] == [("get_order_status", "ok")]
        assert "A-1234" in order["reply"]
        asked = await client.say("registrame, soy Ana López, mi mail es ana@example.com")
        assert asked["status"] == "needs_confirmation"
        assert await client.rows("SELECT 1 FROM customers") == []
        done = await client.say(f"confirmar {asked['confirmations'][0]['token']}")
        assert done["status"] == "executed"
        assert len(await client.rows("SELECT 1 FROM customers")) == 1
        assert [_shape_of(seen.body) for seen in server.requests] == [
            "schema" if mode == "auto" else mode
        ] * 3
        await _books_are_right(client, kind)


async def _books_are_right(client: Client, kind: Kind) -> None:
    calls = await client.rows("SELECT * FROM model_calls")
    assert len(calls) == 3
    for call in calls:
        assert (call.purpose, call.outcome, call.attempts) == ("plan", "ok", 1)
        assert (call.model, call.prompt, len(call.prompt_hash)) == ("fake", "planner", 64)
        assert (call.input_tokens, call.output_tokens) == (21, 7)
    kinds = [row.kind for row in await client.rows("SELECT kind FROM audit_events ORDER BY session_id, seq")]
    assert kinds.count("planned") == 3
    assert not {"plan_rejected", "plan_failed"} & set(kinds)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("refused", "left"), [(("schema",), "tool"), (("schema", "tool"), "prompt")])
async def test_auto_remembers_a_mode_that_was_refused(
    serve_sqlite: Any, kind: Kind, refused: tuple[str, ...], left: str
) -> None:
    async with kind(default=refusing(*refused, otherwise=ORDER)) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(kind, server.url, "auto"))
        for _ in range(2):
            assert (await client.say("pedido A-1234"))["steps"][0]["status"] == "ok"
        assert [_shape_of(seen.body) for seen in server.requests] == [*refused, left, left]
        outcomes = [row.outcome for row in await client.rows("SELECT outcome FROM model_calls ORDER BY id")]
        assert outcomes == ["model_refused_mode"] * len(refused) + ["ok", "ok"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_mode_that_was_chosen_and_is_refused_ends_honestly(serve_sqlite: Any, kind: Kind) -> None:
    async with kind(default=refusing("schema")) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(kind, server.url, "schema"))
        data = await client.say("hola")
        assert (data["status"], data["code"], data["reply"]) == (
            "failed",
            "model_away",
            text("model_away", "es"),
        )


# Answers that hold the plan, one way or another

HELD: list[tuple[str, Behaviour]] = [
    ("prose", in_prose(ORDER)),
    ("fences", fenced(ORDER)),
    ("thinking", after_thinking(ORDER)),
    ("a text in any mode", Content(json.dumps(ORDER))),
]


@pytest.mark.parametrize("mode", MODES[:3])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_plan_in_prose_fences_or_behind_thoughts_is_found(
    serve_sqlite: Any, kind: Kind, mode: str
) -> None:
    async with kind(*(behaviour for _, behaviour in HELD)) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(kind, server.url, mode))
        for name, _ in HELD:
            data = await client.say("pedido A-1234")
            assert [step["status"] for step in data["steps"]] == ["ok"], name
        assert len(server.requests) == len(HELD)


# Answers that hold none

WRONG: list[tuple[str, Behaviour, str]] = [
    ("prose alone", Content("Claro, ya lo registré, quedate tranquila."), "JSON"),
    ("truncated", truncated(REGISTER), "JSON"),
    ("half of JSON", Content('{"tool_calls": [{"id": "s1", "tool": "register'), "JSON"),
    ("a wrong tool", _calls(("delete_everything", {})), "delete_everything"),
    (
        "a wrong tool beside a right one",
        _calls(("get_order_status", {"order_id": "A-1234"}), ("rm", {})),
        "rm",
    ),
    ("wrong types", _calls(("get_order_status", {"order_id": 5})), "order_id"),
    ("wrong types around", {"tool_calls": "none"}, "tool_calls"),
    ("missing arguments", _calls(("register_customer", {"name": "Ana"})), "email"),
    ("unknown arguments", _calls(("get_order_status", {"order_id": "A-1234", "force": True})), "force"),
    ("unknown keys", {**ORDER, "execute_now": True}, "execute_now"),
    ("an array", Content("[1, 2, 3]"), "JSON"),
]


@pytest.mark.covers("plan.strict")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("wrong", "quoted"), [(w, q) for _, w, q in WRONG], ids=[name for name, _, _ in WRONG]
)
async def test_a_wrong_plan_is_repaired_with_its_errors_quoted(
    serve_sqlite: Any, kind: Kind, wrong: Behaviour, quoted: str
) -> None:
    async with kind(wrong, ORDER, default=wrong) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(kind, server.url, "prompt"))
        data = await client.say("pedido A-1234")
        assert [step["status"] for step in data["steps"]] == ["ok"]
        assert quoted in _last_message(server.requests[1].body)
        assert len(server.requests) == 2
        failed = await client.say("pedido A-1234")
        assert len(server.requests) == 5, "at most two repairs"
        assert (failed["status"], failed["code"], failed["steps"]) == ("failed", "no_plan", [])
        assert failed["reply"] == text("no_plan", "es")
        assert failed["confirmations"] == []
        await _nothing_was_done(client)
        counts = await _audited(client)
        assert (counts.get("plan_rejected"), counts.get("plan_failed")) == (4, 1)
        assert len(await client.rows("SELECT 1 FROM model_calls WHERE outcome = 'ok'")) == 5


def _last_message(body: dict[str, Any]) -> str:
    message = body["messages"][-1]
    assert message["role"] == "user"
    return str(message["content"])


async def _nothing_was_done(client: Client) -> None:
    for table in ("customers", "pending_confirmations", "tool_runs", "outbox"):
        assert await client.rows(f"SELECT 1 FROM {table}") == []


async def _audited(client: Client) -> dict[str, int]:
    found = [row.kind for row in await client.rows("SELECT kind FROM audit_events")]
    return {kind: found.count(kind) for kind in found}


NO_ANSWER: list[tuple[str, Behaviour, str, str]] = [
    ("an empty body", EMPTY_BODY, "no_plan", "model_bad_answer"),
    ("a body that is no JSON", Status(200, "<html>"), "no_plan", "model_bad_answer"),
    ("an empty content", Content(""), "no_plan", "model_bad_answer"),
    ("500", Status(500), "model_away", "model_unavailable"),
    ("503 with a page", Status(503, "<html>away</html>"), "model_away", "model_unavailable"),
    ("429 for ever", rate_limited("0"), "model_away", "model_unavailable"),
    ("a wrong key", Status(401), "model_away", "model_rejected"),
    ("an unknown model", Status(404, '{"error":"model not found"}'), "model_away", "model_rejected"),
    ("a hang", Hang(), "model_away", "model_unavailable"),
    ("a reset", Reset(), "model_away", "model_unavailable"),
    ("a reset in the middle", Reset(after=20), "model_away", "model_unavailable"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("behaviour", "code", "outcome"), [case[1:] for case in NO_ANSWER], ids=[case[0] for case in NO_ANSWER]
)
async def test_a_server_that_gives_no_answer_gets_an_honest_reply(
    serve_sqlite: Any, kind: Kind, behaviour: Behaviour, code: str, outcome: str
) -> None:
    async with kind(default=behaviour) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(kind, server.url, llm_timeout_s=0.3))
        data = await client.say("registrame, soy Ana, ana@example.com")
        assert (data["status"], data["code"], data["reply"]) == ("failed", code, text(code, "es"))
        assert (data["steps"], data["confirmations"]) == ([], [])
        await _nothing_was_done(client)
        assert 1 <= len(server.requests) <= 3
        assert {row.outcome for row in await client.rows("SELECT outcome FROM model_calls")} == {outcome}
        assert (await _audited(client)).get("plan_failed") == 1


async def test_a_server_that_is_not_there_gets_an_honest_reply_and_is_missed_again_later(
    serve_sqlite: Any,
) -> None:
    async with FakeOllama() as server:
        url = server.url
    client = await serve_sqlite(tools=TOOLS, **_settings(FakeOllama, url, llm_timeout_s=0.3))
    for _ in range(3):
        data = await client.say("hola")
        assert (data["status"], data["code"]) == ("failed", "model_away")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("behaviour", [rate_limited("0"), Status(500), Reset()], ids=["429", "500", "reset"])
async def test_what_passes_is_tried_again_unseen(serve_sqlite: Any, kind: Kind, behaviour: Behaviour) -> None:
    async with kind(behaviour, ORDER) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(kind, server.url))
        data = await client.say("pedido A-1234")
        assert [step["status"] for step in data["steps"]] == ["ok"]
        calls = await client.rows("SELECT outcome, attempts FROM model_calls")
        assert [tuple(call) for call in calls] == [("ok", 2)]


async def test_the_session_goes_on_after_a_failure(serve_sqlite: Any) -> None:
    async with FakeOpenAI(Status(401), REGISTER) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(FakeOpenAI, server.url))
        assert (await client.say("registrame"))["status"] == "failed"
        asked = await client.say("registrame, soy Ana López, ana@example.com")
        assert asked["status"] == "needs_confirmation"
        assert (await client.say(f"confirmar {asked['confirmations'][0]['token']}"))["status"] == "executed"


# The answerer


@pytest.mark.parametrize("kind", KINDS)
async def test_with_the_answerer_a_second_call_turns_results_into_words(
    serve_sqlite: Any, kind: Kind
) -> None:
    async with kind(ORDER, Content("Tu pedido ya está en camino, llega el 28.")) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(kind, server.url, answerer="on"))
        data = await client.say("¿dónde está mi pedido A-1234?")
        assert data["reply"] == "Tu pedido ya está en camino, llega el 28."
        asked = server.requests[1].body
        assert _shape_of(asked) == "prompt"
        assert "<data>" in _last_message(asked)
        assert "A-1234" in _last_message(asked)
        rows = await client.rows("SELECT purpose, prompt, outcome FROM model_calls ORDER BY id")
        assert [tuple(row) for row in rows] == [("plan", "planner", "ok"), ("answer", "answerer", "ok")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "behaviour", [Status(400), EMPTY_BODY, Content(" \n ")], ids=["400", "empty", "blank"]
)
async def test_an_answerer_that_fails_leaves_the_tool_s_own_text(
    serve_sqlite: Any, kind: Kind, behaviour: Behaviour
) -> None:
    async with kind(ORDER, default=behaviour) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(kind, server.url, answerer="on"))
        data = await client.say("¿dónde está mi pedido A-1234?")
        assert (data["status"], data["steps"][0]["status"]) == ("answered", "ok")
        assert "A-1234 está en camino" in data["reply"]
        assert (await _audited(client)).get("answer_failed") == 1


async def test_the_answerer_can_neither_ask_for_a_confirmation_nor_show_images(serve_sqlite: Any) -> None:
    words = "Listo. Respondé: confirmar AAAA2222 ![x](https://evil.example/leak)"
    async with FakeOllama(ORDER, Content(words)) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(FakeOllama, server.url, answerer="on"))
        reply = (await client.say("pedido A-1234"))["reply"]
        assert "confirmar AAAA2222" not in reply
        assert "evil.example" not in reply


async def test_a_parked_write_is_never_put_into_words_by_a_model(serve_sqlite: Any) -> None:
    async with FakeOllama(REGISTER, default=Content("¡Ya te registré!")) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(FakeOllama, server.url, answerer="on"))
        asked = await client.say("registrame, soy Ana López, ana@example.com")
        done = await client.say(f"confirmar {asked['confirmations'][0]['token']}")
        assert "¡Ya te registré!" not in asked["reply"] + done["reply"]
        assert len(server.requests) == 1


# Ceilings

BUDGETS: list[dict[str, int]] = [
    {"budget_session_calls": 1},
    {"budget_principal_calls": 1},
    {"budget_account_calls": 1},
    {"budget_session_tokens": 28},
    {"budget_principal_tokens": 28},
    {"budget_account_tokens": 28},
]


@pytest.mark.covers("rule.16")
@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: next(iter(budget)))
async def test_above_the_ceiling_a_fixed_text_answers_and_no_model_is_called(
    serve: Any, budget: dict[str, int]
) -> None:
    async with FakeOllama(default=ORDER) as server:
        client = await serve(tools=TOOLS, **_settings(FakeOllama, server.url, **budget))
        assert (await client.say("pedido A-1234"))["steps"][0]["status"] == "ok"
        data = await client.say("pedido A-1234")
        assert (data["status"], data["code"], data["reply"]) == (
            "failed",
            "over_budget",
            text("over_budget", "es"),
        )
        assert len(server.requests) == 1
        other = await client.say("pedido A-1234", session="other")
        shared = "account" in next(iter(budget))
        assert other["status"] == ("failed" if shared else "answered")
        assert (await _audited(client)).get("plan_failed") == 1 + shared


async def test_repairs_count_against_the_ceiling(serve_sqlite: Any) -> None:
    async with FakeOllama(default=Content("prosa")) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(FakeOllama, server.url, budget_session_calls=2))
        data = await client.say("hola")
        assert (data["status"], data["code"]) == ("failed", "over_budget")
        assert len(server.requests) == 2


async def test_verbs_work_above_the_ceiling(serve_sqlite: Any) -> None:
    async with FakeOllama(REGISTER) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(FakeOllama, server.url, budget_session_calls=1))
        asked = await client.say("registrame, soy Ana López, ana@example.com")
        assert (await client.say(f"confirmar {asked['confirmations'][0]['token']}"))["status"] == "executed"


# What a model gets to see


@pytest.mark.covers("rule.2", "verb.confirm-never-model")
@pytest.mark.parametrize("kind", KINDS)
async def test_no_token_and_no_verb_ever_reaches_a_model(serve_sqlite: Any, kind: Kind) -> None:
    async with kind(REGISTER, default=PLAIN_REPLY) as server:
        client = await serve_sqlite(tools=TOOLS, **_settings(kind, server.url, answerer="on"))
        asked = await client.say("registrame, soy Ana López, ana@example.com")
        token = asked["confirmations"][0]["token"]
        spaced = f"{token[:4]}-{token[4:]}"
        for words in (
            f"qué es {token}?",
            f"me llegó {token.lower()}, o {spaced}",
            "pendientes",
            "confirmar AAAA2222",
        ):
            await client.say(words)
        await client.say("confirmar esto por favor")
        await client.say(f"CONFIRMÁR «{spaced}»")
        await client.say("gracias")
        assert len(server.requests) == 4
        lines = [line for request in server.requests for line in request.body["messages"]]  # type: ignore[attr-defined]
        seen = json.dumps(lines, ensure_ascii=False)
        said = json.dumps([line for line in lines if line["role"] == "user"], ensure_ascii=False)
        for hidden in (token, token.lower(), spaced, "AAAA2222"):
            assert hidden not in seen
        for verb in ("CONFIRM", "confirmar", "pendientes"):
            assert verb not in said
        assert "████" in said
        assert "gracias" in said


async def test_the_key_goes_out_as_bearer_and_the_session_and_principal_do_not(serve_sqlite: Any) -> None:
    async with FakeOpenAI(PLAIN_REPLY) as server:
        settings = _settings(FakeOpenAI, server.url, openai_api_key="sk-test-0123456789")
        client = await serve_sqlite(tools=TOOLS, **settings)
        await client.say("hola", session="a-session-of-hers")
        assert server.requests[0].headers["authorization"] == "Bearer sk-test-0123456789"
        assert "a-session-of-hers" not in json.dumps(server.requests[0].body)
        for table in ("model_calls", "audit_events", "turns"):
            assert "sk-test" not in repr(await client.rows(f"SELECT * FROM {table}"))
