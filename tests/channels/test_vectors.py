"""The project's own vectors through the adapters, and the commands that run and make them."""

import json
import shlex
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from llm_planner.channels import WebhookRequest
from llm_planner.channels.signing import SIGNERS
from llm_planner.channels.vectors import MAKERS, differences
from llm_planner.commands.webhook import webhook

from .generator import CASES, FILE, NOW, SECRET, STANDARD_SECRET, URL, cloud, dumps, vectors, wa_text, written
from .reference import MAKERS as REFERENCES

ALL = list(vectors())


def title(vector: dict[str, Any]) -> str:
    return f"{vector['provider']}-{vector['name']}"


@pytest.mark.parametrize("vector", ALL, ids=title)
def test_every_vector_of_ours_is_judged_as_it_says(vector: dict[str, Any]) -> None:
    assert differences(vector) == []


def test_the_file_of_vectors_is_what_the_generator_makes() -> None:
    assert FILE.read_text("utf-8") == written(), "python -m tests.channels.generator writes it anew"


@pytest.mark.covers("cli.webhook")
def test_the_file_of_vectors_passes_the_command() -> None:
    result = CliRunner().invoke(webhook, ["check", str(FILE)])
    assert result.output.splitlines()[-1] == f"{len(ALL)} passed, 0 failed"


@pytest.mark.parametrize("provider", ["twilio", "slack", "standard", "svix"])
def test_our_own_signatures_are_those_of_the_reference_library(provider: str) -> None:
    for case in (case for case in CASES if case.provider == provider):
        theirs = REFERENCES[provider][1](case.secret, case.body, NOW, case.url)
        ours = case.headers(case.secret, case.body, str(NOW), case.url)
        assert ours[case.signature] == theirs[case.signature]


def test_each_library_has_made_vectors_that_our_adapters_take() -> None:
    made = {vector["verified_by"] for vector in ALL if "verified_by" in vector and vector["valid"]}
    assert made == {package for package, _ in REFERENCES.values()}


def test_a_vector_that_says_the_opposite_fails() -> None:
    passed = [title(vector) for vector in ALL if not differences({**vector, "valid": not vector["valid"]})]
    assert passed == []


@pytest.mark.parametrize("key", ["event", "message_id", "sender", "text"])
def test_a_vector_that_expects_other_content_fails(key: str) -> None:
    other = "status" if key == "event" else "something else"
    passed = [title(v) for v in ALL if v["valid"] and not differences({**v, key: other})]
    assert passed == []


def test_a_malformed_body_passes_only_where_nothing_is_expected_of_it() -> None:
    case = next(case for case in CASES if case.provider == "ycloud")
    headers = case.headers(SECRET, b"", str(NOW), URL)
    vector = case.vector(
        "empty", True, body=b"", headers=headers, event="event", message_id=None, sender=None
    )
    assert differences({**vector, "text": None}) == []
    assert differences({**vector, "text": None, "http_expected": 400}) == []
    assert differences({**vector, "text": None, "event": "invalid_payload"}) == []
    changes: list[dict[str, Any]] = [{"http_expected": 200}, {"message_id": "evt_1"}, {"event": "text"}]
    for change in [*changes, {"messages": []}]:
        assert differences({**vector, "text": None, **change}) != []


@pytest.mark.parametrize(
    ("expected", "right"),
    [
        (2, True),
        (1, False),
        (["wamid.1", "wamid.2"], True),
        (["wamid.2", "wamid.1"], False),
        (["wamid.1"], False),
        ([{"message_id": "wamid.1", "sender": "5215500000001"}, {"text": "¿hola 2?"}], True),
        ([{"text": "x"}, {}], False),
        ([{"sender": "x"}, {}], False),
    ],
)
def test_a_vector_may_list_the_messages_of_a_batch(expected: object, right: bool) -> None:
    case, body = next(case for case in CASES if case.provider == "meta"), dumps(cloud(wa_text(1), wa_text(2)))
    vector = case.vector("batch", True, body=body, headers=case.headers(SECRET, body, "", ""))
    assert (differences({**vector, "messages": expected}) == []) is right


def test_every_provider_has_vectors_an_adapter_and_a_signer() -> None:
    assert {case.provider for case in CASES} - {"svix"} == set(MAKERS) == set(SIGNERS)
    for name, maker in MAKERS.items():
        assert maker((), 300, {}).name == name


def write(folder: Path, value: object) -> str:
    file = folder / "vectors.json"
    file.write_text(json.dumps(value), "utf-8")
    return str(file)


@pytest.mark.covers("cli.webhook")
def test_check_prints_the_counts_last(tmp_path: Path) -> None:
    result = CliRunner().invoke(webhook, ["check", write(tmp_path, ALL)])
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == f"{len(ALL)} passed, 0 failed"


def test_check_names_what_failed_and_ends_with_exit_code_1(tmp_path: Path) -> None:
    wrong = {**ALL[0], "name": "the wrong one", "sender": "nobody"}
    result = CliRunner().invoke(
        webhook, ["check", write(tmp_path, [*ALL[:3], wrong, {"name": "no vector"}, 5])]
    )
    assert result.exit_code == 1
    assert "FAILED generic/the wrong one: sender: ['ana'], not nobody" in result.output
    assert result.output.splitlines()[-1] == "3 passed, 3 failed"


def test_check_gives_the_same_as_json(tmp_path: Path) -> None:
    wrong = {**ALL[0], "sender": "nobody"}
    result = CliRunner().invoke(webhook, ["check", "--json", write(tmp_path, [ALL[0], wrong])])
    report = json.loads(result.output)
    assert (report["passed"], [row["vector"] for row in report["failed"]]) == (1, ["generic/valid"])


@pytest.mark.parametrize("provider", sorted(SIGNERS))
@pytest.mark.parametrize("url", [URL, URL + "?tenant=a%20b"])
def test_a_request_signed_by_the_command_passes_the_adapter(provider: str, url: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.provider == provider)
    file = tmp_path / "body"
    file.write_bytes(case.body)
    secret = STANDARD_SECRET if provider == "standard" else SECRET
    arguments = ["sign", provider, str(file), "--secret", f"{secret}, other", "--url", url, "--at", str(NOW)]
    result = CliRunner().invoke(webhook, arguments)
    words = shlex.split(result.output)
    headers = tuple(
        (name, value)
        for flag, line in pairwise(words)
        if flag == "-H"
        for name, value in [line.split(": ", 1)]
    )
    request = WebhookRequest("POST", words[-1], headers, case.body)
    delivery = MAKERS[provider]((secret,), 300, {}).receive(request, datetime.fromtimestamp(NOW, UTC))
    assert [message.message_id for message in delivery.messages]
    assert f"@{file}" in words
    assert words[:4] == ["curl", "-i", "-X", "POST"]


def test_a_json_body_for_twilio_is_signed_by_its_hash_in_the_url(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text('{"MessageSid":"SM1","From":"+1","Body":"x"}')
    result = CliRunner().invoke(webhook, ["sign", "twilio", str(file), "--secret", SECRET, "--url", URL])
    assert f"{URL}?bodySHA256=" in result.output
