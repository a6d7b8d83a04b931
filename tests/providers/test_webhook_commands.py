"""`webhook sign` and `webhook replay` against live servers: what they make passes the door of every provider."""

import asyncio
import json
import shlex
import sys
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import pytest
from click.testing import CliRunner, Result

from llm_planner import create_app
from llm_planner.channels.signing import SIGNERS, Unsigned, sign
from llm_planner.cli import cli
from llm_planner.errors import StartError
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.provider_settings import WEBHOOK_SECRETS

from ..channels.generator import CASES, STANDARD_SECRET, cloud, dumps, wa_text
from ..harness import PROMPTS, Client, settings_for, sqlite_servers
from ..tools import Echo, plan
from ..turn_kit import always, eventually, there_are
from .kit import BASE, SECRET, Signed, deliver

SECRETS = {**dict.fromkeys(WEBHOOK_SECRETS.values(), SECRET), "standard_webhooks_secret": STANDARD_SECRET}
SETTINGS: dict[str, Any] = {**SECRETS, "public_base_url": BASE}


@pytest.fixture
async def server(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Client]:
    async with sqlite_servers(sqlite_template, tmp_path) as start:
        yield await start(tools=[Echo], model=always(plan(reply="hola")), **SETTINGS)


@pytest.fixture
async def other(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Client]:
    """Another server with the same settings, over a database of its own."""
    folder = tmp_path / "other"
    folder.mkdir()
    async with sqlite_servers(sqlite_template, folder) as start:
        yield await start(tools=[Echo], model=always(plan(reply="hola")), **SETTINGS)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name.upper(), value)


async def run(*arguments: str) -> Result:
    """The command in a thread of its own: it has its own event loop."""
    words = ["--app", "app_of_the_tests:app", "webhook", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, cli, words, catch_exceptions=True)


def posted(command: str, body: bytes) -> Signed:
    """The request that a printed curl would make, for a server that stands somewhere else."""
    words = shlex.split(command)
    headers = dict(line.split(": ", 1) for flag, line in pairwise(words) if flag == "-H")
    assert words[-1].startswith(BASE)
    return Signed(words[-1].removeprefix(BASE), headers, body)


@pytest.mark.covers("cli.webhook")
@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("provider", sorted(SIGNERS))
async def test_the_curl_of_sign_passes_a_server_with_the_same_settings(
    server: Client, provider: str, tmp_path: Path
) -> None:
    for case in (case for case in CASES if case.provider == provider):
        file = tmp_path / "body"
        file.write_bytes(case.body)
        printed = await run("sign", provider, str(file))
        assert printed.exit_code == 0, printed.exception
        request = posted(printed.stdout, case.body)
        assert (await deliver(server, request))[0] in (200, 202)
        forged = Signed(request.path, request.headers, case.body + b" ")
        if case.signs_body:
            assert (await deliver(server, forged))[0] == 401
    found = await server.rows("SELECT channel FROM sessions")
    assert {row.channel for row in found} == {provider}


async def test_sign_names_the_variable_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "body"
    file.write_text("{}")
    refused = await run("sign", "meta", str(file))
    assert isinstance(refused.exception, StartError)
    assert "WHATSAPP_APP_SECRET" in refused.exception.detail
    monkeypatch.setenv("STANDARD_WEBHOOKS_SECRET", "not base64 ¡!")
    refused = await run("sign", "standard", str(file))
    assert isinstance(refused.exception, StartError)


def messages() -> dict[str, list[bytes]]:
    """Plain texts of every provider, private and in groups; and for Meta what can't be made again."""
    group = {"chat": {"id": -100, "type": "supergroup"}, "is_topic_message": True, "message_thread_id": 7}
    telegram = {"message_id": 1, "from": {"id": 5, "first_name": "Ana"}, "text": "¿hola & <adiós>?"}
    slack = {"user": "U1", "text": "¿hola &amp; &lt;adiós&gt;?", "channel": "C1", "thread_ts": "1.5"}
    event = {"type": "event_callback", "team_id": "T1"}
    sms = {"id": "s", "from": "+52155", "to": "+1415", "text": "hola"}
    found = {name: [next(case.body for case in CASES if case.provider == name)] for name in SIGNERS}
    found["telegram"].append(dumps({"update_id": 10, "message": telegram | group}))
    found["slack"] = [
        found["slack"][0],
        dumps({**event, "event_id": "E2", "event": slack | {"type": "app_mention"}}),
    ]
    found["ycloud"].append(dumps({"id": "evt_2", "type": "sms.inbound.received", "smsInbound": sms}))
    found["twilio"] = [
        urlencode({"MessageSid": "SM1", "From": "whatsapp:+5", "To": "w:+1", "Body": "ñ"}).encode()
    ]
    texts = [wa_text(1), wa_text(2, group_id="G.1"), {**wa_text(3), "from": None}]
    found["meta"] = [dumps(cloud(text)) for text in texts]
    return found


