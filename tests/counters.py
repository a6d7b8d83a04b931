"""The database server's own counters, for the tests that read them."""

from functools import partial

import pytest

from bench.torture.verdict import counted_deadlocks
from llm_planner.storage.database import Database

from .harness import rows

ONE_PROCESS = pytest.mark.xdist_group("counters")
"""For tests that read these counters, or make deadlocks: the counters are the whole server's, whoever else is on it."""


async def deadlocks(database: Database) -> int:
    """Deadlocks that the server has met since it started."""
    return await counted_deadlocks(partial(rows, database))


async def waiting_for_locks(database: Database) -> int:
    """Transactions that wait for a row's lock at this moment. (INNODB_TRX is older than it looks: who reads it
    ten times a second always reads the same.)"""
    found = await rows(database, "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
    return int(found[0][1])
