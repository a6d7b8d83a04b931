"""Calls to the language model: within the budget (rule 16), redacted, recorded one by one."""

import hashlib
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from ..errors import ModelError
from ..ids import new_id
from ..llm.base import ChatMessage, ChatModel, ChatReply, ChatRequest
from ..llm.counting import estimated_prompt, estimated_tokens
from ..messages import Json
from ..prompts import Prompt
from ..storage.database import Database, now
from ..storage.repositories import usage
from .record import TurnRecord
from .tokens import Tokens

LONGEST_KEPT = 16_000
"""Characters of one message that are kept of a prompt."""


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
        await self._reserved(record)
        try:
            reply = await self._model.complete(request)
        except ModelError as error:
            self._record(record, (purpose, prompt, request), error.code, None)
            raise
        await self._book(record, purpose, prompt, request, reply)
        return reply

    async def stream(
        self, record: TurnRecord, purpose: str, prompt: Prompt, request: ChatRequest
    ) -> AsyncGenerator[str, None]:
        """The same in pieces; errors after the first one are raised in the middle. Closed early, it costs what
        came. Servers give no count with a stream: it is estimated."""
        await self._reserved(record)
        started, pieces, outcome = time.monotonic(), list[str](), "ok"
        arriving = self._model.stream(request)
        try:
            async for piece in arriving:
                pieces.append(piece)
                yield piece
        except ModelError as error:
            outcome = error.code
            raise
        finally:
            if isinstance(arriving, AsyncGenerator):
                await arriving.aclose()
            ms = round((time.monotonic() - started) * 1000)
            counts = estimated_prompt(request), estimated_tokens("".join(pieces))
            reply = ChatReply("", self._model.name, *counts, ms, None, 1)
            await self._book(record, purpose, prompt, request, reply, outcome)

    async def write(
        self, record: TurnRecord, slots: Mapping[str, str], results: Sequence[Json], *, in_pieces: bool
    ) -> AsyncGenerator[str, None]:
        """The answerer's call: the message and the results in, prose out. Raises ModelError."""
        system = self._prompt.render(**slots)
        question = self.data(record.message.text)
        user = f"<data>\n{question}\n</data>\n<data>\n{self.data(results)}\n</data>"
        request = ChatRequest((ChatMessage("system", system), ChatMessage("user", user)), mode="text")
        if not in_pieces:
            yield (await self.call(record, "answer", self._prompt, request)).text
            return
        async with aclosing(self.stream(record, "answer", self._prompt, request)) as pieces:
            async for piece in pieces:
                yield piece

    async def _book(
        self, record: TurnRecord, purpose: str, prompt: Prompt, request: ChatRequest, reply: ChatReply,
        outcome: str = "ok",
    ) -> None:  # fmt: skip
        """Write down what a call cost."""
        self._record(record, (purpose, prompt, request), outcome, reply)
        if any(tokens for _, tokens in self._limits(record).values()):
            came, went = reply.input_tokens, reply.output_tokens
            used = estimated_prompt(request) if came is None else came
            used += estimated_tokens(reply.text) if went is None else went
            await self._database.run(lambda conn: self._spent(conn, record, used))

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

    async def _reserved(self, record: TurnRecord) -> None:
        """Count the call before it is made, where there is a limit. Raises OverBudget or LaneLost."""
        if self._limits(record):
            await self._database.run(lambda conn: self._reserve(conn, record))
        record.held.check()

    def _reserve(self, conn: Connection, record: TurnRecord) -> None:
        day = now(conn).date().isoformat()
        for scope, (calls, tokens) in self._limits(record).items():
            if not usage.spend(conn, scope, day, calls, tokens):
                raise OverBudget(f"the daily limit of {scope.partition(':')[0]} is reached")

    def _spent(self, conn: Connection, record: TurnRecord, tokens: int) -> None:
        day = now(conn).date().isoformat()
        for scope in self._limits(record):
            usage.count_tokens(conn, scope, day, tokens)

    def _record(
        self,
        record: TurnRecord,
        asked: tuple[str, Prompt, ChatRequest],
        outcome: str,
        reply: ChatReply | None,
    ) -> None:
        purpose, prompt, request = asked
        call_id = new_id()
        _remember(record, call_id, request)
        record.calls.append(
            {
                "session_id": record.session.id,
                "id": call_id,
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


def _remember(record: TurnRecord, call_id: str, request: ChatRequest) -> None:
    """What was asked, for whoever looks at the turn later; the system prompt by its hash, since it repeats."""
    first, *rest = request.messages
    told = [[message.role, _storable(message.content)[:LONGEST_KEPT]] for message in rest]
    text = _storable(first.content)
    system = hashlib.sha256(text.encode()).hexdigest()
    record.prompt_texts[system] = text
    record.prompts.append(
        {"session_id": record.session.id, "id": call_id, "system": system, "messages": told}
    )


def _storable(text: str) -> str:
    """Text that every database takes: a model may have written half a character."""
    return text.encode(errors="replace").decode()


def _as_data(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")


def with_messages(request: ChatRequest, *more: ChatMessage) -> ChatRequest:
    """The same request with more of the conversation at its end."""
    return replace(request, messages=(*request.messages, *more))
