"""Whatever an attacker, or a provider that has gone mad, sends: no door answers with a fault of ours."""

import http.client
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error

from llm_planner.channels.signing import SIGNERS, Unsigned, sign
from llm_planner.provider_settings import WEBHOOK_SECRETS

from ..channels.generator import CASES, STANDARD_SECRET
from ..channels.test_fuzz import bodies, headers, mutated
from ..harness import INTERNAL_KEY, OPERATOR_KEYS, Client, in_a_thread, settings_for
from ..tools import Echo, Ledger
from ..turn_kit import always, ledger
from .kit import BASE, SECRET

TAKEN, REFUSED = {200, 202, 204}, {400, 401, 403, 404, 405, 413, 415, 421, 422}
quick = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def served(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A whole server with every provider's door open, in a thread: what comes in is worked on, too."""
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copy(sqlite_template, folder / "fuzz.db")
    secrets = {**dict.fromkeys(WEBHOOK_SECRETS.values(), SECRET), "standard_webhooks_secret": STANDARD_SECRET}
    made = settings_for(
        f"sqlite:///{folder}/fuzz.db",
        folder,
        public_base_url=BASE,
        whatsapp_verify_token=SECRET,
        budget_queued_messages=100_000,
        **secrets,
    )
    with in_a_thread(made, [Echo, Ledger], always(ledger())) as client:
        yield client


def ask(client: Client, method: str, path: str, body: bytes, listed: dict[str, str]) -> int:
    """The status of one request; header values as they are."""
    url = urlsplit(client.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    try:
        connection.request(method, path, body, listed)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.mark.parametrize("provider", sorted(SIGNERS))
@given(data=st.data())
@quick
def test_an_authentic_request_with_broken_parts_is_taken_or_malformed(
    served: Client, provider: str, data: st.DataObject
) -> None:
    case = data.draw(st.sampled_from([case for case in CASES if case.provider == provider]))
    body = mutated(data.draw, case.body)
    secret = STANDARD_SECRET if provider == "standard" else SECRET
    url, signed = sign(
        provider, Unsigned(secret, f"{BASE}/provider/{provider}/inbound", body, int(time.time()))
    )
    assert ask(served, "POST", url.removeprefix(BASE), body, signed) in TAKEN | {400}


@pytest.mark.parametrize("provider", sorted(SIGNERS))
@given(listed=headers, body=bodies, method=st.sampled_from(["POST", "GET"]))
@quick
def test_a_request_of_a_stranger_is_refused(
    served: Client, provider: str, listed: list[tuple[str, str]], body: bytes, method: str
) -> None:
    sendable = {
        name: value
        for name, value in listed
        if name.isascii() and name.replace("-", "").isalnum() and value.isascii() and value.isprintable()
    }
    sendable = {name: value for name, value in sendable.items() if name.lower() != "content-length"}
    assert ask(served, method, f"/provider/{provider}/inbound", body, sendable) in REFUSED


def answered(client: Client, path: str, listed: dict[str, str]) -> Any:
    """The JSON at a path of the server."""
    url = urlsplit(client.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=20)
    try:
        connection.request("GET", path, headers=listed)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


KEYS = {"Authorization": f"Bearer {OPERATOR_KEYS['admin']}", "x-api-key": INTERNAL_KEY}


def things_that_are_there(client: Client) -> dict[str, Any]:
    """By the name of a path's parameter: ids of a parked write, its turn and its session, and a provider."""
    body = json.dumps({"message": "anotá", "session_id": "fuzz"}).encode()
    assert ask(client, "POST", "/agent", body, {"Content-Type": "application/json"}) == 200
    (found, *_) = answered(client, "/approvals", KEYS)["items"]
    return {
        "confirmation_id": found["id"],
        "turn_id": found["turn_id"],
        "session_id": found["session"],
        "provider": "meta",
    }


def test_no_described_route_answers_with_a_fault_of_ours(served: Client) -> None:
    there = things_that_are_there(served)
    described = schemathesis.openapi.from_dict(answered(served, "/openapi.json", {}))
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) >= 15
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
        def requested(case: Any) -> None:
            for keys, known in (({}, {}), (KEYS, {}), (KEYS, there)):
                named = {name: known.get(name, value) for name, value in (case.path_parameters or {}).items()}
                case.path_parameters = named
                answer = case.call(base_url=served.url, headers=keys, timeout=40)
                case.validate_response(answer, checks=[not_a_server_error])

        requested()


def test_after_all_that_the_server_is_well(served: Client) -> None:
    assert ask(served, "GET", "/health", b"", {}) == 200
    assert answered(served, "/ready", {}) == {"status": "ready"}
