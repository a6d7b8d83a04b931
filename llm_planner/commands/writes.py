"""`writes`: what was called in the outside world, and settling what nobody knows the end of."""

import getpass
from typing import Any

import click

from ..api.views import write_json
from ..assembly import Parts
from ..errors import Unavailable
from ..messages import Decision
from ..storage.repositories import writes as rows
from ..storage.states import RunState
from ..turn.settling import settled, settlement
from .common import AS_JSON, show, with_parts


@click.group()
def writes() -> None:
    """The write journal: calls of confirmed writes."""


@writes.command("list")
@click.option("--state", type=click.Choice([state.value for state in RunState]), help="Only this state.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500))
@AS_JSON
@click.pass_obj
def writes_list(where: str, state: str | None, limit: int, as_json: bool) -> None:
    """Show calls, newest first; `--state unknown` are those that need a person."""
    only = {"state": state} if state is not None else {}

    async def work(parts: Parts) -> list[dict[str, Any]]:
        return [
            write_json(item)
            for item in await parts.database.read(lambda conn: rows.page(conn, only, None, limit))
        ]

    show(
        with_parts(where, work),
        as_json,
        lambda found: [_line(item) for item in found] or ["the journal has nothing of that kind"],
    )


def _line(write: dict[str, Any]) -> str:
    head = f"{write['id']}  {write['state']:<8} {write['tool']}: {write['summary']}, {write['started_at']}"
    key = f"    idempotency key {write['idempotency_key']}, session {write['session']}"
    by = f"\n    settled by {write['settled_by']}" if write["settled_by"] else ""
    return f"{head}\n{key}{by}" + (f": {write['reason']}" if by and write["reason"] else "")


@writes.command("settle")
@click.argument("write")
@click.argument("outcome", type=click.Choice(["done", "not_done"]))
@click.option("--reason", help="How you know; kept in the audit.")
@click.pass_obj
def settle(where: str, write: str, outcome: Any, reason: str | None) -> None:
    """Say what became of a write whose outcome is unknown; its user is told."""
    decision = Decision(write, outcome, f"cli:{getpass.getuser()}"[:200], ("operator",), reason=reason)

    async def work(parts: Parts) -> None:
        accepted = await parts.inbox.accept(await settlement(parts.database, write, decision), take=True)
        await parts.worker.run_next(accepted.session_id, accepted.claimed)
        view = await parts.views.turn(accepted.session_id, accepted.turn_id, owner=False)
        if view is None:
            raise Unavailable("its session is busy; a server over this database settles it next")
        settled(view)

    with_parts(where, work)
    click.echo(f"{write} is settled: {outcome}")
