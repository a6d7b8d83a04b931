"""Calls to the language model: within the budget (rule 16), redacted, recorded one by one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from ..errors import ModelError
from ..ids import new_id
from ..llm.base import ChatMessage, ChatModel, ChatReply, ChatRequest
from ..messages import Json
from ..prompts import Prompt
from ..storage.database import Database, now
from ..storage.repositories import usage
from .record import TurnRecord
from .tokens import Tokens


class OverBudget(ModelError):
    """The ceiling is reached: no model was called."""

    code = "over_budget"


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Calls and tokens per UTC day for each scope; 0 is no ceiling."""

    session: tuple[int, int]
    principal: tuple[int, int]
    account: tuple[int, int]


class Models:
    """One model with its books."""

    def __init__(
        self, database: Database, model: ChatModel, answer_prompt: Prompt, ceilings: Ceilings, tokens: Tokens
    ) -> None:
        self._database = database
        self._model = model
        self._prompt = answer_prompt
        self._ceilings = ceilings
        self._tokens = tokens

    @property
    def name(self) -> str:
        return self._model.name

    def redact(self, text: str) -> str:
        """Text without confirmation tokens, for a prompt."""
        return self._tokens.redact(text)

    def data(self, value: Json) -> str:
        """Foreign data for a prompt: no token of ours in it, and no tag that could be closed or opened."""
        return _as_data(self._cleaned(value))

    def _cleaned(self, value: Json) -> Json:
        if isinstance(value, Mapping):
            return {self.redact(str(name)): self._cleaned(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._cleaned(item) for item in value]
        return self.redact(value) if isinstance(value, str) else value

    async def call(self, record: TurnRecord, purpose: str, prompt: Prompt, request: ChatRequest) -> ChatReply:
        """One call, reserved before and recorded after. Raises ModelError; OverBudget or LaneLost without calling."""
        await self._database.run(lambda conn: self._reserve(conn, record))
        record.held.check()
        try:
            reply = await self._model.complete(request)
        except ModelError as error:
            self._record(record, purpose, prompt, error.code, None)
            raise
        self._record(record, purpose, prompt, "ok", reply)
        if any(most for _, most in self._limits(record).values()):
            used = (reply.input_tokens or 0) + (reply.output_tokens or 0)
            await self._database.run(lambda conn: self._spent(conn, record, used))
        return reply

    async def write(
        self, record: TurnRecord, slots: Mapping[str, str], question: str, results: Sequence[Json]
    ) -> str:
        """The answerer's call: results in, prose out."""
        system = self._prompt.render(**slots)
        user = f"<data>\n{self.data(question)}\n</data>\n<data>\n{self.data(results)}\n</data>"
        messages = (ChatMessage("system", system), ChatMessage("user", user))
        reply = await self.call(record, "answer", self._prompt, ChatRequest(messages, mode="text"))
        return reply.text

    def _limits(self, record: TurnRecord) -> dict[str, tuple[int, int]]:
        session = record.session
        scopes = {
            f"session:{session.id}": self._ceilings.session,
            f"principal:{session.channel}:{session.account}:{session.principal}"[
                :255
            ]: self._ceilings.principal,
            f"account:{session.channel}:{session.account}"[:255]: self._ceilings.account,
        }
        return {scope: limits for scope, limits in scopes.items() if any(limits)}

    def _reserve(self, conn: Connection, record: TurnRecord) -> None:
        limits = self._limits(record)
        day = now(conn).date().isoformat() if limits else ""
        for scope, (calls, tokens) in limits.items():
            if not usage.spend(conn, scope, day, calls, tokens):
                raise OverBudget(f"the daily limit of {scope.partition(':')[0]} is reached")

    def _spent(self, conn: Connection, record: TurnRecord, tokens: int) -> None:
        day = now(conn).date().isoformat()
        for scope in self._limits(record):
            usage.count_tokens(conn, scope, day, tokens)

    def _record(
        self, record: TurnRecord, purpose: str, prompt: Prompt, outcome: str, reply: ChatReply | None
    ) -> None:
        record.calls.append(
            {
                "session_id": record.session.id,
                "id": new_id(),
                "turn_id": record.lane.turn_id,
                "purpose": purpose,
                "model": reply.model if reply is not None else self._model.name,
                "prompt": prompt.name,
                "prompt_hash": prompt.hash,
                "outcome": outcome,
                "attempts": reply.attempts if reply is not None else 1,
                "input_tokens": reply.input_tokens if reply is not None else None,
                "output_tokens": reply.output_tokens if reply is not None else None,
                "ms": reply.ms if reply is not None else 0,
            }
        )


def _as_data(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")


def with_messages(request: ChatRequest, *more: ChatMessage) -> ChatRequest:
    """The same request with more of the conversation at its end."""
    return replace(request, messages=(*request.messages, *more))
