"""`doctor`: what it says about a process, in which language, how it ends, and that it tells no secret."""

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.tools import TOOLS
from llm_planner import create_app
from llm_planner.cli import cli
from llm_planner.commands.findings import WORDS, locale_of
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.testing.servers import FakeOllama, FakeOpenAI

from .conftest import APP_MIGRATIONS
from .harness import PROMPTS, serving, settings_for
from .tools import Echo, Ledger, plan
from .turn_kit import always, move_back
from .turn_smtp import fake_smtp

SECRET = "a-webhook-secret-of-some-length"
PASSWORD = "hunter2-the-password"
SAFE: dict[str, Any] = {
    "environment": "production",
    "public_base_url": "https://agent.example.com",
    "web_auth": "token",
}


class Guarded(Ledger):
    approver = "treasurer"


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "WEB_CONCURRENCY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_GB.UTF-8")


class Patient:
    """An application that `doctor` looks at; `examine` gives the findings by code, and the exit code."""

    def __init__(self, url: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.url = url
        self.folder = folder
        self._patch = patch

    def made(self, tools: Any = TOOLS, model: Any = None, **settings: Any) -> None:
        module = ModuleType("app_of_the_tests")
        made = settings_for(self.url, self.folder, **settings)
        module.app = create_app(  # type: ignore[attr-defined]
            tools=tools, prompts=PROMPTS, migrations=APP_MIGRATIONS.folder, settings=made, model=model
        )
        self._patch.setitem(sys.modules, "app_of_the_tests", module)

    async def run(self, *more: str) -> Result:
        words = ["--app", "app_of_the_tests:app", "doctor", *more]
        return await asyncio.to_thread(CliRunner().invoke, cli, words)

    async def examine(self, **settings: Any) -> tuple[dict[str, dict[str, Any]], int]:
        self.made(**settings)
        result = await self.run("--json")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert SECRET not in result.output
        assert PASSWORD not in result.output
        rows = json.loads(result.output)
        wrong = [row for row in rows if row["state"] in ("unsafe", "broken")]
        assert result.exit_code == (1 if wrong else 0), wrong
        return {row["code"]: row for row in rows}, result.exit_code


@pytest.fixture
def patient(db_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    return Patient(db_url, tmp_path, monkeypatch)


@pytest.fixture
def patient_on_sqlite(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Patient:
    path = tmp_path / "sick.db"
    path.write_bytes(sqlite_template.read_bytes())
    return Patient(f"sqlite:///{path}", tmp_path, monkeypatch)


@pytest.mark.covers("cli.doctor")
async def test_a_sound_process_has_nothing_to_mend(patient: Patient) -> None:
    found, code = await patient.examine()
    assert code == 0
    assert {"environment", "database", "worker", "embedded", "no_mail", "no_provider", "key"} <= set(found)
    shown = await patient.run()
    assert shown.output.splitlines()[-1] == "Nothing to mend."


@pytest.mark.covers("cli.doctor")
async def test_worst_comes_last_with_what_to_do_and_the_exit_code_says_so(patient_on_sqlite: Patient) -> None:
    patient_on_sqlite.made(host="0.0.0.0", whatsapp_app_secret="short", whatsapp_access_token=SECRET)
    shown = await patient_on_sqlite.run()
    assert shown.exit_code == 1
    lines = shown.output.splitlines()
    assert lines[-1] == "To mend: 3."
    assert [line.split()[0] for line in lines[-4:-1]] == ["UNSAFE", "UNSAFE", "BROKEN"]
    assert "WHATSAPP_APP_SECRET is shorter than 16 bytes" in shown.output
    assert "WHATSAPP_VERIFY_TOKEN is missing" in lines[-2]


@pytest.mark.parametrize(
    ("environment", "fallback", "expected"),
    [
        ({"LANG": "es_AR.UTF-8"}, "en", "es_AR"),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "pt_BR"}, "es", "pt_BR"),
        ({"LANG": "C.UTF-8"}, "es", "es"),
        ({"LANG": "de_DE", "LC_ALL": ""}, "en", "en"),
        ({}, "pt", "pt"),
    ],
)
def test_the_language_is_the_terminal_s_else_the_settings(
    environment: dict[str, str], fallback: str, expected: str
) -> None:
    assert locale_of(environment, fallback) == expected


async def test_it_speaks_spanish_to_a_spanish_terminal(
    patient_on_sqlite: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "es_UY.UTF-8")
    patient_on_sqlite.made()
    shown = await patient_on_sqlite.run()
    assert shown.output.splitlines()[-1] == "Nada para arreglar."


def test_every_sentence_is_there_in_three_languages_with_the_same_values() -> None:
    import string

    for code, texts in WORDS.items():
        names = [{field for _, field, _, _ in string.Formatter().parse(text) if field} for text in texts]
        assert len(texts) == 3, code
        assert names[0] == names[1] == names[2], code


UNSAFE: list[tuple[str, dict[str, Any]]] = [
    ("web_open", {"host": "0.0.0.0"}),
    ("web_open", {"public_base_url": "https://agent.example.com"}),
    ("no_tls", {**SAFE, "public_base_url": "http://agent.example.com"}),
    ("unsigned", {"provider_verify_signature": False}),
    ("unsigned", {**SAFE, "provider_verify_signature": False, "allow_unsigned_webhooks": True}),
    ("short_secret", {"secret_key": "short"}),
    ("short_secret", {"internal_api_key": "shop:short"}),
    ("short_secret", {"slack_signing_secret": f"{SECRET},short", "slack_bot_token": SECRET}),
    ("sqlite_several", {"workers_inline": False}),
    (
        "reply_url_no_tls",
        {"provider_hmac_secret": SECRET, "generic_reply_url": "http://backend.example.com/replies"},
    ),
]


@pytest.mark.parametrize(("code", "settings"), UNSAFE)
async def test_what_is_unsafe_is_said(
    patient_on_sqlite: Patient, code: str, settings: dict[str, Any]
) -> None:
    found, ended = await patient_on_sqlite.examine(**settings)
    assert (found[code]["state"], ended) == ("unsafe", 1)


BROKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("door_shut", "WHATSAPP_APP_SECRET", {"whatsapp_access_token": SECRET, "whatsapp_verify_token": SECRET}),
    (
        "door_shut",
        "SLACK_SIGNING_SECRET or PROVIDER_HMAC_SECRET",
        {"provider": "slack", "slack_bot_token": SECRET},
    ),
    ("door_shut", "STANDARD_WEBHOOKS_SECRET", {"standard_webhooks_secret": "no base64 at all, ñ"}),
    ("door_shut", "PUBLIC_BASE_URL", {**SAFE, "public_base_url": None, "bird_signing_key": SECRET}),
    (
        "handshake_shut",
        "WHATSAPP_VERIFY_TOKEN",
        {"whatsapp_app_secret": SECRET, "whatsapp_access_token": SECRET},
    ),
    ("no_replies", "TELEGRAM_BOT_TOKEN", {"telegram_webhook_secret_token": SECRET}),
    ("no_replies", "GENERIC_REPLY_URL", {"n8n_webhook_secret": SECRET}),
    ("no_replies", "TWILIO_ACCOUNT_SID", {"twilio_auth_token": SECRET}),
    ("no_replies", "CHATWOOT_API_TOKEN", {"chatwoot_webhook_secret": SECRET}),
]


