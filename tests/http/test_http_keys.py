"""Who is calling: keys of backends on `/wa/agent`, ids that the server minted on `/agent`."""

import re

import pytest

from llm_planner.llm.scripted import ScriptedModel

from ..harness import INTERNAL_KEY, Client, operator
from ..tools import Echo, Ledger, plan
from .conftest import ServeSqlite
from .raw import Answer, ask, assert_problem, post

HELLO = b'{"message":"hola","session_id":"s"}'
OLD, NEW = "the-old-key-0123456789", "the-new-key-0123456789"


async def _wa(client: Client, *headers: str, body: bytes = HELLO) -> Answer:
    return await ask(client, post("/wa/agent", body, *headers))


async def test_the_right_key_opens_the_door(client: Client) -> None:
    assert (await _wa(client, f"x-api-key: {INTERNAL_KEY}")).status == 200


@pytest.mark.covers("http.wa-agent")
async def test_a_missing_wrong_or_second_key_is_401(client: Client) -> None:
    for headers in [
        [],
        ["x-api-key: wrong"],
        ["x-api-key: "],
        [f"x-api-key: {INTERNAL_KEY}x"],
        [f"x-api-key: {INTERNAL_KEY[:-1]}"],
        [f"x-api-key: backend:{INTERNAL_KEY}"],
        [f"Authorization: Bearer {INTERNAL_KEY}"],
        ["x-api-key: ñandú"],
        [f"x-api-key: {INTERNAL_KEY}", f"x-api-key: {INTERNAL_KEY}"],
        [f"x-api-key: {INTERNAL_KEY}, {INTERNAL_KEY}"],
    ]:
        assert_problem(await _wa(client, *headers), 401, "unauthorized")
        assert await client.rows("SELECT 1 FROM sessions") == []


async def test_the_key_is_asked_for_before_the_body_is_read(client: Client) -> None:
    assert_problem(await _wa(client, body=b"nonsense"), 401, "unauthorized")


@pytest.mark.covers("http.wa-agent", "rule.6")
@pytest.mark.parametrize("header", ["x-api-key: ", "x-api-key: None", "x-api-key: key1", "x-other: 1"])
async def test_every_call_is_401_while_no_key_is_configured(serve_sqlite: ServeSqlite, header: str) -> None:
    client = await serve_sqlite(internal_api_key=None)
    assert_problem(await _wa(client, header), 401, "unauthorized")


