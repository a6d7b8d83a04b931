"""The command line: what it prints, what it changes, and how it ends."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from app.tools import TOOLS
from llm_planner import create_app
from llm_planner.cli import cli
from llm_planner.errors import Conflict, NotFound, StartError
from llm_planner.llm.scripted import ScriptedModel

from .conftest import APP_MIGRATIONS
from .harness import PROMPTS, ROOT, open_database, rows, settings_for
from .tools import Ledger, plan

Query = Callable[..., list[Any]]


class Terminal:
    """The command line over one application; `invoke` gives the exit code, `out` what was printed since."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def invoke(self, *arguments: str) -> int:
        try:
            cli.main(["--app", "app_of_the_tests:app", *arguments], standalone_mode=False)
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    @property
    def out(self) -> str:
        text, self.err = self._capsys.readouterr()
        return text


class Keyboard:
    """Types lines one after the other; `{token}` in one is the token on the screen."""

    def __init__(self, terminal: Terminal, *lines: str) -> None:
        self._terminal = terminal
        self._lines = list(lines)
        self._token = ""
        self.screen = self.beside = ""

    def isatty(self) -> bool:
        return False

    def readline(self) -> str:
        shown = self._terminal.out
        self.screen += shown
        self.beside += self._terminal.err
        found = re.search(r"confirmar ([0-9A-Z]{8})", shown + self._terminal.err)
        self._token = found.group(1) if found else self._token
        return self._lines.pop(0).format(token=self._token) + "\n" if self._lines else ""


