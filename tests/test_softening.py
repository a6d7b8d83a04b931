"""A model's words on their way to the user: whatever the pieces they come in, what is shown is what the whole
would be shown as, and never something that has to be taken back."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_planner.neutral import VERBS, foreign
from llm_planner.softening import Softening

HOSTS = frozenset(["ours.example"])
PARTS = st.sampled_from(
    [
        "confirm", "Confirmar", "CANCEL", "con", "firm", "K7QF2M9X", "K7QF", "2M9X", "-", " ", "\n", "\t", "\n\n",
        "<b>", "</b>", "<", ">", "<img src=x onerror=1>", "<!--", "-->", "<!", "<https://evil.example/>", "<a href=",
        "![", "!", "!!", "[", "]", "](", "(", ")", "](https://evil.example/x)", "](https://ours.example/x)", "[x](",
        "https://evil.example/a", "https://", "http:", "://", "//evil", "www.", "evil.example/", "ours.example",
        "https://ours.example/a?b=1", "javascript:alert(1)", "e", "\u0301", "\u200b", "\u202e", "▣", "•", ".", ",",
        "hola", "ñ", "\u1100", "\u1161", "12:30", "3 < 5", "_", "*", "`", "\x02", "\x03", "x" * 40,
    ]
)  # fmt: skip
TEXTS = st.lists(PARTS | st.text(max_size=4), max_size=30).map("".join)


def _cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _shown(pieces: list[str]) -> list[str]:
    soft = Softening(HOSTS)
    return [*(soft.add(piece) for piece in pieces), soft.end()]


@settings(max_examples=400)
@given(TEXTS, st.lists(st.integers(0, 10_000), max_size=12))
@example("![a](https://evil.example/?q=1) confirm K7QF2M9X", [3, 9, 14, 38, 44])
@example("[a](b[c)", [7])
def test_whatever_the_pieces_the_text_shown_is_that_of_the_whole(text: str, places: list[int]) -> None:
    assert "".join(_shown(_cut(text, places))) == foreign(text, HOSTS)


@settings(max_examples=200)
@given(TEXTS)
def test_letter_by_letter_too_and_no_beginning_shows_what_the_whole_would_not(text: str) -> None:
    shown = ""
    for piece in _shown(list(text)):
        shown += piece
        assert foreign(text, HOSTS).startswith(shown)


@pytest.mark.parametrize("between", [" ", "\n", " - ", ": «", "** **", "\u200b "])
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_with_a_token_is_never_shown_however_it_is_split(verb: str, between: str) -> None:
    text = f"Para seguir: {verb}{between}K7QF2M9X ahora"
    for place in range(len(text)):
        shown = "".join(_shown([text[:place], *text[place:]]))
        assert "K7QF" not in shown
        assert shown.startswith("Para seguir")


def test_ordinary_words_are_shown_as_they_come() -> None:
    soft = Softening(HOSTS)
    assert [soft.add(word) for word in ["Tu ", "pedido ", "está ", "en camino"]] == [
        "Tu",
        " pedido",
        " está",
        " en",
    ]
    assert soft.end() == " camino"


@pytest.mark.parametrize(
    "bait", ["<", "<!--", "[", "![", "](", "!", "confirm ", "https://a/", "<a ", "[x](", "\n"]
)
def test_no_bait_makes_it_slow(bait: str) -> None:
    text = (bait * 8000)[:8000]
    started = time.process_time()
    assert "".join(_shown(list(text))) == foreign(text, HOSTS)
    assert time.process_time() - started < 5
