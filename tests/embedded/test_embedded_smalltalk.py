"""Messages that need no tool, and the replies from the templates."""

import pytest

from llm_planner.embedded import EmbeddedCore
from llm_planner.embedded.bank import BANK
from llm_planner.embedded.replies import language, talk


@pytest.mark.parametrize(
    ("locale", "text", "begins"),
    [
        ("es", "hola", "¡Hola!"),
        ("es", "Hola!! buenas tardes", "¡Hola!"),
        ("es", "muchas gracias", "¡De nada!"),
        ("es", "chau", "¡Hasta luego!"),
        ("es", "¿quién sos?", "Soy un asistente automático."),
        ("en", "good morning", "Hello!"),
        ("en", "thanks a lot", "You're welcome!"),
        ("en", "how are you?", "I'm fine"),
        ("pt", "olá", "Olá!"),
        ("pt", "obrigado", "De nada!"),
    ],
)
def test_small_talk_is_answered_in_the_users_language(
    core: EmbeddedCore, plain: EmbeddedCore, locale: str, text: str, begins: str
) -> None:
    for planner in (core, plain):
        proposal = planner.propose(text, locale)
        assert (proposal.kind, proposal.calls) == ("smalltalk", ())
        assert (proposal.reply or "").startswith(begins)


def test_asked_what_it_can_do_it_lists_its_tools(core: EmbeddedCore) -> None:
    reply = core.propose("¿qué podés hacer?", "es").reply or ""
    assert "shipping status of one order" in reply
    assert "create a customer account" in reply


@pytest.mark.parametrize(
    ("locale", "text", "words"),
    [
        ("es", "¿quién ganó el mundial?", "con eso no te puedo ayudar"),
        ("en", "what is the highest mountain in Asia?", "I can't help you with that"),
        ("pt", "qual é a capital da França?", "com isso não posso ajudar"),
    ],
)
def test_out_of_scope_is_said_honestly_and_what_is_in_scope_is_named(
    core: EmbeddedCore, locale: str, text: str, words: str
) -> None:
    proposal = core.propose(text, locale)
    assert (proposal.kind, proposal.calls) == ("out_of_scope", ())
    assert words in (proposal.reply or "")
    assert "opening hours" in (proposal.reply or "")


def test_every_topic_of_the_bank_has_a_reply_in_every_language() -> None:
    for topic in BANK:
        replies = {talk(topic, locale, ()) for locale in ("es-AR", "en_GB", "pt")}
        assert len(replies) == 3


def test_an_unknown_language_is_answered_in_spanish() -> None:
    assert language("de-DE") == "es"


def test_the_bank_is_large_and_has_no_line_twice() -> None:
    lines = [line for lines in BANK.values() for line in lines]
    assert len(lines) >= 130
    assert len(lines) == len(set(lines))
