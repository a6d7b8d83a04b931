"""Both clients against both servers: the three modes, every way to fail, and the key that never shows."""

import asyncio
import json
import logging
import traceback
from dataclasses import replace

import pytest

from llm_planner.errors import ModelBadAnswer, ModelError, ModelRefusedMode, ModelUnavailable
from llm_planner.llm.base import PLAN_FUNCTION, ModelRejected
from llm_planner.llm.extract import extract_plan_json
from llm_planner.llm.ollama import OllamaModel
from llm_planner.llm.openai import OpenAIModel
from llm_planner.llm.plan_schema import plan_schema
from llm_planner.llm.strict_json import NoJson
from llm_planner.testing.servers import FakeOllama, FakeOpenAI
from llm_planner.testing.servers_script import (
    EMPTY_BODY,
    Content,
    Hang,
    Held,
    Reset,
    Status,
    after_thinking,
    fenced,
    in_prose,
    rate_limited,
    refusing,
    truncated,
)


@pytest.mark.parametrize("mode", ["schema", "tool", "prompt"])
async def test_a_plan_arrives_in_every_mode(fake_server, client, make_http, ask, plan, mode):
    async with fake_server(plan) as server:
        reply = await client(server, make_http()).complete(ask(mode))
    assert json.loads(reply.text) == plan
    assert (reply.model, reply.input_tokens, reply.output_tokens, reply.attempts) == ("test-model", 21, 7, 1)
    assert reply.finish == ("tool_calls" if (mode, fake_server) == ("tool", FakeOpenAI) else "stop")


@pytest.mark.parametrize("mode", ["schema", "tool", "prompt", "text"])
async def test_the_schema_is_sent_where_the_mode_wants_it_and_nowhere_else(
    fake_server, client, make_http, ask, mode
):
    async with fake_server() as server:
        request = ask(mode)
        await client(server, make_http()).complete(request)
    body = server.requests[0].body
    sent = {name for name in ("format", "response_format", "tools") if name in body}
    ollama = fake_server is FakeOllama
    assert sent == {"schema": {"format" if ollama else "response_format"}, "tool": {"tools"}}.get(mode, set())
    if mode == "tool":
        assert body["tools"][0]["function"]["name"] == PLAN_FUNCTION
        assert body["tools"][0]["function"]["parameters"] == request.schema
    if mode == "schema" and ollama:
        assert body["format"] == request.schema
    if mode == "schema" and not ollama:
        assert body["response_format"]["json_schema"]["strict"] is True


async def test_the_key_goes_out_as_bearer_and_no_key_sends_no_header(fake_server, make_http, ask, key):
    kind = OllamaModel if fake_server is FakeOllama else OpenAIModel
    async with fake_server() as server:
        await kind(make_http(), server.url, "m", api_key=f" {key}\n").complete(ask())
        await kind(make_http(), server.url, "m", api_key="").complete(ask())
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"
    assert "authorization" not in server.requests[1].headers


@pytest.mark.parametrize("shape", [in_prose, fenced, after_thinking])
@pytest.mark.parametrize("mode", ["schema", "tool", "prompt"])
async def test_a_server_that_ignores_the_mode_still_gives_its_text(
    fake_server, client, make_http, ask, plan, shape, mode
):
    async with fake_server(shape(plan)) as server:
        reply = await client(server, make_http()).complete(ask(mode))
    assert extract_plan_json(reply.text).value == plan


async def test_a_truncated_answer_is_handed_on_and_refused_by_the_extraction(
    fake_server, client, make_http, ask, plan
):
    async with fake_server(truncated(plan)) as server:
        reply = await client(server, make_http()).complete(ask())
    with pytest.raises(NoJson, match="truncated"):
        extract_plan_json(reply.text)


