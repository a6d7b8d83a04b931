"""Confirmations: park a write, take it out by its token, cancel it, let it expire (rules 1 to 5).

What is approved is a row, bound by a digest to exactly what will run; it leaves `pending` by one
conditional UPDATE, and the journal's intent is written in the same transaction.
"""

import hmac
import logging
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from ..errors import LaneLost
from ..ids import new_id
from ..keys import Keyring
from ..messages import AuditEvent, canonical
from ..storage.database import Database, now
from ..storage.repositories import confirmations, sessions
from ..storage.repositories.confirmations import ConfirmationRow, RunRow, Verdict
from ..storage.repositories.sessions import SessionRow
from ..storage.states import ConfirmationState, RunState
from ..tools import ToolRegistry
from .audit import Audit
from .guard import Guard
from .record import USER, TurnRecord
from .tokens import Tokens

logger = logging.getLogger("llm_planner.confirmations")
WRONG_TRIES = 5
LOCKED_FOR = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Claim:
    """A confirmed write that this turn, and nobody else, may now call once."""

    row: ConfirmationRow
    run: RunRow
    fresh: bool
    """False where an earlier attempt of this turn had claimed it: the call may have left already."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a token does nothing: `token_unknown`, `token_expired`, `token_used` or `token_locked`."""

    code: str
    ended: int | None = None
    """How many pending rows ended because this was one wrong token too many."""
    expired: ConfirmationRow | None = None
    """The row whose time was found to be over by this try: that is terminal."""


