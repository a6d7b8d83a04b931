"""The layout of a reply: every message within the limits, a card's verbs together in its last one."""

from hypothesis import given
from hypothesis import strategies as st

from llm_planner.delivery.base import OutgoingReply
from llm_planner.delivery.layout import Limits, laid_out
from llm_planner.delivery.text import utf16

from .conftest import card

ARGUMENTS = st.lists(st.text(st.sampled_from("ab ñ🧉.,"), min_size=1, max_size=400), min_size=1, max_size=12)
LIMITS = st.sampled_from(
    [Limits(text=300), Limits(text=900, card=250), Limits(text=900, card=900, weigh=utf16), Limits(2000, 500)]
)


@given(ARGUMENTS, LIMITS)
def test_a_cards_verbs_and_buttons_are_in_its_last_message_and_nowhere_else(values, limits):
    asked = card("\n".join(f'  • campo{n}: "{value}"' for n, value in enumerate(values)))
    _, (*before, last) = laid_out(OutgoingReply("", "u", "to", "", (asked,)), limits)
    assert not any("K7QF2M9X" in part.text or part.buttons for part in before)
    assert last.text.count("K7QF2M9X") == 2
    assert len(last.buttons) == (2 if limits.card else 0)
    assert sum(map(limits.weigh, last.text)) <= (limits.card or limits.text)
    assert all(sum(map(limits.weigh, part.text)) <= limits.text for part in before)
    assert "".join("".join(part.text for part in [*before, last]).split()) == "".join(asked.text.split())


def test_two_titles_that_look_alike_leave_the_card_as_text():
    plain = card()
    same = type(plain)(plain.text, "confirm:A", "cancel:A", "x" * 30, "x" * 31)
    _, (part,) = laid_out(OutgoingReply("", "u", "to", "", (same,)), Limits(text=900, card=900))
    assert part.buttons == ()
