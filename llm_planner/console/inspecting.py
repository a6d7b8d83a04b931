"""Inspecting a turn: its plan as a graph, each step with its arguments, model calls, writes and audit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from ..errors import NotFound
from ..messages import Json
from ..storage.repositories import audit, confirmations, prompts, sessions, turns
from ..storage.repositories.audit import AuditRow
from ..storage.repositories.confirmations import ConfirmationRow
from ..storage.repositories.prompts import CallRow
from ..storage.repositories.sessions import SessionRow
from ..storage.repositories.turns import TurnRow
from ..turn.record import Round, StepResult, stored_round
from ..turn.view import without_tokens
from .approvals import origin_of
from .graph import Node, plan_graph, waits_for
from .rendering import duration, visible
from .visits import Visit

MOST_EVENTS = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One step as the page shows it; an argument is (name, value, (origin in words, from a tool))."""

    id: str
    title: str
    status: str
    ms: int
    args: Sequence[tuple[str, Json, tuple[str, bool]]]
    result: Json
    error: str | None


@dataclass(frozen=True, slots=True)
class Drawn:
    """One round of a turn."""

    graph: str
    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class Inside:
    """A turn with everything that belongs to it; `reply` has no live token in it."""

    turn: TurnRow
    session: SessionRow
    heard: str
    reply: str
    took: float | None
    rounds: Sequence[Drawn]
    parked: Sequence[ConfirmationRow]
    calls: Sequence[CallRow]
    trail: Sequence[AuditRow]


async def inside(visit: Visit, turn_id: str) -> Inside:
    """The turn of that id. Raises NotFound."""
    found = await visit.read(lambda conn: _load(conn, turn_id))
    if found is None:
        raise NotFound("there is no such turn")
    turn, session, parked, calls, trail = found
    took = (turn.finished_at - turn.created_at).total_seconds() * 1000 if turn.finished_at else None
    drawn = [_drawn(visit, stored_round(data)) for data in turn.rounds]
    return Inside(
        turn, session, heard_of(turn), without_tokens(turn.reply or ""), took,
        [round_ for round_ in drawn if round_.steps], parked, calls, trail,
    )  # fmt: skip


def _load(conn: Connection, turn_id: str) -> tuple[Any, ...] | None:
    turn = turns.find(conn, turn_id)
    session = sessions.by_id(conn, turn.session_id) if turn is not None else None
    if turn is None or session is None:
        return None
    return (
        turn,
        session,
        confirmations.of_turn(conn, session.id, turn_id),
        prompts.of_turn(conn, session.id, turn_id),
        audit.of_turn(conn, turn_id, MOST_EVENTS),
    )


def heard_of(turn: TurnRow) -> str:
    """What the user said; an operator's decision or words are no message of theirs."""
    if turn.inbound.get("speaker") or turn.inbound.get("decision"):
        return ""
    return str(turn.inbound["text"])


def _drawn(visit: Visit, round_: Round) -> Drawn:
    calls = [call for call in round_.plan["tool_calls"] if call["id"] in round_.results]
    steps = [_step(visit, call, round_.results[call["id"]], round_.origins) for call in calls]
    nodes = [
        Node(
            step.id, visible(step.title), step.status,
            f"{visit.text(f'state.{step.status}')}, {duration(step.ms)}", waits_for(call),
        )
        for call, step in zip(calls, steps, strict=True)
    ]  # fmt: skip
    return Drawn(plan_graph(nodes, visit.text("sessions.graph", steps=len(nodes))) if nodes else "", steps)


def _step(
    visit: Visit, call: Mapping[str, Json], result: StepResult, origins: Mapping[str, Mapping[str, str]]
) -> Step:
    spec = visit.house.registry.get(result.tool)
    known = origins.get(result.id, {})
    args = [(name, value, origin_of(visit, known.get(name, ""))) for name, value in call["args"].items()]
    title = spec.title if spec is not None else result.tool
    return Step(result.id, title, result.status, result.ms, args, result.result, result.error)