@pytest.mark.parametrize(
    "answer",
    [
        EMPTY_BODY,
        Status(200, "<html>hello</html>"),
        Status(200, "[1, 2]"),
        Status(200, "{}"),
        Status(200, "[" * 100_000),
        Status(200, '{"choices": 3, "message": "x"}'),
        Status(200, '{"choices": [{"message": null}], "message": null}'),
        Status(200, '{"choices": [{"message": {"content": null}}], "message": {"content": 7}}'),
        Status(200, '{"error": {"message": "upstream broke"}}'),
        Content("   "),
    ],
)
async def test_a_200_that_is_no_chat_answer_is_a_bad_answer(fake_server, client, make_http, ask, answer):
    async with fake_server(answer) as server:
        with pytest.raises(ModelBadAnswer):
            await client(server, make_http()).complete(ask())
    assert len(server.requests) == 1


async def test_a_call_of_another_function_is_a_bad_answer(make_http, ask, client):
    call = {"function": {"name": "rm_rf", "arguments": "{}"}}
    body = json.dumps({"choices": [{"message": {"content": None, "tool_calls": [call, None]}}]})
    async with FakeOpenAI(Status(200, body)) as server:
        with pytest.raises(ModelBadAnswer):
            await client(server, make_http()).complete(ask("tool"))


@pytest.mark.parametrize("mode", ["schema", "tool"])
async def test_a_refused_mode_says_so_and_prompt_mode_goes_on_working(
    fake_server, client, make_http, ask, plan, mode
):
    async with fake_server(default=refusing("schema", "tool", otherwise=plan)) as server:
        model = client(server, make_http())
        with pytest.raises(ModelRefusedMode):
            await model.complete(ask(mode))
        assert json.loads((await model.complete(ask("prompt"))).text) == plan
    assert len(server.requests) == 2


async def test_a_grammar_that_does_not_compile_is_a_refused_mode_and_not_retried(
    fake_server, client, make_http, ask
):
    async with fake_server(default=Status(500, '{"error":"failed to parse grammar"}')) as server:
        with pytest.raises(ModelRefusedMode):
            await client(server, make_http()).complete(ask("schema"))
        assert len(server.requests) == 1
        with pytest.raises(ModelUnavailable):
            await client(server, make_http()).complete(ask("prompt"))


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, '{"error":{"message":"Incorrect API key provided: sk-live-0123"}}', "API key"),
        (403, "no", "API key"),
        (404, '{"error":"model \'x\' not found"}', "model 'x' not found"),
        (400, '{"error":{"message":"context length exceeded"}}', "context length exceeded"),
        (302, "", "HTTP 302"),
    ],
)
async def test_a_refusal_is_not_retried_and_says_what_to_look_at(
    fake_server, client, make_http, ask, status, body, told
):
    async with fake_server(default=Status(status, body)) as server:
        with pytest.raises(ModelRejected, match=told) as caught:
            await client(server, make_http()).complete(ask("schema"))
    assert len(server.requests) == 1
    assert not caught.value.retryable


@pytest.mark.parametrize("trouble", [Status(500), Status(503, "busy"), Status(429), Reset(), Reset(after=10)])
async def test_what_passes_is_tried_again(fake_server, client, make_http, ask, plan, fake_time, trouble):
    async with fake_server(trouble, trouble, plan) as server:
        reply = await client(server, make_http(backoff_s=1.0)).complete(ask())
    assert json.loads(reply.text) == plan
    assert reply.attempts == 3
    assert fake_time.slept == [1.0, 2.0]
    assert reply.ms == 3000


@pytest.mark.parametrize("trouble", [Status(500), Status(529, ""), Status(429), Reset(), Reset(after=10)])
async def test_what_does_not_pass_is_unavailable_after_the_last_attempt(
    fake_server, client, make_http, ask, trouble
):
    async with fake_server(default=trouble) as server:
        with pytest.raises(ModelUnavailable, match="3 attempts") as caught:
            await client(server, make_http()).complete(ask())
    assert len(server.requests) == 3
    assert caught.value.retryable


async def test_a_server_that_is_not_there_is_unavailable(fake_server, client, make_http, ask):
    async with fake_server() as server:
        pass
    with pytest.raises(ModelUnavailable, match="3 attempts"):
        await client(server, make_http()).complete(ask())


async def test_a_hang_ends_at_the_timeout(fake_server, client, make_http, ask):
    async with fake_server(default=Hang()) as server:
        with pytest.raises(ModelUnavailable, match=r"no answer in 0\.1 s"):
            await client(server, make_http(attempts=1), timeout_s=0.05).complete(ask())


