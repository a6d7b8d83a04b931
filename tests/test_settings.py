"""Settings: a wrong value stops the start and names its variable; production refuses what is unsafe."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI

from llm_planner import create_app
from llm_planner.assembly import Ingredients, assemble, chat_model, keyring
from llm_planner.clock import SystemClock
from llm_planner.errors import StartError
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.settings import Settings, load_settings
from llm_planner.storage.database import connect, normal_url
from llm_planner.tools import ToolRegistry

from .harness import PROMPTS, ROOT

SECRET = "a-secret-of-16-bytes-or-more"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine reaches the settings: the only variables are the test's, and no `.env`."""
    known = {name.upper() for name in Settings.model_fields} | {"WEB_CONCURRENCY"}
    for name in [name for name in os.environ if name.upper() in known]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return load_settings()


WRONG = [
    ("ENVIRONMENT", "staging"),
    ("PORT", "eighty"),
    ("PORT", "70000"),
    ("LOG_FORMAT", "xml"),
    ("LOG_LEVEL", "loud"),
    ("DEFAULT_LOCALE", "español"),
    ("DEFAULT_LOCALE", "../../etc"),
    ("TIMEZONE", "Middle/Earth"),
    ("TIMEZONE", "../etc"),
    ("DB_URL", "postgresql://h/x"),
    ("DB_URL", "nonsense"),
    ("DB_URL", "mysql://u:p@h:port/x"),
    ("DB_URL", "mongodb+srv://x"),
    ("DB_AUTO_MIGRATE", "perhaps"),
    ("WEB_AUTH", "closed"),
    ("WEB_AUTH", "jwt"),
    ("INTERNAL_API_KEY", "name:"),
    ("INTERNAL_API_KEY", ":key"),
    ("INTERNAL_API_KEY", "x" * 65 + ":key"),
    ("OPERATOR_API_KEYS", "anne:key"),
    ("OPERATOR_API_KEYS", "anne::key"),
    ("OPERATOR_API_KEYS", "x" * 65 + ":viewer:key"),
    ("LLM_PROVIDER", "skynet"),
    ("LLM_OUTPUT_MODE", "xml"),
    ("LLM_TIMEOUT_S", "0"),
    ("LLM_TIMEOUT_S", "soon"),
    ("ANSWERER", "maybe"),
    ("MAX_PLAN_ROUNDS", "0"),
    ("MAX_PLAN_ROUNDS", "99"),
    ("HISTORY_MESSAGES", "-1"),
    ("CONFIRM_TTL_SEC", "0"),
    ("TURN_ENGINE", "celery"),
    ("TOOL_TIMEOUT_S", "-1"),
    ("BUDGET_STEPS", "0"),
    ("BUDGET_SESSION_CALLS", "-1"),
    ("WORKERS_INLINE", "2"),
    ("PROVIDER_VERIFY_SIGNATURE", "sometimes"),
    ("PROVIDER_MAX_SKEW_SEC", "-5"),
    ("PUBLIC_BASE_URL", "chat.example.com"),
    ("PUBLIC_BASE_URL", "http://["),
]


@pytest.mark.covers("settings.named")
@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_stops_the_start_in_one_line_that_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with pytest.raises(StartError) as refused:
        load(monkeypatch, **{name: value})
    text = refused.value.detail
    assert name in text
    assert text.startswith("wrong settings: ")
    assert len(text.splitlines()) == 1 or name == "WEB_AUTH"


def test_several_wrong_values_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartError) as refused:
        load(monkeypatch, PORT="x", ANSWERER="y")
    assert [line.split(":")[0].strip() for line in refused.value.detail.splitlines()[1:]] == [
        "PORT",
        "ANSWERER",
    ]


def test_empty_values_count_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {name.upper(): "" for name in Settings.model_fields}
    assert load(monkeypatch, **empty) == load_settings()


def test_a_name_of_no_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, OTEL_TRACES_SAMPLER="x") == load_settings()


GOOD_PRODUCTION = {"ENVIRONMENT": "production", "SECRET_KEY": SECRET}


def test_production_starts_with_a_secret_key_and_asks_for_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **GOOD_PRODUCTION)
    assert settings.who_may_chat == "token"
    assert load_settings().who_may_chat == "open"


