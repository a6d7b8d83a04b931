"""What models were asked: one row a call, redacted; each system prompt once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.exc import IntegrityError

from ..console_tables import model_prompts, prompt_texts
from ..tables import model_calls


@dataclass(frozen=True, slots=True)
class CallRow:
    """One model call with what it was asked; `messages` is None once that was purged."""

    id: str
    purpose: str
    model: str
    prompt: str
    prompt_hash: str
    outcome: str
    attempts: int
    input_tokens: int | None
    output_tokens: int | None
    ms: int
    at: datetime
    system: str | None
    messages: Sequence[tuple[str, str]] | None


_p, _x, _c = model_prompts.c, prompt_texts.c, model_calls.c
_ADD, _NEW = insert(model_prompts), insert(prompt_texts)
_KNOWN = select(_x.hash).where(_x.hash == bindparam("key"))
_OF_TURN = (
    select(
        _c.id, _c.purpose, _c.model, _c.prompt, _c.prompt_hash, _c.outcome, _c.attempts, _c.input_tokens,
        _c.output_tokens, _c.ms, _c.at, _x.text, _p.messages,
    )
    .select_from(
        model_calls.outerjoin(model_prompts, (_p.session_id == _c.session_id) & (_p.id == _c.id)).outerjoin(
            prompt_texts, _x.hash == _p.system
        )
    )
    .where(_c.turn_id == bindparam("turn"), _c.session_id == bindparam("session"))
    .order_by(_c.id)
)  # fmt: skip
_OLD = (
    select(_p.session_id, _p.id).where(_p.at < bindparam("before")).order_by(_p.at).limit(bindparam("most"))
)


def keep(
    conn: Connection, asked: Sequence[Mapping[str, Any]], texts: Mapping[str, str], at: datetime
) -> None:
    """Store what these calls were asked, and the system prompts that are new."""
    for key, text in texts.items():
        if conn.execute(_KNOWN, {"key": key}).first() is None:
            try:
                conn.execute(_NEW, {"hash": key, "text": text})
            except IntegrityError:
                continue  # another process had the same one
    if asked:
        conn.execute(_ADD, [{**row, "at": at} for row in asked])


def of_turn(conn: Connection, session_id: str, turn_id: str) -> Sequence[CallRow]:
    """The model calls of one turn, oldest first."""
    rows = conn.execute(_OF_TURN, {"session": session_id, "turn": turn_id})
    return [CallRow(*tuple[Any, ...](row)) for row in rows]


def purge(conn: Connection, before: datetime, most: int) -> int:
    """Drop what was asked before that moment, oldest first."""
    found = conn.execute(_OLD, {"before": before, "most": most}).all()
    for row in found:
        conn.execute(delete(model_prompts).where(_p.session_id == row.session_id, _p.id == row.id))
    return len(found)