async def test_a_hang_never_outlives_the_deadline(fake_server, client, make_http, ask):
    async with fake_server(default=Hang()) as server:
        async with asyncio.timeout(10):
            with pytest.raises(ModelUnavailable):
                await client(server, make_http(attempts=1)).complete(ask(deadline_s=0.05))


async def test_an_answer_of_too_many_bytes_is_not_read_to_its_end(fake_server, client, make_http, ask):
    async with fake_server(Content("x" * 200_000)) as server:
        with pytest.raises(ModelBadAnswer, match="larger than 1000 bytes"):
            await client(server, make_http(max_bytes=1000)).complete(ask())


def everything_said(error: BaseException) -> str:
    """All that a log or an error reporter could print of an exception and of those behind it."""
    seen, texts = [], []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        texts += [repr(one), str(one), repr(one.args), repr(vars(one))]
        waiting += [one.__cause__, one.__context__]
    return "\n".join([*texts, *traceback.format_exception(error)])


@pytest.mark.parametrize("mode", ["schema", "prompt"])
@pytest.mark.parametrize(
    "trouble",
    [
        "401",
        "400",
        "500",
        "200",
        "garbage",
        Hang(),
        Reset(),
        Reset(after=10),
        EMPTY_BODY,
        rate_limited("1"),
    ],
    ids=str,
)
async def test_the_key_is_in_no_error_no_repr_and_no_log(
    fake_server, client, make_http, ask, key, trouble, mode, caplog
):
    caplog.set_level(logging.DEBUG)
    if trouble == "garbage":
        trouble = Content(" ")
    elif isinstance(trouble, str):
        trouble = Status(
            int(trouble), json.dumps({"error": {"message": f"bad key {key} for format {key[:14]}"}})
        )
    async with fake_server(default=trouble) as server:
        model = client(server, make_http(attempts=2), timeout_s=0.05)
        with pytest.raises(ModelError) as caught:
            await model.complete(ask(mode))
    said = everything_said(caught.value) + caplog.text + repr(model)
    assert key not in said
    assert key[:14] not in said


async def test_two_hundred_slow_calls_are_in_flight_at_once(fake_server, client, make_http, ask, plan):
    gate = asyncio.Event()
    async with fake_server(default=Held(plan, gate)) as server:
        model = client(server, make_http())
        calls = [asyncio.create_task(model.complete(ask())) for _ in range(200)]
        await server.arrived(200)
        assert not any(call.done() for call in calls)
        gate.set()
        replies = await asyncio.gather(*calls)
    assert all(json.loads(reply.text) == plan for reply in replies)
    assert {reply.attempts for reply in replies} == {1}


