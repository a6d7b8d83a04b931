"""Whatever the bytes are, an adapter raises its own errors or returns messages that the engine takes."""

import json
import re
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_planner.channels import BadSignature, Delivery, Malformed, NotReady, WebhookRequest
from llm_planner.channels.base import LONGEST_TEXT
from llm_planner.channels.vectors import MAKERS, SAME_AS, differences

from .generator import CASES, NOW, Case, cloud, interactive_body, vectors, wa_text

MOMENT = datetime.fromtimestamp(NOW, UTC)
NAMES = sorted({name for case in CASES for name in case.headers(case.secret, case.body, str(NOW), case.url)})
every_provider = pytest.mark.parametrize("provider", sorted(MAKERS))
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.provider}-{case.tag}")

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["\ud800", "\x00", "x" * 9000, "confirm:K7QF2M9X", "im", "private", "١٢", " ", "[]", "-1"]
    ),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts
)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
headers = st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=8), st.text(max_size=80)), max_size=6)
bodies = st.one_of(st.binary(max_size=200), junk.map(lambda value: json.dumps(value).encode()))


def takes(delivery: Delivery) -> None:
    """What the engine and the database rely on."""
    for message in delivery.messages:
        inbound = message.inbound("channel")
        json.dumps(inbound.text, ensure_ascii=False).encode()
        assert 0 < len(inbound.text) <= LONGEST_TEXT
        assert "\0" not in inbound.text
        assert re.fullmatch(r"[!-~]{1,128}", message.message_id)
        assert re.fullmatch(r"[!-~]{1,200}", message.user)
        assert re.fullmatch(r"[!-~]{0,128}", message.account)
        assert re.fullmatch(r"[!-~]{0,128}", message.label)
        for text in (message.sender, message.reply_to, message.thread, message.name, message.title):
            assert "\n" not in (text or "")
            (text or "").encode()
        inbound.digest()


@every_provider
@given(
    listed=headers, body=bodies, url=st.text(max_size=60), method=st.sampled_from(["POST", "GET", "get", ""])
)
@settings(max_examples=60, deadline=None)
def test_any_request_is_refused_or_malformed_and_nothing_else(
    provider: str, listed: list[tuple[str, str]], body: bytes, url: str, method: str
) -> None:
    channel = MAKERS[provider](("a-secret", "whsec_AAAA"), 300, {"key": "x"})
    request = WebhookRequest(method, url, tuple(listed), body)
    with pytest.raises((BadSignature, NotReady)):
        channel.verify(request, MOMENT)
    with suppress(Malformed):
        takes(channel.read(request))


def replaced(draw: Any, value: Any) -> Any:
    """`value` with one part of it, at any depth, replaced by junk, dropped or doubled."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(value)))
        if not draw(st.integers(0, 6)):
            return {name: part for name, part in value.items() if name != key}
        return value | {key: replaced(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 5)):
        number = draw(st.integers(0, len(value) - 1))
        return [*value[:number], replaced(draw, value[number]), *value[number:]]
    return draw(junk)


def mutated(draw: Any, body: bytes) -> bytes:
    if body.startswith(b"{"):
        value = json.loads(body)
        for _ in range(draw(st.integers(1, 4))):
            value = replaced(draw, value)
        return json.dumps(value).encode()
    pairs = dict(parse_qsl(body.decode()))
    if "payload" in pairs:
        pairs["payload"] = mutated(draw, pairs["payload"].encode()).decode()
    name = draw(
        st.sampled_from([*sorted(pairs), "ButtonPayload", "NumMedia", "Latitude", "MessageStatus", "ListId"])
    )
    if name != "payload":
        pairs[name] = draw(st.text(max_size=20))
    return urlencode(pairs, errors="replace").encode()


@every_case
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_an_authentic_body_with_broken_parts_is_read_or_malformed(case: Case, data: st.DataObject) -> None:
    body = mutated(data.draw, case.body)
    channel = MAKERS[SAME_AS.get(case.provider, case.provider)]((case.secret,), 300, {})
    made = case.headers(case.secret, body, str(NOW), case.url)
    request = WebhookRequest("POST", case.url, tuple(made.items()), body)
    with suppress(Malformed):
        takes(channel.read(request))


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_broken_item_never_takes_a_good_neighbour_with_it(data: st.DataObject) -> None:
    kinds = [wa_text(5), interactive_body(), {"type": "image", "image": {"id": "1"}}, {"type": "location"}]
    bad = replaced(data.draw, data.draw(st.sampled_from(kinds)))
    body = json.dumps(cloud(wa_text(1), bad, wa_text(2))).encode()
    delivery = MAKERS["meta"](("x",), 300, {}).read(WebhookRequest("POST", "", (), body))
    ids = [message.message_id for message in delivery.messages]
    assert (ids[0], ids[-1]) == ("wamid.1", "wamid.2")
    assert len(delivery.messages) + len(delivery.ignored) + len(delivery.rejected) == 3


VECTORS = list(vectors())


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_no_vector_is_said_to_be_none(data: st.DataObject) -> None:
    broken = dict(data.draw(st.sampled_from(VECTORS)))
    broken[data.draw(st.sampled_from(sorted(broken)))] = data.draw(junk)
    complaint = "no vector"
    try:
        assert all(isinstance(sentence, str) for sentence in differences(broken))
    except ValueError as error:
        complaint = str(error)
    assert complaint.startswith("no vector")