class Confirmations:
    """The gate. Any error in here means no."""

    def __init__(
        self, database: Database, registry: ToolRegistry, keys: Keyring, audit: Audit, guard: Guard, lease_s: float
    ) -> None:  # fmt: skip
        self._database = database
        self._registry = registry
        self._keys = keys
        self._audit = audit
        self._guard = guard
        self.tokens = Tokens(keys)
        self.margin = timedelta(seconds=lease_s)
        """How much longer than the call's own limit the lease lasts: time to write its outcome down."""

    def sealed(self, row: ConfirmationRow, session: SessionRow) -> ConfirmationRow:
        """The row with the digest over what will run, for whom, and until when (rule 1)."""
        return replace(row, digest=self._keys.mac("approval", _bound(row, session)).hex())

    def intact(self, row: ConfirmationRow, session: SessionRow) -> bool:
        """Whether the row still holds what was approved, and the tool still takes the same input."""
        spec = self._registry.get(row.tool)
        if spec is None or not spec.write or not spec.allows(session.channel):
            return False
        if spec.schema_hash != row.schema_hash or spec.tool.approver != row.approver:
            return False
        good = False
        for mac in self._keys.macs("approval", _bound(row, session)):
            good |= hmac.compare_digest(mac.hex().encode(), row.digest.encode())
        return good

    def is_ours(self, record: TurnRecord, token: str) -> bool:
        """Whether a folded word is a token of this server, or could be a mistyped one of this session."""
        return self.tokens.ours(token) or bool(record.pending)

    async def claim(self, record: TurnRecord, token: str | None) -> Claim | Refused:
        """Compare a token with this session's rows and take the one it belongs to. One transaction."""
        began = time.monotonic()
        found = await self._database.run(lambda conn: self._claim(conn, record, token))
        return self._noted(record, found, began)

    def _claim(self, conn: Connection, record: TurnRecord, token: str | None) -> Claim | Refused:
        moment, lane = now(conn), record.lane
        rows = confirmations.recent(conn, lane.session_id, lane.turn_id)
        mine = next((row for row in rows if row.decided_turn_id == lane.turn_id), None)
        run = confirmations.run_of(conn, lane.session_id, mine.id) if mine is not None else None
        if mine is not None and run is not None:
            return self._resumed(conn, record, mine, run)
        if token is None:
            return Refused("token_unknown")
        if not sessions.spend_try(conn, lane.session_id, lane.epoch, moment):
            return self._locked(conn, record)
        row = next((row for row in rows if self.tokens.matches(token, row.id)), None)
        if row is None or row.approver != "user":
            return self._wrong(conn, record, moment)
        late = confirmations.expire(conn, row, moment) if row.expires_at <= moment else False
        if late or row.state == ConfirmationState.EXPIRED:
            taken: Claim | Refused = Refused("token_expired", expired=row if late else None)
        else:
            taken = self._take(conn, record, row, moment, record.session.principal)
        tries = 0 if isinstance(taken, Claim) else record.session.token_tries
        sessions.set_tries(conn, lane.session_id, tries, None)
        return taken

    def _resumed(self, conn: Connection, record: TurnRecord, row: ConfirmationRow, run: RunRow) -> Claim:
        """What an earlier attempt of this turn had taken, under a lease that outlives its call."""
        until = max(run.deadline_at, now(conn)) + self.margin
        if not sessions.hold(conn, record.lane.session_id, record.lane.epoch, until):
            raise LaneLost("the session's lane was taken over")
        return Claim(row, run, fresh=False)

    def _locked(self, conn: Connection, record: TurnRecord) -> Refused:
        session = sessions.by_id(conn, record.lane.session_id)
        if session is None or session.epoch != record.lane.epoch:
            raise LaneLost("the session's lane was taken over")
        return Refused("token_locked")

    def _wrong(self, conn: Connection, record: TurnRecord, moment: datetime) -> Refused:
        session = sessions.by_id(conn, record.lane.session_id)
        if session is not None and session.token_tries >= WRONG_TRIES:
            sessions.set_tries(conn, session.id, 0, moment + LOCKED_FOR)
            return Refused(
                "token_unknown", confirmations.expire_own(conn, session.id, moment, "too many wrong tokens")
            )
        return Refused("token_unknown")

    async def approve(self, record: TurnRecord, row: ConfirmationRow, operator: str) -> Claim | Refused:
        """Take one row in the name of an operator who may; the row has no token (rule 5)."""

        def transaction(conn: Connection) -> Claim | Refused:
            run = confirmations.run_of(conn, row.session_id, row.id)
            if run is not None and row.decided_turn_id == record.lane.turn_id:
                return self._resumed(conn, record, row, run)
            return self._take(conn, record, row, now(conn), operator)

        began = time.monotonic()
        return self._noted(record, await self._database.run(transaction), began)

    def _take(
        self, conn: Connection, record: TurnRecord, row: ConfirmationRow, moment: datetime, actor: str
    ) -> Claim | Refused:
        """Decide one row and journal the intent to call, together (rules 1 and 7)."""
        spec, lane = self._registry.get(row.tool), record.lane
        if spec is None or not self.intact(row, record.session):
            logger.warning("confirmation %s is refused: it, or its tool, is not what was approved", row.id)
            return Refused("token_used")
        claimed = Verdict(lane.session_id, row.id, ConfirmationState.CLAIMED, actor, lane.turn_id)
        if not confirmations.decide(conn, claimed, moment):
            return Refused("token_used")
        deadline = moment + timedelta(seconds=self._guard.timeout_of(spec))
        if not sessions.hold(conn, lane.session_id, lane.epoch, deadline + self.margin):
            raise LaneLost("the session's lane was taken over")
        run = RunRow(
            lane.session_id,
            new_id(),
            lane.turn_id,
            row.id,
            row.tool,
            f"w-{row.id}",
            RunState.INTENT,
            deadline,
            moment,
        )
        confirmations.intend(conn, run)
        told = {"confirmation": row.id, "tool": row.tool, "args": row.args, "origins": row.origins}
        who = USER if actor == record.session.principal else actor
        event = AuditEvent("confirmation_claimed", who, told, lane.turn_id)
        self._audit.append(conn, lane.session_id, [*record.events, event], moment)
        return Claim(row, run, fresh=True)

    def _noted(self, record: TurnRecord, found: Claim | Refused, began: float) -> Claim | Refused:
        """What a claim leaves in the record, once it is committed; its transaction began at `began`."""
        if isinstance(found, Claim):
            limit_s = (found.run.deadline_at - found.run.started_at).total_seconds() if found.fresh else 0.0
            record.held.extend(began + limit_s + self.margin.total_seconds())
            if found.fresh:
                record.events.clear()
        elif found.ended is not None:
            record.pending = tuple(row for row in record.pending if row.approver != "user")
            record.note("confirmations_locked", USER, expired=found.ended)
        elif found.expired is not None:
            record.note("confirmation_expired", confirmation=found.expired.id, tool=found.expired.tool)
        return found

    async def cancel(
        self, record: TurnRecord, token: str | None
    ) -> tuple[list[ConfirmationRow], list[ConfirmationRow]]:
        """Cancel the owner's pending rows, or the one of `token`: (cancelled, too late for it)."""
        return await self._database.run(lambda conn: self._cancel(conn, record, token))

    def _cancel(
        self, conn: Connection, record: TurnRecord, token: str | None
    ) -> tuple[list[ConfirmationRow], list[ConfirmationRow]]:
        moment, lane = now(conn), record.lane
        if not sessions.hold(conn, lane.session_id, lane.epoch, moment + self.margin):
            raise LaneLost("the session's lane was taken over")
        done: list[ConfirmationRow] = []
        late: list[ConfirmationRow] = []
        for row in confirmations.recent(conn, lane.session_id, lane.turn_id):
            earlier_try = row.state == ConfirmationState.CANCELLED and row.decided_turn_id == lane.turn_id
            live = row.state == ConfirmationState.PENDING and row.expires_at > moment
            if not (earlier_try or live if token is None else self.tokens.matches(token, row.id)):
                continue
            verdict = Verdict(
                lane.session_id, row.id, ConfirmationState.CANCELLED, record.session.principal, lane.turn_id
            )
            (done if earlier_try or confirmations.decide(conn, verdict, moment) else late).append(row)
        return done, late


def _bound(row: ConfirmationRow, session: SessionRow) -> bytes:
    return canonical(
        [
            "approval-v1", row.tool, row.schema_hash, row.args, session.key_hash, session.principal, session.account,
            row.approver, row.expires_at.astimezone(UTC).isoformat(timespec="microseconds"),
        ]
    )  # fmt: skip
