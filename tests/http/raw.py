"""Requests byte by byte, for what an HTTP library would not send."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ..harness import Client

PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Answer:
    """Header names are in lower case; of a name that is there twice the last value counts."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(client: Client, request: bytes) -> Answer:
    """Send these bytes and read the one answer to its end."""
    url = urlsplit(client.url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
    finally:
        writer.close()
    return Answer(int(lines[0].split()[1]), headers, body)


def post(path: str, body: bytes, *headers: str, kind: str | None = "application/json") -> bytes:
    """The bytes of one POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers]
    lines += [f"Content-Type: {kind}"] if kind is not None else []
    return "\r\n".join([*lines, "", ""]).encode() + body


def get(path: str, *headers: str, host: str = "localhost") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", *headers, "", ""]).encode()


def assert_problem(answer: Answer, status: int, code: str) -> None:
    """RFC 9457: type, title, status, detail, and our code; nothing else, and nothing of the machine's."""
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == PROBLEM
    data = answer.json()
    assert set(data) == {"type", "title", "status", "detail", "code"}
    assert (data["status"], data["code"]) == (status, code)
    assert all(isinstance(data[name], str) and data[name] for name in ("type", "title", "detail"))
    assert "Traceback" not in data["detail"]
