"""An AG-UI client for tests: reads server-sent events, and judges each of them and their order by the protocol's
own models and by its rules for a run."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from ag_ui.core import Event as AnyEvent
from pydantic import TypeAdapter

from .harness import Client

STREAM = {"Accept": "text/event-stream"}
Event = dict[str, Any]
_MODEL: TypeAdapter[Any] = TypeAdapter(AnyEvent)


class Run:
    """What a client knows of one run; `take` refuses whatever the protocol forbids."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.texts: dict[str, str] = {}
        self.withdrawn: set[str] = set()
        self.calls: dict[str, str] = {}
        self.results: dict[str, Any] = {}
        self._open: set[tuple[str, str]] = set()

    def take(self, event: Event) -> None:
        model = _MODEL.validate_python(event)
        assert not model.model_extra, f"not in the protocol: {model.model_extra}"
        assert model.model_dump(mode="json", by_alias=True) == event
        kinds = [known["type"] for known in self.events]
        assert (kinds == []) == (event["type"] in ("RUN_STARTED",)) or event["type"] == "RUN_ERROR"
        assert not {"RUN_FINISHED", "RUN_ERROR"} & set(kinds), "nothing follows the end"
        self.events.append(event)
        getattr(self, f"_{event['type'].lower()}", lambda _: None)(event)

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def turn(self) -> dict[str, Any]:
        """The turn that the run ended with."""
        assert self.events[-1]["type"] == "RUN_FINISHED", self.events[-1]
        found: dict[str, Any] = self.events[-1]["result"]
        return found

    @property
    def reply(self) -> str:
        """What a client that reads only text messages shows at the end."""
        (text,) = (text for name, text in self.texts.items() if name not in self.withdrawn)
        return text

    def all_of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    def _opened(self, kind: str, key: str) -> None:
        assert (kind, key) not in self._open
        self._open.add((kind, key))

    def _text_message_start(self, event: Event) -> None:
        assert event["messageId"] not in self.texts
        self._opened("text", event["messageId"])
        self.texts[event["messageId"]] = ""

    def _text_message_content(self, event: Event) -> None:
        assert ("text", event["messageId"]) in self._open
        self.texts[event["messageId"]] += event["delta"]

    def _text_message_end(self, event: Event) -> None:
        self._open.remove(("text", event["messageId"]))

    def _custom(self, event: Event) -> None:
        assert event["name"] == "llm-planner:draft-withdrawn"
        self.withdrawn.add(event["value"]["messageId"])

    def _tool_call_start(self, event: Event) -> None:
        assert event["toolCallId"] not in self.calls
        self._opened("call", event["toolCallId"])
        self.calls[event["toolCallId"]] = ""

    def _tool_call_args(self, event: Event) -> None:
        assert ("call", event["toolCallId"]) in self._open
        self.calls[event["toolCallId"]] += event["delta"]

    def _tool_call_end(self, event: Event) -> None:
        self._open.remove(("call", event["toolCallId"]))

    def _tool_call_result(self, event: Event) -> None:
        assert event["toolCallId"] not in self.results
        self.results[event["toolCallId"]] = json.loads(event["content"])

    def _step_started(self, event: Event) -> None:
        self._opened("step", event["stepName"])

    def _step_finished(self, event: Event) -> None:
        self._open.remove(("step", event["stepName"]))

    def _run_finished(self, event: Event) -> None:
        assert self._open == set(), "all that was opened is closed"
        first = self.events[0]
        assert (event["threadId"], event["runId"]) == (first["threadId"], first["runId"])
        asked = {item["toolCallId"] for item in event["outcome"].get("interrupts", [])}
        assert self.calls.keys() - self.results.keys() <= asked, "a call without a result is one that waits"


class Listening:
    """One open stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.run = Run()
        self.comments = 0

    async def until(self, kind: str) -> Run:
        """Read on up to and with the next event of this kind."""
        async with asyncio.timeout(20):
            async for event in self._events():
                self.run.take(event)
                if event["type"] == kind:
                    return self.run
        raise AssertionError(f"the stream ended without {kind}: {self.run.kinds}")

    async def _events(self) -> AsyncIterator[Event]:
        while line := await self.answer.content.readline():
            if line.startswith(b"data: "):
                yield json.loads(line[6:])
            self.comments += line.startswith(b":")


@asynccontextmanager
async def listening(
    client: Client, message: str, session: str | None = "demo", path: str = "/agent", **more: Any
) -> AsyncIterator[Listening]:
    """Send a message and keep the stream open; leaving the block hangs up."""
    headers = {**STREAM, **more.pop("headers", {})}
    body = {"message": message, **({"session_id": session} if session is not None else {}), **more}
    async with client.http.post(client.url + path, json=body, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream"), await answer.text()
        yield Listening(answer)
        answer.close()


async def streamed(client: Client, message: str, session: str | None = "demo", **more: Any) -> Run:
    """One whole turn over a stream."""
    async with listening(client, message, session, **more) as stream:
        return await stream.until("RUN_FINISHED")