async def arrive(client: Client, bodies: dict[str, list[bytes]]) -> int:
    """Deliver all of them as their providers do; how many."""
    for provider, several in bodies.items():
        secret = STANDARD_SECRET if provider == "standard" else SECRET
        for body in several:
            path = f"/provider/{provider}/inbound"
            url, headers = sign(provider, Unsigned(secret, BASE + path, body, int(time.time())))
            status, answer, _ = await deliver(client, Signed(url.removeprefix(BASE), headers, body))
            assert status in (200, 202), answer
    count = sum(map(len, bodies.values()))
    await eventually(lambda: there_are(client, count, "SELECT id FROM turns WHERE state = 'answered'"))
    return count


async def stored(client: Client) -> list[tuple[Any, ...]]:
    rows = await client.rows(
        "SELECT channel, account, principal, label, message_id, inbound FROM turns "
        "JOIN sessions ON sessions.id = turns.session_id"
    )
    return sorted((*row[:5], json.dumps(json.loads(row.inbound), sort_keys=True)) for row in rows)


@pytest.fixture
def application(server: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application of `server`, for the command line."""
    made = ModuleType("app_of_the_tests")
    settings = settings_for(f"sqlite:///{tmp_path}/test.db", tmp_path, **SETTINGS)
    made.app = create_app(tools=[Echo], prompts=PROMPTS, settings=settings, model=ScriptedModel([]))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "app_of_the_tests", made)


@pytest.mark.covers("cli.webhook")
@pytest.mark.usefixtures("application")
async def test_replay_delivers_every_provider_s_messages_as_they_came(server: Client, other: Client) -> None:
    count = await arrive(server, messages())
    listed = await run("replay", "--last", "100")
    assert listed.stdout.splitlines()[-1] == f"{count} to send, 0 left out; add --send to send them"
    assert await stored(other) == []
    sent = await run("replay", "--last", "100", "--send", "--url", other.url)
    assert (sent.exit_code, sent.stdout.splitlines()[-1]) == (0, f"{count} sent, 0 left out"), sent.stdout
    assert await stored(other) == await stored(server)


@pytest.mark.usefixtures("application")
async def test_the_server_that_has_them_handles_nothing_twice(server: Client) -> None:
    count = await arrive(server, messages())
    sent = await run("replay", "--last", "100", "--send", "--url", server.url, "--json")
    assert {row["status"] for row in json.loads(sent.stdout)} <= {200, 202}
    assert len(await server.rows("SELECT id FROM turns")) == count
    assert await server.rows("SELECT seq FROM audit_events WHERE kind = 'message_conflict'") == []


@pytest.mark.usefixtures("application")
async def test_what_can_not_be_made_again_is_left_out_and_says_why(server: Client) -> None:
    image = wa_text(5, type="image", image={"id": "m", "mime_type": "image/png"})
    count = await arrive(server, {"meta": [dumps(cloud(image)), dumps(cloud(wa_text(6)))]})
    await server.rows("UPDATE turns SET inbound = REPLACE(inbound, '¿hola 6?', '¿hola ████?')")
    listed = await run("replay")
    assert "a token stood in it" in listed.stdout
    assert "it was media" in listed.stdout
    assert listed.stdout.splitlines()[-1].startswith(f"0 to send, {count} left out")


@pytest.mark.usefixtures("application")
async def test_one_turn_alone_is_sent_again_and_an_unknown_one_is_named(
    server: Client, other: Client
) -> None:
    await arrive(server, {"generic": messages()["generic"], "n8n": messages()["n8n"]})
    (turn,) = await server.rows(
        "SELECT turns.id FROM turns JOIN sessions ON sessions.id = session_id WHERE channel = 'n8n'"
    )
    sent = await run("replay", turn.id, "--send", "--url", other.url)
    assert sent.stdout.splitlines()[-1] == "1 sent, 0 left out"
    assert [row[0] for row in await stored(other)] == ["n8n"]
    refused = await run("replay", "nothing")
    assert isinstance(refused.exception, StartError)
    assert "nothing" in refused.exception.detail


@pytest.mark.usefixtures("application")
@pytest.mark.parametrize(
    "url",
    [
        "https://agent.example.com",
        "http://localhost.example.com",
        "ftp://localhost",
        "//",
        "http://localhost@x",
        "http://[",
    ],
)
async def test_replays_go_to_this_machine_only(url: str) -> None:
    refused = await run("replay", "--send", "--url", url)
    assert isinstance(refused.exception, StartError)
    assert "this machine only" in refused.exception.detail


@pytest.mark.usefixtures("application")
async def test_a_server_that_is_not_there_or_refuses_is_said(server: Client, other: Client) -> None:
    await arrive(server, {"generic": messages()["generic"]})
    refused = await run("replay", "--send", "--url", f"{other.url}/nowhere")
    assert (refused.exit_code, "HTTP 404" in refused.stdout) == (1, True)
    gone = await run("replay", "--send", "--url", "http://127.0.0.1:9")
    assert isinstance(gone.exception, StartError)
    assert "is the server running?" in gone.exception.detail
