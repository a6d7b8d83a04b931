"""Tokens: derived, folded as people type them, and blacked out wherever they turn up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_planner.keys import Keyring
from llm_planner.turn.tokens import ALPHABET, LENGTH, Tokens, fold

OLD, NEW = b"old-master-key-0123456789", b"new-master-key-0123456789"
TOKENS = Tokens(Keyring(NEW))
IDS = st.uuids().map(str)


@given(IDS)
def test_a_token_is_eight_crockford_characters_and_its_own(confirmation: str) -> None:
    token = TOKENS.of(confirmation)
    assert len(token) == LENGTH
    assert set(token) <= set(ALPHABET)
    assert TOKENS.ours(token)
    assert TOKENS.matches(token, confirmation)
    assert not TOKENS.matches(token, confirmation + "x")


@given(IDS, st.sampled_from(["", "-", " ", "\u2011"]), st.booleans())
def test_what_a_person_types_folds_to_the_token(confirmation: str, between: str, lower: bool) -> None:
    token = TOKENS.of(confirmation)
    typed = between.join(token.replace("0", "O").replace("1", "l"))
    assert fold(typed.lower() if lower else typed) == token


@pytest.mark.covers("rule.2")
def test_a_token_of_the_key_before_is_accepted_while_rotating_and_not_longer() -> None:
    token = Tokens(Keyring(OLD)).of("c1")
    assert Tokens(Keyring(NEW, OLD)).matches(token, "c1")
    assert Tokens(Keyring(NEW, OLD)).ours(token)
    assert not TOKENS.matches(token, "c1")
    assert not TOKENS.ours(token)


def wide(token: str) -> str:
    return "".join(chr(ord(char) + 0xFEE0) for char in token)


SPELLINGS = [
    str,
    str.lower,
    wide,
    "-".join,
    " ".join,
    "\u200b".join,
    "\u2011".join,
    lambda t: f"{t[:4]} {t[4:]}",
    lambda t: f"<{t}>",
    lambda t: f"“{t}”",
    lambda t: f"\n{t}\t",
    lambda t: f"x{t}",
    lambda t: f"{t}9",
    lambda t: f"confirm{t}",
    lambda t: f"abcd {t[:4]}-{t[4:]} efgh",
]


@given(IDS, st.sampled_from(SPELLINGS))
def test_a_token_is_blacked_out_however_it_is_written(confirmation: str, spelling: object) -> None:
    token = TOKENS.of(confirmation)
    shown = TOKENS.redact(f"mi código: {spelling(token)} gracias")  # type: ignore[operator]
    assert "████" in shown
    assert token not in "".join(char for char in shown.upper() if char.isascii() and char.isalnum())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dónde está mi pedido A-1234",
        "order 12345678",
        "whatever it takes",
        "is it on or off then",
        "█",
        "ZZZZZZZZ" * 9,
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert TOKENS.redact(text) == text


@given(st.text(max_size=200))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = TOKENS.redact(text)
    assert TOKENS.redact(once) == once
