"""A world to attack: the real turn path in one process, a puppet for a model, tools whose every effect is
a row, and a judge that knows what was shown and what was typed."""

import asyncio
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import text as sql

from llm_planner.assembly import Ingredients, Parts, assemble
from llm_planner.messages import InboundMessage, SessionKey, TurnView
from llm_planner.storage.database import now
from llm_planner.testing.clock import FakeClock
from llm_planner.tools import ToolRegistry
from llm_planner.turn.inbox import Accepted
from llm_planner.turn.tokens import Tokens

from ..harness import PROMPTS, settings_for
from .doubles import Pay, Peek, Puppet, Undeclared

T = TypeVar("T")
LOOK_ALIKES = str.maketrans("ILO", "110")
EFFECTS = (
    "CREATE TABLE IF NOT EXISTS effects (call_key VARCHAR(64) NOT NULL, session_id VARCHAR(64) NOT NULL,"
    " tool VARCHAR(64) NOT NULL, args TEXT NOT NULL)"
)


@dataclass(frozen=True)
class Shown:
    """A card as its owner saw it."""

    session: str
    confirmation: str
    token: str
    args: Mapping[str, Any]
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Given:
    """A message that was taken, and when."""

    accepted: Accepted
    at: datetime


@dataclass(frozen=True)
class Typed:
    """A message that was a confirm verb with a code, by the judge's own reading."""

    session: str
    turn: str
    code: str
    at: datetime


class World:
    """Sessions talk, and after every message the judge looks at the rows."""

    def __init__(self, db_url: str, folder: Path, registry: type[ToolRegistry] = ToolRegistry) -> None:
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.model = Puppet()
        self.peek = Peek()
        self.shown: dict[str, Shown] = {}
        self.typed: list[Typed] = []
        self.turns = 0
        self.effects = 0
        self.issued: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._sqlite = db_url.startswith("sqlite")
        limits = {"budget_session_calls": 0, "budget_account_calls": 0, "history_messages": 6}
        settings = settings_for(db_url, folder, llm_output_mode="prompt", **limits)
        made_of = Ingredients(
            settings, registry([Pay, Undeclared, self.peek]), PROMPTS, self.clock, self.model
        )
        self.parts: Parts = self.do(self._open(made_of))

    async def _open(self, made_of: Ingredients) -> Parts:
        parts = assemble(made_of)
        await parts.database.run(lambda conn: conn.execute(sql(EFFECTS)).rowcount)
        return parts

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def close(self) -> None:
        self.do(self.parts.close())
        self.runner.close()

    def mutate(self, tokens: type[Tokens]) -> None:
        """Put broken tokens where the gate, the models and the closing look."""
        broken = tokens(self.parts.keys)
        orchestrator = self.parts.worker._orchestrator
        orchestrator._decisions._gate.tokens = broken
        orchestrator._planning._planner._models._tokens = broken  # type: ignore[attr-defined]
        orchestrator._closing._tokens = broken

    def wait(self, seconds: float) -> None:
        """Let time pass; on servers it is theirs."""
        self.clock.advance(seconds)

    def say(self, label: str, text: str, message_id: str | None = None) -> TurnView:
        """One message, all the way; then judgement."""
        return self.do(self._said(label, [(text, message_id or f"m{self.turns}")]))[0]

    def say_at_once(self, label: str, *messages: tuple[str, str]) -> list[TurnView]:
        """Several (text, message id) that race for the session's lane."""
        return self.do(self._said(label, messages))

    async def _said(self, label: str, messages: Sequence[tuple[str, str]]) -> list[TurnView]:
        before = len(self.model.requests)
        accepted = await asyncio.gather(*(self._accepted(label, *message) for message in messages))
        await asyncio.gather(*(self._worked(one) for one in accepted))
        views = [await self._closed(one) for one in accepted]
        if all(first_word(text) in ("confirm", "confirmar") for text, _ in messages):
            assert len(self.model.requests) == before, f"a model saw {messages!r}"
        await self._judge()
        return views

    async def _accepted(self, label: str, text: str, message_id: str) -> "Given":
        self.turns += 1
        key = SessionKey("web", "web", f"anon:{label}", label)
        message = InboundMessage(key, message_id, text, "es")
        moment = await self.parts.database.read(now)
        accepted = await self.parts.inbox.accept(message, take=True)
        code = confirmed_code(text)
        if code is not None:
            self.typed.append(Typed(accepted.session_id, accepted.turn_id, code, moment))
        return Given(accepted, moment)

    async def _worked(self, given: "Given") -> None:
        more = await self.parts.worker.run_next(given.accepted.session_id, given.accepted.claimed)
        while more:
            more = await self.parts.worker.run_next(given.accepted.session_id, None)

    async def _closed(self, given: "Given") -> TurnView:
        session, turn = given.accepted.session_id, given.accepted.turn_id
        view = await self.parts.views.turn(session, turn, owner=True)
        if view is None:  # it came while the lane was held: the engine is told again
            await self.parts.worker.run_next(session, None)
            view = await self.parts.views.turn(session, turn, owner=True)
        assert view is not None, "a turn did not close"
        self._see(session, view, given.at)
        self.outcomes[view.code or view.status] += 1
        return view

    def _see(self, session: str, view: TurnView, moment: datetime) -> None:
        """Read the cards of a reply as a person would."""
        assert view.code != "gave_up", view
        cards = cards_in(view.reply)
        for confirmation in view.confirmations:
            if confirmation.token is not None and confirmation.id not in self.shown:
                assert confirmation.token in cards, f"no card for {confirmation.token}: {view.reply!r}"
                args = cards[confirmation.token]
                assert args == dict(confirmation.args), (args, confirmation.args)
                card = Shown(
                    session, confirmation.id, confirmation.token, args, moment, confirmation.expires_at
                )
                self.shown[confirmation.id] = card
                self.issued.append(card.token)
        mine = {card.token for card in self.shown.values() if card.session == session}
        assert set(cards) <= mine, f"a card that is not ours: {view.reply!r}"
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", view.reply)

    async def _judge(self) -> None:
        """Every effect has its own confirmation, typed by its session, once, in time, with what was shown."""
        effects = await self.rows("SELECT call_key, session_id, args FROM effects")
        keys = [row.call_key for row in effects]
        assert len(keys) == len(set(keys)), "an effect happened twice"
        for row in effects:
            if row.call_key in self._seen:
                continue
            card = self.shown.get(row.call_key.removeprefix("w-"))
            assert row.call_key.startswith("w-"), f"an effect without a confirmation: {row}"
            assert card is not None, f"an effect without a card: {row}"
            assert card.session == row.session_id, "an effect in another session"
            assert normal(card.args) == normal(json.loads(row.args)), (card.args, row.args)
            await self._judge_confirmation(card)
            self._seen.add(row.call_key)
            self.effects += 1
        self._judge_requests()

    async def _judge_confirmation(self, card: Shown) -> None:
        found = await self.rows(
            "SELECT state, decided_turn_id FROM pending_confirmations WHERE id = :i", i=card.confirmation
        )
        assert [row.state for row in found] in (["executed"], ["unknown"]), found
        typed = [t for t in self.typed if t.turn == found[0].decided_turn_id]
        assert typed, "an effect that nobody confirmed"
        assert typed[0].session == card.session, "confirmed by another session"
        assert typed[0].code == card.token, "confirmed with another token"
        assert card.since <= typed[0].at < card.until, "confirmed before it was shown, or after it expired"

    def _judge_requests(self) -> None:
        requests, self.model.requests = self.model.requests, []
        tokens = [card.token for card in self.shown.values()]
        for request in requests:
            for message in request.messages:
                no_token_in(tokens, message.content, "a model request")

    def judge_rows(self) -> None:
        """No token in what is kept of a conversation."""
        for table, column in (("messages", "text"), ("audit_events", "payload"), ("model_calls", "prompt")):
            for row in self.do(self.rows(f"SELECT {column} AS kept FROM {table}")):
                no_token_in(self.issued, str(row.kept), table)

    def live(self, label: str) -> list[Shown]:
        """The cards of a session that may be confirmed now, as far as the rows say."""
        found = self.do(
            self.rows(
                "SELECT c.id AS id FROM pending_confirmations c JOIN sessions s ON s.id = c.session_id"
                " WHERE c.state = 'pending' AND s.label = :l ORDER BY c.id",
                l=label,
            )
        )
        moment = self.do(self._now())
        shown = [self.shown[row.id] for row in found if row.id in self.shown]
        return [card for card in shown if card.until > moment]

    async def _now(self) -> datetime:
        return await self.parts.database.read(now)

    def begin(self) -> None:
        """Forget the last attack, so that each one stands for itself."""
        self.do(self.rows_of("DELETE FROM effects"))
        self._seen, self.shown, self.typed, self.model.requests = set(), {}, [], []

    async def rows_of(self, statement: str) -> int:
        return await self.parts.database.run(lambda conn: int(conn.execute(sql(statement)).rowcount))

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        return await self.parts.database.read(lambda conn: list(conn.execute(sql(statement), values).all()))


