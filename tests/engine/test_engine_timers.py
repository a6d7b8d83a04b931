"""Timers under an engine: what should end does so on time, though nobody writes and nobody sweeps."""

from collections.abc import Callable
from typing import Any

from ..tools import Ledger, plan
from ..turn_kit import always, eventually, kinds, parked, with_ledger

Serve = Callable[..., Any]


class Later(Ledger):
    name = "ledger_add_later"
    confirm_ttl_s = 2


async def test_confirmations_of_a_session_end_each_on_time_while_nobody_writes(serve: Serve) -> None:
    both = plan(("ledger_add", {"what": "tea"}), ("ledger_add_later", {"what": "milk"}))
    client = await serve(tools=[Ledger, Later], model=always(both), confirm_ttl_sec=1, workers_inline=False)
    await with_ledger(client)
    await parked(client)

    async def are(*expected: str) -> bool:
        rows = await client.rows("SELECT state FROM pending_confirmations ORDER BY expires_at")
        return [row.state for row in rows] == list(expected)

    assert await are("pending", "pending")
    await eventually(lambda: are("expired", "pending"))
    await eventually(lambda: are("expired", "expired"))
    assert (await kinds(client)).count("confirmation_expired") == 2
