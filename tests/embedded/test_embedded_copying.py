"""What the small model may write, and how far its word counts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_planner.embedded import CharEmbedder, EmbeddedCore, ToolCard
from llm_planner.embedded.copying import Line, Question
from llm_planner.embedded.grammar import Words, copy_grammar
from llm_planner.embedded.lexicon import STOP
from llm_planner.embedded.message import read_message
from llm_planner.embedded.schema import Field
from llm_planner.embedded.text import fold

TODAY = date(2026, 11, 23)
PLAYLIST = ToolCard(
    "add_to_playlist",
    "Add a song or an artist to a playlist.",
    {
        "type": "object",
        "properties": {name: {"type": "string"} for name in ("playlist", "artist", "song")},
        "required": ["playlist"],
    },
    (
        ("add Thriller to my Party playlist", {"playlist": "Party", "song": "Thriller"}),
        ("put some Shakira on the list called Road Trip", {"playlist": "Road Trip", "artist": "Shakira"}),
        ("agrega a Juanes a mi lista Verano", {"playlist": "Verano", "artist": "Juanes"}),
    ),
)
SAID = "add some Coldplay to my Chill Vibes playlist"
BY_RULE = {"playlist": "Chill Vibes", "song": "Coldplay"}


def _sure(text: str) -> Line:
    return Line(text, -0.1, -0.1)


def _doubtful(text: str) -> Line:
    return Line(text, -1.5, -0.3)


class Prepared:
    """A small model that gives one prepared answer and keeps what it was asked."""

    def __init__(self, *lines: Line) -> None:
        self.lines: Sequence[Line] | None = lines or None
        self.asked: list[Question] = []

    def answer(self, question: Question) -> Sequence[Line] | None:
        self.asked.append(question)
        return self.lines

    def start(self, prefixes: Sequence[str]) -> None:
        """It is always there."""

    def close(self) -> None:
        """Nothing to let go of."""


def _args(copier: Prepared, said: str = SAID) -> Mapping[str, Any]:
    core = EmbeddedCore([PLAYLIST], lambda: TODAY, CharEmbedder(), copier)
    (call,) = core.propose(said, "en").calls
    return call.args


def test_without_an_answer_of_the_model_the_rules_have_the_last_word() -> None:
    assert _args(Prepared()) == BY_RULE


def test_a_sure_value_goes_to_the_field_the_model_gives_it_to() -> None:
    copier = Prepared(_sure("Chill Vibes"), _sure("Coldplay"), _doubtful("-"))
    assert _args(copier) == {"playlist": "Chill Vibes", "artist": "Coldplay"}


@pytest.mark.parametrize(
    "lines",
    [
        (_sure("Chill Vibes"), _doubtful("Coldplay"), _sure("-")),
        (_sure("-"), _sure("-"), _sure("-")),
        (_sure("Chill Vibes"), _sure("Radiohead"), _sure("Coldplay")),
    ],
    ids=["doubtful", "nothing said", "not in the message"],
)
def test_what_the_model_doubts_leaves_out_or_invents_changes_nothing(lines: tuple[Line, ...]) -> None:
    assert _args(Prepared(*lines)) == BY_RULE


def test_a_required_value_is_not_taken_away() -> None:
    assert _args(Prepared(_doubtful("-"), _sure("Chill Vibes"), _doubtful("-"))) == BY_RULE


def test_the_prompt_of_a_tool_stays_the_same_and_the_message_comes_last() -> None:
    copier = Prepared()
    _args(copier)
    _args(copier, "put some Adele on the list called\n Sunday")
    first, second = copier.asked
    assert first.prefix == second.prefix
    assert first.prompt.endswith(f"Message: {SAID}\nplaylist:")
    assert second.prompt.endswith("Message: put some Adele on the list called Sunday\nplaylist:")


def test_a_long_message_is_not_put_to_the_model() -> None:
    copier = Prepared()
    _args(copier, SAID + " and" + " well" * 60)
    assert copier.asked == []


FIELDS = [
    Field(path=("first",), kind="text", required=True, label="first"),
    Field(path=("second",), kind="text", required=False, label="second"),
]
TEXTS = st.text(st.sampled_from("ab ñÉ,.\"'\\\n-1the of to "), max_size=40)


def _rules(grammar: str) -> dict[str, str]:
    return dict(line.split(" ::= ", 1) for line in grammar.split("\n"))


def _spans(rules: Mapping[str, str], name: str) -> Iterator[str]:
    """Everything that a rule can write."""
    for way in re.split(r" \| (?=[w\"])", rules[name]):
        parts = re.findall(r'"((?:[^"\\]|\\.)*)"|(\w+)', way)
        texts = [re.sub(r"\\(.)", r"\1", quoted) for quoted, rule in parts if not rule]
        inner = [rule for _, rule in parts if rule]
        tails = _spans(rules, inner[0]) if inner else iter([""])
        yield from ("".join(texts) + tail for tail in tails)


@given(TEXTS)
def test_the_grammar_writes_spans_of_the_message_and_nothing_else(said: str) -> None:
    message = read_message(said, TODAY, "en")
    grammar = copy_grammar(FIELDS, Words(message, frozenset(), frozenset({"carrier"})))
    if grammar is None:
        return
    rules = _rules(grammar)
    assert len(rules) <= len(message.tokens) + 2
    assert rules["root"] == r'" " value "\n" "second: " value "\n"'
    for span in _spans(rules, "value"):
        if span != "-":
            assert span in said
            assert fold(span.split()[0]) not in STOP or span[0].isupper()


def test_words_of_other_values_and_carriers_are_in_no_span() -> None:
    message = read_message("play the album Blue Train on Tidal", TODAY, "en")
    words = Words(message, frozenset({6}), frozenset({"album", "play"}))
    grammar = copy_grammar(FIELDS[:1], words)
    assert grammar is not None
    assert {*_spans(_rules(grammar), "value")} == {"-", "Blue", "Blue Train", "Train"}
