"""The guard around users' code: time limit, thread, and every exception turned into an outcome."""

import asyncio
import inspect
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from sqlalchemy import Connection

from ..context import Caller, Facts, Mail, ToolContext, ToolDatabase
from ..egress import Egress
from ..errors import ToolError, ToolRetry
from ..messages import Json
from ..storage.database import Database, now
from ..storage.repositories import usage
from ..telemetry import ERROR, measured
from ..tools import FAULTS, ToolSpec

logger = logging.getLogger("llm_planner.tools")
THREADS = 32
FATAL = (SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError)
"""What would end the process or the turn's own task, were it not held here: a tool may raise anything."""
GRACE_S = 1.0
"""How long a call that is out of time may take to clean up before it is left alone."""
LONGEST_ERROR = 2000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. `failed` and `retry` are the tool's own promise that nothing was done; `raised` and
    `timeout` promise nothing. `error` is fit for the user only with the first two."""

    kind: Literal["ok", "failed", "retry", "raised", "timeout"]
    result: Json = None
    error: str | None = None
    ms: int = 0
    facts: Mapping[str, Json] = field(default_factory=dict)
    mails: tuple[Mail, ...] = ()


class Guard:
    """Calls `run`, `reconcile`, `summary` and `render` of tools, and nothing they do gets past it."""

    def __init__(self, database: Database, timeout_s: float, result_bytes: int) -> None:
        self._database = database
        self._timeout_s = timeout_s
        self._result_bytes = result_bytes
        self._threads = ThreadPoolExecutor(THREADS, "tool")
        self._strays: set[asyncio.Task[Outcome]] = set()

    def timeout_of(self, spec: ToolSpec) -> float:
        """Seconds that one call of this tool may take."""
        return spec.timeout_s or self._timeout_s

    async def within_rate(self, spec: ToolSpec, caller: Caller) -> bool:
        """Count one call towards the tool's `rate_limit` (calls a minute in one session). False: above it."""
        limit = spec.tool.rate_limit
        if limit is None:
            return True

        def spend(conn: Connection) -> bool:
            moment = now(conn)
            scope = f"tool:{caller.session_id}:{moment:%H%M}:{spec.name}"
            return usage.spend(conn, scope, moment.date().isoformat(), limit, 0)

        return await self._database.run(spend)

    async def run(self, spec: ToolSpec, args: BaseModel, caller: Caller, key: str) -> Outcome:
        """One call of the tool's `run`."""
        return await self._call(
            _Call(spec, spec.tool.run, args, self._context(spec, caller, key), spec.write)
        )

    async def reconcile(self, spec: ToolSpec, args: BaseModel, caller: Caller, key: str) -> Outcome:
        """Ask the tool what became of a write."""
        context = self._context(spec, caller, key)
        return await self._call(_Call(spec, spec.tool.reconcile, args, context, effect=False))

    def _context(self, spec: ToolSpec, caller: Caller, key: str) -> ToolContext:
        return ToolContext(
            session_id=caller.session_id,
            principal=caller.principal,
            channel=caller.channel,
            locale=caller.locale,
            facts=Facts(caller.facts),
            idempotency_key=key,
            db=ToolDatabase(self._database, asyncio.get_running_loop()),
            http=Egress(spec.tool.egress, self.timeout_of(spec)),
            logger=logging.getLogger(f"llm_planner.tools.{spec.name}"),
        )

    async def _call(self, call: "_Call") -> Outcome:
        """One call, measured."""
        named = {"gen_ai.tool.name": call.spec.name, "gen_ai.tool.type": "function"}
        with measured("execute_tool", call.spec.name, named) as told:
            outcome = await self._timed(call)
            told["llm_planner.status"] = outcome.kind
            if outcome.kind != "ok":
                told[ERROR] = outcome.kind
        return outcome

    async def _timed(self, call: "_Call") -> Outcome:
        """The call in a task of its own: whatever it does to its task, it does not do to the turn's."""
        started = time.monotonic()
        task = asyncio.create_task(self._contained(call))
        try:
            await asyncio.wait({task}, timeout=self.timeout_of(call.spec))
        finally:
            call.ctx.db.end()
            late = not task.done()
            if late:
                await self._stop(task)
        outcome = _ended(task, late)
        ms = round((time.monotonic() - started) * 1000)
        return Outcome(outcome.kind, outcome.result, outcome.error, ms, outcome.facts, outcome.mails)

    async def _stop(self, task: "asyncio.Task[Outcome]") -> None:
        """Cancel a call that is out of time. One that does not listen is left alone, and kept track of."""
        self._strays.add(task)
        task.add_done_callback(self._strays.discard)
        task.cancel()
        await asyncio.wait({task}, timeout=GRACE_S)

    async def _contained(self, call: "_Call") -> Outcome:
        try:
            return await self._outcome(call)
        except asyncio.CancelledError:
            return Outcome("raised", error="CancelledError")
        except (Exception, *FATAL) as error:
            logger.warning("tool %s raised %s", call.spec.name, type(error).__name__, exc_info=error)
            return Outcome("raised", error=type(error).__name__)

    async def _outcome(self, call: "_Call") -> Outcome:
        try:
            found = await self._invoke(call.function, call.args, call.ctx)
        except TimeoutError:
            return Outcome("timeout")
        except ToolError as error:
            detail = str(error.detail).encode(errors="replace").decode()[:LONGEST_ERROR]
            return Outcome("retry" if isinstance(error, ToolRetry) else "failed", error=detail or None)
        result = None if found is None else self._result(call, found)
        return Outcome("ok", result, facts=dict(call.ctx.facts.changed), mails=tuple(call.ctx.mails))

    def _result(self, call: "_Call", found: Any) -> Json:
        """The result as JSON. What a write returns can't undo that it returned: it was done (rule 7)."""
        try:
            return self._sized(call.spec.output(found))
        except FAULTS as error:
            if not call.effect:
                raise
            logger.warning(
                "the result of %s can't be kept: %s", call.spec.name, type(error).__name__, exc_info=error
            )
            return None

    async def _invoke(self, function: Callable[..., Any], args: BaseModel, ctx: ToolContext) -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(args, ctx)
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._threads, _in_thread, function, args, ctx)
        return await result if isinstance(result, Awaitable) else result

    def _sized(self, result: Json) -> Json:
        """A result above the limit is cut and says so; a cut one can't be pointed into."""
        text = json.dumps(result, ensure_ascii=False)
        if len(text.encode()) <= self._result_bytes:
            return result
        return {"truncated": True, "preview": text[: self._result_bytes // 4]}

    def text(self, function: Callable[..., str | None], *arguments: Any) -> str | None:
        """Call a tool's `summary` or `render`; whatever goes wrong, the default text is used instead."""
        try:
            found = function(*arguments)
        except (Exception, *FATAL) as error:
            name = getattr(function, "__qualname__", repr(type(function)))
            logger.warning("%s raised %s", name, type(error).__name__, exc_info=error)
            return None
        if inspect.iscoroutine(found):
            found.close()
        return found if isinstance(found, str) and found.strip() else None

    def close(self) -> None:
        for task in self._strays:
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of users' code. `effect`: that it returned means that something was done."""

    spec: ToolSpec
    function: Callable[..., Any]
    args: BaseModel
    ctx: ToolContext
    effect: bool


def _in_thread(function: Callable[..., Any], args: BaseModel, ctx: ToolContext) -> Any:
    try:
        return function(args, ctx)
    except StopIteration as error:  # a future can't carry it
        raise RuntimeError("the tool raised StopIteration") from error


def _ended(task: "asyncio.Task[Outcome]", late: bool) -> Outcome:
    """What came of a call. One that was stopped and says what it did all the same is believed."""
    outcome = Outcome("raised", error="CancelledError")
    if task.done() and not task.cancelled() and task.exception() is None:
        outcome = task.result()
    return Outcome("timeout") if late and (not task.done() or outcome.kind == "raised") else outcome


def promise_kept(outcome: Outcome) -> bool:
    """Whether the tool says that nothing was done."""
    return outcome.kind in ("failed", "retry")
