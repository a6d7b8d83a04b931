"""Streaming from both servers: the pieces, and the ways a stream can end."""

import json

import pytest

from llm_planner.errors import ModelBadAnswer, ModelRefusedMode, ModelUnavailable
from llm_planner.llm.base import ModelRejected
from llm_planner.llm.wire import lines_of
from llm_planner.testing.servers import FakeOllama, FakeOpenAI
from llm_planner.testing.servers_script import EMPTY_BODY, Content, Hang, Reset, Status, refusing

TEXT = "Hola, tu pedido A-1234 está en camino: llega mañana. ¿Algo más?"


async def collected(stream) -> str:
    return "".join([piece async for piece in stream])


async def pieces_before_the_error(stream, *errors) -> tuple[list[str], str]:
    pieces = []
    try:
        async for piece in stream:
            pieces.append(piece)
    except errors as error:
        return pieces, str(error)
    raise AssertionError("the stream came to a good end")


async def test_the_pieces_make_up_the_text(fake_server, client, make_http, ask):
    async with fake_server(Content(TEXT)) as server:
        pieces = [piece async for piece in client(server, make_http()).stream(ask("text"))]
    assert "".join(pieces) == TEXT
    assert len(pieces) > 1
    assert server.requests[0].body["stream"] is True


async def test_a_failed_start_is_tried_again(fake_server, client, make_http, ask):
    async with fake_server(Status(503), Reset(), Content(TEXT)) as server:
        assert await collected(client(server, make_http()).stream(ask("text"))) == TEXT


@pytest.mark.parametrize("trouble", [EMPTY_BODY, Status(200, "<html>"), Status(200, '{"error":"boom"}')])
async def test_a_stream_that_is_none_is_a_bad_answer(fake_server, client, make_http, ask, trouble):
    async with fake_server(trouble) as server:
        with pytest.raises(ModelBadAnswer):
            await collected(client(server, make_http()).stream(ask("text")))


async def test_a_stream_cut_in_the_middle_is_an_error_after_its_first_pieces(
    fake_server, client, make_http, ask
):
    whole = 70 if fake_server is FakeOllama else 110
    async with fake_server(Reset(after=whole)) as server:
        stream = client(server, make_http()).stream(ask("text"))
        await pieces_before_the_error(stream, ModelUnavailable, ModelBadAnswer)
    assert len(server.requests) == 1


async def test_an_error_in_the_middle_of_a_stream_is_raised(fake_server, client, make_http, ask):
    if fake_server is FakeOllama:
        lines = ['{"message":{"content":"Hola"},"done":false}', '{"error":"out of memory"}']
    else:
        lines = ['data: {"choices":[{"delta":{"content":"Hola"}}]}', 'data: {"error":"out of memory"}']
    async with fake_server(Status(200, "\n\n".join(lines))) as server:
        stream = client(server, make_http()).stream(ask("text"))
        pieces, error = await pieces_before_the_error(stream, ModelBadAnswer)
    assert pieces == ["Hola"]
    assert "out of memory" in error


async def test_a_stream_that_just_stops_is_a_bad_answer(fake_server, client, make_http, ask):
    line = '{"message":{"content":"Hola"},"done":false}'
    event = 'data: {"choices":[{"delta":{"content":"Hola"}}]}'
    async with fake_server(Status(200, line if fake_server is FakeOllama else event)) as server:
        with pytest.raises(ModelBadAnswer, match="ended before"):
            await collected(client(server, make_http()).stream(ask("text")))


async def test_a_hanging_stream_ends_at_the_timeout(fake_server, client, make_http, ask):
    async with fake_server(Hang()) as server:
        with pytest.raises(ModelUnavailable):
            await collected(client(server, make_http(attempts=1), timeout_s=0.05).stream(ask("text")))


async def test_a_refusal_is_told_as_for_a_whole_answer(fake_server, client, make_http, ask):
    async with fake_server(Status(404, '{"error":"no such model"}'), refusing("tool")) as server:
        model = client(server, make_http())
        with pytest.raises(ModelRejected, match="no such model"):
            await collected(model.stream(ask("text")))
        with pytest.raises(ModelRefusedMode):
            await collected(model.stream(ask("tool")))


async def test_a_stream_may_be_left_early_and_the_client_goes_on(fake_server, client, make_http, ask):
    async with fake_server(default=Content(TEXT)) as server:
        model = client(server, make_http())
        stream = model.stream(ask("text"))
        assert await anext(stream)
        await stream.aclose()
        assert await collected(model.stream(ask("text"))) == TEXT


async def test_a_streamed_call_gives_its_arguments(make_http, ask, client):
    deltas = [
        {"tool_calls": [{"index": 0, "function": {"name": "submit_plan", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"reply":'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"hola"}'}}]},
    ]
    events = [f"data: {json.dumps({'choices': [{'delta': delta}]})}" for delta in deltas]
    async with FakeOpenAI(Status(200, "\n\n".join([*events, "data: [DONE]"]))) as server:
        text = await collected(client(server, make_http()).stream(ask("tool")))
    assert json.loads(text) == {"reply": "hola"}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_lines_do_not_depend_on_how_the_bytes_arrive(size):
    data = "uno\n\r\ndós\r\ntres".encode()

    async def chunks():
        for start in range(0, len(data), size):
            yield data[start : start + size]

    assert [line.decode() async for line in lines_of(chunks(), 1000)] == ["uno", "dós", "tres"]


async def test_a_stream_of_too_many_bytes_is_left():
    async def chunks():
        while True:
            yield b"x" * 100

    with pytest.raises(ModelBadAnswer, match="larger"):
        async for _ in lines_of(chunks(), 1000):
            pass
