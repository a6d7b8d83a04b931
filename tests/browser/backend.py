"""The scripted backend: serves the page's own files under its policy and answers `/agent` as it was told."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web

from llm_planner.storage.repositories.confirmations import ConfirmationRow
from llm_planner.turn.cards import card, fill_tokens

PAGE = Path(__file__).parents[2] / "llm_planner" / "api" / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SESSION = "s_minted-by-the-server"
TOKEN = "K7QF2M9X"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of `/agent`. `text` goes out as it is; `held` keeps it back until it is set; `cut` hangs up
    before its end. `events` are streamed in its place, each event of the loop among them when it is set."""

    text: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    held: asyncio.Event | None = None
    cut: bool = False
    events: Sequence[Mapping[str, Any] | asyncio.Event] = ()


def stream(*events: Mapping[str, Any] | asyncio.Event) -> Answer:
    """An answer in AG-UI events, behind the one that opens the run."""
    return Answer("", events=[{"type": "RUN_STARTED", "threadId": SESSION, "runId": "t1"}, *events])


def finished(answer: "Answer") -> dict[str, Any]:
    """The event that ends a run with this turn."""
    result = json.loads(answer.text)
    return {"type": "RUN_FINISHED", "threadId": SESSION, "runId": "t1", "result": result}


def turn(
    reply: str, *confirmations: Mapping[str, Any], held: asyncio.Event | None = None, **more: Any
) -> Answer:
    """A turn of the contract's shape."""
    body = {
        "session_id": SESSION, "turn_id": "t1", "message_id": "m1", "duplicate": False, "code": None,
        "status": "needs_confirmation" if confirmations else "answered",
        "reply": reply, "confirmations": confirmations, "steps": [],
    }  # fmt: skip
    return Answer(json.dumps(body | more), held=held)


def problem(status: int, code: str, detail: str, **headers: str) -> Answer:
    """An RFC 9457 answer; `retry_after="1"` becomes a header."""
    body = {"type": f"urn:llm-planner:{code}", "title": "-", "status": status, "detail": detail, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(json.dumps(body), status, {"Content-Type": "application/problem+json", **named})


def step(tool: str, status: str, ms: int = 12, error: str | None = None) -> dict[str, Any]:
    return {"id": "s1", "tool": tool, "status": status, "result": None, "error": error, "ms": ms}


def asks(args: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A parked write that waits for its owner for ten minutes."""
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)
    return {
        "id": "c1", "token": TOKEN, "tool": "register_customer", "args": args,
        "summary": "Registrar a Ana López", "approver": "user",
        "expires_at": moment.isoformat().replace("+00:00", "Z"),
    } | more  # fmt: skip


def in_words(
    confirmation: Mapping[str, Any],
    *,
    title: str = "Registrar cliente",
    origins: Mapping[str, str] | None = None,
) -> str:
    """The same parked write as the server's own card puts it into the reply."""
    row = ConfirmationRow(
        session_id="x", id="c1", turn_id="t1", home_turn_id="t1", round=0, step="s1", edition=0,
        tool=confirmation["tool"], summary=confirmation["summary"], args=confirmation["args"],
        origins=origins or {}, schema_hash="", digest="", approver="user", state="pending",
        expires_at=datetime.fromisoformat(confirmation["expires_at"]), created_at=datetime.now(UTC),
    )  # fmt: skip
    return fill_tokens(card(row, title, "es", ZoneInfo("UTC")), {"c1": confirmation["token"]}, "es")


def letter(key: str, subject: str, text: str, minute: int = 0) -> dict[str, Any]:
    return {
        "id": key, "destination": "ana@example.com", "body": {"subject": subject, "text": text},
        "state": "queued", "created_at": f"2026-11-23T10:{minute:02}:00Z",
    }  # fmt: skip


class ScriptedBackend:
    """Hands out its answers in order. `asked` holds the body of each request, `visited` each path;
    `mail` None is the answer outside development."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.visited: list[str] = []
        self.mail: list[dict[str, Any]] | None = None
        self._answers: deque[Answer] = deque()

    def will_answer(self, *answers: Answer) -> None:
        self._answers.extend(answers)

    @property
    def messages(self) -> Sequence[str]:
        return [body["message"] for body in self.asked]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ScriptedBackend"]:
        """Listen on a free loopback port; `url` is the page's address."""
        runner = web.AppRunner(self._application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield self
        finally:
            await runner.cleanup()

    def _application(self) -> web.Application:
        @web.middleware
        async def note(request: web.Request, handler: Any) -> web.StreamResponse:
            self.visited.append(request.path)
            response: web.StreamResponse = await handler(request)
            return response

        application = web.Application(middlewares=[note])
        application.router.add_get("/", self._page)
        application.router.add_get("/page/{name}", self._file)
        application.router.add_get("/page-mail", self._mail)
        application.router.add_post("/agent", self._agent)
        return application

    async def _page(self, request: web.Request) -> web.StreamResponse:
        headers = {
            "Content-Security-Policy": POLICY,
            "Content-Type": "text/html",
            "X-Content-Type-Options": "nosniff",
        }
        return web.FileResponse(PAGE / "page.html", headers=headers)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        headers = {"Content-Type": kind, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return web.FileResponse(PAGE / name, headers=headers)

    async def _mail(self, request: web.Request) -> web.StreamResponse:
        if self.mail is None:
            return web.json_response({"detail": "there is no such page", "code": "not_found"}, status=404)
        return web.json_response({"items": self.mail})

    async def _agent(self, request: web.Request) -> web.StreamResponse:
        assert request.content_type == "application/json"
        self.asked.append(await request.json())
        answer = (
            self._answers.popleft() if self._answers else problem(500, "unscripted", "no answer was scripted")
        )
        if answer.held is not None:
            await answer.held.wait()
        if answer.events:
            return await self._stream(request, answer)
        if answer.cut:
            return await self._half(request, answer)
        headers = {"Content-Type": "application/json", **answer.headers}
        return web.Response(body=answer.text.encode(), status=answer.status, headers=headers)

    async def _stream(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        assert "text/event-stream" in request.headers["accept"]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in answer.events:
            if isinstance(event, asyncio.Event):
                await event.wait()
            else:
                sent = f": \n\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
                middle = sent.find("á".encode()) + 1 or len(sent) // 2  # in the middle of a letter
                await response.write(sent[:middle])
                await asyncio.sleep(0)
                await response.write(sent[middle:])
        return response

    async def _half(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """The head of an answer and less than its body; after that the browser can't ask again by itself."""
        response = web.StreamResponse(headers={"Content-Length": str(len(answer.text) + 1)})
        await response.prepare(request)
        await response.write(answer.text.encode())
        assert request.transport is not None
        request.transport.close()
        return response
