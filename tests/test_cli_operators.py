"""`operators` of the command line: adding, listing, shutting out, passwords, keys."""

import asyncio
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from llm_planner.errors import Conflict, StartError
from llm_planner.passwords import matches

from .harness import open_database, rows
from .test_cli import Terminal, _application

PASSWORD = "a long enough password"
Ask = Callable[[str], list[Any]]


@pytest.fixture
def terminal(
    tmp_path: Path, sqlite_template: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    shutil.copy(sqlite_template, tmp_path / "test.db")
    _application(f"sqlite:///{tmp_path}/test.db", tmp_path, monkeypatch)
    return Terminal(capsys)


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Rows of one SELECT."""

    def query(sql: str) -> list[Any]:
        async def work() -> list[Any]:
            database = open_database(f"sqlite:///{tmp_path}/test.db")
            found = await rows(database, sql)
            await database.close()
            return found

        return asyncio.run(work())

    return query


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(f"{text}\n"))


@pytest.mark.covers("cli.operators")
def test_an_operator_is_added_listed_given_a_password_and_shut_out(
    terminal: Terminal, ask: Ask, types: Callable[[str], None]
) -> None:
    types(PASSWORD)
    assert terminal.invoke("operators", "add", "ana", "--role", "admin", "--person", "ana.perez") == 0
    assert "ana may enter /console as admin" in terminal.out
    (row,) = ask("SELECT * FROM operators")
    assert (row.name, row.person, row.role, row.disabled_at) == ("ana", "ana.perez", "admin", None)
    assert row.password.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert matches(PASSWORD, row.password)
    assert terminal.invoke("operators", "list", "--json") == 0
    shown = terminal.out
    assert json.loads(shown)["operators"][0]["person"] == "ana.perez"
    assert "argon2" not in shown
    assert terminal.invoke("operators", "disable", "ana") == 0
    with pytest.raises(StartError, match="no operator and no key"):
        terminal.invoke("operators", "disable", "ana")
    assert terminal.invoke("operators", "list") == 0
    assert "(disabled)" in terminal.out
    types("another long password")
    assert terminal.invoke("operators", "passwd", "ana") == 0
    (row,) = ask("SELECT password, disabled_at FROM operators")
    assert matches("another long password", row.password)
    assert row.disabled_at is None
    events = ask("SELECT kind, payload FROM audit_events ORDER BY seq")
    assert [event.kind for event in events] == [
        "operator_added",
        "operator_disabled",
        "operator_password_set",
    ]
    assert PASSWORD not in str(events)


def test_a_name_is_taken_once_and_never_one_that_the_audit_uses(
    terminal: Terminal, types: Callable[[str], None]
) -> None:
    types(PASSWORD)
    assert terminal.invoke("operators", "add", "ana", "--role", "viewer") == 0
    types(PASSWORD)
    with pytest.raises(Conflict, match="there is an operator ana already"):
        terminal.invoke("operators", "add", "ana", "--role", "admin")
    for name in ("user", "local", "", "a b", "x" * 65, "<b>"):
        with pytest.raises(click.BadParameter):
            terminal.invoke("operators", "add", "--role", "viewer", "--", name)


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
def test_a_password_that_is_too_short_or_too_long_changes_nothing(
    terminal: Terminal, ask: Ask, types: Callable[[str], None], password: str
) -> None:
    types(password)
    with pytest.raises(StartError, match="12 to 256 characters"):
        terminal.invoke("operators", "add", "ana", "--role", "viewer")
    assert ask("SELECT * FROM operators") == []


def test_a_key_is_shown_once_listed_without_its_secret_and_disabled_by_id(
    terminal: Terminal, ask: Ask
) -> None:
    arguments = ["--role", "viewer", "--scope", "audit", "--scope", "sessions", "--days", "30"]
    assert terminal.invoke("operators", "key", "reports", *arguments) == 0
    key = terminal.out.strip()
    (row,) = ask("SELECT * FROM api_keys")
    assert (row.name, row.role, row.scopes) == ("reports", "viewer", "audit,sessions")
    assert key.startswith(f"lpk_{row.id}_")
    assert terminal.invoke("operators", "list") == 0
    shown = terminal.out
    assert row.id in shown
    assert key[41:] not in shown
    assert terminal.invoke("operators", "disable", row.id) == 0
    assert ask("SELECT disabled_at FROM api_keys")[0].disabled_at is not None
