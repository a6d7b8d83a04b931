"""`db`: the database's schema."""

import asyncio
from typing import Any

import click

from ..application import upgrade
from ..assembly import assemble
from .common import AS_JSON, blueprint_of, show


@click.group()
def db() -> None:
    """The database's schema."""


@db.command("upgrade")
@click.pass_obj
def db_upgrade(where: str) -> None:
    """Bring the schema to its newest version; may be run again after a crash."""

    async def work() -> None:
        blueprint = blueprint_of(where)
        parts = assemble(blueprint.ingredients)
        try:
            await upgrade(parts, blueprint.migrations)
        finally:
            await parts.close()

    asyncio.run(work())
    click.echo("the schema is up to date")


@db.command("current")
@AS_JSON
@click.pass_obj
def db_current(where: str, as_json: bool) -> None:
    """Which version the database has, and which one this code wants. Exit code 1 if they differ."""

    async def work() -> list[dict[str, Any]]:
        blueprint = blueprint_of(where)
        parts = assemble(blueprint.ingredients)
        try:
            found = [
                {
                    "table": item.version_table,
                    "current": await parts.database.read(item.current),
                    "wanted": item.head,
                }
                for item in blueprint.migrations
            ]
        finally:
            await parts.close()
        return found

    rows = asyncio.run(work())
    show(rows, as_json, lambda rows: [f"{r['table']}: {r['current']} (wanted: {r['wanted']})" for r in rows])
    raise SystemExit(0 if all(row["current"] == row["wanted"] for row in rows) else 1)


@db.command("ddl")
@click.option("--dialect", type=click.Choice(["mysql", "sqlite"]), default="mysql", show_default=True)
@click.pass_obj
def db_ddl(where: str, dialect: str) -> None:
    """Print the schema as SQL."""
    for item in blueprint_of(where).migrations:
        click.echo(item.ddl(dialect))