@pytest.fixture
def terminal(
    db_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    _application(db_url, tmp_path, monkeypatch)
    return Terminal(capsys)


def _application(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> None:
    made = ModuleType("app_of_the_tests")
    settings = settings_for(url, folder)
    made.app = create_app(  # type: ignore[attr-defined]
        **{
            "tools": TOOLS,
            "prompts": PROMPTS,
            "migrations": APP_MIGRATIONS.folder,
            "settings": settings,
            **more,
        }
    )
    monkeypatch.setitem(sys.modules, "app_of_the_tests", made)


@pytest.fixture
def query(db_url: str) -> Query:
    def ask(sql: str, **values: Any) -> list[Any]:
        async def work() -> list[Any]:
            database = open_database(db_url)
            found = await rows(database, sql, **values)
            await database.close()
            return found

        return asyncio.run(work())

    return ask


@pytest.fixture
def typing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Keyboard]:
    def lines(*text: str) -> Keyboard:
        keyboard = Keyboard(terminal, *text)
        monkeypatch.setattr(sys, "stdin", keyboard)
        return keyboard

    return lines


def _commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from _commands(command, (*path, name))


@pytest.mark.covers("cli.commands")
def test_every_command_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    found = set(_commands(cli))
    assert {("run",), ("worker",), ("db", "upgrade"), ("db", "current"), ("db", "ddl"), ("plan",)} <= found
    assert {("tools", "list"), ("tools", "schema"), ("tools", "call")} <= found
    assert {("audit", "verify"), ("audit", "export"), ("audit", "checkpoint")} <= found
    assert {("outbox", "list"), ("outbox", "retry"), ("writes", "list"), ("writes", "settle")} <= found
    for path in found:
        cli.main([*path, "--help"], prog_name="llm-planner", standalone_mode=False)
        shown = capsys.readouterr().out
        assert shown.startswith("Usage:")
        assert len(shown.splitlines()[2].strip()) > 10


# db


def test_upgrade_can_be_run_again_and_after_being_cut_off(terminal: Terminal, query: Query) -> None:
    assert terminal.invoke("db", "current") == 0
    query("DELETE FROM alembic_version")
    query("DROP TABLE usage_counters")
    assert terminal.invoke("db", "current", "--json") == 1
    shown = json.loads(terminal.out.split("\n", 2)[2])
    assert (shown[0]["table"], shown[0]["current"]) == ("alembic_version", None)
    for _ in range(2):
        assert terminal.invoke("db", "upgrade") == 0
        assert terminal.out == "the schema is up to date\n"
    assert terminal.invoke("db", "current") == 0
    assert query("SELECT 1 FROM usage_counters") == []


@pytest.mark.parametrize("dialect", ["mysql", "sqlite"])
def test_ddl_prints_every_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    _application(f"sqlite:///{tmp_path}/none.db", tmp_path, monkeypatch)
    terminal = Terminal(capsys)
    assert terminal.invoke("db", "ddl", "--dialect", dialect) == 0
    shown = terminal.out
    for table in ("sessions", "turns", "audit_events", "outbox", "customers", "email_verifications"):
        assert f"CREATE TABLE {table} (" in shown
    assert ("utf8mb4_bin" in shown) == (dialect == "mysql")


def test_without_a_schema_commands_say_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _application(f"sqlite:///{tmp_path}/empty.db", tmp_path, monkeypatch)
    for arguments in (["outbox", "list"], ["audit", "verify"], ["tools", "call", "get_business_hours"]):
        with pytest.raises(StartError, match="llm-planner db upgrade"):
            Terminal(capsys).invoke(*arguments)


# tools


def test_tools_are_listed_with_what_they_may_do(terminal: Terminal) -> None:
    assert terminal.invoke("tools", "list", "--json") == 0
    found = {row["name"]: row for row in json.loads(terminal.out)}
    assert found["register_customer"]["write"] is True
    assert found["get_order_status"]["write"] is False
    assert terminal.invoke("tools", "list") == 0
    assert re.search(r"register_customer +write, asks user", terminal.out)


def test_the_schema_of_a_tool_is_printed(terminal: Terminal) -> None:
    assert terminal.invoke("tools", "schema", "get_order_status") == 0
    assert "order_id" in json.loads(terminal.out)["properties"]
    with pytest.raises(StartError, match="there is no tool nothing"):
        terminal.invoke("tools", "schema", "nothing")


def test_a_read_is_called_at_once(terminal: Terminal, query: Query) -> None:
    assert terminal.invoke("tools", "call", "get_order_status", '{"order_id": "A-1234"}') == 0
    assert "A-1234" in terminal.out
    assert terminal.invoke("tools", "call", "get_order_status", '{"order_id": "A-1234"}', "--json") == 0
    assert json.loads(terminal.out)["steps"][0]["result"]["order_id"] == "A-1234"
    assert {row.channel for row in query("SELECT channel FROM sessions")} == {"cli"}
    assert terminal.invoke("tools", "call", "get_order_status", '{"order_id": "Z-9"}') == 1


@pytest.mark.covers("cli.commands")
def test_a_write_shows_its_card_and_runs_once_confirmed(
    terminal: Terminal, query: Query, typing: Callable[..., Keyboard]
) -> None:
    keyboard = typing("yes", "confirmar AAAA2222", "confirmar {token}")
    args = '{"name": "Ana López", "email": "ana@example.com"}'
    assert terminal.invoke("tools", "call", "register_customer", args) == 0
    assert "Ana López" in keyboard.screen
    assert [row.name for row in query("SELECT name FROM customers")] == ["Ana López"]
    assert [row.state for row in query("SELECT state FROM tool_runs")] == ["ok"]
    kinds = [row.kind for row in query("SELECT kind FROM audit_events ORDER BY seq")]
    assert "confirmation_refused" in kinds
    assert terminal.invoke("audit", "verify") == 0


@pytest.mark.parametrize("lines", [[], ["cancel"], ["no", "cancelar {token}"]])
def test_a_write_that_is_not_confirmed_does_not_run(
    terminal: Terminal, query: Query, typing: Callable[..., Keyboard], lines: list[str]
) -> None:
    typing(*lines)
    assert (
        terminal.invoke("tools", "call", "register_customer", '{"name": "Ana", "email": "a@example.com"}')
        == 0
    )
    assert query("SELECT 1 FROM customers") == []
    assert [row.state for row in query("SELECT state FROM pending_confirmations")] == ["cancelled"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "there is no tool nothing"),
        (["get_order_status"], "order_id: Field required"),
        (["get_order_status", "{"], "no JSON"),
        (["get_order_status", "[]"], "a JSON object"),
        (["get_order_status", "[" * 100_000], "no JSON"),
        (["get_order_status", '{"order_id": "A", "more": 1}'], "more"),
    ],
    ids=range(6),
)
def test_a_call_that_cannot_be_is_refused_before_anything_is_stored(
    terminal: Terminal, query: Query, arguments: list[str], said: str
) -> None:
    with pytest.raises(StartError, match=said):
        terminal.invoke("tools", "call", *arguments)
    assert query("SELECT 1 FROM sessions") == []


