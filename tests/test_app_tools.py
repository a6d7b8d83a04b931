"""The example tools: registering and verifying, in three languages, with every wrong code there is."""

import asyncio
import re
from typing import Any

import pytest

from app.tools import TOOLS
from app.tools.register_customer import code_hash
from app.tools.verify_customer_email import MOST_TRIES

from .tools import plan
from .turn_kit import always, move_back, token

Serve = Any
ANA = {"name": "Ana López", "email": "Ana@Example.com"}


def model() -> tuple[Any, list[str]]:
    """A model, and the plans that it will give."""
    plans: list[str] = []
    double = always(lambda request: plans.pop(0))
    return double, plans


async def register(
    client: Any, plans: list[str], session: str, locale: str = "es", **args: str
) -> dict[str, Any]:
    plans.append(plan(("register_customer", {**ANA, **args})))
    asked = await client.say("registrame", session=session, locale=locale)
    assert asked["status"] == "needs_confirmation", asked
    done: dict[str, Any] = await client.say(f"confirmar {token(asked)}", session=session, locale=locale)
    return done


async def verify(
    client: Any, plans: list[str], code: str, session: str = "ana", locale: str = "es"
) -> dict[str, Any]:
    plans.append(plan(("verify_customer_email", {"email": "ana@example.com", "code": code})))
    step: dict[str, Any] = (await client.say("mi código", session=session, locale=locale))["steps"][0]
    return step


async def mailed(client: Any) -> str:
    letters = await client.rows("SELECT body FROM outbox ORDER BY id")
    return re.search(r"\d{6}", letters[-1].body).group()  # type: ignore[union-attr]


