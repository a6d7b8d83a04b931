"""What every engine does, whatever drives it: in order, side by side, once, on time, and to the end."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..harness import Client, open_database, rows, serving, settings_for
from ..providers.kit import PEOPLE
from ..tools import Echo, Ledger, plan
from ..turn_kit import always, effects, eventually, kinds, ledger, parked, there_are, token, with_ledger
from .kit import LEASE_S, SHORT_LEASE_S, SWEEP_S, Crowd, Engine, take, webhook

Start = Callable[..., Any]
OPEN = "SELECT id FROM sessions WHERE open_turns > 0"


async def done(client: Client, number: int) -> None:
    await eventually(lambda: there_are(client, number, "SELECT id FROM turns WHERE state = 'answered'"))


async def order(client: Client) -> dict[str, list[str]]:
    """The messages of each session, in the order in which their turns ended."""
    found: dict[str, list[str]] = {}
    sql = (
        "SELECT s.label, t.message_id, t.attempts FROM turns t JOIN sessions s ON s.id = t.session_id "
        "ORDER BY t.finished_at, t.seq"
    )
    for row in await client.rows(sql):
        assert row.attempts == 1, row
        found.setdefault(row.label, []).append(row.message_id)
    return found


async def test_turns_run_in_order_in_a_session_and_at_the_same_time_in_several(
    start: Start, engine: Engine
) -> None:
    model = Crowd(company=3)
    client = await start(engine, tools=[Echo], model=model)
    for number in range(4):
        await asyncio.gather(*(take(client.parts, webhook(label, number)) for label in ("ana", "bea", "cid")))
    await done(client, 12)
    assert await order(client) == {label: ["m0", "m1", "m2", "m3"] for label in ("ana", "bea", "cid")}
    assert (model.most, model.most_of_one) == (3, 1)
    assert sorted(model.asked) == sorted(f"{label} {n}" for label in ("ana", "bea", "cid") for n in range(4))
    assert await client.rows(OPEN) == []


async def test_a_duplicate_and_an_engine_that_is_told_ten_times_are_one_turn(
    start: Start, engine: Engine
) -> None:
    model = Crowd()
    client = await start(engine, tools=[Echo], model=model)
    turns = await asyncio.gather(*(take(client.parts, webhook("ana", 1)) for _ in range(10)))
    assert len(set(turns)) == 1
    await done(client, 1)
    await take(client.parts, webhook("ana", 1))
    await take(client.parts, webhook("ana", 2))
    await done(client, 2)
    assert model.asked == ["ana 1", "ana 2"]
    assert await order(client) == {"ana": ["m1", "m2"]}
    assert len(await client.rows("SELECT id FROM outbox")) == 2


async def test_what_the_engine_was_never_told_is_found(start: Start, engine: Engine) -> None:
    model = Crowd()
    client = await start(engine, tools=[Echo], model=model)
    for number in range(3):
        await client.parts.inbox.accept(webhook("ana", number), take=False)
    await done(client, 3)
    assert model.asked == ["ana 0", "ana 1", "ana 2"]


async def test_whoever_waits_gets_the_answer_wherever_the_turn_runs(
    start: Start, engine: Engine, store: str
) -> None:
    """With workers apart, where the database takes several processes."""
    apart = not store.startswith("sqlite")
    models = [Crowd(), Crowd()]
    client = await start(engine, tools=[Echo], model=models[0], workers_inline=not apart)
    if apart:
        await start(engine, tools=[Echo], model=models[1])
    said = [client.say(f"ana {n}", session="ana", message_id=f"m{n}") for n in range(3)]
    turns = await asyncio.gather(*said, client.say("bea 0", session="bea"))
    assert [turn["reply"] for turn in turns] == ["heard ana 0", "heard ana 1", "heard ana 2", "heard bea 0"]
    again = await client.say("ana 1", session="ana", message_id="m1")
    assert (again["duplicate"], again["reply"]) == (True, "heard ana 1")
    here = bool(models[0].asked)
    assert here == (engine.name == "embedded" or not apart), "0008, 0011: who runs what was accepted"


async def test_processes_share_the_sessions_without_losing_or_doubling_a_turn(
    start: Start, engine: Engine, store: str
) -> None:
    if store.startswith("sqlite"):
        return  # one process: tests/test_lanes.py
    models = [Crowd(thinks_s=0.01) for _ in range(3)]
    processes = [await start(engine, tools=[Echo], model=model) for model in models]
    labels = [f"user{number}" for number in range(8)]
    for number in range(3):
        for _ in range(2):  # each is delivered twice, to two of them
            await asyncio.gather(
                *(take(processes[n % 3].parts, webhook(label, number)) for n, label in enumerate(labels))
            )
            processes.append(processes.pop(0))
    await done(processes[0], 24)
    assert await order(processes[0]) == {label: ["m0", "m1", "m2"] for label in labels}
    assert sum(len(model.asked) for model in models) == 24
    assert await processes[0].rows(OPEN) == []


async def test_a_reply_leaves_once_for_each_message_and_in_order(
    start: Start, engine: Engine, store: str, tmp_path: Path
) -> None:
    kind, make = PEOPLE["telegram"]
    async with make() as double:
        person = kind(double)
        made = settings_for(store, tmp_path, **engine.settings, **person.settings())
        async with serving(
            made, [Echo], Crowd(), lease_s=LEASE_S, sweep_s=60, apis={"telegram": double.url}
        ) as client:
            for number in range(2):
                signed = person.says(f"ana {number}")
                async with client.http.post(
                    client.url + signed.path, data=signed.body, headers=signed.headers
                ) as answer:
                    assert answer.status == 200
            await eventually(lambda: there_are(client, 2, "SELECT id FROM outbox WHERE state = 'delivered'"))
        assert [sent.text for sent in person.sent()] == ["heard ana 0", "heard ana 1"]


async def test_a_process_that_ends_finishes_the_turn_it_runs_and_begins_no_other(
    start: Start, engine: Engine, store: str, tmp_path: Path
) -> None:
    model = Crowd(thinks_s=0.5)
    made = settings_for(store, tmp_path, **engine.settings)
    async with serving(made, [Echo], model, lease_s=LEASE_S, sweep_s=SWEEP_S) as client:
        for number in range(2):
            await take(client.parts, webhook("ana", number))
        await eventually(lambda: there_are(client, 1, "SELECT id FROM turns WHERE state = 'running'"))
    database = open_database(store)
    found = await rows(database, "SELECT message_id, state, attempts FROM turns ORDER BY seq")
    await database.close()
    assert [tuple(row) for row in found] == [("m0", "answered", 1), ("m1", "queued", 0)]
    after = await start(engine, tools=[Echo], model=model)
    await done(after, 2)
    assert model.asked == ["ana 0", "ana 1"]


async def test_a_turn_that_takes_longer_than_a_process_may_is_taken_over(
    start: Start, engine: Engine, store: str, tmp_path: Path
) -> None:
    slow, quick = Crowd(thinks_s=60), Crowd()
    made = settings_for(store, tmp_path, **engine.settings)
    async with serving(made, [Echo], slow, lease_s=SHORT_LEASE_S, sweep_s=SWEEP_S) as client:
        await take(client.parts, webhook("ana", 0))
        await eventually(lambda: there_are(client, 1, "SELECT id FROM turns WHERE state = 'running'"))
        async with asyncio.timeout(5):
            await client.parts.engine.drain(0.2)
    after = await start(engine, tools=[Echo], model=quick)
    await done(after, 1)
    assert (slow.asked, quick.asked) == (["ana 0"], ["ana 0"])
    assert [row.attempts for row in await after.rows("SELECT attempts FROM turns")] == [2]


class Later(Ledger):
    name = "ledger_add_later"
    confirm_ttl_s = 2


async def test_confirmations_of_a_session_end_each_on_time_while_nobody_writes(
    start: Start, engine: Engine
) -> None:
    """Nor sweeps."""
    both = plan(("ledger_add", {"what": "tea"}), ("ledger_add_later", {"what": "milk"}))
    client = await start(engine, tools=[Ledger, Later], model=always(both), sweep_s=60, confirm_ttl_sec=1)
    await with_ledger(client)
    await parked(client)

    async def are(*expected: str) -> bool:
        sql = "SELECT state FROM pending_confirmations ORDER BY expires_at"
        return [row.state for row in await client.rows(sql)] == list(expected)

    assert await are("pending", "pending")
    await eventually(lambda: are("expired", "pending"))
    await eventually(lambda: are("expired", "expired"))
    assert (await kinds(client)).count("confirmation_expired") == 2


async def test_a_write_is_confirmed_once_by_many_at_the_same_time(start: Start, engine: Engine) -> None:
    client = await with_ledger(await start(engine, tools=[Ledger], model=always(ledger())))
    word = token(await parked(client))
    turns = await asyncio.gather(*(client.say(f"confirm {word}") for _ in range(6)))
    assert sorted(turn["status"] for turn in turns) == ["executed", *["refused"] * 5]
    assert await effects(client) == [("tea", 1)]
