"""The write journal as people see it: what was called, how it ended, and who settled what nobody knew."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, Select, bindparam, func, select, update

from ..states import ConfirmationState, RunState
from ..tables import pending_confirmations, tool_runs
from . import confirmations
from .confirmations import ConfirmationRow, RunRow


@dataclass(frozen=True, slots=True)
class Write:
    """One call, and the approved row that it was made for."""

    row: ConfirmationRow
    run: RunRow


_c, _r = pending_confirmations.c, tool_runs.c
_ROW_FIELDS = tuple(ConfirmationRow.__dataclass_fields__)
_RUN_FIELDS = tuple(RunRow.__dataclass_fields__)
_WRITES = select(
    *(_c[name].label(f"row_{name}") for name in _ROW_FIELDS),
    *(_r[name].label(f"run_{name}") for name in _RUN_FIELDS),
).join_from(
    tool_runs,
    pending_confirmations,
    (_c.session_id == _r.session_id) & (_c.id == _r.confirmation_id),
)
_BY_ID = _WRITES.where(_r.id == bindparam("key"))
_SETTLE = (
    update(tool_runs)
    .where(
        _r.session_id == bindparam("session"),
        _r.id == bindparam("key"),
        _r.state == RunState.UNKNOWN,
        _r.deadline_at <= bindparam("moment"),
    )
    .values(
        state=bindparam("next_state"), finished_at=bindparam("moment"), settled_by=bindparam("who"),
        reason=bindparam("why"), settled_turn_id=bindparam("turn"),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settled:
    """What a person found out about one unknown write, and the turn in which it was written down."""

    done: bool
    who: str
    reason: str | None
    turn_id: str


def find(conn: Connection, run_id: str) -> Write | None:
    found = conn.execute(_BY_ID, {"key": run_id}).first()
    return _write(found) if found is not None else None


def page(conn: Connection, where: Mapping[str, str], after: str | None, limit: int) -> tuple[Write, ...]:
    """Writes of all sessions, newest first; `where` filters by the journal's state or the approver."""
    query: Select[tuple[object, ...]] = _WRITES.order_by(_r.id.desc()).limit(limit)
    if "state" in where:
        query = query.where(_r.state == where["state"])
    if "approver" in where:
        query = query.where(_c.approver == where["approver"])
    if after is not None:
        query = query.where(_r.id < after)
    return tuple(_write(found) for found in conn.execute(query))


def settle(conn: Connection, write: Write, settled: Settled, moment: datetime) -> bool:
    """End one unknown write by a single conditional UPDATE. False: it is not unknown (any more), or the call
    may still be running."""
    values = {
        "session": write.run.session_id, "key": write.run.id, "moment": moment, "who": settled.who,
        "why": settled.reason, "turn": settled.turn_id,
        "next_state": RunState.OK if settled.done else RunState.FAILED,
    }  # fmt: skip
    if conn.execute(_SETTLE, values).rowcount != 1:
        return False
    ended = ConfirmationState.EXECUTED if settled.done else ConfirmationState.FAILED
    confirmations.settle(conn, write.row.session_id, write.row.id, ended)
    return True


def count_unknown(conn: Connection) -> int:
    query = select(func.count()).select_from(tool_runs).where(_r.state == RunState.UNKNOWN)
    return int(conn.execute(query).scalar_one())


def _write(found: Row[tuple[object, ...]]) -> Write:
    row = ConfirmationRow(**{name: getattr(found, f"row_{name}") for name in _ROW_FIELDS})
    run = RunRow(**{name: getattr(found, f"run_{name}") for name in _RUN_FIELDS})
    return Write(row, run)
