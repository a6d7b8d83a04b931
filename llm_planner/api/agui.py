"""AG-UI: a turn as the events of the Agent-User Interaction Protocol 1.0 (https://docs.ag-ui.com/spec/1.0).

One run is one turn: `runId` is the turn, `threadId` the session. What is told here stays well-formed whatever
news come, repeated or out of order: the run opens once, every message, call and step that was opened is
closed before the run is, and RUN_FINISHED carries the turn as the contract has it.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..messages import ConfirmationView, Json, StepView, TurnView
from ..turn.progress import CallBegan, CallEnded, News, Said, Stage, Unsaid
from .views import stamp

PROTOCOL: Final = "1.0"
DRAFT_WITHDRAWN: Final = "llm-planner:draft-withdrawn"
"""The CUSTOM event that says: forget what was said in this message, the reply stands in the next one."""

Event = dict[str, Json]


class Telling:
    """Tells one run. Every method gives the events to send next."""

    def __init__(self, thread_id: str, run_id: str) -> None:
        self._thread = thread_id
        self._run = run_id
        self._stage: str | None = None
        self._begun: dict[str, str] = {}
        self._ended: set[str] = set()
        self._drafts = 0
        self._draft: str | None = None

    def started(self) -> Iterator[Event]:
        yield self._event("RUN_STARTED", **self._ids, protocolVersion=PROTOCOL)

    def of(self, news: News) -> Iterator[Event]:
        """What one piece of news adds."""
        match news:
            case Stage(name):
                yield from self._turned_to(name)
            case CallBegan(home, step, tool, args):
                yield from self._began(home, step, tool, args)
            case CallEnded():
                yield from self._ended_with(news)
            case Said(text):
                yield from self._said(text)
            case Unsaid():
                yield from self._withdrawn()

    def finished(self, view: TurnView, turn: Json) -> Iterator[Event]:
        """The end: what was not told yet, the reply, and RUN_FINISHED with `turn`, the turn's JSON."""
        asked = {row.step: row for row in view.confirmations if row.open}
        for step in view.steps:
            yield from self._settled(step, asked.get(step.id))
        for step_id in [name for name in self._begun if name not in asked]:  # of an attempt given up
            yield from self._result(step_id, "unknown", None, None)
        yield from self._replied(view.reply)
        yield from self._turned_to(None)
        yield self._event("RUN_FINISHED", **self._ids, result=turn, outcome=_outcome(list(asked.values())))

    def failed(self, code: str, message: str) -> Iterator[Event]:
        """The end of a run whose turn could not be waited for; the turn itself may well go on."""
        yield self._event("RUN_ERROR", message=message, code=code)

    @property
    def _ids(self) -> Event:
        return {"threadId": self._thread, "runId": self._run}

    @staticmethod
    def _event(kind: str, **fields: Json) -> Event:
        return {"type": kind, **fields}

    def _turned_to(self, stage: str | None) -> Iterator[Event]:
        if stage == self._stage:
            return
        if self._stage is not None:
            yield self._event("STEP_FINISHED", stepName=self._stage)
        if stage is not None:
            yield self._event("STEP_STARTED", stepName=stage)
        self._stage = stage

    def _began(self, home: str, step: str, tool: str, args: Json) -> Iterator[Event]:
        if step in self._begun:
            return
        call = self._begun[step] = call_id(home, step)
        yield self._event("TOOL_CALL_START", toolCallId=call, toolCallName=tool)
        if args is not None:
            yield self._event("TOOL_CALL_ARGS", toolCallId=call, delta=_json(dict(args)))
        yield self._event("TOOL_CALL_END", toolCallId=call)

    def _ended_with(self, news: CallEnded) -> Iterator[Event]:
        """A result. Of a write that an earlier run asked about, the call itself was told there."""
        if news.home == self._run and news.step not in self._begun:
            return  # nothing was called: what became of the step stands in the turn
        self._begun.setdefault(news.step, call_id(news.home, news.step))
        yield from self._result(news.step, news.status, news.result, news.error)

    def _result(self, step: str, status: str, result: Json, error: str | None) -> Iterator[Event]:
        if step in self._ended:
            return
        self._ended.add(step)
        content = result if status == "ok" else {"status": status, "error": error}
        call = self._begun[step]
        yield self._event(
            "TOOL_CALL_RESULT",
            messageId=f"{call}:result",
            toolCallId=call,
            content=_json(content),
            metadata={"status": status},
        )

    def _settled(self, step: StepView, asked: ConfirmationView | None) -> Iterator[Event]:
        """A call of the finished turn that was not told, or not to its end. An open one waits for a person."""
        if asked is not None:
            yield from self._began(asked.home, step.id, step.tool, asked.args)
            return
        if step.status in ("ok", "error", "timeout", "unknown"):
            yield from self._began(self._run, step.id, step.tool, None)
        if step.id in self._begun:
            yield from self._result(step.id, step.status, step.result, step.error)

    def _said(self, text: str) -> Iterator[Event]:
        if self._draft is None:
            self._drafts += 1
            self._draft = ""
            yield self._event("TEXT_MESSAGE_START", messageId=self._message, role="assistant")
        self._draft += text
        yield self._event("TEXT_MESSAGE_CONTENT", messageId=self._message, delta=text)

    def _withdrawn(self) -> Iterator[Event]:
        if self._draft is None:
            return
        yield self._event("TEXT_MESSAGE_END", messageId=self._message)
        yield self._event("CUSTOM", name=DRAFT_WITHDRAWN, value={"messageId": self._message})
        self._draft = None

    def _replied(self, reply: str) -> Iterator[Event]:
        """The whole reply stands in the last message, whatever was said of it so far."""
        if self._draft is not None and not reply.startswith(self._draft):
            yield from self._withdrawn()
        rest = reply[len(self._draft or "") :]
        if rest or self._draft is None:
            yield from self._said(rest)
        yield self._event("TEXT_MESSAGE_END", messageId=self._message)
        self._draft = None

    @property
    def _message(self) -> str:
        return self._run if self._drafts < 2 else f"{self._run}:{self._drafts}"


def call_id(home: str, step: str) -> str:
    """A call's id is its own in the whole session: the turn whose plan it is in, and its step there."""
    return f"{home}:{step}"


def _outcome(asked: Sequence[ConfirmationView]) -> Json:
    """Success, or what the run stopped to ask: one interrupt for each write that can still be decided."""
    if not asked:
        return {"type": "success"}
    interrupts: list[dict[str, Any]] = [
        {
            "id": row.id, "reason": "tool_call", "message": row.summary, "toolCallId": call_id(row.home, row.step),
            "expiresAt": stamp(row.expires_at), "metadata": {"approver": row.approver},
        }
        for row in asked
    ]  # fmt: skip
    return {"type": "interrupt", "interrupts": interrupts}


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