def test_a_tool_of_another_channel_or_role_is_not_run_here(
    db_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    query: Query,
) -> None:
    class WebOnly(Ledger):
        name = "web_only"
        channels = ("web",)

    class Refund(Ledger):
        name = "refund"
        approver = "billing"

    _application(db_url, tmp_path, monkeypatch, tools=[WebOnly, Refund], model=ScriptedModel([]))
    terminal = Terminal(capsys)
    with pytest.raises(StartError, match="web only"):
        terminal.invoke("tools", "call", "web_only", '{"what": "a"}')
    assert terminal.invoke("tools", "call", "refund", '{"what": "a"}') == 0
    assert "billing" in terminal.out
    assert [row.state for row in query("SELECT state FROM pending_confirmations")] == ["pending"]


# plan


def test_plan_shows_waves_and_writes_and_stores_nothing(
    db_url: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    query: Query,
) -> None:
    customer = {"name": "Ana López", "email": "ana@example.com"}
    script = [plan(("register_customer", customer)), plan(("get_order_status", {"order_id": "A-1234"}))]
    _application(db_url, tmp_path, monkeypatch, model=ScriptedModel(script))
    terminal = Terminal(capsys)
    assert terminal.invoke("plan", "registrame, soy Ana López, mi mail es ana@example.com") == 0
    assert re.search(r"wave 1\n  s1 register_customer \[WRITE\] .*ana@example.com", terminal.out)
    assert terminal.invoke("plan", "¿dónde está mi pedido A-1234?", "--json") == 0
    waves = json.loads(terminal.out)["waves"]
    assert [(step["tool"], step["write"]) for step in waves[0]] == [("get_order_status", False)]
    for table in ("sessions", "turns", "pending_confirmations", "audit_events", "customers"):
        assert query(f"SELECT 1 FROM {table}") == []


def test_plan_works_without_a_model_and_without_a_schema(tmp_path: Path) -> None:
    planned = _process(tmp_path, "plan", "¿dónde está mi pedido A-1234?")
    assert planned.returncode == 0
    assert "get_order_status" in planned.stdout


