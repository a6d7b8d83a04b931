"""What must hold for every message: no crash, no invented string, no incomplete call."""

from datetime import date
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_planner.embedded import EmbeddedCore
from llm_planner.embedded.dates import WEEKDAYS
from llm_planner.embedded.message import read_message
from llm_planner.embedded.numbers import parse_digits
from llm_planner.embedded.text import tokenize

SAID = (
    "order pedido A-12 55 registrame soy Ana López ana@example.com y and , . ? busco zapatos under 50 "
    "código 123456 abren domingo mañana hola gracias quiero the a de "
    "😀 \u200b 1.500,5 31/02/2026 -- @ ' \" O'Hara mil"
)
WORDS = st.sampled_from(SAID.split())
MESSAGES = st.one_of(st.lists(WORDS, max_size=25).map(" ".join), st.text(max_size=80))
CHECK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
REQUIRED = {
    "get_order_status": {"order_id"},
    "search_products": {"query"},
    "get_business_hours": set[str](),
    "register_customer": {"name", "email"},
    "verify_customer_email": {"email", "code"},
}


@CHECK
@given(text=MESSAGES, recent=st.lists(MESSAGES, max_size=3))
def test_strings_are_verbatim_and_calls_are_complete(
    plain: EmbeddedCore, text: str, recent: list[str]
) -> None:
    proposal = plain.propose(text, "es", recent)
    said = [text, *recent]
    for call in proposal.calls:
        assert REQUIRED[call.tool] <= set(call.args)
        for value in call.args.values():
            known = not isinstance(value, str) or value in WEEKDAYS
            assert known or any(value in message for message in said)
    assert (proposal.kind == "calls") == bool(proposal.calls)
    assert proposal.calls or proposal.reply


@CHECK
@given(text=st.text(max_size=200))
def test_tokens_are_verbatim_pieces_in_order(text: str) -> None:
    tokens = tokenize(text)
    assert all(token.text == text[token.start : token.end] for token in tokens)
    assert all(first.end <= second.start for first, second in pairwise(tokens))


@CHECK
@given(number=st.integers(min_value=0, max_value=10**9))
def test_a_number_is_read_back_however_it_is_grouped(number: int) -> None:
    grouped = f"{number:,}"
    assert parse_digits(str(number)) == number
    assert parse_digits(grouped) == number
    assert parse_digits(grouped.replace(",", ".")) == number


def test_a_very_long_message_is_cut_not_chewed() -> None:
    assert len(read_message("a.b " * 4000, date(2026, 11, 23), "es").tokens) == 160