@pytest.mark.parametrize(("code", "named", "settings"), BROKEN)
async def test_a_provider_that_lacks_something_is_said_with_the_variable(
    patient_on_sqlite: Patient, code: str, named: str, settings: dict[str, Any]
) -> None:
    found, ended = await patient_on_sqlite.examine(**settings)
    assert (found[code]["state"], ended) == ("broken", 1)
    assert named in found[code]["says"]


async def test_a_provider_that_is_whole_is_ready_and_what_is_only_wanted_is_a_note(
    patient_on_sqlite: Patient,
) -> None:
    whole = {"whatsapp_app_secret": SECRET, "whatsapp_verify_token": SECRET, "whatsapp_access_token": SECRET}
    found, ended = await patient_on_sqlite.examine(**whole)
    assert (found["door"]["state"], found["no_template"]["state"], ended) == ("ok", "note", 0)
    found, _ = await patient_on_sqlite.examine(**whole, whatsapp_template="aviso:es")
    assert "no_template" not in found
    twilio = {"twilio_auth_token": SECRET, "twilio_account_sid": "AC1"}
    found, ended = await patient_on_sqlite.examine(**twilio)
    assert (found["no_buttons"]["state"], ended) == ("note", 0)


async def test_a_database_that_is_away_or_behind_is_broken_and_says_what_to_run(
    patient: Patient, tmp_path: Path
) -> None:
    behind = Patient(patient.url, tmp_path, patient._patch)
    behind.made(**SAFE)
    async with serving(settings_for(patient.url, tmp_path), [Echo], ScriptedModel([])) as client:
        await client.rows("DELETE FROM alembic_version")
    try:
        found, ended = await behind.examine(**SAFE, db_auto_migrate=False)
        assert ("llm-planner db upgrade" in found["migrations"]["says"], ended) == (True, 1)
        found, ended = await behind.examine(**SAFE, db_auto_migrate=True)
        assert ("migrations_at_start" in found, ended) == (True, 0)
    finally:
        from .conftest import _migrate

        await asyncio.to_thread(asyncio.run, _migrate(patient.url))


async def test_a_server_that_is_not_there_is_broken_and_its_password_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Patient(f"mysql://u:{PASSWORD}@127.0.0.1:9/x", tmp_path, monkeypatch)
    found, ended = await away.examine()
    assert (found["database_away"]["state"], ended) == ("broken", 1)
    assert "DB_URL" in found["database_away"]["says"]


