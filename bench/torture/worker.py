"""The processes under torture: a server with its worker, and a victim that plays one conversation to its death."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import uvicorn
from sqlalchemy import Connection

from llm_planner.application import app_of
from llm_planner.assembly import Parts, assemble
from llm_planner.messages import Decision, InboundMessage, Route, SessionKey
from llm_planner.storage.repositories import confirmations, sessions
from llm_planner.storage.repositories.confirmations import ConfirmationRow
from llm_planner.turn.tokens import Tokens

from .house import OPERATOR, ROLE, Orders, Reached, blueprint

CONFIRM, APPROVE = "confirm", "approve"


def serve(orders: Orders) -> None:
    """A web process that runs its own turns, until SIGTERM."""
    _log_into(orders.folder)
    config = uvicorn.Config(
        app_of(blueprint(orders)), host="127.0.0.1", port=orders.port, log_config=None, access_log=False
    )
    uvicorn.Server(config).run()


def play(orders: Orders, user: str, script: Sequence[str], pipe: Pipe) -> None:
    """Take each message of a script as a webhook does, work on it, send its reply; the points go into the pipe.

    No loop runs beside: what happens is the same each time, so that the points have numbers.
    """
    _log_into(orders.folder)
    asyncio.run(_play(orders, user, script))
    pipe.send(Reached.points.names if Reached.points is not None else [])


def _log_into(folder: str) -> None:
    """Signals as in a process of its own, and what it has to say into a file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = os.open(Path(folder) / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 2)
    sys.stdout = sys.stderr
    logging.captureWarnings(True)


async def _play(orders: Orders, user: str, script: Sequence[str]) -> None:
    parts = assemble(blueprint(orders).ingredients)
    try:
        for number, said in enumerate(script):
            message = await _message(parts, user, said, message_id(number))
            accepted = await parts.inbox.accept(message, take=False)
            while await parts.worker.run_next(accepted.session_id, None):
                pass
            while await parts.worker.deliver(accepted.session_id):
                pass
    finally:
        await parts.close()


def message_id(number: int) -> str:
    """The id of the message at this place of a script."""
    return f"m{number}"


def key_of(user: str) -> SessionKey:
    """The session of a user of the generic provider."""
    return SessionKey("generic", "", user, "")


async def _message(parts: Parts, user: str, said: str, name: str) -> InboundMessage:
    key = key_of(user)
    if said not in (CONFIRM, APPROVE):
        return InboundMessage(key, name, said, route=Route(user))
    row = await parts.database.read(lambda conn: newest_card(conn, key))
    if said == CONFIRM:
        return InboundMessage(key, name, f"confirm {Tokens(parts.keys).of(row.id)}", route=Route(user))
    decision = Decision(row.id, "approve", OPERATOR, (ROLE,), row.digest)
    return InboundMessage(key, name, "", decision=decision)


def newest_card(conn: Connection, key: SessionKey) -> ConfirmationRow:
    """The write that a session parked last, whatever became of it. Raises LookupError."""
    session = sessions.by_key(conn, key.digest())
    rows = confirmations.recent(conn, session.id, "") if session is not None else ()
    if not rows:
        raise LookupError(f"{key.principal} has no parked write")
    return max(rows, key=lambda row: row.id)
