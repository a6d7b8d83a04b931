"""What a turn request may hold, and what becomes of one that holds something else."""

import json
from typing import Any

import pytest

from llm_planner.api.edge import LARGEST_BODY

from ..harness import Client
from .raw import Answer, ask, assert_problem, post


async def _agent(client: Client, body: Any, *headers: str, **options: Any) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await ask(client, post("/agent", raw, *headers, **options))


@pytest.mark.covers("http.turn-shape", "http.agent")
async def test_the_answer_has_the_keys_of_the_contract_and_no_others(client: Client) -> None:
    answer = await _agent(
        client, {"message": "hola", "session_id": "demo", "message_id": "m1", "locale": "en"}
    )
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    data = answer.json()
    assert set(data) == {
        "session_id",
        "turn_id",
        "message_id",
        "duplicate",
        "status",
        "code",
        "reply",
        "confirmations",
        "steps",
    }
    assert (data["session_id"], data["message_id"], data["duplicate"]) == ("demo", "m1", False)
    assert (data["status"], data["code"], data["reply"]) == ("answered", None, "hola")


@pytest.mark.covers("http.message")
async def test_messages_have_one_to_eight_thousand_characters(client: Client) -> None:
    for message in ("a", "ñ" * 8000, "🦜", "🦜" * 8000, " ", "\n"):
        assert (await _agent(client, {"message": message, "session_id": "s"})).status == 200


BAD_MESSAGES = [
    "",
    "a" * 8001,
    "🦜" * 8001,
    "a\x00b",
    "\ud800",
    "a\udfff",
    "\udc00\ud800",
    None,
    5,
    True,
    [],
    {},
    ["a"],
]


@pytest.mark.covers("http.message")
async def test_other_messages_are_refused(client: Client) -> None:
    for message in BAD_MESSAGES:
        assert_problem(await _agent(client, {"message": message, "session_id": "s"}), 422, "invalid_request")
    assert await client.rows("SELECT 1 FROM turns") == []


@pytest.mark.covers("http.ids")
@pytest.mark.parametrize("name", ["session_id", "message_id"])
async def test_ids_have_1_to_128_characters_from_bang_to_tilde(client: Client, name: str) -> None:
    for good in ("x", "!", "~", "x" * 128, '"{}\\'):
        answer = await _agent(client, {"message": "hola", "session_id": "s", name: good})
        assert answer.json()[name] == good


@pytest.mark.covers("http.ids")
@pytest.mark.parametrize("name", ["session_id", "message_id"])
async def test_other_ids_are_refused(client: Client, name: str) -> None:
    for bad in ("", "x" * 129, "a b", "ñ", "a\n", "\x7f", "\x00", "\ud800", 5, True, [], {}):
        body = {"message": "hola", "session_id": "s", name: bad}
        assert_problem(await _agent(client, body), 422, "invalid_request")


async def test_a_locale_is_a_language_tag(client: Client) -> None:
    for locale in ("es", "en", "pt", "es-AR", "pt_BR", "zh-Hant-TW", None):
        answer = await _agent(client, {"message": "hola", "session_id": "s", "locale": locale})
        assert answer.status == 200


async def test_other_locales_are_refused(client: Client) -> None:
    for locale in ("", "e", "español", "es-", "es\n", "x" * 36, "../en", 5):
        body = {"message": "hola", "session_id": "s", "locale": locale}
        assert_problem(await _agent(client, body), 422, "invalid_request")


@pytest.mark.covers("http.unknown-keys")
async def test_an_unknown_key_is_refused(client: Client) -> None:
    for key in ("user", "Message", "tool", "", "\ud800", "x" * 5000):
        body = {"message": "hola", "session_id": "s", key: "x"}
        assert_problem(await _agent(client, body), 422, "invalid_request")


@pytest.mark.covers("http.no-leak")
async def test_the_problem_names_the_field_and_does_not_repeat_its_value(client: Client) -> None:
    answer = await _agent(client, {"message": "hola", "session_id": "my secret thing"})
    assert "session_id" in answer.json()["detail"]
    assert "secret" not in answer.json()["detail"]


NOT_JSON = [
    b"",
    b"{",
    b"nul",
    b"[]",
    b"3",
    b'"hola"',
    b"null",
    b"\xff\xfe",
    b'{"message":"\xff"}',
    b"\xef\xbb\xbf{}",
    b'{"message":NaN}',
    b'{"message":-Infinity}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"message":' + b"9" * 5000 + b"}",
    b"{'message':'hola'}",
    b'{"message":"hola"}x',
    '{"message":"hola"}'.encode("utf-16"),
]


@pytest.mark.covers("http.json-only")
async def test_what_is_no_json_object_in_utf_8_is_malformed(client: Client) -> None:
    for body in NOT_JSON:
        assert_problem(await _agent(client, body), 400, "malformed_request")


@pytest.mark.covers("http.json-only")
async def test_a_body_that_is_not_declared_as_json_is_unsupported(client: Client) -> None:
    for kind in [None, "", "text/plain", "application/jsonp", "multipart/form-data; boundary=x"]:
        answer = await _agent(client, {"message": "hola", "session_id": "s"}, kind=kind)
        assert_problem(answer, 415, "unsupported_media_type")


async def test_the_content_type_may_name_a_charset_in_any_case(client: Client) -> None:
    answer = await _agent(
        client, {"message": "hola", "session_id": "s"}, kind="Application/JSON; charset=UTF-8"
    )
    assert answer.status == 200


async def test_an_encoded_body_is_unsupported(client: Client) -> None:
    for encoding in ["gzip", "br", "deflate", "gzip, identity"]:
        answer = await _agent(client, {"message": "hola", "session_id": "s"}, f"Content-Encoding: {encoding}")
        assert_problem(answer, 415, "unsupported_media_type")


async def test_a_body_too_large_is_refused_while_it_is_read(client: Client) -> None:
    large = b'{"message":"' + b"a" * LARGEST_BODY + b'"}'
    assert_problem(await _agent(client, large), 413, "body_too_large")
    head = b"POST /agent HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunk = b"8000\r\n" + b"a" * 0x8000 + b"\r\n"
    endless = head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * (LARGEST_BODY // 0x8000 + 1)
    assert_problem(await ask(client, endless), 413, "body_too_large")


async def test_the_longest_message_fits_however_it_is_escaped(client: Client) -> None:
    answer = await _agent(client, {"message": "🦜" * 8000, "session_id": "s"})
    assert answer.status == 200
    assert len(json.dumps({"message": "🦜" * 8000})) < LARGEST_BODY


async def test_a_page_of_another_origin_may_not_speak(client: Client) -> None:
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "http://localhost:1",
        "http://[",
        "",
    ]:
        answer = await _agent(client, {"message": "hola", "session_id": "s"}, f"Origin: {origin}")
        assert_problem(answer, 403, "cross_origin")


async def test_a_browser_that_says_another_site_sent_it_may_not_speak(client: Client) -> None:
    for site in ["cross-site", "same-site", "nonsense"]:
        answer = await _agent(client, {"message": "hola", "session_id": "s"}, f"Sec-Fetch-Site: {site}")
        assert_problem(answer, 403, "cross_origin")


async def test_our_own_page_may_speak(client: Client) -> None:
    body = {"message": "hola", "session_id": "s"}
    answer = await _agent(client, body, "Origin: http://localhost", "Sec-Fetch-Site: same-origin")
    assert answer.status == 200
