"""The providers' door over HTTP: shut, forged, too large, in batches, and never waiting for the model."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llm_planner.errors import DatabaseUnavailable, StartError
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.provider_settings import WEBHOOK_SECRETS
from llm_planner.settings import load_settings
from llm_planner.testing.providers import FakeMeta

from ..harness import Client
from ..tools import Echo, plan
from ..turn_kit import always, eventually, there_are
from .kit import BASE, PEOPLE, SECRET, MetaPerson, Signed, deliver, mac

each_provider = pytest.mark.parametrize("name", list(PEOPLE))
PUBLIC = {
    "environment": "production",
    "secret_key": "a-secret-key-for-the-tests-0123456789",
    "web_auth": "token",
    "allowed_hosts": "127.0.0.1",
}
"""Production, without an address of ours."""
SECRET_VARIABLES = {
    "twilio": "twilio_auth_token",
    "meta": "whatsapp_app_secret",
    "ycloud": "ycloud_webhook_secret",
    "telegram": "telegram_webhook_secret_token",
    "slack": "slack_signing_secret",
}


def hello() -> ScriptedModel:
    return always(plan(reply="hola"))


async def count(client: Client, sql: str) -> int:
    return len(await client.rows(sql))


@pytest.mark.covers("http.provider-shut", "rule.14")
@each_provider
async def test_a_forged_request_is_refused_and_nothing_is_stored(open_door: Any, name: str) -> None:
    client, person = await open_door(name, [Echo], hello())
    good = person.says("hola")
    for forged in (
        Signed(good.path, {}, good.body),
        Signed(good.path, {key: value[:-3] + "abc" for key, value in good.headers.items()}, good.body),
    ):
        status, body, headers = await deliver(client, forged)
        assert (status, json.loads(body)["code"]) == (401, "bad_signature")
        assert "www-authenticate" not in headers
    assert await count(client, "SELECT id FROM sessions") == 0


@pytest.mark.covers("http.provider-shut")
@each_provider
async def test_without_its_secret_the_door_is_shut_and_the_log_names_the_setting(
    open_door: Any, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    variable = SECRET_VARIABLES[name]
    client, _ = await open_door(name, [Echo], hello(), provider=name, **{variable: None})
    for path in (f"/provider/{name}/inbound", "/provider/inbound"):
        status, body, _ = await deliver(client, Signed(path, {}, b"{}"))
        assert (status, json.loads(body)["code"]) == (503, "provider_not_ready")
    logged = capsys.readouterr().err
    assert variable.upper() in logged
    assert "PROVIDER_HMAC_SECRET" in logged


SHUT: list[tuple[str, str, dict[str, Any], str]] = [
    *(
        (name, "POST", {"provider": name}, f"{variable.upper()} or PROVIDER_HMAC_SECRET")
        for name, variable in WEBHOOK_SECRETS.items()
        if name != "generic"
    ),
    ("generic", "POST", {}, "PROVIDER_HMAC_SECRET"),
    ("telegram", "POST", {"telegram_bot_token": "77:" + "x" * 35}, "TELEGRAM_WEBHOOK_SECRET_TOKEN"),
    ("meta", "POST", {"whatsapp_verify_token": SECRET}, "WHATSAPP_APP_SECRET"),
    ("meta", "GET", {"whatsapp_app_secret": SECRET}, "WHATSAPP_VERIFY_TOKEN"),
    ("standard", "POST", {"standard_webhooks_secret": "whsec_¡no base64!"}, "STANDARD_WEBHOOKS_SECRET"),
    *(
        (name, "POST", {**PUBLIC, WEBHOOK_SECRETS[name]: SECRET}, "PUBLIC_BASE_URL")
        for name in ("twilio", "bird", "messagebird")
    ),
]


@pytest.mark.covers("http.provider-shut")
@pytest.mark.parametrize(("name", "method", "settings", "named"), SHUT)
async def test_with_any_piece_missing_the_door_is_shut_and_the_log_names_the_setting(
    on_sqlite: Any, capsys: pytest.CaptureFixture[str], name: str, method: str, settings: Any, named: str
) -> None:
    client: Client = await on_sqlite(tools=[Echo], model=hello(), **settings)
    url = f"{client.url}/provider/{name}/inbound"
    headers = {
        "webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,x",
        "X-Twilio-Signature": "x", "X-Hub-Signature-256": "sha256=x",
    }  # fmt: skip
    async with client.http.request(method, url, headers=headers, data=b"{}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (503, "provider_not_ready")
    assert re.search(rf"see {named}[\n\"]", capsys.readouterr().err)
    assert await count(client, "SELECT id FROM sessions") == 0


@pytest.mark.parametrize("name", list(WEBHOOK_SECRETS))
def test_production_does_not_start_unsigned_unless_it_is_said_twice(name: str) -> None:
    settings = {**PUBLIC, "provider": name, "provider_verify_signature": False, "_env_file": None}
    with pytest.raises(StartError, match="ALLOW_UNSIGNED_WEBHOOKS=1"):
        load_settings(**settings)
    assert load_settings(**settings, allow_unsigned_webhooks=True).provider == name


@pytest.mark.covers("http.provider-shut")
async def test_a_provider_that_is_not_known_or_not_configured_is_not_there(open_door: Any) -> None:
    client, _ = await open_door("meta", [Echo], hello())
    for name in ("twilio", "nobody", "Meta", "%00", "chatwoot"):
        for method in ("GET", "POST"):
            async with client.http.request(method, f"{client.url}/provider/{name}/inbound") as answer:
                assert (answer.status, (await answer.json())["code"]) == (404, "provider_not_found"), name


async def test_the_secret_of_the_named_provider_may_stand_in_the_general_variable(open_door: Any) -> None:
    more = {"whatsapp_app_secret": None, "provider": "meta", "provider_hmac_secret": SECRET}
    client, person = await open_door("meta", [Echo], hello(), **more)
    signed = person.says("hola")
    for path in ("/provider/inbound", "/provider/meta/inbound"):
        status, body, _ = await deliver(client, Signed(path, signed.headers, signed.body))
        assert (status, body) == (200, b"")
    status, _, _ = await deliver(client, Signed("/provider/generic/inbound", {}, b"{}"))
    assert status == 404


@pytest.mark.covers("http.provider-handshake")
async def test_meta_s_handshake_gives_the_challenge_for_the_right_token_alone(open_door: Any) -> None:
    client, _ = await open_door("meta", [Echo], hello())
    query = {"hub.mode": "subscribe", "hub.challenge": "4711", "hub.verify_token": "a-verify-token-of-ours"}
    url = f"{client.url}/provider/meta/inbound"
    async with client.http.get(url, params=query) as answer:
        assert (answer.status, await answer.text()) == (200, "4711")
    async with client.http.get(url, params={**query, "hub.verify_token": "wrong"}) as answer:
        assert answer.status == 403
        assert "4711" not in await answer.text()


async def test_too_large_and_encoded_bodies_are_refused_before_they_are_read_whole(open_door: Any) -> None:
    client, person = await open_door("meta", [Echo], hello(), provider_max_body_bytes=4096)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1024

    url = client.url + "/provider/meta/inbound"
    for data in (b"x" * 4097, endless()):
        async with client.http.post(url, data=data) as answer:
            assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")
    good = person.says("hola")
    for encoding in ("gzip", "identity", ""):
        headers = {**good.headers, "Content-Encoding": encoding}
        status, _, _ = await deliver(client, Signed(good.path, headers, good.body))
        assert status == 415, encoding
    assert await count(client, "SELECT id FROM turns") == 0


async def test_authentic_bytes_that_are_no_delivery_are_a_400(open_door: Any) -> None:
    client, _ = await open_door("meta", [Echo], hello())
    header = {"X-Hub-Signature-256": "sha256=" + mac(b"[1]").hex()}
    status, body, _ = await deliver(client, Signed("/provider/meta/inbound", header, b"[1]"))
    assert (status, json.loads(body)["code"]) == (400, "malformed_request")


async def test_unsigned_webhooks_are_taken_where_the_settings_say_so_and_the_log_cries(
    open_door: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"provider_verify_signature": False, "log_level": "warning"}
    client, person = await open_door("meta", [Echo], hello(), **more)
    assert "NOBODY CHECKS WHO SENDS" in capsys.readouterr().err
    good = person.says("hola")
    status, _, _ = await deliver(client, Signed(good.path, {}, good.body))
    assert status == 200
    await eventually(lambda: there_are(client, 1, "SELECT id FROM outbox WHERE state = 'delivered'"))


async def test_the_answer_does_not_wait_for_the_model(open_door: Any) -> None:
    gate = asyncio.Event()

    class Slow(ScriptedModel):
        async def complete(self, request: Any) -> Any:
            await gate.wait()
            return await super().complete(request)

    client, person = await open_door("telegram", [Echo], Slow([plan(reply="al fin")] * 3))
    async with asyncio.timeout(3):
        status, _, _ = await deliver(client, person.says("hola"))
    assert status == 200
    assert person.sent() == []
    assert await count(client, "SELECT id FROM turns WHERE state <> 'answered'") == 1
    gate.set()
    await eventually(lambda: there_are(client, 1, "SELECT id FROM outbox WHERE state = 'delivered'"))
    assert person.sent()[0].text == "al fin"


@pytest.mark.covers("rule.14")
async def test_one_bad_item_in_a_batch_of_a_thousand_spoils_only_itself(on_sqlite: Any) -> None:
    person = MetaPerson(FakeMeta())
    client: Client = await on_sqlite(
        tools=[Echo], model=hello(), workers_inline=False, public_base_url=BASE, **person.settings()
    )
    messages = [{**person.message(f"m{n}", str(n)), "from": f"52155500{n % 50:05}"} for n in range(1000)]
    messages[500] = {"from": "5215550000001", "type": "text", "text": {"body": "no id"}}
    batch = person.signed({"messages": messages})
    assert (await deliver(client, batch))[:2] == (200, b"")
    assert await count(client, "SELECT message_id FROM dedupe_messages") == 999
    (event,) = await client.rows("SELECT payload FROM audit_events WHERE kind = 'items_rejected'")
    assert json.loads(event.payload)["count"] == 1
    # Again in other batches: repeats, and one id with other content.
    messages[3]["text"] = {"body": "something else"}
    for part in (messages[:300], messages[200:500]):
        assert (await deliver(client, person.signed({"messages": part})))[0] == 200
    assert await count(client, "SELECT message_id FROM dedupe_messages") == 999
    assert await count(client, "SELECT seq FROM audit_events WHERE kind = 'message_conflict'") == 1


@pytest.mark.covers("rule.14", "rule.9")
async def test_the_good_items_of_bad_batches_are_handled_once_by_the_worker(open_door: Any) -> None:
    def said(request: Any) -> str:
        return plan(reply="dijiste " + request.messages[-1].content.rsplit("número ", 1)[-1][:3])

    client, person = await open_door("meta", [Echo], always(said))
    assert isinstance(person, MetaPerson)
    good = [{**person.message(f"número {n:03}", str(n)), "from": f"52155500{n % 10:05}"} for n in range(100)]
    others = [{**person.message("", f"r{n}"), "type": "reaction"} for n in range(899)]
    bad = {"from": "5215550000001", "type": "text", "text": {"body": "no id"}}
    batch = person.signed({"messages": [*good[:50], bad, *others, *good[50:]]})
    again = [{**good[3], "text": {"body": "número 999"}}, *good[:3], *good[4:60]]
    parts = [batch, person.signed({"messages": again}), person.signed({"messages": [bad, *good[40:]]}), batch]
    told = await asyncio.gather(*(deliver(client, part) for part in parts[:1]))
    told += await asyncio.gather(*(deliver(client, part) for part in parts[1:]))
    assert {status for status, _, _ in told} == {200}
    delivered = "SELECT id FROM outbox WHERE state = 'delivered'"
    await eventually(lambda: there_are(client, 100, delivered))
    assert await count(client, "SELECT id FROM turns") == 100
    replies = sorted(sent.text for sent in person.double.sent)
    assert replies == sorted(f"dijiste {n:03}" for n in range(100))
    conflicts = await client.rows("SELECT payload FROM audit_events WHERE kind = 'message_conflict'")
    assert [json.loads(row.payload)["message_id"] for row in conflicts] == ["wamid.in.3"]
    assert await count(client, "SELECT seq FROM audit_events WHERE kind = 'items_rejected'") == 3


async def test_messages_of_one_session_keep_their_order(open_door: Any) -> None:
    client, person = await open_door("meta", [Echo], hello())
    assert isinstance(person, MetaPerson)
    batch = person.signed({"messages": [person.message(f"m{n}") for n in range(20)]})
    assert (await deliver(client, batch))[0] == 200
    found = await client.rows("SELECT inbound FROM turns ORDER BY seq")
    assert [json.loads(row.inbound)["text"] for row in found] == [f"m{n}" for n in range(20)]


async def test_a_database_that_is_away_makes_the_provider_come_again(open_door: Any) -> None:
    client, person = await open_door("meta", [Echo], hello(), workers_inline=False)
    database: Any = client.parts.database
    run = database.run

    async def away(fn: Any) -> Any:
        raise DatabaseUnavailable("away")

    database.run = away
    signed = person.says("hola")
    status, body, headers = await deliver(client, signed)
    database.run = run
    assert (status, json.loads(body)["code"]) == (503, "database_unavailable")
    assert headers["retry-after"]
    assert (await deliver(client, signed))[0] == 200
    assert await count(client, "SELECT id FROM turns") == 1


@pytest.mark.covers("rule.16")
async def test_above_a_full_queue_a_webhook_is_stored_and_answered_without_a_model(open_door: Any) -> None:
    gate = asyncio.Event()

    class Slow(ScriptedModel):
        async def complete(self, request: Any) -> Any:
            await gate.wait()
            return await super().complete(request)

    model = Slow([plan(reply="x")] * 9)
    client, person = await open_door("slack", [Echo], model, budget_queued_messages=2)
    told = [(await deliver(client, person.says(text)))[0] for text in ("m0", "m1", "m2", "pending")]
    assert told == [200] * 4
    gate.set()
    query = "SELECT status, code FROM turns WHERE state IN ('answered', 'failed') ORDER BY seq"
    await eventually(lambda: there_are(client, 4, query))
    found = [tuple(row) for row in await client.rows(query)]
    assert found == [
        ("answered", None),
        ("answered", None),
        ("failed", "too_many_messages"),
        ("answered", None),
    ]
    assert len(model.requests) == 2


@pytest.mark.covers("http.provider", "http.provider-named")
async def test_each_provider_gets_the_very_answer_it_expects(open_door: Any) -> None:
    more = {"provider_hmac_secret": SECRET, "whatsapp_app_secret": SECRET}
    client, person = await open_door("twilio", [Echo], hello(), **more)
    status, body, headers = await deliver(client, person.says("hola"))
    assert (status, body, headers["content-type"]) == (200, b"<Response></Response>", "text/xml")
    at = str(int(time.time()))
    raw = json.dumps({"message_id": "m1", "from": "ana", "text": "hola"}).encode()
    value = "sha256=" + mac(f"{at}.".encode() + raw).hex()
    signed = {"X-Provider-Timestamp": at, "X-Provider-Signature": value}
    for path in ("/provider/inbound", "/provider/generic/inbound"):
        status, body, headers = await deliver(client, Signed(path, signed, raw))
        assert (status, json.loads(body)) == (202, {"status": "accepted"})
    assert await count(client, "SELECT id FROM turns") == 2


async def test_the_address_that_is_signed_is_the_public_one_whatever_the_host_says(open_door: Any) -> None:
    client, person = await open_door("twilio", [Echo], hello())
    good = person.says("hola")
    headers = {**good.headers, "Host": "agent.example.com", "X-Forwarded-Host": "evil.example.com"}
    assert (await deliver(client, Signed(good.path, headers, good.body)))[0] == 200
    status, _, _ = await deliver(client, Signed(good.path + "?x=1", good.headers, good.body))
    assert status == 401
    status, _, _ = await deliver(
        client, Signed(good.path, {**headers, "Host": "evil.example.com"}, good.body)
    )
    assert status == 421
