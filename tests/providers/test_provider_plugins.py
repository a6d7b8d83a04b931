"""Adapters of other packages: the one of docs/providers/custom.md talks, and what does not fit stops the start."""

import asyncio
import importlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from llm_planner.clock import SystemClock
from llm_planner.commands.checks import of_providers
from llm_planner.delivery.http import Outlet
from llm_planner.delivery.pace import Pace
from llm_planner.errors import StartError
from llm_planner.plugins import load_plugins, secret_variable
from llm_planner.providers import channels_of, secret_setting, senders_of
from llm_planner.settings import load_settings
from llm_planner.testing.providers import FakeProvider, Sent

from .. import docs_tools as docs
from ..harness import Client, settings_for
from ..tools import LEDGER, Echo, Ledger
from ..turn_kit import always, effects, eventually, ledger, there_are
from .kit import SECRET, Signed, deliver, mac

PAGE = (docs.ROOT / "docs" / "providers" / "custom.md").read_text("utf-8")
KEY = "an-api-key-of-acme"
Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a package with an entry point on the path: its file, and the metadata that pip would write."""
    monkeypatch.chdir(tmp_path)

    def put(entry: str, code: str = "", package: str = "acme-channel") -> Path:
        folder = tmp_path / "site" / package
        info = folder / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[llm_planner.channels]\n{entry}\n")
        module = entry.partition("=")[2].partition(":")[0].strip()
        if code:
            (folder / f"{module}.py").write_text(code, "utf-8")
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()
        return folder

    return put


@pytest.fixture
def acme(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter of the page, installed by the page's own entry point, with its variables set."""
    (code,), (toml,) = docs.blocks(PAGE, "python"), docs.blocks(PAGE, "toml")
    entry = toml.partition('[project.entry-points."llm_planner.channels"]')[2].strip().replace('"', "")
    install(entry, code)
    monkeypatch.setenv("ACME_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("ACME_API_KEY", KEY)


class FakeAcme(FakeProvider):
    """Acme's API, as its own documentation would have it."""

    def check(self, asked: Any) -> None:
        assert asked.headers["authorization"] == f"Bearer {KEY}"

    def read(self, asked: Any, reference: str) -> Sent:
        buttons = tuple((one["label"], one["data"]) for one in asked.body["buttons"])
        return Sent(asked.body["to"], asked.body["text"], reference, buttons, asked.body)

    def taken(self, sent: Sent) -> web.Response:
        return web.json_response({"id": sent.reference}, status=201)


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeAcme]:
    async with FakeAcme() as double:
        monkeypatch.setenv("ACME_API", double.url)
        yield double


def signed(*events: dict[str, Any], path: str = "/provider/acme/inbound") -> Signed:
    body = json.dumps({"events": events}).encode()
    return Signed(path, {"X-Acme-Signature": mac(body).hex()}, body)


@pytest.mark.usefixtures("acme")
async def test_the_adapter_of_the_page_talks_confirms_and_answers(serve: Any, api: FakeAcme) -> None:
    client: Client = await serve(tools=[Ledger], model=always(ledger()))
    await client.rows(LEDGER)
    good = signed({"id": "1", "user": "ana", "text": "anotá"}, {"id": "9", "text": "from nobody"})
    assert (await deliver(client, Signed(good.path, {}, good.body)))[0] == 401
    for _ in range(3):
        assert (await deliver(client, good))[0] == 200
    delivered = "SELECT id FROM outbox WHERE state = 'delivered'"
    await eventually(lambda: there_are(client, 1, delivered))
    (sent,) = api.sent
    payload = dict(sent.buttons)["Confirmar"]
    forwarded = {"id": "2", "user": "ana", "text": payload.replace(":", " "), "forwarded": True}
    await deliver(client, signed(forwarded))
    await eventually(lambda: there_are(client, 2, delivered))
    assert await effects(client) == []
    press = signed({"id": "3", "user": "ana", "button": payload, "label": "Confirmar"})
    await asyncio.gather(*(deliver(client, press) for _ in range(4)))
    await eventually(lambda: there_are(client, 3, delivered))
    assert await effects(client) == [("tea", 1)]
    assert len(await client.rows("SELECT seq FROM audit_events WHERE kind = 'items_rejected'")) == 3


