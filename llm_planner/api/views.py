"""The JSON of the contract, made from the values that travel inside."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from ..messages import Json, TurnView
from ..storage.repositories.audit import AuditRow
from ..storage.repositories.confirmations import ConfirmationRow
from ..storage.repositories.outbox import OutboxRow
from ..storage.repositories.sessions import SessionRow
from ..storage.repositories.turns import TurnRow
from ..storage.repositories.writes import Write
from ..turn.view import steps_of, without_tokens


def stamp(moment: datetime | None) -> str | None:
    """RFC 3339 in UTC, as `2026-11-22T10:00:00Z`."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment is not None else None


def turn_json(view: TurnView, *, session_id: str, duplicate: bool) -> dict[str, Json]:
    """The turn response. `session_id` is the label as the caller knows it."""
    return {
        "session_id": session_id,
        "turn_id": view.turn_id,
        "message_id": view.message_id,
        "duplicate": duplicate,
        "status": view.status,
        "code": view.code,
        "reply": view.reply,
        "confirmations": [
            {
                "id": row.id, "token": row.token, "tool": row.tool, "args": dict(row.args),
                "summary": row.summary, "approver": row.approver, "expires_at": stamp(row.expires_at),
            }
            for row in view.confirmations
        ],
        "steps": [asdict(step) for step in view.steps],
    }  # fmt: skip


def approval_json(row: ConfirmationRow) -> dict[str, Json]:
    """A parked write as an operator sees it: everything but a token, which no operator ever gets."""
    return {
        "id": row.id, "status": row.state, "tool": row.tool, "summary": row.summary, "args": dict(row.args),
        "origins": dict(row.origins), "digest": row.digest, "approver": row.approver,
        "session": row.session_id, "turn_id": row.turn_id,
        "created_at": stamp(row.created_at), "expires_at": stamp(row.expires_at),
        "decided_at": stamp(row.decided_at), "decided_by": row.decided_by, "edited_by": row.edited_by,
        "reason": row.reason,
    }  # fmt: skip


def write_json(write: Write) -> dict[str, Json]:
    """A call of a confirmed write as an operator sees it."""
    row, run = write.row, write.run
    return {
        "id": run.id, "state": run.state, "tool": run.tool, "summary": row.summary, "args": dict(row.args),
        "idempotency_key": run.idempotency_key, "approver": row.approver, "confirmation": row.id,
        "session": run.session_id, "turn_id": run.turn_id, "started_at": stamp(run.started_at),
        "deadline_at": stamp(run.deadline_at), "finished_at": stamp(run.finished_at), "result": run.result,
        "error": run.error, "settled_by": run.settled_by, "reason": run.reason,
    }  # fmt: skip


def session_json(row: SessionRow) -> dict[str, Json]:
    return {
        "id": row.id, "channel": row.channel, "account": row.account, "principal": row.principal,
        "label": row.label, "locale": row.locale, "open_turns": row.open_turns, "facts": dict(row.facts),
        "created_at": stamp(row.created_at),
    }  # fmt: skip


def stored_turn_json(row: TurnRow) -> dict[str, Any]:
    """A stored turn for operators: plan, origins and results of each round; no live token."""
    return {
        "turn_id": row.id, "session": row.session_id, "seq": row.seq, "message_id": row.message_id,
        "state": row.state, "status": row.status, "code": row.code, "attempts": row.attempts,
        "reply": without_tokens(row.reply or ""), "rounds": row.rounds,
        "steps": [asdict(step) for step in steps_of(row)],
        "created_at": stamp(row.created_at), "finished_at": stamp(row.finished_at),
    }  # fmt: skip


def audit_json(row: AuditRow) -> dict[str, Json]:
    return {**asdict(row), "at": stamp(row.at)}


def letter_json(row: OutboxRow) -> dict[str, Json]:
    times = {
        "due_at": stamp(row.due_at),
        "created_at": stamp(row.created_at),
        "finished_at": stamp(row.finished_at),
    }
    return {**asdict(row), **times}
