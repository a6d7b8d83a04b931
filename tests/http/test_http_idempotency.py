"""One message, one turn: message ids, sessions that the server mints, repeats that come too early."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from llm_planner.api import turns
from llm_planner.api.auth import Doorkeeper
from llm_planner.api.feed import Patience, Sources
from llm_planner.api.limits import RateLimits
from llm_planner.api.machine_keys import MachineKeys
from llm_planner.llm.base import ChatRequest
from llm_planner.llm.scripted import ScriptedModel

from ..harness import INTERNAL_KEY, Client
from ..tools import Echo, plan
from .conftest import ServeSqlite
from .raw import ask, assert_problem, post

Serve = Any


def _hello(count: int = 3) -> ScriptedModel:
    return ScriptedModel([plan(reply=f"hola {number}") for number in range(count)])


@pytest.mark.covers("http.duplicate", "rule.9")
async def test_the_same_message_id_gets_the_same_turn_once(serve: Serve) -> None:
    client = await serve(tools=[Echo], model=_hello())
    first = await client.say("hola", message_id="m1")
    again = await client.say("hola", message_id="m1")
    assert again == {**first, "duplicate": True}
    assert len(await client.rows("SELECT 1 FROM turns")) == 1


@pytest.mark.covers("http.conflict", "rule.9")
async def test_the_same_id_with_another_body_is_a_conflict_and_audited(serve: Serve) -> None:
    client = await serve(tools=[Echo], model=_hello())
    await client.say("hola", message_id="m1")
    for body in ({"message": "chau"}, {"message": "hola", "locale": "en"}):
        status, data = await client.post("/agent", {"session_id": "demo", "message_id": "m1", **body})
        assert (status, data["code"]) == (409, "message_id_conflict")
    assert len(await client.rows("SELECT 1 FROM audit_events WHERE kind = 'message_conflict'")) == 2


async def test_the_same_id_in_another_session_is_another_message(serve: Serve) -> None:
    client = await serve(tools=[Echo], model=_hello())
    first = await client.say("hola", session="a", message_id="m1")
    other = await client.say("hola", session="b", message_id="m1")
    assert first["turn_id"] != other["turn_id"]
    assert other["duplicate"] is False


@pytest.mark.covers("http.idempotency-key")
async def test_the_header_idempotency_key_is_the_message_id(client: Client) -> None:
    body = {"message": "hola", "session_id": "s"}
    _, first = await client.post("/agent", body, {"Idempotency-Key": "k1"})
    _, again = await client.post("/agent", {**body, "message_id": "k1"})
    _, both = await client.post("/agent", {**body, "message_id": "k1"}, {"Idempotency-Key": "k1"})
    assert first["message_id"] == "k1"
    assert again == both == {**first, "duplicate": True}


@pytest.mark.covers("http.idempotency-key")
async def test_two_different_ids_are_refused(client: Client) -> None:
    body = json.dumps({"message": "hola", "session_id": "s", "message_id": "a"}).encode()
    answer = await ask(client, post("/agent", body, "Idempotency-Key: b"))
    assert_problem(answer, 422, "invalid_request")
    answer = await ask(client, post("/agent", body, "Idempotency-Key: a", "Idempotency-Key: b"))
    assert_problem(answer, 422, "invalid_request")


async def test_an_idempotency_key_obeys_the_rules_of_ids(client: Client) -> None:
    for key in ["", "a b", "x" * 129, "ñ"]:
        answer = await ask(
            client, post("/agent", b'{"message":"hola","session_id":"s"}', f"Idempotency-Key: {key}")
        )
        assert_problem(answer, 422, "invalid_request")


async def test_a_missing_message_id_is_minted_each_time(client: Client) -> None:
    assert (await client.say("hola"))["message_id"] != (await client.say("hola"))["message_id"]


@pytest.mark.covers("http.minted-session")
async def test_a_missing_session_id_starts_a_session_with_an_id_of_128_bits(client: Client) -> None:
    minted = {(await client.say("hola", session=None))["session_id"] for _ in range(5)}
    assert len(minted) == 5
    for name in minted:
        assert len(name.removeprefix("s_")) >= 22  # base64url of 16 bytes
        assert (await client.say("hola", session=name))["session_id"] == name
    assert len(await client.rows("SELECT 1 FROM sessions")) == 5


@pytest.mark.covers("http.minted-session")
async def test_without_a_session_id_the_message_id_must_be_a_uuid4(client: Client) -> None:
    for message_id in ["m1", str(uuid.uuid1()), str(uuid.UUID(int=0)), uuid.uuid4().hex[:30]]:
        body = json.dumps({"message": "hola", "message_id": message_id}).encode()
        assert_problem(await ask(client, post("/agent", body)), 422, "invalid_request")


@pytest.mark.covers("http.minted-session")
async def test_a_first_message_sent_twice_lands_in_the_same_new_session(serve: Serve) -> None:
    client = await serve(tools=[Echo], model=_hello())
    message_id = str(uuid.uuid4())
    first = await client.say("hola", session=None, message_id=message_id)
    again = await client.say("hola", session=None, message_id=message_id)
    assert again == {**first, "duplicate": True}
    other = await client.say("hola", session=None, message_id=str(uuid.uuid4()))
    assert other["session_id"] != first["session_id"]


async def test_first_messages_of_two_channels_do_not_meet(client: Client) -> None:
    body = {"message": "hola", "message_id": str(uuid.uuid4())}
    _, web = await client.post("/agent", body)
    _, relayed = await client.post("/wa/agent", body, {"x-api-key": INTERNAL_KEY})
    _, of_user = await client.post("/wa/agent", {**body, "user": "u1"}, {"x-api-key": INTERNAL_KEY})
    assert len({web["session_id"], relayed["session_id"], of_user["session_id"]}) == 3
    assert not relayed["duplicate"]


class Gated:
    """An answer of the model that waits for its gate, in the script of one."""

    def __init__(self) -> None:
        self.name = "gated/model"
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()

    async def complete(self, request: ChatRequest) -> Any:
        self.asked.set()
        await self.gate.wait()
        return await ScriptedModel([plan(reply="al fin")]).complete(request)

    async def close(self) -> None:
        pass


@pytest.mark.covers("http.duplicate")
async def test_a_repeat_waits_for_the_turn_in_progress(serve: Serve) -> None:
    model = Gated()
    client = await serve(tools=[Echo], model=model)
    first = asyncio.create_task(client.say("hola", message_id="m1"))
    await model.asked.wait()
    repeats = [asyncio.create_task(client.say("hola", message_id="m1")) for _ in range(3)]
    await asyncio.sleep(0)
    model.gate.set()
    done = await first
    assert [await repeat for repeat in repeats] == [{**done, "duplicate": True}] * 3


@pytest.mark.covers("http.duplicate")
async def test_a_repeat_that_waited_long_enough_is_told_to_come_back(serve_sqlite: ServeSqlite) -> None:
    model = Gated()
    client = await serve_sqlite(model=model)
    parts = client.parts
    sources = Sources(parts.engine, parts.worker.waiters, parts.views)
    short = turns.Desk(parts.inbox, sources, Patience(repeat=0.05))
    client.app.include_router(
        turns.router(
            turns.Doors(
                short,
                Doorkeeper(parts.settings, parts.keys, None, MachineKeys(parts.database)),
                RateLimits({}),
            )
        ),
        prefix="/short",
    )
    first = asyncio.create_task(client.say("hola", message_id="m1"))
    await model.asked.wait()
    body = b'{"message":"hola","session_id":"demo","message_id":"m1"}'
    answer = await ask(client, post("/short/agent", body))
    assert_problem(answer, 503, "busy")
    assert int(answer.headers["retry-after"]) > 0
    model.gate.set()
    assert (await first)["status"] == "answered"
    assert (await ask(client, post("/short/agent", body))).json()["duplicate"] is True


def test_a_repeat_waits_thirty_seconds() -> None:
    assert Patience().repeat == 30


async def test_a_session_with_too_many_messages_waiting_is_busy(serve_sqlite: ServeSqlite) -> None:
    model = Gated()
    client = await serve_sqlite(model=model, budget_queued_messages=1)
    first = asyncio.create_task(client.say("hola", message_id="m1"))
    await model.asked.wait()
    answer = await ask(client, post("/agent", b'{"message":"otra","session_id":"demo"}'))
    assert_problem(answer, 503, "busy")
    assert "retry-after" in answer.headers
    model.gate.set()
    await first
