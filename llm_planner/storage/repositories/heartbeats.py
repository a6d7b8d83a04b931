"""Heartbeats: which processes sweep, deliver and keep timers, and when each said so last."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from ..tables import heartbeats

_c = heartbeats.c
_BEAT = update(heartbeats).where(_c.process == bindparam("who")).values(at=bindparam("moment"))
_BEGIN = insert(heartbeats)
_FORGET = delete(heartbeats).where(_c.at < bindparam("before"))


def beat(conn: Connection, process: str, moment: datetime, before: datetime) -> None:
    """This process lives; whoever has not said so since `before` is forgotten."""
    if conn.execute(_BEAT, {"who": process, "moment": moment}).rowcount == 0:
        conn.execute(_BEGIN, {"process": process, "at": moment})
        conn.execute(_FORGET, {"before": before})


def latest(conn: Connection) -> datetime | None:
    found: datetime | None = conn.execute(select(func.max(_c.at))).scalar_one()
    return found
