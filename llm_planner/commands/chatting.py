"""`chat`: a conversation with the agent in the terminal: what it does as it does it, cards, earlier lines."""

import asyncio
import json
import sys
from typing import Any

import click

from ..api.views import turn_json
from ..assembly import Parts
from ..errors import PlannerError
from ..ids import new_id
from ..messages import SessionKey, TurnView
from ..neutral import plain
from ..storage.repositories import sessions, turns
from ..turn.progress import CallBegan, CallEnded, News, Said, Stage, Unsaid
from .common import AS_JSON, with_parts
from .talking import Talk, talking

EARLIER = 10
"""Lines of an earlier conversation that are shown when it goes on."""
MARKS = {"ok": "✓", "awaiting_confirmation": "▣"}


@click.command()
@click.option("--session", "label", help="Go on with this conversation, or give a new one its name.")
@click.option("--locale", default=None, help="es, en, pt, or a tag such as es-AR.")
@AS_JSON
@click.pass_obj
def chat(where: str, label: str | None, locale: str | None, as_json: bool) -> None:
    """Talk to the agent; an empty line or the end of the input ends it. With --json a line each turn.

    \b
    llm-planner chat --locale en
    llm-planner chat --session shop-test
    echo "where is order A-17?" | llm-planner chat --json
    """

    async def work(parts: Parts) -> None:
        async with talking(parts, label or new_id(), locale) as talk:
            if not as_json:
                await _open(parts, talk)
            while line := await _line(as_json):
                await _turn(talk, line, as_json)

    with_parts(where, work)


async def _open(parts: Parts, talk: Talk) -> None:
    click.secho(f"session {talk.label}", dim=True, err=True)
    for who, said in await _earlier(parts, talk.key):
        click.secho(f"{'›' if who == 'user' else ' '} {said}", dim=True)


async def _earlier(parts: Parts, key: SessionKey) -> list[tuple[str, str]]:
    def lines(conn: Any) -> list[tuple[str, str]]:
        session = sessions.by_key(conn, key.digest())
        if session is None:
            return []
        found = turns.history(conn, session.id, session.next_seq, EARLIER)
        return [(line.role, line.text) for line in found]

    return await parts.database.read(lines)


async def _line(as_json: bool) -> str:
    """The next line that was typed; "" at the end."""
    if not as_json and sys.stdin.isatty():
        click.secho("› ", bold=True, nl=False)
    typed: str = await asyncio.to_thread(sys.stdin.readline)
    return typed.strip()


async def _turn(talk: Talk, line: str, as_json: bool) -> None:
    screen = Screen()
    try:
        view = await talk.say(line, None if as_json else screen.show)
    except PlannerError as error:
        if as_json:
            raise
        click.secho(f"{error.code}: {error.detail}", fg="red", err=True)
        return
    if as_json:
        data = turn_json(view, session_id=talk.label, duplicate=False)
        click.echo(json.dumps(data, ensure_ascii=False, default=str))
    else:
        screen.finish(view)


class Screen:
    """What one turn shows: its news as they come, then what of the reply was not said yet."""

    def __init__(self) -> None:
        self._said = ""

    def show(self, news: News) -> None:
        if isinstance(news, Said):
            self._said += news.text
            click.echo(news.text, nl=False)
        elif isinstance(news, Unsaid):
            self._said = ""
            click.echo()
        elif isinstance(news, CallBegan):
            click.secho(f"  · {news.tool} {_short(news.args)}", dim=True, err=True)
        elif isinstance(news, CallEnded):
            click.secho(f"  {MARKS.get(news.status, '✗')} {news.tool}: {news.status}", dim=True, err=True)
        elif isinstance(news, Stage) and news.name == "plan":
            click.secho("  · plan", dim=True, err=True)

    def finish(self, view: TurnView) -> None:
        """The reply; the part that was streamed is not repeated."""
        if self._said and view.reply.startswith(self._said):
            click.echo(view.reply[len(self._said) :])
        else:
            click.echo(("\n" if self._said else "") + view.reply)
        click.echo()


def _short(value: Any) -> str:
    """Arguments on one line, made harmless for a terminal."""
    text = plain(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 100 else text[:99] + "…"
