"""The main job, over HTTP and on every database: greeted, looked up, registered, confirmed, verified."""

import re
from typing import Any

from app.tools import TOOLS

Serve = Any


async def test_a_new_user_is_greeted_served_and_registered_after_confirming(serve: Serve) -> None:
    client = await serve(tools=TOOLS)
    hello = await client.say("hola")
    assert hello["status"] == "answered"
    assert "hola" in hello["reply"].lower()

    order = await client.say("¿dónde está mi pedido A-1234?")
    assert [(step["tool"], step["status"]) for step in order["steps"]] == [("get_order_status", "ok")]
    assert "A-1234" in order["reply"]

    asked = await client.say("registrame, soy Ana López, mi mail es ana@example.com")
    assert asked["status"] == "needs_confirmation"
    assert await client.rows("SELECT * FROM customers") == []
    token = asked["confirmations"][0]["token"]
    assert f"confirmar {token}" in asked["reply"]

    done = await client.say(f"confirmar {token}")
    assert done["status"] == "executed", done
    assert [row.name for row in await client.rows("SELECT name FROM customers")] == ["Ana López"]

    letter = (await client.rows("SELECT body FROM outbox"))[0].body
    code = re.search(r"\d{6}", letter).group()  # type: ignore[union-attr]
    verified = await client.say(f"mi código es {code}, ana@example.com")
    assert verified["steps"][0]["status"] == "ok", verified
    facts = (await client.rows("SELECT facts FROM sessions"))[0].facts
    assert "customer_verified" in facts


async def test_a_token_works_once_and_only_in_its_own_session(serve: Serve) -> None:
    client = await serve(tools=TOOLS)
    asked = await client.say("registrame, soy Ana López, mi mail es ana@example.com", session="hers")
    token = asked["confirmations"][0]["token"]
    other = await client.say(f"confirmar {token}", session="his")
    wrong = await client.say("confirmar AAAA2222", session="his")
    assert other["code"] == wrong["code"] == "token_unknown"
    assert other["reply"] == wrong["reply"]
    assert (await client.say(f"confirmar {token}", session="hers"))["status"] == "executed"
    again = await client.say(f"confirmar {token}", session="hers")
    assert (again["status"], again["code"]) == ("refused", "token_used")
    assert len(await client.rows("SELECT * FROM tool_runs")) == 1
