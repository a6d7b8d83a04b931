"""Words of other countries and languages, and what a message says it does not want."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from llm_planner.embedded import CharEmbedder, EmbeddedCore, ToolCard
from llm_planner.embedded.concepts import concepts

TODAY = date(2026, 11, 23)
EXAMPLES = (
    ("cancel order 77", {"order_id": "77"}),
    ("I don't want order B-12 anymore, please cancel it", {"order_id": "B-12"}),
    ("cancela el pedido 31 por favor", {"order_id": "31"}),
)
Calls = list[tuple[str, Mapping[str, Any]]]


@pytest.fixture(scope="module")
def cards(shop: tuple[ToolCard, ...]) -> tuple[ToolCard, ...]:
    """The shop, and a tool whose words are near those of another one."""
    cancel = replace(shop[0], name="cancel_order", description="Cancel an order.", examples=EXAMPLES)
    return (*shop, cancel)


@pytest.mark.parametrize(
    "said",
    [
        "anulá la compra",
        "anule su pedido",
        "void the purchase",
        "cancele a encomenda",
        "dar de baja la orden",
    ],
)
def test_words_of_every_country_mean_the_same(said: str) -> None:
    assert {"cancel", "order"} <= {*concepts(said).split()}


def test_a_word_without_synonyms_stays_as_it_is_without_accents() -> None:
    assert concepts("¿Camión, señor?") == "camion senor"


def _calls(core: EmbeddedCore, said: str) -> Calls:
    return [(call.tool, dict(call.args)) for call in core.propose(said, "es").calls]


@pytest.mark.parametrize(
    "said",
    ["anulá la compra Z-8", "dame de baja la orden Z-8", "quiero anular la orden Z-8", "void purchase Z-8"],
)
def test_synonyms_lead_to_the_tool_without_sentence_vectors(cards: Any, said: str) -> None:
    core = EmbeddedCore(cards, lambda: TODAY, CharEmbedder())
    assert _calls(core, said) == [("cancel_order", {"order_id": "Z-8"})]


@pytest.mark.parametrize(
    ("said", "tool"),
    [
        ("no quiero cancelar, quiero saber dónde está mi pedido 7", "get_order_status"),
        ("don't cancel it, where is my order 7?", "get_order_status"),
        ("no canceles el pedido 7; ¿dónde está?", "get_order_status"),
        ("I don't want order 7 anymore, cancel it", "cancel_order"),
        ("ya no quiero el pedido 7, cancelalo", "cancel_order"),
    ],
)
def test_what_a_message_does_not_want_is_not_planned(cards: Any, best: Any, said: str, tool: str) -> None:
    core = EmbeddedCore(cards, lambda: TODAY, best)
    assert _calls(core, said) == [(tool, {"order_id": "7"})]
