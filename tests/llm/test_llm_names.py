"""Names of tools as models see them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_planner.llm.names import NameMap, model_name

NAMES = st.text(alphabet="ab.-_:/ñ ", min_size=1, max_size=6) | st.text(min_size=1, max_size=90)


def test_a_dotted_name_is_mapped_and_back():
    names = NameMap(["crm.lookup", "get_order_status"])
    assert names.to_model("crm.lookup") == "crm_lookup" == model_name("crm.lookup")
    assert names.to_model("get_order_status") == "get_order_status"
    assert names.to_tool("crm_lookup") == "crm.lookup"
    assert names.to_tool("crm.lookup") == "crm.lookup"
    assert names.to_tool("crm-lookup") is None


def test_an_accepted_name_keeps_itself_where_another_would_meet_it():
    names = NameMap(["crm.lookup", "crm_lookup"])
    assert names.to_model("crm_lookup") == "crm_lookup"
    assert names.to_model("crm.lookup").startswith("crm_lookup_")
    assert names.to_tool("crm_lookup") == "crm_lookup"


def test_a_name_given_twice_is_refused():
    with pytest.raises(ValueError, match="twice"):
        NameMap(["a", "a"])


@settings(deadline=None)
@given(st.lists(NAMES, unique=True, max_size=12))
def test_names_are_accepted_different_reversible_and_do_not_depend_on_the_order(given_names):
    names = NameMap(given_names)
    mapped = [names.to_model(name) for name in given_names]
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in mapped)
    assert len(set(mapped)) == len(mapped)
    assert [names.to_tool(name) for name in mapped] == given_names
    assert [names.to_tool(name) for name in given_names] == given_names
    assert [NameMap(reversed(given_names)).to_model(name) for name in given_names] == mapped