def other(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


@pytest.mark.parametrize(
    ("locale", "done", "wrong"),
    [
        ("es", "quedó registrado", "no es correcto o ya venció"),
        ("en-GB", "is registered", "wrong or has expired"),
        ("pt", "foi registrado", "já venceu"),
    ],
)
async def test_a_customer_registers_and_verifies_in_each_language(
    serve: Serve, locale: str, done: str, wrong: str
) -> None:
    double, plans = model()
    client = await serve(tools=TOOLS, model=double)
    assert done in (await register(client, plans, "ana", locale))["reply"]
    code = await mailed(client)
    refused = await verify(client, plans, other(code), locale=locale)
    assert (refused["status"], wrong in refused["error"]) == ("error", True)
    assert (await verify(client, plans, code, locale=locale))["status"] == "ok"
    assert '"customer_verified"' in (await client.rows("SELECT facts FROM sessions"))[0].facts
    assert (await client.rows("SELECT verified_at FROM customers"))[0].verified_at is not None


async def test_a_code_works_once_not_after_its_time_and_not_for_another_address(serve: Serve) -> None:
    double, plans = model()
    client = await serve(tools=TOOLS, model=double)
    await register(client, plans, "ana")
    code = await mailed(client)
    await client.rows("UPDATE email_verifications SET email = 'bo@example.com'")
    assert (await verify(client, plans, code))["status"] == "error"
    await client.rows("UPDATE email_verifications SET email = 'ana@example.com'")
    kept = (await client.rows("SELECT expires_at FROM email_verifications"))[0].expires_at
    await move_back(client, "email_verifications", "expires_at")
    assert (await verify(client, plans, code))["status"] == "error"
    await client.rows("UPDATE email_verifications SET expires_at = :t", t=kept)
    assert (await verify(client, plans, code))["status"] == "ok"
    assert (await verify(client, plans, code))["status"] == "error"


async def test_the_fifth_wrong_try_is_the_last_even_when_all_come_at_once(serve: Serve) -> None:
    double, plans = model()
    client = await serve(tools=TOOLS, model=double)
    await register(client, plans, "ana")
    code = await mailed(client)
    sessions = [f"s{n}" for n in range(MOST_TRIES + 3)]
    steps = await asyncio.gather(*(verify(client, plans, other(code), name) for name in sessions))
    assert {step["status"] for step in steps} == {"error"}
    assert (await client.rows("SELECT attempts FROM email_verifications"))[0].attempts == MOST_TRIES
    assert (await verify(client, plans, code))["status"] == "error"


async def test_the_right_code_from_many_sides_at_once_is_used_once(serve: Serve) -> None:
    double, plans = model()
    client = await serve(tools=TOOLS, model=double)
    await register(client, plans, "ana")
    code = await mailed(client)
    steps = await asyncio.gather(*(verify(client, plans, code, f"s{n}") for n in range(4)))
    assert sorted(step["status"] for step in steps) == ["error", "error", "error", "ok"]


async def test_an_address_is_registered_once_whatever_its_case(serve: Serve) -> None:
    double, plans = model()
    client = await serve(tools=TOOLS, model=double)
    assert (await register(client, plans, "ana"))["status"] == "executed"
    again = await register(client, plans, "bob", "en", email="ANA@EXAMPLE.COM", name="Bob")
    assert (again["status"], again["code"]) == ("failed", "write_failed")
    assert "there is a customer with that address already" in again["reply"]
    assert [row.name for row in await client.rows("SELECT name FROM customers")] == ["Ana López"]
    assert len(await client.rows("SELECT * FROM outbox")) == 1


async def test_the_code_is_kept_as_a_salted_slow_hash(serve: Serve) -> None:
    double, plans = model()
    client = await serve(tools=TOOLS, model=double)
    await register(client, plans, "ana")
    await register(client, plans, "bob", email="bob@example.com")
    code, rows = await mailed(client), await client.rows("SELECT * FROM email_verifications")
    assert all(code not in str(tuple(row)[1:5]) for row in rows)
    assert len({row.code_salt for row in rows}) == len({row.code_hash for row in rows}) == 2
    assert code_hash(rows[0].code_salt, "000000") != code_hash(rows[1].code_salt, "000000")


async def test_no_code_is_in_the_audit(serve: Serve) -> None:
    double, plans = model()
    client = await serve(tools=TOOLS, model=double)
    await register(client, plans, "ana")
    code = await mailed(client)
    await verify(client, plans, code)
    assert all(code not in str(row.payload) for row in await client.rows("SELECT payload FROM audit_events"))


@pytest.mark.parametrize(
    "args",
    [
        {"email": "no"},
        {"email": "a@b"},
        {"email": "a@b.c\n"},
        {"email": "a b@c.de"},
        {"email": "a@b.com, c@d.com"},
        {"email": "<a@b.com>"},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "Ana\nBcc: x@y.z"},
        {"name": "buy at https://evil.example"},
        {"email": "a@b.com", "admin": "yes"},
    ],
)
async def test_what_is_no_name_or_address_is_refused_before_anything_is_parked(
    serve: Serve, args: dict[str, str]
) -> None:
    double, plans = model()
    client = await serve(tools=TOOLS, model=double)
    plans += [plan(("register_customer", {**ANA, **args}))] * 3
    asked = await client.say("registrame")
    assert (asked["status"], asked["code"]) == ("failed", "no_plan")
    assert await client.rows("SELECT * FROM pending_confirmations") == []


@pytest.mark.parametrize(
    ("tool", "args", "locale", "words"),
    [
        ("get_order_status", {"order_id": " a-1234 "}, "es", "A-1234 está en camino"),
        ("get_order_status", {"order_id": "A-17"}, "en", "delivered"),
        ("get_order_status", {"order_id": "B-77"}, "pt", "em preparação"),
        ("get_order_status", {"order_id": "zz"}, "es", "no encuentro el pedido zz"),
        ("search_products", {"query": "camisas azules"}, "es", "Camisa azul"),
        ("search_products", {"query": "LAPTOPS", "max_price": 700}, "en", "649.00"),
        (
            "search_products",
            {"query": "mochila", "max_price": 1},
            "es",
            "No encontré productos para «mochila»",
        ),
        ("search_products", {"query": "xyz"}, "pt", "Não encontrei"),
        ("get_business_hours", {"day": "sunday"}, "es", "domingo: cerrado"),
        ("get_business_hours", {}, "en", "Monday: 9:00–18:00"),
        ("get_business_hours", {"day": "saturday"}, "pt", "sábado: 9:00–13:00"),
    ],
)
async def test_the_reading_tools_answer_in_the_users_language(
    serve: Serve, tool: str, args: dict[str, Any], locale: str, words: str
) -> None:
    double, plans = model()
    client = await serve(tools=TOOLS, model=double)
    plans.append(plan((tool, args)))
    assert words in (await client.say("?", locale=locale))["reply"]