UNSAFE = [
    ("WEB_AUTH", {"WEB_AUTH": "open"}),
    ("SECRET_KEY", {"SECRET_KEY": ""}),
    ("SECRET_KEY", {"SECRET_KEY": "short"}),
    ("SECRET_KEY", {"SECRET_KEY": " " * 40}),
    ("SECRET_KEY_PREVIOUS", {"SECRET_KEY_PREVIOUS": "short"}),
    ("INTERNAL_API_KEY", {"INTERNAL_API_KEY": "backend:short"}),
    ("INTERNAL_API_KEY", {"INTERNAL_API_KEY": f"a:{SECRET},short"}),
    ("OPERATOR_API_KEYS", {"OPERATOR_API_KEYS": "anne:viewer:short"}),
    ("PROVIDER_HMAC_SECRET", {"PROVIDER_HMAC_SECRET": "short"}),
    ("PROVIDER_HMAC_SECRET", {"PROVIDER_HMAC_SECRET": f"{SECRET},short"}),
    ("PROVIDER_VERIFY_SIGNATURE", {"PROVIDER_VERIFY_SIGNATURE": "0"}),
    ("DB_URL", {"WORKERS_INLINE": "0"}),
    ("DB_URL", {"WEB_CONCURRENCY": "2"}),
    ("WEB_CONCURRENCY", {"WEB_CONCURRENCY": "many"}),
]


@pytest.mark.covers("settings.production")
@pytest.mark.parametrize(("named", "more"), UNSAFE)
def test_production_refuses_what_is_unsafe(
    monkeypatch: pytest.MonkeyPatch, named: str, more: dict[str, str]
) -> None:
    with pytest.raises(StartError) as refused:
        load(monkeypatch, **{**GOOD_PRODUCTION, **more})
    assert named in refused.value.detail
    assert "short" not in refused.value.detail.replace("shorter", "")


def test_production_without_signatures_needs_to_be_said_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    twice = {"PROVIDER_VERIFY_SIGNATURE": "0", "ALLOW_UNSIGNED_WEBHOOKS": "1"}
    assert load(monkeypatch, **GOOD_PRODUCTION, **twice).provider_verify_signature is False


def test_a_secret_key_may_hold_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, ENVIRONMENT="production", SECRET_KEY="a,secret,with,commas,in,it")
    assert settings.production


def test_several_worker_processes_are_welcome_on_mysql(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"DB_URL": "mysql://u:p@h/x", "WORKERS_INLINE": "0", "WEB_CONCURRENCY": "4"}
    settings = load(monkeypatch, **GOOD_PRODUCTION, **more)
    assert settings.migrates is False
    assert load(monkeypatch, DB_URL="mysql://u:p@h/x").migrates is True
    assert load(monkeypatch, **GOOD_PRODUCTION).migrates is True
    assert load(monkeypatch, DB_AUTO_MIGRATE="0").migrates is False


@pytest.mark.covers("settings.provider")
@pytest.mark.parametrize(
    ("variables", "chosen"),
    [
        ({}, "embedded"),
        ({"OLLAMA_BASE_URL": "http://h"}, "ollama"),
        ({"OLLAMA_API_KEY": "k"}, "ollama"),
        ({"OPENAI_API_KEY": "k"}, "openai"),
        ({"OPENAI_BASE_URL": "http://h/v1"}, "openai"),
        ({"OPENAI_API_KEY": "k", "OLLAMA_API_KEY": "k"}, "ollama"),
        ({"LLM_PROVIDER": "embedded", "OPENAI_API_KEY": "k"}, "embedded"),
        ({"LLM_PROVIDER": "openai", "OLLAMA_API_KEY": "k"}, "openai"),
        ({"LLM_PROVIDER": "ollama"}, "ollama"),
        ({"OLLAMA_MODEL": "m", "OPENAI_MODEL": "m"}, "embedded"),
    ],
)
def test_auto_picks_the_planner_by_what_is_set(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], chosen: str
) -> None:
    settings = load(monkeypatch, **variables)
    assert settings.llm == chosen
    model = chat_model(_ingredients(settings))
    assert (model.name.partition("/")[0] if model is not None else "embedded") == chosen


def _ingredients(settings: Settings) -> Ingredients:
    return Ingredients(settings, ToolRegistry(), PROMPTS, SystemClock())


