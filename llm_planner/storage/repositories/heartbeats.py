"""Heartbeats: which processes sweep, deliver and keep timers, and when each said so last."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from ..tables import heartbeats

_c = heartbeats.c
_BEAT = update(heartbeats).where(_c.process == bindparam("who")).values(at=bindparam("moment"))
_BEGIN = insert(heartbeats)
_OLD = select(_c.process).where(_c.at < bindparam("before")).order_by(_c.process)
_FORGET = delete(heartbeats).where(_c.process == bindparam("who"))


def beat(conn: Connection, process: str, moment: datetime, before: datetime) -> None:
    """This process lives; whoever has not said so since `before` is forgotten.

    By their keys: a DELETE that looks for them itself locks the row of every other process that begins in the
    same moment, and has locked its own.
    """
    if conn.execute(_BEAT, {"who": process, "moment": moment}).rowcount == 0:
        conn.execute(_BEGIN, {"process": process, "at": moment})
        for old in conn.execute(_OLD, {"before": before}).scalars().all():
            conn.execute(_FORGET, {"who": old})


def latest(conn: Connection) -> datetime | None:
    found: datetime | None = conn.execute(select(func.max(_c.at))).scalar_one()
    return found
