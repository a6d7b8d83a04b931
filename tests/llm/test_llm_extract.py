"""Finding the plan in what a model wrote."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llm_planner.llm.extract import MAX_CHARS, Extracted, extract_plan_json
from llm_planner.llm.strict_json import MAX_DEPTH, NoJson, strict_loads

PLAN = {
    "reply": None,
    "tool_calls": [
        {"id": "s1", "tool": "refund", "args": {"order": "A-1", "cents": 1200}, "after": []},
        {"id": "s2", "tool": "note", "args": {"text": 'dijo {ok} y "chau"\n'}, "after": ["s1"]},
    ],
    "then": "answer",
}
TEXT = json.dumps(PLAN, ensure_ascii=False)
HELLO = '{"reply": "hola", "tool_calls": [], "then": "answer"}'

TEXTS = st.text(alphabet=st.sampled_from("ab {}[]\"'\\,:<>/`\nñ“”.…(#"), max_size=12) | st.text(max_size=8)
LEAVES = st.none() | st.booleans() | st.integers(-9999, 9999) | st.floats(-1e6, 1e6) | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ARGS = st.dictionaries(
    st.sampled_from(["reply", "tool_calls", "then", "q", "x y"]) | TEXTS, VALUES, max_size=3
)
CALLS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["s1", "s2"]),
        "tool": st.sampled_from(["pay", "note"]),
        "args": ARGS,
        "after": st.just([]),
    }
)
PLANS = st.tuples(
    st.fixed_dictionaries(
        {
            "reply": st.none() | TEXTS,
            "tool_calls": st.lists(CALLS, max_size=3),
            "then": st.sampled_from(["answer", "replan"]),
        }
    ),
    st.permutations(["reply", "tool_calls", "then"]),
).map(lambda made: {name: made[0][name] for name in made[1]})


def reason(text: str) -> str:
    with pytest.raises(NoJson) as caught:
        extract_plan_json(text)
    return caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"  \n{TEXT}\n",
        f"\ufeff{TEXT}",
        f"```json\n{TEXT}\n```",
        f"```\n{TEXT}\n```\nlisto",
        f"Claro, acá va:\n{TEXT}\n¿Algo más?",
        f"Uso {{order}} y {{}} así: {TEXT} (fin)",
        f"<think>quizás {HELLO}... no</think>{TEXT}",
        f"<THINKING>hm</THINKING>\n<think>hm</think>\n```json\n{TEXT}```",
        f"quizás {HELLO}, o no...\n</think>\n{TEXT}",
        f"<think>no cierro nunca, pero al final: {TEXT}",
        f"{TEXT}\n<think>¿estará bien? {HELLO} era mejor",
        f'{{"thought": "hm"}}\n{TEXT}',
        f"{TEXT}\n{HELLO}",
        f"[{TEXT}, {HELLO}]",
        json.dumps(TEXT),
        f"Plan: {TEXT}}}",
    ],
)
def test_a_whole_plan_is_found_as_it_is(text):
    assert extract_plan_json(text) == Extracted(PLAN, repaired=False)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"reply": "hola", "tool_calls": [],}', {"reply": "hola", "tool_calls": []}),
        ("{'reply': 'it\\'s', 'tool_calls': []}", {"reply": "it's", "tool_calls": []}),
        ("{'reply': 'a} b', 'tool_calls': []}", {"reply": "a} b", "tool_calls": []}),
        ('{"reply": None, "tool_calls": [], }', {"reply": None, "tool_calls": []}),
        ('{reply: "hola", tool_calls: []}', {"reply": "hola", "tool_calls": []}),
        ('{"reply": "a\nb", "tool_calls": []}', {"reply": "a\nb", "tool_calls": []}),
        ('{"reply": "hola" /* ok */, "tool_calls": []} // fin', {"reply": "hola", "tool_calls": []}),
        ('{"reply": "dijo "hola" y ya", "tool_calls": []}', {"reply": 'dijo "hola" y ya', "tool_calls": []}),
        ('{"reply": "C:\\dir", "tool_calls": []}', {"reply": "C:\\dir", "tool_calls": []}),
        (
            '{"tool_calls": [{"id": "s1", "tool": "x", "args": {"a": 1}], "reply": null}',
            {"tool_calls": [{"id": "s1", "tool": "x", "args": {"a": 1}}], "reply": None},
        ),
        (f"claro: {TEXT[:-1]}", PLAN),
        (f"```json\n{TEXT[:-1]}\n```", PLAN),
    ],
)
def test_small_slips_are_repaired_and_marked(text, value):
    assert extract_plan_json(text) == Extracted(value, repaired=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("  \n", "empty"),
        ("no sé qué hacer", "no_json"),
        ("uso {order_id} y listo", "no_json"),
        ("{}", "unreadable"),
        ("[]", "no_json"),
        ("null", "no_json"),
        (f"<think>{HELLO}</think>", "no_json"),
        (f"<think>pienso en {HELLO} pero no sé", "no_json"),
        ("x" * (MAX_CHARS + 1), "too_long"),
        ('{"a":' * 30_000 + "1", "too_deep"),
        ("[" * 150_000, "too_deep"),
        ('{"reply": "x", "tool_calls": ' + "[" * 80 + "]" * 80 + "}", "too_deep"),
        (f"prosa {'{' * 500}", "no_json"),
        ('{"reply": "a", "reply": "b"}', "duplicate_key"),
        (f'va: {TEXT[:-1]}, "then": "replan"}}', "duplicate_key"),
        ('{"tool_calls": [{"id": "s1", "tool": "pay", "args": {"to": "a", "to": "b"},}]}', "duplicate_key"),
        ("{'tool_calls': [{'id': 's1', 'tool': 'pay', 'args': {'to': 'a', 'to': 'b'}}]}", "unreadable"),
        ('{"tool_calls": [{"id": "s1", "tool": "pay", "args": {"n": NaN}}]}', "bad_number"),
        ("{'tool_calls': [{'id': 's1', 'tool': 'pay', 'args': {'n': NaN}}]}", "unreadable"),
        ('{"tool_calls": [{"id": "s1", "tool": "pay", "args": {"n": -Infinity}}]}', "bad_number"),
        ('{"tool_calls": [{"id": "s1", "tool": "pay", "args": {"n": 1e999}}]}', "bad_number"),
        ('{"reply": "\\ud800"}', "bad_text"),
        ('{"tool_calls": [{"id": "s1", "tool": "pay", "args": {"a": 1, ...}}]}', "unreadable"),
        ('{"tool_calls": [{"id": "s1", "tool": "pay", "args": {"n": 10 000}}]}', "unreadable"),
        ('{"reply": "usá "}" acá", "tool_calls": [{"id": "s1", "tool": "pay", "args": {}}]}', "unreadable"),
        ('{"reply": "usá "} b", "tool_calls": [{"id": "s1", "tool": "pay", "args": {}}]}', "unreadable"),
    ],
)
def test_what_can_not_be_had_is_refused_for_a_reason(text, why):
    assert reason(text) == why


@pytest.mark.parametrize(
    "text",
    [
        '{"reply": "Voy a busc',
        '{"reply": "Voy a buscarlo", "tool_c',
        '{"reply": "Voy a buscarlo"',
        '{"tool_calls": [], "reply": "Hola, ¿en qué',
        '{"reply": null, "tool_calls": [{"id": "s1", "tool": "pay", "args": {"cents": 12',
        '{"reply": null, "tool_calls": [{"id": "s1", "tool": "pay", "args": {}}',
        '{"reply": null, "tool_calls": [{"id": "s1", "tool": "pay", "args": {}}]',
        '{"reply": null, "tool_calls": [{"id": "s1", "tool": "pay", "args": {"reply": "x"}}, {"id',
        "{reply: null, tool_calls: [{id: 's1', tool: 'pay', args: {reply: 'x'}}, {id",
        f"Acá va:\n```json\n{TEXT[:60]}\n```",
    ],
)
def test_a_cut_plan_is_not_completed(text):
    assert reason(text) == "truncated"


CALLS_TEXT = (
    '{"id": "s1", "tool": "pay", "args": {"to": ["a"]}}, {"id": "s2", "tool": "note", "args": {"text": "b"}}'
)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"tool_calls": [{CALLS_TEXT.replace("[", "][")}], "then": "replan"}}',
        f'{{"tool_calls": [{CALLS_TEXT.replace("]}", "}}")}], "then": "replan"}}',
        f'{{"tool_calls": [}}{CALLS_TEXT}], "then": "replan"}}',
        '{"tool_calls": [{"id": "s1", "tool": "pay", "args": {}},} {"id"": "s2", "tool": "note"}]}',
        f'{{"tool_calls": [{CALLS_TEXT.replace("]", "{]")}], "then": "replan"}}',
        f'{{"tool_calls": [{CALLS_TEXT} ... ], "then": "replan"}}',
        '{"reply": null, "tool_calls": [{"id": "1", "tool": "p", "args":{}, "after": [:}], "then": "replan"}',
    ],
)
def test_no_repair_loses_a_step(text):
    with pytest.raises(NoJson):
        extract_plan_json(text)


@pytest.mark.parametrize("slip", ["", *"{}[],:'\"\\\n "])
def test_no_single_slip_anywhere_loses_a_step(slip):
    text = f'{{"reply": null, "tool_calls": [{CALLS_TEXT}], "then": "replan"}}'
    for at in range(len(text)):
        for broken in (text[:at] + slip + text[at:], text[:at] + slip + text[at + 1 :]):
            try:
                found = extract_plan_json(broken)
            except NoJson:
                continue
            refused_later = bool(found.value.keys() - {"reply", "tool_calls", "then"})
            assert refused_later or not found.repaired or len(found.value["tool_calls"]) == 2


@pytest.mark.parametrize("end", range(len(TEXT)))
def test_no_beginning_of_a_plan_is_taken_for_another_plan(end):
    try:
        found = extract_plan_json(TEXT[:end])
    except NoJson:
        return
    assert found == Extracted(PLAN, repaired=True)
    assert end == len(TEXT) - 1


@settings(deadline=None, max_examples=400)
@given(PLANS, st.data(), st.sampled_from(["{}", "Claro: {}", "```json\n{}\n```", "<think>a</think>{}"]))
def test_whatever_the_plan_its_beginnings_are_it_or_nothing(plan, data, frame):
    text = json.dumps(plan, ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(st.integers(0, len(text)))
    try:
        found = extract_plan_json(frame.replace("{}", text[:cut]))
    except NoJson:
        assert cut < len(text)
        return
    assert found.value == plan
    assert found.repaired == (cut < len(text))


@settings(deadline=None, max_examples=400)
@given(PLANS, st.data())
@example({"reply": "a} b', 'tool_calls': [", "tool_calls": [], "then": "answer"}, None)
def test_a_plan_written_as_python_is_it_or_nothing(plan, data):
    text = repr(plan)
    cut = len(text) if data is None else data.draw(st.integers(0, len(text)))
    try:
        found = extract_plan_json(text[:cut])
    except NoJson:
        return
    assert found.value.keys() == plan.keys()
    assert [call["tool"] for call in found.value["tool_calls"]] == [
        call["tool"] for call in plan["tool_calls"]
    ]


@settings(deadline=None, max_examples=600)
@given(
    st.text(alphabet=st.sampled_from("{}[]\"',:\\ \nab1<>/think`NaI.replytoc_l“"), max_size=120)
    | st.text(max_size=60)
)
def test_any_text_at_all_gives_an_object_or_a_reason(text):
    for candidate in (text, f'{{"reply": {text}, "tool_calls": []}}', f'{{"tool_calls": [{text}'):
        try:
            found = extract_plan_json(candidate)
        except NoJson:
            continue
        assert found.value
        json.dumps(found.value, allow_nan=False, ensure_ascii=False).encode()


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    )
)
def test_strict_loading_gives_back_what_was_written(value):
    assert strict_loads(json.dumps(value)) == value


def test_nesting_is_allowed_up_to_its_limit():
    depth = MAX_DEPTH - 1
    assert strict_loads("[" * depth + "1" + "]" * depth)
    with pytest.raises(NoJson, match="too_deep"):
        strict_loads("[" * (depth + 1) + "1" + "]" * (depth + 1))
