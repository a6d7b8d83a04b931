"""Decisions: what the owner's verbs and the operators' answers do; no model is involved.

A confirmed write is called once, and then the rest of the plan it came from goes on.
"""

from collections.abc import Mapping

from pydantic import ValidationError

from ..errors import NotFound, PlanRejected
from ..i18n import text
from ..messages import Decision
from ..storage.database import Database
from ..storage.repositories import turns
from ..storage.repositories.confirmations import ConfirmationRow
from ..tools import ToolRegistry
from .confirmations import Claim, Confirmations, Refused
from .executor import Executor
from .journal import Journal
from .parking import Parking
from .plan import CheckedPlan, PlannerOutput, Rules, check
from .progress import Stage
from .record import USER, Carried, Round, StepResult, TurnRecord, known, stored_round
from .rulings import Rulings
from .settling import OUTCOMES, Settling
from .verbs import Verb, parse


class Decisions:
    """Obeys a verb or a decision, if the message is one."""

    def __init__(
        self,
        database: Database,
        registry: ToolRegistry,
        gate: Confirmations,
        journal: Journal,
        parking: Parking,
        executor: Executor,
    ) -> None:
        self._database = database
        self._registry = registry
        self._gate = gate
        self._journal = journal
        self._parking = parking
        self._executor = executor
        self._rulings = Rulings(database, registry, gate, parking)
        self._settling = Settling(database, gate.margin)

    async def obey(self, record: TurnRecord) -> bool:
        """Do what the message decides. False: there is something to plan, an ordinary message or the rest of
        a plan that looks once more when its writes are done."""
        return await self._decided(record) and record.carried is None

    async def _decided(self, record: TurnRecord) -> bool:
        if record.message.decision is not None:
            record.is_verb = True
            await self._rule(record, record.message.decision)
            return True
        verb = parse(record.message.text)
        if verb is None or not (record.message.verbs or verb.name == "confirm"):
            return False
        record.is_verb = True
        if not record.message.verbs:
            self._refuse(record, "token_unknown")  # forwarded, quoted, or from a group: it approves nothing
        elif verb.name == "confirm":
            await self._confirm(record, verb)
        elif verb.name == "pending":
            self._show(record)
        else:
            record.is_verb = await self._cancel(record, verb)
        return record.is_verb

    async def _rule(self, record: TurnRecord, decision: Decision) -> None:
        """What an operator decided about a parked write, or found out about an unknown one."""
        if decision.decision in OUTCOMES:
            await self._settling.apply(record, decision)
            return
        claim = await self._rulings.apply(record, decision)
        if claim is not None:
            await self._execute(record, claim)

    async def abandon(self, record: TurnRecord) -> None:
        """The turn is given up: leave no call of it without an outcome."""
        await self._journal.abandon(record)

    async def _confirm(self, record: TurnRecord, verb: Verb) -> None:
        claim = await self._gate.claim(record, verb.token)
        if isinstance(claim, Refused):
            self._refuse(record, claim.code)
        else:
            await self._execute(record, claim)

    def _refuse(self, record: TurnRecord, code: str) -> None:
        record.note("confirmation_refused", USER, reason=code)
        record.end("refused", code, text(code, record.locale))

    def _show(self, record: TurnRecord) -> None:
        record.shown = list(record.pending)
        if not record.pending:
            record.end("answered", None, text("nothing_pending", record.locale))

    async def _cancel(self, record: TurnRecord, verb: Verb) -> bool:
        done, late = await self._gate.cancel(record, verb.token)
        gone = {row.id for row in done}
        record.pending = tuple(row for row in record.pending if row.id not in gone)
        for row in done:
            record.note("confirmation_cancelled", USER, confirmation=row.id, tool=row.tool)
        if done:
            record.end("cancelled", None, text("cancelled", record.locale, what=_names(done)))
        elif late:
            record.end("refused", "token_used", text("too_late", record.locale, what=_names(late)))
        elif verb.token is not None and self._gate.is_ours(record, verb.token):
            self._refuse(record, "token_unknown")
        else:
            return False
        return True

    async def _execute(self, record: TurnRecord, claim: Claim) -> None:
        record.pending = tuple(row for row in record.pending if row.id != claim.row.id)
        record.progress.tell(Stage("act"))
        result = await self._journal.perform(record, claim)
        record.ended(claim.row.home_turn_id, result)
        record.executed = claim.row
        if result.status == "ok":
            record.end("executed")
        else:
            record.end("failed", "write_unknown" if result.status == "unknown" else "write_failed")
        await self._go_on(record, claim.row, result)

    async def _go_on(self, record: TurnRecord, row: ConfirmationRow, result: StepResult) -> None:
        """The rest of the plan that this write belongs to: its dependants, and nothing that was done before."""
        home = await self._database.read(lambda conn: turns.get(conn, row.session_id, row.home_turn_id))
        if home is None:
            raise NotFound(f"turn {row.home_turn_id} is gone")
        rounds = [stored_round(data) for data in home.rounds]
        kept = rounds[row.round]
        before = dict(kept.results)
        kept.results.update({**_done_already(record), row.step: result})
        checked = self._checked(record, kept, rounds[: row.round])
        if checked is not None:
            parked = await self._executor.run(record, kept, checked, rounds[: row.round])
            await self._parking.park(record, kept, parked)
        touched = {name: found for name, found in kept.results.items() if before.get(name) != found}
        going = Round(kept.plan, kept.origins, kept.home, touched)
        if checked is not None and result.status == "ok" and _looks_again(record, row, kept):
            found = {name: step for name, step in known(rounds).items() if name not in touched}
            going.carried = Carried(*_asked(home, rounds), found)
        record.rounds[:1] = [going]
        record.home_rounds[row.home_turn_id] = rounds
        if record.allowance.reached is not None:
            record.stop(record.allowance.reached)

    def _checked(self, record: TurnRecord, kept: Round, earlier: list[Round]) -> CheckedPlan | None:
        """The stored plan, checked again: its tools may have changed since."""
        rules = Rules(self._registry, record.session.channel, len(kept.results), known(earlier))
        try:
            return check(PlannerOutput.model_validate(kept.plan), rules)
        except (PlanRejected, ValidationError) as error:
            record.note("plan_dropped", reason=str(error))
            return None


def _done_already(record: TurnRecord) -> Mapping[str, StepResult]:
    """What an earlier attempt of this turn had done of the plan, and stored before it planned anew."""
    return record.rounds[0].results if record.rounds else {}


def _looks_again(record: TurnRecord, row: ConfirmationRow, kept: Round) -> bool:
    """Whether the plan asks for another one, and no write of it waits for a person any more."""
    waiting = any(
        (other.home_turn_id, other.round) == (row.home_turn_id, row.round)
        for other in (*record.pending, *record.parked)
    )
    return kept.asks_again and not waiting


def _asked(home: turns.TurnRow, rounds: list[Round]) -> tuple[str, bool]:
    """The request that a plan serves, and whether it is the user's own words."""
    carried = rounds[0].carried
    if carried is not None:
        return carried.text, carried.own
    return home.inbound["text"], home.inbound["verbs"]


def _names(rows: list[ConfirmationRow]) -> str:
    return ", ".join(row.summary for row in rows)
