"""`audit`: verify the chains, export events, sign a checkpoint."""

import json
import sys
from functools import partial
from typing import Any

import click
from sqlalchemy import Connection

from ..api.views import audit_json
from ..assembly import Parts
from ..storage.database import now
from ..storage.repositories import audit as rows
from ..storage.repositories import sessions
from ..turn.audit import Broken, in_all_chains
from .common import AS_JSON, show, with_parts

BATCH = 500


@click.group()
def audit() -> None:
    """The audit trail."""


@audit.command("verify")
@AS_JSON
@click.pass_obj
def verify(where: str, as_json: bool) -> None:
    """Verify every session's chain; name the first broken row of each. Exit code 1 if there is one."""

    async def work(parts: Parts) -> dict[str, Any]:
        heads = await parts.database.read(_heads)
        broken: list[Broken] = []
        with click.progressbar(heads, label="verifying", file=sys.stderr) as bar:
            for session_id, _, _ in bar:
                found = await parts.database.read(partial(_verified, parts=parts, session_id=session_id))
                broken += [found] if found is not None else []
        return {
            "sessions": len(heads),
            "events": sum(seq for _, seq, _ in heads),
            "broken": [
                {"session": item.session_id, "seq": item.seq, "reason": item.reason} for item in broken
            ],
        }

    found = with_parts(where, work)
    show(found, as_json, _lines)
    raise SystemExit(1 if found["broken"] else 0)


def _lines(found: dict[str, Any]) -> list[str]:
    first = f"{found['sessions']} sessions, {found['events']} events: " + (
        "BROKEN" if found["broken"] else "intact"
    )
    return [first, *(f"session {b['session']}, row {b['seq']}: {b['reason']}" for b in found["broken"])]


def _heads(conn: Connection) -> list[tuple[str, int, str]]:
    return list(in_all_chains(lambda after: rows.heads(conn, after, BATCH)))


def _events(conn: Connection, session_id: str) -> list[rows.AuditRow]:
    return list(rows.chain(conn, session_id))


def _verified(conn: Connection, parts: Parts, session_id: str) -> Broken | None:
    """Head and rows from the same transaction, so that a turn that closes meanwhile does not look broken."""
    session = sessions.by_id(conn, session_id)
    head = (session.audit_seq, session.audit_head) if session is not None else (0, "")
    broken = parts.audit.verify(rows.chain(conn, session_id), head)
    return Broken(session_id, broken.seq, broken.reason) if broken is not None else None


@audit.command("export")
@click.option("--session", "session_id", help="Only this session.")
@click.pass_obj
def export(where: str, session_id: str | None) -> None:
    """Print all events as JSON lines, session by session."""

    async def work(parts: Parts) -> None:
        heads = [(session_id, 0, "")] if session_id else await parts.database.read(_heads)
        for key, _, _ in heads:
            for event in await parts.database.read(partial(_events, session_id=key)):
                click.echo(json.dumps(audit_json(event), ensure_ascii=False))

    with_parts(where, work)


@audit.command("checkpoint")
@click.pass_obj
def checkpoint(where: str) -> None:
    """Print a signed digest of all heads; keep it elsewhere, and a tail that was cut will show."""

    async def work(parts: Parts) -> dict[str, Any]:
        heads, moment = await parts.database.read(lambda conn: (_heads(conn), now(conn)))
        return parts.audit.checkpoint(heads, moment)

    click.echo(json.dumps(with_parts(where, work)))