async def test_a_cancelled_call_leaves_the_client_usable(fake_server, client, make_http, ask, plan):
    async with fake_server(Hang(), plan) as server:
        model = client(server, make_http())
        call = asyncio.create_task(model.complete(ask()))
        await server.arrived(1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert json.loads((await model.complete(ask())).text) == plan


async def test_close_may_be_called_twice_and_before_any_call(fake_server, client, make_http, ask):
    async with fake_server() as server:
        model = client(server, make_http())
        await model.close()
        await model.complete(ask())
        await model.close()
        await model.close()


@pytest.mark.parametrize(
    "address",
    ["ftp://host", "localhost:11434", "http://", "http://me:secret@host", "http://host/?key=secret"],
)
@pytest.mark.parametrize("kind", [OllamaModel, OpenAIModel])
async def test_an_address_that_is_no_plain_http_is_refused_without_repeating_it(make_http, kind, address):
    with pytest.raises(ValueError, match="the model's address") as caught:
        kind(make_http(), address, "m")
    assert "secret" not in str(caught.value)


async def test_a_key_that_no_header_can_hold_is_refused_without_repeating_it(make_http):
    with pytest.raises(ValueError, match="printable") as caught:
        OllamaModel(make_http(), "http://host", "m", api_key="sk-abc\r\nX-Evil: 1")
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("ending", ["", "/", "/api", "/api/", "/api/chat"])
async def test_the_ollama_address_may_end_in_api(make_http, ask, ending):
    async with FakeOllama() as server:
        await OllamaModel(make_http(), server.url + ending, "m").complete(ask())
    assert server.requests[0].path == "/api/chat"


async def test_ollama_is_asked_not_to_think_and_gpt_oss_to_think_little(make_http, ask):
    async with FakeOllama() as server:
        for model in ("qwen3:8b", "gpt-oss:20b"):
            await OllamaModel(make_http(), server.url, model).complete(ask())
    assert [seen.body["think"] for seen in server.requests] == [False, "low"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_server_that_refuses_think_is_asked_without_it_from_then_on(make_http, ask, plan, streamed):
    def answer(request):
        return Status(400, '{"error":"m does not support thinking"}') if "think" in request else plan

    async with FakeOllama(default=answer) as server:
        model = OllamaModel(make_http(), server.url, "m")
        for _ in range(2):
            if streamed:
                assert [piece async for piece in model.stream(ask())]
            else:
                await model.complete(ask())
    assert ["think" in seen.body for seen in server.requests] == [True, False, False]


async def test_asking_again_without_a_parameter_does_not_begin_a_new_deadline(
    make_http, ask, plan, fake_time
):
    def answer(request):
        fake_time.advance(10.0)
        return Status(400, '{"error":"think?"}') if "think" in request else plan

    async with FakeOllama(default=answer) as server:
        with pytest.raises(ModelUnavailable):
            await OllamaModel(make_http(), server.url, "m").complete(ask(deadline_s=10.0))


async def test_the_ollama_context_fits_the_prompt_and_never_shrinks(make_http, ask):
    async with FakeOllama() as server:
        model = OllamaModel(make_http(), server.url, "m")
        for length in (10, 40_000, 10, 900_000):
            await model.complete(ask(text="x" * length))
    contexts = [seen.body["options"]["num_ctx"] for seen in server.requests]
    assert contexts == [8192, 16384, 16384, 32768]
    assert server.requests[0].body["options"]["num_predict"] == 300


async def test_openai_parameters_that_a_model_refuses_are_left_out_from_then_on(make_http, ask, plan):
    def answer(request):
        if "max_tokens" in request:
            return Status(
                400, '{"error":{"message":"\'max_tokens\' is not supported, use \'max_completion_tokens\'"}}'
            )
        for name in ("temperature", "reasoning_effort"):
            if name in request:
                return Status(400, json.dumps({"error": {"message": f"Unsupported value: '{name}'"}}))
        return plan

    async with FakeOpenAI(default=answer) as server:
        model = OpenAIModel(make_http(), server.url, "gpt-5-mini")
        assert (await model.complete(ask("schema"))).attempts == 4
        assert (await model.complete(ask("schema"))).attempts == 1
    assert server.requests[0].body["reasoning_effort"] == "low"
    assert server.requests[-1].body["max_completion_tokens"] == 300


async def test_openai_content_in_parts_is_joined(make_http, ask, client):
    body = {"choices": [{"message": {"content": [{"type": "text", "text": "Ho"}, {"text": "la"}, 3]}}]}
    async with FakeOpenAI(Status(200, json.dumps(body))) as server:
        assert (await client(server, make_http()).complete(ask())).text == "Hola"


async def test_a_null_that_only_strict_mode_asked_for_is_taken_out_again(make_http, ask, client):
    schema = plan_schema(
        {
            "t": {
                "type": "object",
                "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
                "required": ["a"],
            }
        }
    )
    call = {"id": "s1", "tool": "t", "args": {"a": "x", "b": None}, "after": []}
    async with FakeOpenAI({"reply": None, "tool_calls": [call], "then": "answer"}) as server:
        reply = await client(server, make_http()).complete(replace(ask("schema"), schema=schema))
    sent = server.requests[0].body["response_format"]["json_schema"]["schema"]
    assert sent["properties"]["tool_calls"]["items"]["properties"]["args"]["required"] == ["a", "b"]
    assert json.loads(reply.text)["tool_calls"][0]["args"] == {"a": "x"}
    assert json.loads(reply.text)["reply"] is None
