"""A question of the planner, and the user's answer in the next message."""

import pytest

from llm_planner.embedded import EmbeddedCore

ANA = {"name": "Ana López", "email": "ana@example.com"}


@pytest.mark.parametrize(
    ("recent", "text"),
    [
        (("registrame como cliente",), "Ana López, ana@example.com"),
        (("registrame como cliente", "Ana López"), "ana@example.com"),
        (("registrame como cliente", "ana@example.com"), "Ana López"),
        (("hola", "registrame como cliente", "ana@example.com"), "me llamo Ana López"),
    ],
)
def test_answers_complete_the_earlier_request(core: EmbeddedCore, recent: tuple[str, ...], text: str) -> None:
    proposal = core.propose(text, "es", recent)
    assert [(call.tool, dict(call.args)) for call in proposal.calls] == [("register_customer", ANA)]


def test_a_bare_number_answers_the_question_for_it(core: EmbeddedCore) -> None:
    proposal = core.propose("es el 4456", "es", ("¿dónde está mi pedido?",))
    assert [dict(call.args) for call in proposal.calls] == [{"order_id": "4456"}]


def test_a_bare_code_and_then_the_address_verify(core: EmbeddedCore) -> None:
    proposal = core.propose("ana@example.com", "es", ("quiero verificar mi correo", "123456"))
    assert [dict(call.args) for call in proposal.calls] == [{"email": "ana@example.com", "code": "123456"}]


def test_a_part_of_the_answer_leaves_a_smaller_question(core: EmbeddedCore) -> None:
    proposal = core.propose("soy Ana López", "es", ("registrame como cliente",))
    assert proposal.kind == "ask"
    assert "correo" in (proposal.reply or "")
    assert "nombre" not in (proposal.reply or "")


def test_another_request_is_not_taken_for_an_answer(core: EmbeddedCore) -> None:
    proposal = core.propose("¿a qué hora abren?", "es", ("registrame como cliente",))
    assert [call.tool for call in proposal.calls] == ["get_business_hours"]


@pytest.mark.parametrize("text", ["no, gracias", "hola", "gracias"])
def test_small_talk_is_not_taken_for_an_answer(core: EmbeddedCore, text: str) -> None:
    assert core.propose(text, "es", ("registrame como cliente",)).kind == "smalltalk"


def test_a_request_that_was_complete_is_not_continued(core: EmbeddedCore) -> None:
    proposal = core.propose("Ana López", "es", ("registrame, soy Ana López, ana@example.com",))
    assert proposal.calls == ()
    assert proposal.kind == "out_of_scope"
