"""Values of every kind a schema can ask for, found in a message by rule."""

from datetime import date

import pytest

from llm_planner.embedded import ToolCard
from llm_planner.embedded.arguments import build, compile_tool, find_values, missing_fields
from llm_planner.embedded.message import read_message

TODAY = date(2026, 11, 23)  # a Monday


def found(properties: dict[str, object], text: str, locale: str = "es", **card: object) -> dict[str, object]:
    """The arguments that a tool with these properties gets out of a message."""
    schema = {"type": "object", "properties": properties, "required": card.get("required", [])}
    examples = card.get("examples", ())
    assert isinstance(examples, tuple)
    tool = compile_tool(ToolCard("tool", "A tool.", schema, examples))
    return build(tool, find_values(tool, read_message(text, TODAY, locale), {}))


@pytest.mark.parametrize(
    ("text", "locale", "day"),
    [
        ("para el 2027-01-15", "es", "2027-01-15"),
        ("para el 5/12/2026", "es", "2026-12-05"),
        ("on 5/12/2027", "en", "2027-05-12"),
        ("el 3 de enero", "es", "2027-01-03"),
        ("on December the 5th, 2026", "en", "2026-12-05"),
        ("em 7 de março de 2027", "pt", "2027-03-07"),
        ("hoy", "es", "2026-11-23"),
        ("pasado mañana", "es", "2026-11-25"),
        ("el viernes a la mañana", "es", "2026-11-27"),
        ("next Tuesday", "en", "2026-11-24"),
        ("na quinta", "pt", "2026-11-26"),
        ("in two weeks", "en", "2026-12-07"),
        ("dentro de 3 días", "es", "2026-11-26"),
    ],
)
def test_dates_are_read_and_given_as_iso(text: str, locale: str, day: str) -> None:
    assert found({"day": {"type": "string", "format": "date"}}, text, locale) == {"day": day}


def test_an_impossible_date_is_no_date() -> None:
    assert found({"day": {"type": "string", "format": "date"}}, "el 31/02/2027") == {}


def test_a_date_with_its_hour_becomes_one_moment() -> None:
    properties = {"start": {"type": "string", "format": "date-time"}}
    assert found(properties, "mañana 18:30") == {"start": "2026-11-24T18:30:00"}
    assert found(properties, "tomorrow at 7 pm", "en") == {"start": "2026-11-24T19:00:00"}


def test_a_time_without_a_format_stays_in_the_users_words() -> None:
    properties = {"when": {"type": "string", "description": "date or time"}}
    assert found(properties, "una mesa para mañana a las 21") == {"when": "mañana a las 21"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("cantidad 3", 3),
        ("cantidad: treinta y dos", 32),
        ("quantity twenty-five", 25),
        ("cantidad mil doscientos", 1200),
        ("cantidad 1.500", 1500),
        ("a quantity of 2,000", 2000),
    ],
)
def test_whole_numbers_are_read_from_digits_and_words(text: str, value: int) -> None:
    properties = {"quantity": {"type": "integer", "description": "Cantidad"}}
    assert found(properties, text) == {"quantity": value}


def test_decimals_are_read_in_both_notations() -> None:
    properties = {"amount": {"type": "number", "description": "Importe"}}
    assert found(properties, "importe 49,90") == {"amount": 49.9}
    assert found(properties, "amount of 49.90", "en") == {"amount": 49.9}


def test_numbers_outside_the_bounds_are_not_taken() -> None:
    properties = {"stars": {"type": "integer", "minimum": 1, "maximum": 5}}
    assert found(properties, "9 stars", "en", required=["stars"]) == {}


def test_limits_go_to_the_field_they_limit() -> None:
    properties = {
        "min_price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "max_price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
    }
    text = "más de 100 pero menos de 250"
    assert found(properties, text) == {"min_price": 100, "max_price": 250}


def test_the_scale_of_a_rating_is_not_the_rating() -> None:
    properties = {"rating": {"type": "integer", "minimum": 0, "maximum": 10}}
    assert found(properties, "rate it 4 out of 6", "en", required=["rating"]) == {"rating": 4}