async def test_an_sqlite_file_that_is_not_there_yet_is_made_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, ended = await Patient(f"sqlite:///{tmp_path}/new.db", tmp_path, monkeypatch).examine()
    assert (found["database_new"]["state"], ended) == ("note", 0)
    assert not (tmp_path / "new.db").exists()


async def test_work_that_nobody_takes_up_means_that_no_worker_lives(patient: Patient, tmp_path: Path) -> None:
    settings = settings_for(patient.url, tmp_path, workers_inline=False)
    async with serving(settings, [Echo], always(plan(reply="hola"))) as client:
        await client.say("hola")
        found, _ = await patient.examine()
        assert found["worker"]["state"] == "ok"
        if patient.url.startswith("sqlite"):
            assert found["running"]["state"] == "ok"
        await client.rows("UPDATE turns SET state = 'queued'")
        await move_back(client, "turns", "created_at")
    found, ended = await patient.examine()
    assert (found["no_worker"]["state"], ended) == ("broken", 1)
    assert "llm-planner worker" in found["no_worker"]["says"]


async def test_what_waits_for_a_person_is_a_note_with_the_command(patient: Patient, tmp_path: Path) -> None:
    settings = settings_for(patient.url, tmp_path, telegram_webhook_secret_token=SECRET)
    async with serving(settings, [Echo], always(plan(reply="hola"))) as client:
        for number, state in enumerate(("dead", "dead", "unknown", "queued")):
            moment = datetime.now(UTC).replace(tzinfo=None)
            await client.rows(
                "INSERT INTO outbox (session_id, id, kind, destination, body, idempotency_key, state, attempts, "
                "due_at, created_at) VALUES ('s', :i, 'mail', 'x', '{}', :i, :s, 1, :m, :m)",
                i=f"o{number}", s=state, m=moment,
            )  # fmt: skip
    patient.made()
    shown = await patient.run()
    assert "2 deliveries did not go out" in shown.output
    assert "outbox list --state unknown" in shown.output
    assert shown.exit_code == 0


@pytest.mark.parametrize("kind", [FakeOllama, FakeOpenAI])
async def test_the_model_s_server_is_asked_for_the_model(patient_on_sqlite: Patient, kind: Any) -> None:
    prefix = "ollama" if kind is FakeOllama else "openai"
    async with kind() as server:
        server.models, server.key = ["one", "two:latest"], SECRET
        base = {f"{prefix}_base_url": server.url, f"{prefix}_api_key": SECRET}
        for model, code, ended in [("one", "model", 0), ("two", "model", 0), ("three", "model_missing", 1)]:
            found, exit_code = await patient_on_sqlite.examine(**base, **{f"{prefix}_model": model})
            assert (code in found, exit_code) == (True, ended), model
        assert f"{prefix.upper()}_MODEL" in found["model_missing"]["says"]
        found, _ = await patient_on_sqlite.examine(**{**base, f"{prefix}_api_key": "another-key-0123456789"})
        assert f"{prefix.upper()}_API_KEY" in found["model_key"]["says"]
        server.models = None
        found, exit_code = await patient_on_sqlite.examine(**base)
        assert ("model_unsure" in found, exit_code) == (True, 0)
        url = server.url
    found, exit_code = await patient_on_sqlite.examine(**{**base, f"{prefix}_base_url": url})
    assert (f"{prefix.upper()}_BASE_URL" in found["model_away"]["says"], exit_code) == (True, 1)


async def test_the_mail_server_is_greeted_and_no_letter_is_sent(patient_on_sqlite: Patient) -> None:
    async with fake_smtp() as smtp:
        found, ended = await patient_on_sqlite.examine(smtp_url=f"smtp://127.0.0.1:{smtp.port}")
        assert (found["mail"]["state"], ended, smtp.letters) == ("ok", 0, [])
        port = smtp.port
    found, ended = await patient_on_sqlite.examine(smtp_url=f"smtp://ana:{PASSWORD}@127.0.0.1:{port}")
    assert (found["mail_away"]["state"], ended) == ("broken", 1)


async def test_a_write_that_waits_for_a_role_nobody_has_is_a_note(patient_on_sqlite: Patient) -> None:
    found, _ = await patient_on_sqlite.examine(tools=[Guarded], model=ScriptedModel([]))
    assert "treasurer" in found["role_without_key"]["says"]
    assert "given_model" in found


async def test_settings_that_refuse_to_start_are_the_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("WEB_AUTH", "open")
    monkeypatch.delitem(sys.modules, "app.main", raising=False)
    shown = await asyncio.to_thread(CliRunner().invoke, cli, ["doctor"])
    assert shown.exit_code == 1
    assert "WEB_AUTH: open is for development" in shown.output
    assert "Traceback" not in shown.output
