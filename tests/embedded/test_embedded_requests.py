"""What users of a small shop say, and the calls that come of it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from llm_planner.embedded import EmbeddedCore, Proposal

Wanted = list[tuple[str, dict[str, object]]]


def calls(proposal: Proposal) -> Wanted:
    return [(call.tool, dict(call.args)) for call in proposal.calls]


SIMPLE: list[tuple[str, str, Wanted]] = [
    ("es", "¿dónde está mi pedido A-1234?", [("get_order_status", {"order_id": "A-1234"})]),
    ("pt", "onde está meu pedido 778?", [("get_order_status", {"order_id": "778"})]),
    (
        "es",
        "registrame, soy Ana López, mi mail es ana@example.com",
        [("register_customer", {"name": "Ana López", "email": "ana@example.com"})],
    ),
    (
        "pt",
        "quero me cadastrar, meu nome é João da Silva, joao@silva.com.br",
        [("register_customer", {"name": "João da Silva", "email": "joao@silva.com.br"})],
    ),
    (
        "es",
        "mi código es 123456, ana@example.com",
        [("verify_customer_email", {"email": "ana@example.com", "code": "123456"})],
    ),
    ("en", "do you sell red shoes under 50?", [("search_products", {"query": "red shoes", "max_price": 50})]),
    ("en", "are you open on Friday?", [("get_business_hours", {"day": "friday"})]),
]


@pytest.mark.parametrize(("locale", "text", "wanted"), SIMPLE)
def test_a_plain_request_becomes_one_complete_call(
    core: EmbeddedCore, locale: str, text: str, wanted: Wanted
) -> None:
    proposal = core.propose(text, locale)
    assert (proposal.kind, calls(proposal), proposal.reply) == ("calls", wanted, None)


@pytest.mark.parametrize(("locale", "text", "wanted"), SIMPLE)
def test_plain_requests_work_without_the_extra_package(
    plain: EmbeddedCore, locale: str, text: str, wanted: Wanted
) -> None:
    assert calls(plain.propose(text, locale)) == wanted


def test_two_requests_in_one_message_become_two_calls(core: EmbeddedCore) -> None:
    proposal = core.propose("¿dónde está el pedido 55 y a qué hora abren?", "es")
    assert calls(proposal) == [("get_order_status", {"order_id": "55"}), ("get_business_hours", {})]


def test_a_second_value_repeats_the_request(core: EmbeddedCore) -> None:
    proposal = core.propose("where's order A-1 and A-2?", "en")
    wanted = [("get_order_status", {"order_id": "A-1"}), ("get_order_status", {"order_id": "A-2"})]
    assert calls(proposal) == wanted


def test_one_request_with_a_joint_inside_stays_one(core: EmbeddedCore) -> None:
    text = "me gustaría registrarme, me llamo María de los Ángeles Pérez y mi correo es maria@p.com"
    wanted = {"name": "María de los Ángeles Pérez", "email": "maria@p.com"}
    assert calls(core.propose(text, "es")) == [("register_customer", wanted)]


def test_a_greeting_before_a_request_is_passed_over(core: EmbeddedCore) -> None:
    proposal = core.propose("Hola, buenas tardes! quiero saber dónde está mi pedido 4521, gracias", "es")
    assert calls(proposal) == [("get_order_status", {"order_id": "4521"})]


def test_a_relative_day_is_the_weekday_of_that_date(core: EmbeddedCore) -> None:
    assert calls(core.propose("¿abren mañana?", "es")) == [("get_business_hours", {"day": "tuesday"})]


def test_a_small_number_in_a_product_name_is_no_order_number(core: EmbeddedCore) -> None:
    proposal = core.propose("do you have the iphone 15?", "en")
    assert calls(proposal) == [("search_products", {"query": "iphone 15"})]


def test_thousands_in_words_are_read(core: EmbeddedCore) -> None:
    proposal = core.propose("busco zapatillas rojas de hasta 20 mil pesos", "es")
    assert calls(proposal) == [("search_products", {"query": "zapatillas rojas", "max_price": 20000})]


def test_names_in_small_letters_are_found_next_to_an_address(core: EmbeddedCore) -> None:
    proposal = core.propose("registrá a juan perez juan@perez.com", "es")
    assert calls(proposal) == [("register_customer", {"name": "juan perez", "email": "juan@perez.com"})]


@pytest.mark.parametrize(
    ("locale", "question", "words"),
    [
        ("es", "quiero registrarme", ("me falta", "tu nombre y apellido", "tu correo electrónico")),
        ("en", "I want to register", ("I still need", "your full name", "your e-mail address")),
        ("pt", "quero me cadastrar", ("preciso de", "seu nome completo", "seu e-mail")),
    ],
)
def test_missing_values_are_asked_for_in_plain_words(
    core: EmbeddedCore, locale: str, question: str, words: tuple[str, ...]
) -> None:
    proposal = core.propose(question, locale)
    assert proposal.kind == "ask"
    assert proposal.calls == ()
    assert proposal.reply is not None
    assert all(word in proposal.reply for word in words)


def test_a_missing_value_without_a_known_name_is_asked_by_its_description(core: EmbeddedCore) -> None:
    proposal = core.propose("¿dónde está mi pedido?", "es")
    assert proposal.kind == "ask"
    assert "Order number as printed on the receipt" in (proposal.reply or "")


def test_what_is_complete_is_proposed_while_the_rest_is_asked(core: EmbeddedCore) -> None:
    proposal = core.propose("¿a qué hora abren? y ¿dónde está mi pedido?", "es")
    assert calls(proposal) == [("get_business_hours", {})]
    assert "Order number" in (proposal.reply or "")


def test_the_same_message_gives_the_same_proposal(core: EmbeddedCore) -> None:
    text = "track order 15 and tell me your opening hours"
    assert core.propose(text, "en") == core.propose(text, "en")


def test_a_planner_without_tools_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one tool"):
        EmbeddedCore([], lambda: date(2026, 11, 23))


def test_threads_get_the_same_proposals(core: EmbeddedCore) -> None:
    texts = [text for _, text, _ in SIMPLE] * 4
    alone = [core.propose(text, "es") for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: core.propose(text, "es"), texts)) == alone
