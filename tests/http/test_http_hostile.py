"""Whatever is sent, the server answers with a status that it documents, and never with a 500."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_planner.llm.scripted import ScriptedModel

from ..harness import INTERNAL_KEY, OPERATOR_KEYS, serving, settings_for
from ..tools import Echo, Ledger
from .conftest import GREETING
from .raw import PROBLEM, Answer, ask, get

KNOWN = {200, 307, 400, 401, 403, 404, 405, 409, 413, 415, 421, 422, 503}
NAMES = ["message", "session_id", "message_id", "locale", "user", "decision", "digest", "args", "reason"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=40),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
TURNS = st.fixed_dictionaries(
    {"message": st.text(st.characters(), max_size=60)},
    optional={
        "session_id": st.text("abñ !~\x00", max_size=5),
        "message_id": st.text("ab", max_size=2),
        "locale": JSON,
    },
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES) | st.text(st.characters(), max_size=5), JSON, max_size=5)
BODIES = st.one_of(
    st.binary(max_size=200), (JSON | OBJECTS | TURNS).map(lambda value: json.dumps(value).encode())
)
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "Idempotency-Key",
                "X-Request-Id",
                "Accept",
                "Origin",
                "Content-Encoding",
                "Authorization",
                "X-Api-Key",
                "Cookie",
            ]
        ),
        VALUES,
    ),
    max_size=3,
)
PATHS = st.sampled_from(
    [
        "/agent",
        "/wa/agent",
        "/approvals/x/resolve",
        "/approvals",
        "/sessions",
        "/audit",
        "/turns/x",
        "/sessions/x",
        "/ready",
        "/",
    ]
)
QUERIES = st.text('limitcursorstatus=&%0123456789abF[]{}"-', max_size=40)
GOOD = [f"x-api-key: {INTERNAL_KEY}", f"Authorization: Bearer {OPERATOR_KEYS['admin']}"]


def _request(case: tuple[str, str, bytes, list[tuple[str, str]], bool]) -> bytes:
    path, query, body, headers, keys = case
    lines = [f"{name}: {value}" for name, value in headers] + (GOOD if keys else [])
    if path.endswith(("agent", "resolve")):
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        return (
            "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode("latin-1") + body
        )
    return get(f"{path}?{query.replace(' ', '')}", *lines)


def _check(answer: Answer) -> None:
    assert answer.status in KNOWN, (answer.status, answer.body)
    if answer.status >= 400 and answer.headers.get("content-type") == "application/json":
        assert set(answer.json()) == {"status", "failing"}
    elif answer.status >= 400 and b"Invalid HTTP request" not in answer.body:
        assert answer.headers["content-type"] == PROBLEM
        assert answer.json()["status"] == answer.status


CASES = st.lists(st.tuples(PATHS, QUERIES, BODIES, HEADERS, st.booleans()), min_size=10, max_size=40)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(CASES)
def test_no_request_makes_the_server_fail(sqlite_template: Path, tmp_path: Path, cases: list[Any]) -> None:
    path = tmp_path / "hostile.db"
    if not path.exists():
        shutil.copy(sqlite_template, path)

    async def talk() -> None:
        made = settings_for(f"sqlite:///{path}", tmp_path, log_level="error")
        async with serving(made, [Echo, Ledger], ScriptedModel([GREETING] * 100)) as client:
            for case in cases:
                _check(await ask(client, _request(case)))

    asyncio.run(talk())