@pytest.mark.parametrize(
    "variables",
    [
        {"OLLAMA_BASE_URL": "localhost:11434"},
        {"OLLAMA_BASE_URL": "http://user:secret@h"},
        {"OLLAMA_API_KEY": "ñandú-secret"},
        {"OPENAI_BASE_URL": "ftp://h"},
        {"OPENAI_API_KEY": "new\nline-secret"},
    ],
)
def test_an_address_or_key_that_no_model_can_have_is_named(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    with pytest.raises(StartError) as refused:
        assemble(_ingredients(load(monkeypatch, **variables)))
    assert next(iter(variables)) in refused.value.detail
    assert "secret" not in refused.value.detail


@pytest.mark.covers("settings.db-url")
@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///data/x.db", "sqlite+pysqlite"),
        ("mysql://u:p@h/x", "mysql+asyncmy"),
        ("mysql+pymysql://u:p@h/x", "mysql+asyncmy"),
        ("mariadb://u:p@h:3307/x", "mysql+asyncmy"),
        ("mariadb+pymysql://u:p@h/x?charset=utf8mb4", "mysql+asyncmy"),
    ],
)
def test_every_spelling_of_db_url_gets_our_driver(
    monkeypatch: pytest.MonkeyPatch, url: str, driver: str
) -> None:
    settings = load(monkeypatch, DB_URL=url)
    assert normal_url(settings.database_url).drivername == driver


@pytest.mark.covers("settings.db-url")
def test_host_and_password_may_come_apart_from_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    apart = {
        "DB_URL": "mysql://app@ignored:3307/shop?ssl_ca=/x",
        "DB_HOST": "db",
        "DB_PASSWORD": "p@ss:w/ord?%",
    }
    url = normal_url(load(monkeypatch, **apart).database_url)
    assert (url.username, url.password, url.host, url.port, url.database) == (
        "app",
        "p@ss:w/ord?%",
        "db",
        3307,
        "shop",
    )
    assert url.query == {"ssl_ca": "/x"}
    only_host = normal_url(load(monkeypatch, DB_URL="mysql://app:a%40b@x/shop", DB_HOST="db").database_url)
    assert (only_host.password, only_host.host, only_host.port) == ("a@b", "db", None)


def test_a_server_s_host_has_no_place_in_an_sqlite_url(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StartError, match="DB_HOST"):
        load(monkeypatch, DB_HOST="db")


