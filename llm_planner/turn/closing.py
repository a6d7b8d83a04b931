"""The close: turn, reply, history, facts, parked writes, mail and audit, in one transaction or not at all."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from ..errors import LaneLost
from ..storage.database import Database, now
from ..storage.repositories import audit, confirmations, outbox, prompts, sessions, turns
from ..storage.repositories.sessions import Release, SessionRow
from ..storage.states import TurnState
from .audit import TRIES, Audit
from .inbox import to_row
from .memory import Memory
from .outbox import letters, replies
from .record import Answer, TurnRecord
from .tokens import Tokens


class Closing:
    """The last transaction of a turn."""

    def __init__(self, database: Database, trail: Audit, tokens: Tokens, memory: Memory | None) -> None:
        self._database = database
        self._trail = trail
        self._tokens = tokens
        self._memory = memory
        self._kept: set[str] = set()  # hashes of the system prompts that are stored: they stay

    async def store_plan(self, record: TurnRecord) -> None:
        """Keep the checked plan before its first effect (rule 8). Raises LaneLost."""
        rounds = [round_.stored() for round_ in record.rounds]
        await self._database.run(lambda conn: self._store(conn, record, rounds))
        record.mails.clear()

    @staticmethod
    def _store(conn: Connection, record: TurnRecord, rounds: list[dict[str, Any]]) -> None:
        """A step's letters and facts are stored with its result: a resumed turn does not run it again. The
        session's row before the turn's, as everywhere: who takes the lane over has them in that order."""
        if record.mails or record.facts:
            moment = now(conn)
            sessions.merge_facts(conn, record.lane.session_id, record.facts_at(moment))
            outbox.add(conn, letters(record, moment))
        if not turns.store_rounds(conn, record.lane.fence, rounds):
            raise LaneLost("the session's lane was taken over")

    async def close(self, record: TurnRecord, answer: Answer) -> None:
        """Store the end of the turn and free the lane; a cancellation waits for it. Raises LaneLost."""
        record.note("replied", status=record.status, reason=record.code, parked=len(record.parked))
        await self._database.run(lambda conn: self._close(conn, record, answer))
        if self._memory is not None and not record.is_verb:
            self._memory.after(record)
        self._kept |= record.prompt_texts.keys()

    def _close(self, conn: Connection, record: TurnRecord, answer: Answer) -> None:
        moment, lane, reply = now(conn), record.lane, answer.whole
        heard = self._tokens.redact(record.message.text)
        self._release(conn, record, moment)
        values = {
            "next_state": _state(record), "outcome": record.status, "why": record.code, "text": reply,
            "stored": [round_.stored() for round_ in record.rounds], "moment": moment,
            "heard": {**to_row(record.message), "text": heard},
        }  # fmt: skip
        if not turns.close(conn, lane.fence, values):
            raise LaneLost("the session's lane was taken over")
        turns.say(conn, _lines(record, heard, reply, moment))
        turns.record_calls(conn, [{**call, "at": moment} for call in record.calls])
        new = {key: text for key, text in record.prompt_texts.items() if key not in self._kept}
        prompts.keep(conn, record.prompts, new, moment)
        for turn_id, rounds in record.home_rounds.items():
            turns.keep_rounds(conn, lane.session_id, turn_id, [round_.stored() for round_ in rounds])
        # Only a new request takes an older one's place: not an edit, nor a step that goes on after another.
        for tool in {row.tool for row in record.parked if row.home_turn_id == lane.turn_id}:
            confirmations.supersede(conn, lane.session_id, lane.turn_id, tool, moment)
        if record.parked:
            confirmations.park(conn, record.parked)
        outbox.add(conn, [*letters(record, moment), *replies(record, answer, moment)])

    def _release(self, conn: Connection, record: TurnRecord, moment: datetime) -> None:
        """Free the lane and continue the audit chain, by compare-and-set on both."""
        seen = record.session
        for _ in range(TRIES):
            if self._try_release(conn, record, seen, record.lane.epoch, moment):
                return
            current = sessions.by_id(conn, seen.id)
            if current is None or current.epoch != record.lane.epoch:
                raise LaneLost("the session's lane was taken over")
            seen = current
        raise LaneLost("the audit chain moved on while this turn was closing")

    def _try_release(
        self, conn: Connection, record: TurnRecord, seen: SessionRow, epoch: int, moment: datetime
    ) -> bool:
        rows = self._trail.chained((seen.id, seen.audit_seq, seen.audit_head), record.events, moment)
        ends = [row.expires_at for row in record.parked]
        ends += [seen.parked_until] if seen.parked_until is not None and seen.parked_until > moment else []
        left = Release(
            session_id=seen.id,
            epoch=epoch,
            facts={**seen.facts, **record.facts_at(moment)},
            seen_seq=seen.audit_seq,
            seq=rows[-1].seq,
            head=rows[-1].hash,
            parked_until=max(ends) if ends else None,
        )
        if not sessions.release(conn, left):
            return False
        audit.add(conn, rows)
        return True


def _state(record: TurnRecord) -> TurnState:
    if record.status == "needs_confirmation":
        return TurnState.NEEDS_CONFIRMATION
    return TurnState.FAILED if record.status == "failed" else TurnState.ANSWERED


def _lines(record: TurnRecord, heard: str, reply: str, moment: datetime) -> list[dict[str, Any]]:
    """The two lines of history. Verbs and cards are kept for the timeline and never shown to a model; what a
    plan that went on after its confirmation has to report is."""
    shown = "verb" if record.is_verb else "message"
    bare_verb = record.is_verb and record.carried is None
    said = "verb" if bare_verb or record.parked or record.shown else "message"
    lane = record.lane
    common = {
        "session_id": lane.session_id,
        "seq": lane.seq,
        "turn_id": lane.turn_id,
        "created_at": moment,
    }
    if record.message.speaker is not None:
        return [{**common, "role": "operator", "kind": "message", "text": reply, "from_tools": 0}]
    foreign = int(not record.message.verbs)
    lines = [{**common, "role": "user", "kind": shown, "text": heard, "from_tools": foreign}]
    if not record.quiet:
        own = int(record.from_tools)
        lines.append({**common, "role": "assistant", "kind": said, "text": reply, "from_tools": own})
    return lines
