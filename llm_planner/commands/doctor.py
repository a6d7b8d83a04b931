"""`doctor`: what is configured, what can be reached, and what is unsafe or broken."""

import asyncio
import json
from collections.abc import AsyncIterator

import click

from ..application import Blueprint
from ..assembly import Parts, assemble
from ..delivery.pace import Pace
from ..errors import StartError
from ..providers import senders_of
from .checks import of_providers, of_settings, of_tools
from .common import AS_JSON, blueprint_of
from .findings import Finding, finding, lines, terminal_locale
from .probes import of_database, of_mail, of_planner

_FALLBACK = "en"


@click.command()
@AS_JSON
@click.pass_obj
def doctor(where: str, as_json: bool) -> None:
    """Say what is configured, reachable and unsafe, and what to do next. Exit code 1 when something is to mend.

    It asks the database, the model's server and the mail server, sends nothing, changes nothing, and prints no
    secret. Its language is the terminal's (LC_ALL, LC_MESSAGES, LANG), else DEFAULT_LOCALE.
    """
    locale = terminal_locale(_FALLBACK)
    try:
        blueprint = blueprint_of(where)
        locale = terminal_locale(blueprint.ingredients.settings.default_locale)
        found = asyncio.run(_examined(blueprint))
    except StartError as error:
        found = [finding("settings", "broken", "does_not_start", why=error.detail)]
    if as_json:
        click.echo(json.dumps([one.row(locale) for one in found], ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join(lines(found, locale)))
    if any(one.state in ("unsafe", "broken") for one in found):
        raise SystemExit(1)


async def _examined(blueprint: Blueprint) -> list[Finding]:
    parts = assemble(blueprint.ingredients)
    try:
        return [one async for one in _all(blueprint, parts)]
    finally:
        await parts.close()


async def _all(blueprint: Blueprint, parts: Parts) -> AsyncIterator[Finding]:
    settings, made_of = parts.settings, blueprint.ingredients
    senders = senders_of(settings, parts.outlet, Pace(made_of.clock), made_of.apis, made_of.plugins)
    for one in [*of_settings(settings), *of_tools(settings, made_of.registry)]:
        yield one
    async for one in of_database(blueprint, parts):
        yield one
    yield await of_planner(settings, made_of.model.name if made_of.model is not None else None)
    yield await of_mail(settings)
    for one in of_providers(settings, senders, made_of.clock.now(), made_of.plugins):
        yield one
