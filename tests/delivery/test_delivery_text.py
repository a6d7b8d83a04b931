"""Cutting texts: nothing lost, nothing too long, nothing torn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_planner.delivery.text import boundary, characters, shortened, split, split_before_tail, utf16

CLUSTERS = [
    "a", "ñ", "e\u0301", "👩‍👩‍👧‍👦", "👍🏽", "🇦🇷", "☕️", "한", "\u1112\u1161\u11ab", "क्षि", "นี้",
    "🏴\U000e0067\U000e0062\U000e007f", "漢",
]  # fmt: skip
TOKEN = "K7QF2M9X"
WORDS = st.sampled_from(
    [*CLUSTERS, *" .!?。…", "\n", "\n\n", ". ", "hola ", "x" * 50, f"confirmar {TOKEN}", f"cancel {TOKEN} "]
)
TEXTS = st.lists(WORDS, max_size=80).map("".join) | st.text(max_size=400)
WEIGHERS = st.sampled_from([characters, utf16])
LIMITS = st.integers(min_value=32, max_value=120)


def weight(text, weigh):
    return sum(map(weigh, text))


def gaps(text, parts):
    """What stands between the parts, in order; fails when a part is not where it should be."""
    found, place = [], 0
    for part in parts:
        start = text.index(part, place)
        found.append(text[place:start])
        place = start + len(part)
    return [*found, text[place:]]


@given(TEXTS, LIMITS, WEIGHERS)
def test_parts_are_within_the_limit_and_lose_only_white_space(text, limit, weigh):
    parts = split(text, limit, weigh)
    assert all(part and part == part.strip() and weight(part, weigh) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert not "".join(gaps(text, parts)).strip()


@given(TEXTS, LIMITS, WEIGHERS)
def test_a_tail_is_within_its_own_limit_and_nothing_is_lost(text, limit, weigh):
    parts = split_before_tail(text, 4 * limit, limit, weigh)
    assert all(part and weight(part, weigh) <= 4 * limit for part in parts)
    assert weight(parts[-1] if parts else "", weigh) <= limit
    assert "".join("".join(parts).split()) == "".join(text.split())


@given(st.lists(st.sampled_from(CLUSTERS), max_size=60), LIMITS, WEIGHERS)
def test_no_grapheme_is_torn_where_there_is_nothing_but_graphemes(clusters, limit, weigh):
    ends, place = {0}, 0
    for cluster in clusters:
        place += len(cluster)
        ends.add(place)
    place = 0
    for part in split("".join(clusters), limit, weigh):
        place += len(part)
        assert place in ends


@given(
    st.lists(
        st.sampled_from(["x" * 31, "hola. ", f"confirmar {TOKEN}", f" {TOKEN} ", "漢字。"]), max_size=40
    ),
    LIMITS,
)
def test_a_verb_and_its_token_stay_together(pieces, limit):
    text = " ".join(pieces)
    parts = split(text, limit)
    assert sum(part.count(TOKEN) for part in parts) == text.count(TOKEN)
    assert sum(part.count(f"confirmar {TOKEN}") for part in parts) == text.count(f"confirmar {TOKEN}")


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=30), st.integers(2, 20))
def test_a_title_is_one_line_within_the_limit(text, limit):
    title = shortened(text, limit)
    assert len(title) <= limit
    assert "\n" not in title
    if len(" ".join(text.split())) <= limit:
        assert title == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Primera frase larga. Segunda frase corta.", ["Primera frase larga.", "Segunda frase corta."]),
        ("¿Querés que siga con esto ahora? (Sí o no.)", ["¿Querés que siga con esto ahora?", "(Sí o no.)"]),
        ("una lista\n1. pan y leche y queso\n2. vino", ["una lista\n1. pan y leche y queso", "2. vino"]),
        ("sin puntos pero con muchas palabras seguidas", ["sin puntos pero con muchas", "palabras seguidas"]),
        ("x" * 70, ["x" * 32, "x" * 32, "x" * 6]),
        ("", []),
        (" \n\t ", []),
    ],
)  # fmt: skip
def test_cuts_are_made_where_a_reader_pauses(text, expected):
    assert split(text, 32) == expected


def test_a_decimal_point_and_an_address_are_no_sentence_ends():
    assert split("El total es de 12345 pesos con 1.50 de más", 36) == [
        "El total es de 12345 pesos con 1.50",
        "de más",
    ]


def test_the_tail_begins_with_a_line():
    lines = "\n".join(f"  • campo{n}: valor" for n in range(40)) + f"\nconfirmar {TOKEN}\ncancelar {TOKEN}"
    *head, tail = split_before_tail(lines, 500, 100)
    assert tail.startswith("•")
    assert tail.count(TOKEN) == 2
    assert not any(TOKEN in part for part in head)


def test_one_line_too_long_for_the_tail_leaves_the_verbs_alone_in_it():
    text = "▣ Tarjeta\n" + "z" * 3000 + f"\nVence\nconfirmar {TOKEN}\ncancelar {TOKEN}"
    assert split_before_tail(text, 4096, 1024)[-1] == f"Vence\nconfirmar {TOKEN}\ncancelar {TOKEN}"


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("neighbour", ["a", "🇦🇷", "한", "👍"])
def test_a_grapheme_may_end_at_its_ends_and_nowhere_inside(cluster, neighbour):
    text = neighbour + cluster + neighbour
    ends = {len(neighbour), len(neighbour + cluster)}
    inside = set(range(len(neighbour) + 1, len(neighbour + cluster)))
    assert all(boundary(text, place) for place in ends)
    assert not any(boundary(text, place) for place in inside)


def test_a_mark_without_a_letter_stays_with_its_space():
    assert not boundary("a \u0301b", 2)


def test_a_grapheme_longer_than_the_limit_is_cut_all_the_same():
    text = "a" + "\u0301" * 200
    parts = split(text, 64)
    assert "".join(parts) == text
    assert all(len(part) <= 64 for part in parts)


def test_a_very_long_text_is_cut_in_reasonable_time():
    parts = split("palabra " * 50_000, 4096)
    assert len(parts) == 98
