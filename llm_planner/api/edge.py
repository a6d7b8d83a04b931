"""The edge: host check, request id, body limit, and every error as problem+json (RFC 9457)."""

import json
import logging
import re
import secrets
from collections.abc import Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import BodyTooLarge, MalformedRequest, PlannerError, RateLimited, StartError, UnsupportedMedia
from ..logs import belonging_to

logger = logging.getLogger("llm_planner.http")
PROBLEM = "application/problem+json"
LARGEST_BODY = 256 * 1024
ALWAYS_OPEN = frozenset(["/health", "/ready"])
"""Probes come by address, without a host name of ours."""
RETRY_AFTER_S = "5"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TITLES = {
    400: "Bad request", 401: "Unauthorized", 403: "Forbidden", 404: "Not found", 405: "Method not allowed",
    409: "Conflict", 413: "Body too large", 415: "Unsupported media type", 421: "Misdirected request",
    422: "Invalid request", 429: "Too many requests", 500: "Internal error", 503: "Unavailable",
}  # fmt: skip
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-store",
    b"x-frame-options": b"DENY",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
}
"""For every answer that says nothing else."""


def problem(status: int, code: str, detail: str = "", headers: dict[str, str] | None = None) -> Response:
    """An RFC 9457 answer. `detail` never holds a secret."""
    title = _TITLES.get(status, "Error")
    body = {
        "type": f"urn:llm-planner:{code}",
        "title": title,
        "status": status,
        "detail": detail or title,
        "code": code,
    }
    return Response(json.dumps(body, ensure_ascii=False), status, headers, PROBLEM)


def problem_of(error: PlannerError) -> Response:
    """The same from an error of the tree; ours passes, so it says when to come back."""
    headers = {"Retry-After": RETRY_AFTER_S} if error.retryable else None
    if isinstance(error, RateLimited):
        headers = {"Retry-After": str(error.retry_after_s)}
    if error.status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    if error.status >= 500 and not error.retryable:
        return problem(500, "internal_error")
    return problem(error.status, error.reason, error.detail, headers)


def told_of(error: BaseException) -> tuple[str, str]:
    """The code and the words of `problem_of`, for an answer that has begun already."""
    if not isinstance(error, PlannerError) or (error.status >= 500 and not error.retryable):
        return "internal_error", _TITLES[500]
    return error.reason, error.detail


class Edge:
    """The outermost layer around every route."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope["request_id"] = request_id
        started = False

        async def tell(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                present = {name.lower() for name, _ in message["headers"]}
                if _is_page(message):
                    present.add(b"content-security-policy")
                more = [(name, value) for name, value in _HEADERS.items() if name not in present]
                message["headers"] = [*message["headers"], *more, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            refusal = self._refusal(scope, headers)
            with belonging_to(request_id=request_id):
                await (refusal or self._app)(scope, receive, tell)
        except Exception as error:  # the HTTP edge: nothing of ours is shown, and the log has it all
            logger.exception("request %s %s %s failed", request_id, scope["method"], scope["path"])
            if started:
                raise
            answer = problem_of(error) if isinstance(error, PlannerError) else problem(500, "internal_error")
            await answer(scope, receive, tell)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A start that is refused says why in one line; a fault keeps its traceback."""
        held: list[Message] = []

        async def tell(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                held.append(message)
            else:
                await send(message)

        try:
            await self._app(scope, receive, tell)
        except StartError as error:
            await send({"type": "lifespan.startup.failed", "message": f"llm-planner: {error.detail}"})
        except BaseException:
            for message in held:
                await send(message)
            raise

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        if self._hosts and scope["path"] not in ALWAYS_OPEN:
            named = headers.getlist("host")
            if len(named) != 1 or _host(named[0]) not in self._hosts:
                return problem(
                    421, "unknown_host", "this server does not answer to that host name; see ALLOWED_HOSTS"
                )
        return None


def _is_page(message: Message) -> bool:
    """Whether this is HTML: our pages have a policy of their own, and `/docs` (development) loads Swagger's."""
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/html")
        for name, value in message["headers"]
    )


def _host(header: str) -> str:
    """The name in a Host header, without its port; an IPv6 address keeps its brackets."""
    host = header.strip().lower()
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


async def json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object, counted while it is read. Raises 400, 413 or 415 of the error tree."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMedia("the body must be application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("encoded bodies are not read")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BodyTooLarge(f"more than {LARGEST_BODY} bytes")
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("the body is not JSON in UTF-8") from error
    if not isinstance(found, dict):
        raise MalformedRequest("the body must be a JSON object")
    return found
