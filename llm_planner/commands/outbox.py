"""`outbox`: what waits, what was delivered, what needs a person."""

from typing import Any

import click
from sqlalchemy import Connection

from ..api.views import letter_json
from ..assembly import Parts
from ..errors import NotFound, StartError
from ..storage.database import now
from ..storage.repositories import outbox as rows
from ..storage.repositories import receipts
from ..storage.states import OutboxState
from .common import AS_JSON, show, with_parts


@click.group()
def outbox() -> None:
    """Mail and other deliveries."""


@outbox.command("list")
@click.option("--state", type=click.Choice([state.value for state in OutboxState]), help="Only this state.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500))
@AS_JSON
@click.pass_obj
def outbox_list(where: str, state: str | None, limit: int, as_json: bool) -> None:
    """Show deliveries, newest first, with what they say."""

    async def work(parts: Parts) -> list[dict[str, Any]]:
        found = await parts.database.read(lambda conn: rows.page(conn, state, None, limit))
        return [letter_json(row) for row in found]

    show(
        with_parts(where, work),
        as_json,
        lambda found: [_letter(row) for row in found] or ["the outbox is empty"],
    )


def _letter(row: dict[str, Any]) -> str:
    head = f"{row['id']}  {row['state']:<9} {row['kind']} to {row['destination']}, {row['created_at']}"
    body = "\n".join(
        f"    {line}"
        for line in f"{row['body'].get('subject', '')}\n{row['body'].get('text', '')}".splitlines()
    )
    return f"{head}\n{body}" + (f"\n    error: {row['error']}" if row["error"] else "")


@outbox.command("retry")
@click.argument("delivery")
@click.pass_obj
def retry(where: str, delivery: str) -> None:
    """Queue one delivery again that is dead, unknown, or waits too long."""

    def transaction(conn: Connection) -> bool:
        row = rows.find(conn, delivery)
        if row is None:
            raise NotFound(f"there is no delivery {delivery}")
        return receipts.requeue(conn, row, now(conn))

    async def work(parts: Parts) -> bool:
        return await parts.database.run(transaction)

    if not with_parts(where, work):
        raise StartError("only a delivery that is dead, unknown or retrying can be queued again")
    click.echo(f"{delivery} is queued")
