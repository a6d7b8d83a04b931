"""Parking: a write that passed the check becomes a row to confirm, or a step that says why not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ..errors import InvalidRequest
from ..i18n import text
from ..ids import new_id
from ..messages import Json, canonical
from ..neutral import plain
from ..storage.database import Database, now
from ..storage.repositories.confirmations import ConfirmationRow
from ..storage.states import ConfirmationState
from ..tools import ToolSpec
from .cards import too_long
from .confirmations import Confirmations
from .executor import Parked
from .guard import Guard
from .provenance import OPERATOR, PLAN, from_tool
from .record import Round, StepResult, TurnRecord


class Parking:
    """Makes the rows; the closing transaction stores them."""

    def __init__(
        self, database: Database, gate: Confirmations, guard: Guard, ttl_s: int, most_pending: int
    ) -> None:
        self._database = database
        self._gate = gate
        self._guard = guard
        self._ttl_s = ttl_s
        self._most = most_pending

    async def park(self, record: TurnRecord, round_: Round, parked: Sequence[Parked]) -> None:
        """Put the round's writes into the record, each as its own row (one confirmation per write)."""
        if not parked:
            return
        moment = await self._database.read(now)
        for item in parked:
            refusal = self._refusal(record, item)
            if refusal is not None:
                code, why = refusal
                step = StepResult(item.step.id, item.step.spec.name, "error", error=why)
                round_.results[item.step.id] = step
                record.note("write_refused", step=item.step.id, tool=step.tool, reason=code)
                if record.executed is None:
                    record.end("refused", code)
                continue
            row = self._row(record, round_, item, moment)
            record.parked.append(row)
            record.note(
                "confirmation_requested",
                confirmation=row.id,
                tool=row.tool,
                args=row.args,
                origins=row.origins,
            )

        if record.parked:
            record.end("needs_confirmation")

    def _refusal(self, record: TurnRecord, item: Parked) -> tuple[str, str] | None:
        title, locale = item.step.spec.title, record.locale
        waiting = sum(row.tool != item.step.spec.name for row in record.pending) + len(record.parked)
        if waiting >= self._most:
            return "too_many_pending", text("too_many_pending", locale)
        if too_long(item.args):
            return "too_long_to_show", text("too_long_to_show", locale, what=title)
        if item.step.spec.tool.taint == "refuse" and any(map(from_tool, item.origins.values())):
            return "tainted_arguments", text("tainted", locale, what=title)
        return None

    def _row(self, record: TurnRecord, round_: Round, item: Parked, moment: datetime) -> ConfirmationRow:
        spec = item.step.spec
        row = ConfirmationRow(
            session_id=record.session.id,
            id=new_id(),
            turn_id=record.lane.turn_id,
            home_turn_id=round_.home[0],
            round=round_.home[1],
            step=item.step.id,
            edition=0,
            tool=spec.name,
            summary=self._heading(spec, item.args, record.locale),
            args=item.args,
            origins=item.origins,
            schema_hash=spec.schema_hash,
            digest="",
            approver=spec.tool.approver,
            state=ConfirmationState.PENDING,
            expires_at=moment + timedelta(seconds=spec.tool.confirm_ttl_s or self._ttl_s),
            created_at=moment,
        )
        return self._gate.sealed(row, record.session)

    async def edited(
        self, record: TurnRecord, old: ConfirmationRow, spec: ToolSpec, args: dict[str, object], editor: str
    ) -> None:
        """A new row in place of `old`, with an operator's arguments; only what changed is theirs.

        Raises pydantic's ValidationError for arguments that the tool does not take, InvalidRequest for those
        that no card can show.
        """
        pinned = spec.pin(args)
        if too_long(pinned):
            raise InvalidRequest("these arguments are too long to be shown whole")
        origins = {
            name: old.origins.get(name, PLAN) if _same(old.args, name, value) else OPERATOR
            for name, value in pinned.items()
        }
        ttl = old.expires_at - old.created_at
        moment = await self._database.read(now)
        row = replace(
            old,
            id=new_id(),
            turn_id=record.lane.turn_id,
            edition=old.edition + 1,
            summary=self._heading(spec, pinned, record.locale),
            args=pinned,
            origins=origins,
            schema_hash=spec.schema_hash,
            state=ConfirmationState.PENDING,
            created_at=moment,
            expires_at=moment + ttl,
            edited_by=editor,
            decided_at=None,
            decided_by=None,
            decided_turn_id=None,
            reason=None,
        )
        record.parked.append(self._gate.sealed(row, record.session))
        record.note(
            "confirmation_requested",
            editor,
            confirmation=row.id,
            tool=row.tool,
            args=row.args,
            origins=row.origins,
        )

    def _heading(self, spec: ToolSpec, args: object, locale: str) -> str:
        model = spec.validate(args)  # type: ignore[arg-type]
        return plain(self._guard.text(spec.tool.summary, model, locale) or spec.title)[:400]


def _same(args: Mapping[str, Json], name: str, value: Json) -> bool:
    """Whether an argument is what it was; 1, 1.0 and true are three."""
    return name in args and canonical(args[name]) == canonical(value)