@pytest.mark.covers("who.wa")
async def test_keys_rotate_and_their_names_are_the_sessions_accounts(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(internal_api_key=f"shop:{OLD}, shop:{NEW} ,bare-key-0123456789")
    for key in (OLD, NEW, "bare-key-0123456789"):
        assert (await _wa(client, f"x-api-key: {key}")).status == 200
    rows = await client.rows("SELECT channel, account, principal, label FROM sessions ORDER BY account")
    assert [tuple(row) for row in rows] == [("wa", "key3", "key3/s", "s"), ("wa", "shop", "shop/s", "s")]


async def test_the_name_of_the_key_is_in_the_audit_of_what_was_done_with_it(
    serve_sqlite: ServeSqlite,
) -> None:
    client = await serve_sqlite(internal_api_key="shop:shop-key-0123456789,bot:bot-key-0123456789")
    for name in ("shop", "bot"):
        body = {"message": "hola", "session_id": "s", "user": "u1"}
        status, _ = await client.post("/wa/agent", body, {"x-api-key": f"{name}-key-0123456789"})
        assert status == 200
    rows = await client.rows(
        "SELECT s.principal, e.actor FROM audit_events e JOIN sessions s ON s.id = e.session_id "
        "WHERE e.kind = 'received' ORDER BY s.principal"
    )
    assert [tuple(row) for row in rows] == [("bot/u1", "user"), ("shop/u1", "user")]


@pytest.mark.covers("who.wa")
async def test_a_user_is_the_principal_and_sessions_of_two_users_are_apart(client: Client) -> None:
    key = {"x-api-key": INTERNAL_KEY}
    for user in ("u1", "u2", "u1"):
        body = {"message": "hola", "session_id": "s", "user": user, "message_id": "m1"}
        status, data = await client.post("/wa/agent", body, key)
        assert status == 200
    assert data["duplicate"] is True
    rows = await client.rows("SELECT principal FROM sessions ORDER BY principal")
    assert [row.principal for row in rows] == ["backend/u1", "backend/u2"]


@pytest.mark.covers("who.session", "who.open")
async def test_session_x_on_the_web_and_x_on_whatsapp_are_two(client: Client) -> None:
    _, web = await client.post("/agent", {"message": "hola", "session_id": "x", "message_id": "m"})
    _, relayed = await client.post(
        "/wa/agent", {"message": "hola", "session_id": "x", "message_id": "m"}, {"x-api-key": INTERNAL_KEY}
    )
    assert relayed["duplicate"] is False
    assert web["turn_id"] != relayed["turn_id"]
    rows = await client.rows("SELECT channel, principal FROM sessions ORDER BY channel")
    assert [tuple(row) for row in rows] == [("wa", "backend/x"), ("web", "anon:x")]


async def test_a_user_obeys_the_rules_of_ids(client: Client) -> None:
    for user in ["", "a b", "x" * 129, "\ud800", 5]:
        import json

        body = json.dumps({"message": "hola", "session_id": "s", "user": user}).encode()
        assert_problem(await _wa(client, f"x-api-key: {INTERNAL_KEY}", body=body), 422, "invalid_request")


async def test_a_key_with_letters_beyond_ascii_works(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(internal_api_key="shop:contraseña-ñandú-2026")
    assert (await _wa(client, "x-api-key: contraseña-ñandú-2026")).status == 200


@pytest.mark.covers("who.token", "rule.15")
async def test_with_web_auth_token_only_ids_of_this_server_are_sessions(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(web_auth="token")
    token = (await client.say("hola", session=None))["session_id"]
    assert (await client.say("sigo", session=token))["session_id"] == token
    flipped = token[:-1] + ("A" if token[-1] != "A" else "B")
    for strange in (
        "demo",
        "st_",
        "st_" + "A" * 43,
        flipped,
        token + "A",
        token[3:],
        token.lower(),
        token + "=",
    ):
        status, data = await client.post("/agent", {"message": "hola", "session_id": strange})
        assert (status, data["code"]) == (404, "session_not_found"), strange
    assert len(await client.rows("SELECT 1 FROM sessions")) == 1


@pytest.mark.covers("who.token")
async def test_with_web_auth_token_no_row_holds_the_token(serve_sqlite: ServeSqlite) -> None:
    model = ScriptedModel([plan(("ledger_add", {"what": "a"})), plan(("echo", {"text": "b"}))])
    client = await serve_sqlite(web_auth="token", model=model)
    data = await client.say("write a", session=None)
    token = data["session_id"]
    await client.say("repeat b", session=token)
    await client.say(f"confirm {data['confirmations'][0]['token']}", session=token)
    tables = await client.rows("SELECT name FROM sqlite_master WHERE type = 'table'")
    for table in tables:
        for row in await client.rows(f"SELECT * FROM {table.name}"):
            assert token not in repr(row)
    found = await client.rows("SELECT principal, label FROM sessions")
    assert re.fullmatch(r"token:[0-9a-f]{32}", found[0].principal)
    _, listed = await client.get("/sessions", operator("viewer"))
    assert token not in repr(listed)


async def test_with_web_auth_token_another_secret_key_made_no_session_here(serve_sqlite: ServeSqlite) -> None:
    client = await serve_sqlite(web_auth="token")
    token = (await client.say("hola", session=None))["session_id"]
    from llm_planner.api.auth import Asked, Doorkeeper
    from llm_planner.api.machine_keys import MachineKeys
    from llm_planner.keys import Keyring

    foreign = Doorkeeper(
        client.parts.settings,
        Keyring(b"another secret of 16 bytes and more"),
        None,
        MachineKeys(client.parts.database),
    )
    made = foreign._mint(Asked(None, None))
    assert not foreign._minted_here(token)
    status, _ = await client.post("/agent", {"message": "hola", "session_id": made})
    assert status == 404


async def test_the_token_of_one_session_confirms_nothing_in_another(serve_sqlite: ServeSqlite) -> None:
    model = ScriptedModel([plan(("ledger_add", {"what": "a"})), plan(reply="hola")])
    client = await serve_sqlite(web_auth="token", model=model, tools=[Echo, Ledger])
    asked = await client.say("write a", session=None)
    other = (await client.say("hola", session=None))["session_id"]
    refused = await client.say(f"confirm {asked['confirmations'][0]['token']}", session=other)
    assert (refused["status"], refused["code"]) == ("refused", "token_unknown")
