"""Tools that misbehave in every way a tool can."""

import asyncio
import inspect
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from pydantic import BaseModel

from llm_planner import Tool, ToolContext, ToolFailed


class NameInput(BaseModel):
    name: str = ""
    taken: Any = None


class Meet(Tool):
    """A read that waits until as many of its kind are at work as have to meet."""

    name = "meet"
    description = "Meets."
    input_model = NameInput
    write = False
    timeout_s = 5
    barrier: ClassVar[asyncio.Barrier]
    order: ClassVar[list[str]] = []

    async def run(self, args: NameInput, ctx: ToolContext) -> dict[str, str]:
        await self.barrier.wait()
        self.order.append(args.name)
        return {"name": args.name}


class Evil(Tool):
    """A read that does whatever `does` does."""

    name = "evil"
    description = "Anything."
    input_model = NameInput
    write = False
    timeout_s = 0.3
    does: ClassVar[Callable[[ToolContext], Any]] = lambda ctx: None
    calls: ClassVar[list[str]] = []

    async def run(self, args: NameInput, ctx: ToolContext) -> Any:
        self.calls.append(args.name)
        found = type(self).does(ctx)
        return await found if inspect.iscoroutine(found) else found


class EvilInThread(Evil):
    name = "evil_in_thread"

    def run(self, args: NameInput, ctx: ToolContext) -> Any:
        return type(self).does(ctx)


class EvilWrite(Evil):
    name = "evil_write"
    write = True


class Stubborn(Evil):
    name = "stubborn"
    retries = 2


class Fatal(BaseException):
    """What no `except Exception` catches."""


class Unspeakable(ToolFailed):
    def __init__(self) -> None:
        super().__init__()
        self.detail = Mute()  # type: ignore[assignment]


def not_text() -> ToolFailed:
    error: Any = ValueError("not text")
    return ToolFailed(error)


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raising(error: BaseException | type[BaseException]) -> Callable[[ToolContext], Any]:
    def does(ctx: ToolContext) -> Any:
        raise error

    return does


async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()


async def listens_to_nobody() -> None:
    for _ in range(2):  # not at the end of its time, and not when the server closes
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


def cyclic() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


def deep() -> list[Any]:
    found: list[Any] = []
    for _ in range(5000):
        found = [found]
    return found
