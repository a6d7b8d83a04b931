"""A conversation with an application that is really served, on loopback: for the tests of your tools."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The address of the application, served until the block ends; then it is drained and closed like on
    SIGTERM. Raises what kept it from starting."""
    # The protocol is named, or asyncio leaves Nagle on.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", proxy_headers=False)
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server._serve(sockets=[listener]))
        while not server.started:
            if task.done():
                task.result()
                raise RuntimeError("the server did not start")
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


class Conversation:
    """One session over `POST /agent`. Use it as an async context manager."""

    def __init__(self, url: str, session_id: str = "test") -> None:
        self.url = url
        self.session_id = session_id
        self._http = aiohttp.ClientSession()

    async def __aenter__(self) -> "Conversation":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def say(self, message: str, **more: Any) -> dict[str, Any]:
        """One turn, as the contract's JSON; `more` goes into the request. Raises AssertionError unless 200."""
        body = {"message": message, "session_id": self.session_id, **more}
        async with self._http.post(f"{self.url}/agent", json=body) as answer:
            turn: dict[str, Any] = await answer.json(content_type=None)
            assert answer.status == 200, turn
            return turn