def test_a_certificate_authority_in_the_url_is_used(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect(f"mysql://u:p@h/x?ssl_ca={tmp_path}/none.pem", SystemClock())


def test_sqlite_in_memory_and_a_folder_that_cannot_be_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for url in ("sqlite://", "sqlite:///:memory:", f"sqlite:///{tmp_path}/file/x.db"):
        with pytest.raises(StartError, match="DB_URL"):
            connect(url, SystemClock())


@pytest.mark.covers("http.no-leak")
def test_no_secret_is_in_the_repr_or_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = "very-secret-value-0123456789"
    variables = {
        "SECRET_KEY": hidden,
        "SECRET_KEY_PREVIOUS": hidden,
        "INTERNAL_API_KEY": f"a:{hidden}",
        "DB_PASSWORD": hidden,
        "OPERATOR_API_KEYS": f"a:viewer:{hidden}",
        "OLLAMA_API_KEY": hidden,
        "OPENAI_API_KEY": hidden,
        "JWT_KEY": hidden,
        "PROVIDER_HMAC_SECRET": hidden,
        "SMTP_URL": f"smtp://u:{hidden}@h",
        "DB_URL": f"mysql://u:{hidden}@h/x",
    }
    settings = load(monkeypatch, **variables)
    assert hidden not in repr(settings) + str(settings)
    with pytest.raises(StartError) as refused:
        load(
            monkeypatch,
            **{**variables, "OPERATOR_API_KEYS": hidden, "INTERNAL_API_KEY": f":{hidden}", "PORT": hidden},
        )
    assert hidden not in refused.value.detail
    with pytest.raises(StartError) as refused:
        load(monkeypatch, DB_URL=f"postgres://u:{hidden}@h/x")
    assert hidden not in refused.value.detail


def test_a_key_is_minted_once_into_the_data_folder_in_development(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    first = keyring(settings).current("x")
    path = tmp_path / "data" / "secret_key"
    assert path.stat().st_mode & 0o077 == 0
    assert keyring(settings).current("x") == first
    path.write_text("short")
    with pytest.raises(StartError, match="SECRET_KEY"):
        keyring(settings)


def test_a_data_folder_that_cannot_be_made_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="DATA_DIR"):
        keyring(load_settings(data_dir=tmp_path / "file"))


@pytest.mark.covers("settings.engine")
@pytest.mark.parametrize(
    "address", ["", "host", "host:", ":7233", "http://host:7233", "host:port", "a b:7233"]
)
def test_temporal_without_an_address_that_can_be_one_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with pytest.raises(StartError, match="TEMPORAL_ADDRESS: TURN_ENGINE=temporal needs host:port"):
        load(monkeypatch, TURN_ENGINE="temporal", TEMPORAL_ADDRESS=address)
    for good in ("localhost:7233", "[::1]:7233", "a.b-c.example:1"):
        load(monkeypatch, TURN_ENGINE="temporal", TEMPORAL_ADDRESS=good)


@pytest.mark.covers("settings.engine")
def test_without_temporal_s_package_the_start_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(turn_engine="temporal", temporal_address="localhost:7233")
    monkeypatch.setitem(sys.modules, "temporalio", None)
    with pytest.raises(StartError, match=r"TURN_ENGINE: .* pip install temporalio"):
        assemble(Ingredients(settings, ToolRegistry([]), PROMPTS, SystemClock(), ScriptedModel([])))


@pytest.mark.parametrize("modules", ["no.such.module", "json", "tests.tools"])
def test_tool_modules_without_tools_are_named(modules: str) -> None:
    from llm_planner.assembly import tool_registry

    with pytest.raises(StartError, match=f"TOOL_MODULES: {modules}"):
        tool_registry(load_settings(tool_modules=modules), [])


@pytest.mark.covers("tool.modules")
def test_tool_modules_replace_the_tools_of_the_app() -> None:
    from llm_planner.assembly import tool_registry

    from .tools import Echo

    names = [spec.name for spec in tool_registry(load_settings(tool_modules="app.tools , "), [Echo])]
    assert "get_order_status" in names
    assert "echo" not in names


JWT = {"web_auth": "jwt", "jwt_issuer": "i", "jwt_audience": "a"}


@pytest.mark.parametrize("key", ["short", "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----"])
async def test_a_jwt_key_that_verifies_nothing_stops_the_start(tmp_path: Path, key: str) -> None:
    settings = load_settings(data_dir=tmp_path, db_url=f"sqlite:///{tmp_path}/x.db", jwt_key=key, **JWT)
    with pytest.raises(StartError, match="JWT_KEY"):
        async with _alive(create_app(tools=[], prompts=PROMPTS, settings=settings, model=ScriptedModel([]))):
            pass


def _alive(app: FastAPI) -> Any:
    return app.router.lifespan_context(app)


@pytest.mark.covers("run.env-example", "run.by-hand")
async def test_the_example_copied_unchanged_starts_and_answers(tmp_path: Path) -> None:
    import asyncio

    copied = (ROOT / ".env.example").read_text()
    assert "PORT=8000" in copied
    (tmp_path / ".env").write_text(copied)
    environment = {**_clean_environment(), "PYTHONPATH": str(ROOT), "PORT": "0"}
    arguments = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        url = await asyncio.wait_for(_url_of(process), 60)
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{url}/agent", json={"message": "hola", "session_id": "demo"}) as answer,
        ):
            assert answer.status == 200
            assert (await answer.json())["status"] == "answered"
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.covers("run.host-port")
async def test_run_listens_where_host_and_port_say(tmp_path: Path) -> None:
    import asyncio

    with socket.socket() as probe:
        probe.bind(("127.0.0.2" if sys.platform == "linux" else "127.0.0.1", 0))
        host, port = probe.getsockname()
    environment = {**_clean_environment(), "PYTHONPATH": str(ROOT), "HOST": host, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "llm_planner", "run",
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert await asyncio.wait_for(_url_of(process), 60) == f"http://{host}:{port}"
    finally:
        process.terminate()
        await process.communicate()


async def _url_of(process: Any) -> str:
    while line := (await process.stderr.readline()).decode():
        if "running on" in line:
            return next(word for word in line.split() if word.startswith("http://"))
    raise AssertionError("the server did not start")


def _clean_environment() -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "SYSTEMROOT", "VIRTUAL_ENV", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ}


def test_the_example_has_no_quotes_and_no_comments_behind_values() -> None:
    for line in (ROOT / ".env.example").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            assert name.isupper()
            assert not {'"', "'", "#"} & set(value)
