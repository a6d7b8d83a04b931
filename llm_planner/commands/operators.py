"""`operators`: who may look after the agent: people with passwords, machines with keys."""

import getpass
import re
import sys
from datetime import datetime, timedelta
from typing import Any

import click
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from ..api.machine_keys import SCOPES, minted
from ..assembly import Parts
from ..console.ledger import LEDGER
from ..errors import Conflict, StartError
from ..messages import AuditEvent, Json
from ..passwords import LONGEST, SHORTEST, hashed
from ..storage.database import now
from ..storage.repositories import operators as rows
from ..storage.repositories.operators import OperatorRow
from .common import AS_JSON, show, with_parts

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
TAKEN = frozenset(["local", "system", "user", "planner", "model", "tool", "timer", "console"])
"""Names that mean something else in the audit."""


@click.group()
def operators() -> None:
    """Who may enter the console, and keys for machines."""


def _named(ctx: click.Context, option: click.Parameter, value: str) -> str:
    if not _NAME.fullmatch(value) or value in TAKEN:
        raise click.BadParameter("1 to 64 letters, digits, or . _ @ - ; and not a name the audit uses itself")
    return value


ROLE = click.option(
    "--role",
    required=True,
    callback=_named,
    help="viewer, operator, approver, admin, or one that a tool names.",
)


@operators.command("add")
@click.argument("name", callback=_named)
@ROLE
@click.option("--person", help="Who this is, where one person has several logins; they count as one.")
@click.pass_obj
def add(where: str, name: str, role: str, person: str | None) -> None:
    """Add an operator; asks for the password, or reads one line of the input.

    \b
    llm-planner operators add ana --role admin
    llm-planner operators add ana-finance --role finance --person ana
    """
    phc = hashed(_password())

    async def work(parts: Parts) -> None:
        def transaction(conn: Connection) -> None:
            rows.add(conn, OperatorRow(name, person or name, role, phc, now(conn), _me()))

        try:
            await parts.database.run(transaction)
        except IntegrityError:
            raise Conflict(f"there is an operator {name} already; see: operators passwd {name}") from None
        await _note(parts, "operator_added", operator=name, role=role, person=person or name)

    with_parts(where, work)
    click.echo(f"{name} may enter /console as {role}")


@operators.command("list")
@AS_JSON
@click.pass_obj
def operators_list(where: str, as_json: bool) -> None:
    """Show operators and keys, disabled ones too; no secrets."""

    async def work(parts: Parts) -> dict[str, list[dict[str, Any]]]:
        people, keys = await parts.database.read(lambda conn: (rows.everybody(conn), rows.keys(conn)))
        return {
            "operators": [
                {"name": row.name, "person": row.person, "role": row.role, "disabled": row.disabled_at}
                for row in people
            ],
            "keys": [
                {
                    "id": row.id, "name": row.name, "role": row.role, "scopes": row.scopes.split(","),
                    "expires": row.expires_at, "disabled": row.disabled_at,
                }
                for row in keys
            ],
        }  # fmt: skip

    show(with_parts(where, work), as_json, _lines)


def _lines(found: dict[str, list[dict[str, Any]]]) -> list[str]:
    lines = [f"{row['name']:<24} {row['role']:<12} {row['person']}{_off(row)}" for row in found["operators"]]
    lines += [
        f"{row['id']}  {row['name']:<16} {row['role']:<10} {','.join(row['scopes'])}; "
        f"until {row['expires']:%Y-%m-%d}{_off(row)}"
        for row in found["keys"]
    ]
    return lines or ["nobody yet; see: llm-planner operators add --help"]


def _off(row: dict[str, Any]) -> str:
    return "  (disabled)" if row["disabled"] else ""


@operators.command("disable")
@click.argument("name")
@click.pass_obj
def disable(where: str, name: str) -> None:
    """Shut out an operator by name, or a key by id; what is open is closed at once."""

    async def work(parts: Parts) -> bool:
        def transaction(conn: Connection) -> bool:
            moment = now(conn)
            return rows.disable(conn, name, moment) or rows.disable_key(conn, name, moment)

        done = await parts.database.run(transaction)
        if done:
            await _note(parts, "operator_disabled", operator=name)
        return done

    if not with_parts(where, work):
        raise StartError(f"there is no operator and no key {name} that could be disabled")
    click.echo(f"{name} is shut out")


@operators.command("passwd")
@click.argument("name")
@click.pass_obj
def passwd(where: str, name: str) -> None:
    """Give an operator a new password; ends their logins, and lets a disabled one in again."""
    phc = hashed(_password())

    async def work(parts: Parts) -> bool:
        done = await parts.database.run(lambda conn: rows.set_password(conn, name, phc))
        if done:
            await _note(parts, "operator_password_set", operator=name)
        return done

    if not with_parts(where, work):
        raise StartError(f"there is no operator {name}; see: llm-planner operators list")
    click.echo(f"{name} has a new password")


@operators.command("key")
@click.argument("name", callback=_named)
@ROLE
@click.option(
    "--scope", "scopes", multiple=True, required=True, type=click.Choice(SCOPES), help="Repeatable."
)
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 3650), help="Until it expires.")
@click.pass_obj
def key(where: str, name: str, role: str, scopes: tuple[str, ...], days: int) -> None:
    """Mint a machine's key and print it, once. It is sent as `Authorization: Bearer …`.

    \b
    llm-planner operators key reports --role viewer --scope audit --days 30
    """

    async def work(parts: Parts) -> str:
        def transaction(conn: Connection) -> tuple[str, str, datetime]:
            moment = now(conn)
            made = minted(name, role, scopes, moment, moment + timedelta(days=days))
            rows.mint(conn, made.row)
            return made.text, made.row.id, moment

        text, key_id, _ = await parts.database.run(transaction)
        await _note(parts, "key_minted", key=key_id, name=name, role=role, scopes=list(scopes), days=days)
        return text

    click.echo(with_parts(where, work))


async def _note(parts: Parts, kind: str, **payload: Json) -> None:
    await parts.inbox.note(LEDGER, AuditEvent(kind, _me(), payload))


def _me() -> str:
    return f"cli:{getpass.getuser()}"[:64]


def _password() -> str:
    """A password of a person at the terminal, twice; else the input's first line. Raises StartError."""
    if sys.stdin.isatty():
        given = getpass.getpass("password: ")
        if given != getpass.getpass("again: "):
            raise StartError("the two are different; nothing was changed")
    else:
        given = sys.stdin.readline().rstrip("\n")
    if not SHORTEST <= len(given) <= LONGEST:
        raise StartError(f"a password has {SHORTEST} to {LONGEST} characters; nothing was changed")
    return given