def no_token_in(tokens: Sequence[str], text: str, where: str) -> None:
    packed = squeezed(text).translate(LOOK_ALIKES)
    for token in tokens:
        assert token not in packed, f"{token} is in {where}: {text!r}"


def squeezed(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKC", text).upper() if char.isalnum())


def first_word(text: str) -> str:
    """The judge's own reading: the first run of letters, without accents and what nobody sees."""
    shown = [c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) not in ("Cf", "Mn")]
    found = re.search(r"[^\W_]+", "".join(shown).casefold())
    return found.group() if found else ""


def confirmed_code(text: str) -> str | None:
    """The code behind `confirm` or `confirmar` at the very beginning, if the rest could be one."""
    packed = squeezed(
        "".join(c for c in unicodedata.normalize("NFKD", text) if unicodedata.category(c) != "Mn")
    )
    found = re.fullmatch(r"CONFIRM(?:AR)?(.{8})", packed)
    return found.group(1).translate(LOOK_ALIKES) if found else None


def cards_in(reply: str) -> dict[str, dict[str, Any]]:
    """Token -> arguments of every card in a reply, read line by line."""
    found: dict[str, dict[str, Any]] = {}
    for part in reply.split("▣")[1:]:
        codes = re.findall(r"^Para hacerlo, respondé: confirmar ([0-9A-Z]{8})$", part, re.MULTILINE)
        lines = re.findall(r"^  • ([^:\n]+): (.*)$", part, re.MULTILINE)
        assert len({name for name, _ in lines}) == len(lines), f"an argument twice: {part!r}"
        assert len(codes) <= 1, f"two tokens on one card: {part!r}"
        found.update({code: {name: json.loads(value) for name, value in lines} for code in codes})
    return found


def normal(value: Any) -> Any:
    """Without what is absent: a default that is None may be written out or not."""
    if isinstance(value, Mapping):
        return {name: normal(item) for name, item in value.items() if item is not None}
    return [normal(item) for item in value] if isinstance(value, list) else value


def plan_text(calls: Iterable[Mapping[str, Any]], reply: str | None = None, then: str = "answer") -> str:
    return json.dumps({"reply": reply, "tool_calls": list(calls), "then": then})