@pytest.mark.usefixtures("acme")
async def test_provider_may_name_it_and_its_secret_may_stand_in_the_general_variable(
    serve: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ACME_WEBHOOK_SECRET")
    client: Client = await serve(
        tools=[Echo], model=always(ledger()), provider="acme", provider_hmac_secret=SECRET
    )
    for path in ("/provider/inbound", "/provider/acme/inbound"):
        assert (await deliver(client, signed({"id": "1", "user": "ana", "text": "x"}, path=path)))[0] == 200
    assert (await deliver(client, Signed("/provider/generic/inbound", {}, b"{}")))[0] == 404


@pytest.mark.usefixtures("acme")
async def test_without_a_secret_its_door_is_shut_and_the_log_names_the_variable(
    serve: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ACME_WEBHOOK_SECRET")
    client: Client = await serve(tools=[Echo], model=always(ledger()))
    status, body, _ = await deliver(client, signed())
    assert (status, json.loads(body)["code"]) == (503, "provider_not_ready")
    assert "ACME_WEBHOOK_SECRET" in capsys.readouterr().err


@pytest.mark.usefixtures("acme")
def test_doctor_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/x.db", tmp_path)

    def found() -> dict[str, str]:
        plugins, clock = load_plugins(settings), SystemClock()
        senders = senders_of(settings, Outlet(clock), Pace(clock), None, plugins)
        return {one.code: one.area for one in of_providers(settings, senders, clock.now(), plugins)}

    assert found() == {"door": "acme"}
    monkeypatch.delenv("ACME_API_KEY")
    assert found() == {"no_replies": "acme"}
    monkeypatch.delenv("ACME_WEBHOOK_SECRET")
    assert found() == {"no_provider": "providers"}


@pytest.mark.usefixtures("acme")
def test_installed_and_without_variables_it_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACME_WEBHOOK_SECRET", "ACME_API_KEY"):
        monkeypatch.delenv(name)
    settings = load_settings(_env_file=None)
    assert list(channels_of(settings, load_plugins(settings))) == ["generic"]


PLAIN = """
from typing import ClassVar
from llm_planner import plugins as lp
class Settings(lp.PluginSettings):
    size: int = 1
class Made(lp.Channel):
    name: ClassVar[str] = "{name}"
plugin = lp.Plugin(lambda secrets, settings: Made(), settings=Settings)
"""


def test_without_a_sender_replies_go_to_the_generic_address(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("my-desk = my_desk:plugin", PLAIN.format(name="my-desk"))
    monkeypatch.setenv("MY_DESK_WEBHOOK_SECRET", SECRET)
    settings = load_settings(
        _env_file=None, provider_hmac_secret=SECRET, generic_reply_url="https://x.example.com"
    )
    plugins = load_plugins(settings)
    assert "my-desk" in channels_of(settings, plugins)
    assert "my-desk" in senders_of(settings, Outlet(), Pace(SystemClock()), None, plugins)
    assert secret_setting(settings, "my-desk") == secret_variable("my-desk") == "MY_DESK_WEBHOOK_SECRET"


@pytest.mark.parametrize(
    "name", ["twilio", "web", "wa", "db", "whatsapp", "jwt", "Acme", "a" * 21, "9a", "a_b"]
)
def test_a_name_that_is_taken_or_is_none_stops_the_start(install: Install, name: str) -> None:
    install(f"{name} = odd_one:plugin", PLAIN.format(name=name))
    with pytest.raises(StartError, match="acme-channel"):
        load_plugins(load_settings(_env_file=None))


def test_two_packages_of_one_name_stop_the_start_and_are_both_named(install: Install) -> None:
    install("acme = one_acme:plugin", PLAIN.format(name="acme"), "one-acme")
    install("acme = two_acme:plugin", PLAIN.format(name="acme"), "two-acme")
    with pytest.raises(StartError, match=r"one-acme.*two-acme|two-acme.*one-acme"):
        load_plugins(load_settings(_env_file=None))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import nothing_of_that_name", "can't be imported"),
        ("other = 1", "can't be imported"),
        ("plugin = 1", "is no llm_planner.plugins.Plugin"),
        (PLAIN.format(name="another"), "calls itself another"),
    ],
)
def test_an_adapter_that_is_none_stops_the_start(install: Install, code: str, said: str) -> None:
    install("acme = broken_acme:plugin", code)
    with pytest.raises(StartError, match=said):
        load_plugins(load_settings(_env_file=None))


def test_a_wrong_value_of_its_variables_stops_the_start_and_names_it(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme = sized_acme:plugin", PLAIN.format(name="acme"))
    monkeypatch.setenv("ACME_SIZE", "a-secret-by-mistake")
    with pytest.raises(StartError, match="ACME_SIZE") as refused:
        load_plugins(load_settings(_env_file=None))
    assert "a-secret-by-mistake" not in refused.value.detail


def test_production_refuses_its_short_secret(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("acme = short_acme:plugin", PLAIN.format(name="acme"))
    monkeypatch.setenv("ACME_WEBHOOK_SECRET", "short")
    safe = {"environment": "production", "secret_key": SECRET, "_env_file": None}
    with pytest.raises(StartError, match="ACME_WEBHOOK_SECRET"):
        load_plugins(load_settings(**safe))


def test_provider_names_nothing_that_is_not_there(install: Install) -> None:
    with pytest.raises(StartError, match="PROVIDER: 'acme' is none of generic"):
        load_settings(_env_file=None, provider="acme")
    install("acme = there_acme:plugin", PLAIN.format(name="acme"))
    assert load_settings(_env_file=None, provider="acme").provider == "acme"


def test_the_adapter_of_the_page_passes_mypy_strict(tmp_path: Path) -> None:
    from mypy import api as mypy

    file = tmp_path / "acme_channel_of_the_page.py"
    file.write_text(docs.blocks(PAGE, "python")[0], "utf-8")
    config = str(docs.ROOT / "pyproject.toml")
    out, problems, code = mypy.run(
        ["--strict", "--config-file", config, "--follow-imports=silent", str(file)]
    )
    assert code == 0, out + problems


def test_the_adapter_of_the_page_is_short() -> None:
    lines = [line for line in docs.blocks(PAGE, "python")[0].splitlines() if line.strip()]
    assert len(lines) <= 45