def test_plan_without_a_plan_ends_with_one(
    db_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    after = plan(("get_order_status", {"order_id": "A-1"}), ("get_order_status", {"order_id": "A-2"}))
    ordered = json.loads(after)
    ordered["tool_calls"][1]["after"] = ["s1"]
    model = ScriptedModel(["prose", "prose", "prose", json.dumps(ordered)])
    _application(db_url, tmp_path, monkeypatch, model=model)
    terminal = Terminal(capsys)
    assert terminal.invoke("plan", "hola") == 1
    assert terminal.out == "no plan: no_plan\n"
    assert terminal.invoke("plan", "hola") == 0
    assert "wave 2" in terminal.out


# outbox and audit


def test_the_outbox_is_listed_and_a_dead_letter_queued_again(
    terminal: Terminal, query: Query, typing: Callable[..., Keyboard]
) -> None:
    assert terminal.invoke("outbox", "list") == 0
    assert terminal.out == "the outbox is empty\n"
    typing("confirmar {token}")
    terminal.invoke("tools", "call", "register_customer", '{"name": "Ana", "email": "ana@example.com"}')
    _ = terminal.out
    assert terminal.invoke("outbox", "list", "--json") == 0
    letter = json.loads(terminal.out)[0]
    assert (letter["state"], letter["destination"]) == ("queued", "ana@example.com")
    assert re.search(r"\d{6}", letter["body"]["text"])
    with pytest.raises(StartError, match="only a delivery that is"):
        terminal.invoke("outbox", "retry", letter["id"])
    query("UPDATE outbox SET state = 'dead', error = 'no route'")
    assert terminal.invoke("outbox", "list", "--state", "dead") == 0
    assert "no route" in terminal.out
    assert terminal.invoke("outbox", "retry", letter["id"]) == 0
    assert [row.state for row in query("SELECT state FROM outbox")] == ["queued"]
    with pytest.raises(NotFound):
        terminal.invoke("outbox", "retry", "nothing")


def test_an_unknown_write_is_listed_and_settled_once(
    terminal: Terminal, query: Query, typing: Callable[..., Keyboard]
) -> None:
    assert terminal.invoke("writes", "list") == 0
    assert terminal.out == "the journal has nothing of that kind\n"
    typing("confirmar {token}")
    terminal.invoke("tools", "call", "register_customer", '{"name": "Ana", "email": "ana@example.com"}')
    query("UPDATE tool_runs SET state = 'unknown', deadline_at = '2026-01-01 00:00:00.000000'")
    query("UPDATE pending_confirmations SET state = 'unknown'")
    _ = terminal.out
    assert terminal.invoke("writes", "list", "--state", "unknown", "--json") == 0
    write = json.loads(terminal.out)[0]
    assert terminal.invoke("writes", "settle", write["id"], "not_done", "--reason", "never arrived") == 0
    assert terminal.out == f"{write['id']} is settled: not_done\n"
    assert [row.state for row in query("SELECT state FROM tool_runs")] == ["failed"]
    assert terminal.invoke("writes", "list") == 0
    assert re.search(r"settled by cli:\S+: never arrived", terminal.out)
    with pytest.raises(Conflict):
        terminal.invoke("writes", "settle", write["id"], "done")


@pytest.mark.covers("rule.17", "cli.commands")
def test_audit_verify_names_the_first_broken_row(terminal: Terminal, query: Query) -> None:
    for _ in range(2):
        terminal.invoke("tools", "call", "get_order_status", '{"order_id": "A-1234"}')
    _ = terminal.out
    assert terminal.invoke("audit", "verify") == 0
    assert re.fullmatch(r"2 sessions, \d+ events: intact\n", terminal.out)
    first = query("SELECT session_id FROM audit_events ORDER BY session_id")[0].session_id
    query("UPDATE audit_events SET actor = 'somebody' WHERE seq = 2 AND session_id = :s", s=first)
    assert terminal.invoke("audit", "verify", "--json") == 1
    broken = json.loads(terminal.out)["broken"]
    assert [(item["session"], item["seq"]) for item in broken] == [(first, 2)]
    query("DELETE FROM audit_events WHERE seq = 2 AND session_id = :s", s=first)
    assert terminal.invoke("audit", "verify") == 1
    assert f"session {first}, row 3: row 2 is missing" in terminal.out


def test_audit_export_and_checkpoint_are_json_for_keeping(terminal: Terminal, query: Query) -> None:
    terminal.invoke("tools", "call", "get_order_status", '{"order_id": "A-1234"}')
    _ = terminal.out
    assert terminal.invoke("audit", "export") == 0
    events = [json.loads(line) for line in terminal.out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert len(events) == len(query("SELECT 1 FROM audit_events"))
    assert terminal.invoke("audit", "export", "--session", "nothing") == 0
    assert terminal.out == ""
    assert terminal.invoke("audit", "checkpoint") == 0
    first = json.loads(terminal.out)
    assert {"at", "sessions", "digest", "key_id", "signature"} == set(first)
    query("DELETE FROM audit_events WHERE seq > 1")
    query("UPDATE sessions SET audit_seq = 1")
    assert terminal.invoke("audit", "checkpoint") == 0
    assert json.loads(terminal.out)["digest"] != first["digest"]


# As a process


def _environment(folder: Path, **more: str) -> dict[str, str]:
    kept = ("PATH", "HOME", "LANG", "SYSTEMROOT", "VIRTUAL_ENV", "TMPDIR")
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return {**found, "PYTHONPATH": str(ROOT), "PORT": "0", "DB_URL": f"sqlite:///{folder}/cli.db", **more}


def _process(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "llm_planner", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=_environment(folder, **more),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_a_wrong_setting_is_one_plain_line_and_exit_code_1(tmp_path: Path) -> None:
    ended = _process(tmp_path, "run", PORT="eighty")
    assert ended.returncode == 1
    assert re.fullmatch(r"llm-planner: wrong settings: PORT: .*\n", ended.stderr)
    assert ended.stdout == ""


def test_a_folder_without_an_app_is_said_plainly(tmp_path: Path) -> None:
    ended = _process(tmp_path, "--app", "nowhere:app", "tools", "list")
    assert ended.returncode == 1
    assert re.fullmatch(r"llm-planner: there is no nowhere:app here .*\n", ended.stderr)


def test_what_only_shows_while_starting_is_said_in_one_line_too(tmp_path: Path) -> None:
    jwt = {"WEB_AUTH": "jwt", "JWT_ISSUER": "i", "JWT_AUDIENCE": "a", "JWT_KEY": "short"}
    ended = _process(tmp_path, "run", **jwt)
    assert ended.returncode == 1
    assert "llm-planner: JWT_KEY: a shared key needs at least 32 bytes" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_second_process_on_one_sqlite_file_is_refused_and_the_command_line_works_beside_it(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "llm_planner", "run"]
    first = subprocess.Popen(
        command, cwd=tmp_path, env=_environment(tmp_path), stderr=subprocess.PIPE, text=True
    )
    assert first.stderr is not None
    try:
        assert any("Uvicorn running" in line for line in first.stderr)
        for second in (_process(tmp_path, "run"), _process(tmp_path, "worker")):
            assert second.returncode == 1
            assert "another process already runs this database" in second.stderr
            assert "Traceback" not in second.stderr
        assert _process(tmp_path, "outbox", "list").stdout == "the outbox is empty\n"
        called = _process(tmp_path, "tools", "call", "get_order_status", '{"order_id": "A-1234"}')
        assert (called.returncode, "A-1234" in called.stdout) == (0, True)
        assert _process(tmp_path, "audit", "verify").returncode == 0
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=30)
    assert first.returncode in (0, -signal.SIGTERM)


# chat, completion


@pytest.mark.covers("cli.chat")
def test_a_conversation_shows_its_steps_and_card_runs_the_confirmed_write_and_goes_on_later(
    terminal: Terminal, query: Query, typing: Callable[..., Keyboard]
) -> None:
    keyboard = typing("¿dónde está mi pedido A-1234?", "registrame, soy Ana López, ana@example.com",
                      "confirmar AAAA2222", "confirmar {token}")  # fmt: skip
    assert terminal.invoke("chat", "--session", "shop") == 0
    screen = keyboard.screen + terminal.out
    assert "Tu pedido A-1234 está en camino" in screen
    assert '• name: "Ana López"' in screen
    assert "Listo: Registrar a Ana López" in screen
    assert [row.name for row in query("SELECT name FROM customers")] == ["Ana López"]
    later = typing()
    assert terminal.invoke("chat", "--session", "shop") == 0
    assert "› ¿dónde está mi pedido A-1234?" in later.screen


def test_a_conversation_tells_on_the_side_what_the_agent_does(
    terminal: Terminal, typing: Callable[..., Keyboard]
) -> None:
    keyboard = typing("¿dónde está mi pedido A-1234?")
    assert terminal.invoke("chat") == 0
    assert "pedido A-1234" in keyboard.screen
    assert '· get_order_status {"order_id": "A-1234"}' in keyboard.beside
    assert "✓ get_order_status: ok" in keyboard.beside


def test_a_machine_gets_one_json_line_a_turn(terminal: Terminal, typing: Callable[..., Keyboard]) -> None:
    keyboard = typing("hello", "where is order A-1234?")
    assert terminal.invoke("chat", "--json", "--locale", "en", "--session", "m") == 0
    turns = [json.loads(line) for line in (keyboard.screen + terminal.out).splitlines()]
    assert [turn["status"] for turn in turns] == ["answered", "answered"]
    assert turns[1]["steps"][0]["tool"] == "get_order_status"
    assert {turn["session_id"] for turn in turns} == {"m"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(terminal: Terminal, shell: str) -> None:
    assert terminal.invoke("completion", shell) == 0
    assert "_LLM_PLANNER_COMPLETE" in terminal.out
