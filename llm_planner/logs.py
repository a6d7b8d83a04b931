"""Logs: one line an event, pretty for people or JSON for machines; never a message's text, never a secret.

Each line carries what it belongs to: the request, and once a message has its turn, session, turn and message id.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from .telemetry import trace_ids

_SCENE: ContextVar[Mapping[str, str]] = ContextVar("llm_planner_scene", default={})  # noqa: B039 - never changed


@contextmanager
def belonging_to(**ids: str) -> Iterator[None]:
    """What is logged in the block, and in tasks that it starts, carries these ids besides those around it."""
    token = _SCENE.set({**_SCENE.get(), **ids})
    try:
        yield
    finally:
        _SCENE.reset(token)


class JsonLines(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, the ids of what it belongs to and
    of its trace, and the error if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_SCENE.get(),
            **trace_ids(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class Pretty(logging.Formatter):
    """Time, level, logger and message, and the turn it belongs to."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        line = super().formatMessage(record)
        turn = _SCENE.get().get("turn_id")
        return f"{line} [turn {turn}]" if turn and turn not in line else line


def configure_logs(form: str, level: str) -> None:
    """Send everything to standard error in one form: `json` or `pretty`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else Pretty())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("alembic", "asyncio", "aiohttp.access", "temporalio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