def test_enum_members_are_found_across_languages_and_by_their_description() -> None:
    properties = {
        "colour": {"$ref": "#/$defs/Colour"},
        "mode": {"enum": ["A1", "B2"], "description": "A1 (retiro en tienda), B2 (mensajería / correo)"},
    }
    schema = {"properties": properties, "$defs": {"Colour": {"type": "string", "enum": ["red", "blue"]}}}
    tool = compile_tool(ToolCard("tool", "A tool.", schema, ()))
    message = read_message("la roja, por mensajería", TODAY, "es")
    assert build(tool, find_values(tool, message, {})) == {"colour": "red", "mode": "B2"}


def test_yes_and_no_follow_the_negation() -> None:
    properties = {"gift_wrap": {"type": "boolean", "description": "envoltorio para regalo"}}
    assert found(properties, "con envoltorio") == {"gift_wrap": True}
    assert found(properties, "sin envoltorio") == {"gift_wrap": False}
    assert found(properties, "mandalo mañana") == {}


def test_a_pattern_of_the_schema_decides_what_is_a_code() -> None:
    properties = {"code": {"type": "string", "pattern": r"^\d{6}$"}}
    assert found(properties, "el pedido 1234 tiene el código 004512") == {"code": "004512"}


def test_addresses_telephones_and_ids_keep_their_form() -> None:
    properties = {
        "email": {"type": "string", "format": "email"},
        "phone": {"type": "string"},
        "site": {"type": "string", "format": "uri"},
        "ref": {"type": "string", "format": "uuid"},
    }
    text = (
        "soy Ana.L@Mail.com, +54 11 5555-1234, https://a.example/x?y=1. 1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    )
    assert found(properties, text) == {
        "email": "Ana.L@Mail.com",
        "phone": "+54 11 5555-1234",
        "site": "https://a.example/x?y=1",
        "ref": "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
    }


def test_money_is_no_order_number() -> None:
    properties = {"order_id": {"type": "string"}}
    assert found(properties, "pagué $160 por el pedido 9931") == {"order_id": "9931"}
    assert found(properties, "I paid 160 dollars", "en") == {}


def test_lists_take_every_value() -> None:
    properties = {"order_ids": {"type": "array", "items": {"type": "string"}}}
    examples = (("pedidos A-1", {"order_ids": ["A-1"]}),)
    assert found(properties, "pedidos B-7, B-8 y B-9", examples=examples) == {
        "order_ids": ["B-7", "B-8", "B-9"]
    }


def test_nested_objects_are_filled_and_left_out_when_a_part_is_missing() -> None:
    contact = {
        "type": "object",
        "properties": {"email": {"type": "string", "format": "email"}, "code": {"type": "string"}},
        "required": ["email", "code"],
    }
    assert found({"contact": contact}, "a@b.com con el código 881") == {
        "contact": {"email": "a@b.com", "code": "881"}
    }
    assert found({"contact": contact}, "a@b.com") == {}


def test_missing_required_values_are_named_in_order() -> None:
    schema = {
        "properties": {"a": {"type": "integer"}, "b": {"type": "string", "format": "email"}},
        "required": ["a", "b"],
    }
    tool = compile_tool(ToolCard("tool", "A tool.", schema, ()))
    assert [field.path for field in missing_fields(tool, {("a",): 1})] == [("b",)]


MUSIC = (
    ("play Hey Jude by The Beatles", {"song": "Hey Jude", "artist": "The Beatles"}),
    ("play the album Nevermind", {"album": "Nevermind"}),
    ("poné algo de Shakira en Spotify", {"artist": "Shakira", "service": "Spotify"}),
)
NAMES = {name: {"type": "string"} for name in ("song", "artist", "album", "service")}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("play Smooth Operator by Sade", {"song": "Smooth Operator", "artist": "Sade"}),
        ("play the album Abbey Road", {"album": "Abbey Road"}),
        ("poné algo de Charly García en Deezer", {"artist": "Charly García", "service": "Deezer"}),
        ("play something", {}),
    ],
)
def test_free_text_is_copied_from_between_the_words_the_examples_teach(
    text: str, wanted: dict[str, object]
) -> None:
    assert found(dict(NAMES), text, examples=MUSIC) == wanted


def test_the_one_free_text_that_must_be_there_is_what_is_left() -> None:
    properties = {"query": {"type": "string"}}
    examples = (("do you sell red shoes?", {"query": "red shoes"}),)
    text = "hola! ando buscando una T-shirt azul, por favor"
    assert found(properties, text, required=["query"], examples=examples) == {"query": "T-shirt azul"}
