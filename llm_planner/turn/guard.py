"""The guard around users' code: time limit, thread, and every exception turned into an outcome."""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from ..context import Caller, Facts, Mail, ToolContext, ToolDatabase
from ..egress import Egress
from ..errors import ToolError, ToolRetry
from ..messages import Json
from ..storage.database import Database
from ..tools import ToolSpec

logger = logging.getLogger("llm_planner.tools")
THREADS = 32


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

    def timeout_of(self, spec: ToolSpec) -> float:
        """Seconds that one call of this tool may take."""
        return spec.timeout_s or self._timeout_s

    async def run(self, spec: ToolSpec, args: BaseModel, caller: Caller, key: str) -> Outcome:
        """One call of the tool's `run`."""
        return await self._call(spec, spec.tool.run, args, self._context(spec, caller, key))

    async def reconcile(self, spec: ToolSpec, args: BaseModel, caller: Caller, key: str) -> Outcome:
        """Ask the tool what became of a write."""
        return await self._call(spec, spec.tool.reconcile, args, self._context(spec, caller, key))

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

    async def _call(
        self, spec: ToolSpec, function: Callable[..., Any], args: BaseModel, ctx: ToolContext
    ) -> Outcome:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_of(spec)):
                found = await self._invoke(function, args, ctx)
                result = None if found is None else self._sized(spec.output(found))
        except TimeoutError:
            outcome = Outcome("timeout")
        except ToolError as error:
            kind: Literal["retry", "failed"] = "retry" if isinstance(error, ToolRetry) else "failed"
            outcome = Outcome(kind, error=error.detail or None)
        except Exception as error:
            logger.warning("tool %s raised %s", spec.name, type(error).__name__, exc_info=error)
            outcome = Outcome("raised", error=type(error).__name__)
        else:
            outcome = Outcome("ok", result, facts=ctx.facts.changed, mails=tuple(ctx.mails))
        ms = round((time.monotonic() - started) * 1000)
        return Outcome(outcome.kind, outcome.result, outcome.error, ms, outcome.facts, outcome.mails)

    async def _invoke(self, function: Callable[..., Any], args: BaseModel, ctx: ToolContext) -> Any:
        if inspect.iscoroutinefunction(function):
            return await function(args, ctx)
        loop = asyncio.get_running_loop()
        result = await loop.run_in_executor(self._threads, function, args, ctx)
        return await result if isinstance(result, Awaitable) else result

    def _sized(self, result: Json) -> Json:
        """A result above the limit is cut and says so; a cut one can't be pointed into."""
        text = str(result)
        if len(text.encode(errors="replace")) <= self._result_bytes:
            return result
        return {"truncated": True, "preview": text[: self._result_bytes // 4]}

    def text(self, function: Callable[..., str | None], *arguments: Any) -> str | None:
        """Call a tool's `summary` or `render`; whatever goes wrong, the default text is used instead."""
        try:
            found = function(*arguments)
        except Exception as error:
            logger.warning("%s raised %s", function.__qualname__, type(error).__name__, exc_info=error)
            return None
        return found if isinstance(found, str) and found.strip() else None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def promise_kept(outcome: Outcome) -> bool:
    """Whether the tool says that nothing was done."""
    return outcome.kind in ("failed", "retry")
