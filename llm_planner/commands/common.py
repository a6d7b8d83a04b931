"""What the commands share: finding the application, its parts, and printing."""

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import click
from fastapi import FastAPI

from ..application import Blueprint
from ..assembly import Parts, assemble
from ..errors import StartError
from ..storage.migrate import behind
from ..turn.planner import Planner

T = TypeVar("T")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")


def load_app(where: str) -> FastAPI:
    """The application named by `module:attribute`. Raises StartError when it can't be had."""
    module, _, attribute = where.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute or "app")
    except ModuleNotFoundError as error:
        raise StartError(
            f"there is no {where} here ({error}); run this in your project's folder, or use --app"
        ) from error
    if not isinstance(found, FastAPI) or not isinstance(getattr(found.state, "blueprint", None), Blueprint):
        raise StartError(f"{where} was not made by create_app()")
    return found


def blueprint_of(where: str) -> Blueprint:
    """What that application is made from."""
    found: Blueprint = load_app(where).state.blueprint
    return found


def with_parts(where: str, work: Callable[[Parts], Awaitable[T]], planner: Planner | None = None) -> T:
    """Run `work` with the parts of a process that is not an engine; the schema must be there.

    `planner` stands in for the configured one.
    """

    async def session() -> T:
        blueprint = blueprint_of(where)
        parts = assemble(replace(blueprint.ingredients, planner=planner))
        try:
            missing = await parts.database.read(lambda conn: behind(conn, blueprint.migrations))
            if missing:
                raise StartError("the database has no current schema; run: llm-planner db upgrade")
            return await work(parts)
        finally:
            await parts.close()

    return asyncio.run(session())


def show(data: Any, as_json: bool, lines: Callable[[Any], list[str]]) -> None:
    """Print `data` as JSON or as lines for people."""
    text = json.dumps(data, ensure_ascii=False, indent=2, default=str) if as_json else "\n".join(lines(data))
    click.echo(text)
