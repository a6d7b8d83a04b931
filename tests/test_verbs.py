"""The user's verbs: what is one, what only looks like one, and what never reaches a model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_planner.turn.verbs import Verb, parse

TOKEN = "K7QF2M9X"
CONFIRM = Verb("confirm", TOKEN)


@pytest.mark.covers("verb.match")
@pytest.mark.parametrize(
    "text",
    [
        "confirm K7QF2M9X",
        "confirmar K7QF2M9X",
        "Confirm k7qf2m9x",
        "CONFIRMAR K7QF-2M9X",
        "confirm K7QF 2M9X",
        "  “confirm K7QF2M9X”. ",
        "¡confirmar: K7QF2M9X!",
        "confírmar K7QF2M9X",
        "CONFI\u0301RM K7QF2M9X",
        "con\u200bfirm K7Q\u200bF2M9X",
        "\u200f\u202econfirm K7QF2M9X\u202c",
        "ｃｏｎｆｉｒｍ Ｋ７ＱＦ２Ｍ９Ｘ",
        "conﬁrm K7QF2M9X",
        "CONFİRM K7QF2M9X",
        "confırm K7QF2M9X",
        "con\u3164firm K7QF2M9X",
        "confirm\nK7QF2M9X",
        "*confirm* K7QF2M9X",
        "confirm:K7QF2M9X",
        "confirm-K7QF2M9X",
        "confirm “K7QF2M9X”",
        "confirm k-7-q-f-2-m-9-x",
        "«confirmar» (K7QF2M9X)",
        "confirm K7QF\u20112M9X",
        "confirm\u00a0K7QF2M9X",
        "con\u00adfirm K7QF2M9X",
        "✅ confirm K7QF2M9X",
    ],
)
def test_a_confirm_with_its_token_is_read_however_it_is_typed(text: str) -> None:
    assert parse(text) == CONFIRM


def test_look_alikes_of_crockford_are_folded_in_tokens() -> None:
    assert parse("confirm 1O0LIABC") == parse("confirm 10011abc") == Verb("confirm", "10011ABC")


@pytest.mark.covers("verb.confirm-never-model")
@pytest.mark.parametrize(
    "text",
    [
        "confirm",
        "Confirmar.",
        "confirm my order please",
        "confirm K7QF2M9X please",
        "confirm K7QF2M9",
        "confirm K7QF2M9XX",
        "confirm K7QF2M9X K7QF2M9X",
        "confirmar todo",
        "confirm UUUUUUUU",
        "confirm K7Q.F2M.9X",
        "confirm, yes",
        "confirm_K7QF2M9X and then pay",
        "“confirm",
        "confirm ✅",
        "confirm K7QF2M9é",
    ],
)
def test_a_message_whose_first_word_is_confirm_is_always_the_verb(text: str) -> None:
    found = parse(text)
    assert found is not None
    assert found == Verb("confirm", None)


@pytest.mark.covers("verb.nothing-else")
@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "ok",
        "sí",
        "dale",
        "si dale",
        "confirmo",
        "confirmo K7QF2M9X",
        "confirmed K7QF2M9X",
        "K7QF2M9X",
        "👍",
        "1",
        "please confirm K7QF2M9X",
        "yes confirm K7QF2M9X",
        "confirmation K7QF2M9X",
        "reconfirm K7QF2M9X",
        "",
        "…",
        "con firm K7QF2M9X",
        "confirmarK7QF2M9X",
        "I confirm",
        "aceptar K7QF2M9X",
        "approve K7QF2M9X",
    ],
)
def test_nothing_else_approves(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "verb"),
    [
        ("cancel", Verb("cancel")),
        ("Cancelar!", Verb("cancel")),
        ("cancelár", Verb("cancel")),
        ("“cancel”", Verb("cancel")),
        ("cancel K7QF2M9X", Verb("cancel", TOKEN)),
        ("cancelar k7qf-2m9x.", Verb("cancel", TOKEN)),
        ("cancel my order", None),
        ("cancelar el pedido A-1", None),
        ("cancela", None),
        ("no cancel", None),
        ("pending", Verb("pending")),
        ("Pendientes?", Verb("pending")),
        ("PENDENTES", Verb("pending")),
        ("pending orders", None),
    ],
)
def test_cancel_and_pending_are_verbs_only_as_the_whole_message(text: str, verb: Verb | None) -> None:
    assert parse(text) == verb


@given(st.text(max_size=60), st.text(max_size=20))
def test_no_text_breaks_the_reader_and_a_token_is_always_a_folded_one(before: str, after: str) -> None:
    for text in (before, f"confirm {before}", f"{before}confirm {after}"):
        found = parse(text)
        if found is not None and found.token is not None:
            assert len(found.token) == 8
            assert found.token.isascii()
            assert found.token == found.token.upper()


@given(st.text(max_size=60))
def test_what_begins_with_confirm_and_a_space_is_a_verb_whatever_follows(rest: str) -> None:
    found = parse(f"confirm {rest}")
    assert found is not None
    assert found.name == "confirm"
