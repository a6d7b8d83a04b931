"""What the authorisation matrix is tried on: a database with something of its own for every action, and keys."""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from llm_planner.api.machine_keys import SCOPES, minted
from llm_planner.llm.scripted import ScriptedModel
from llm_planner.storage.database import now
from llm_planner.storage.repositories import operators, outbox
from llm_planner.storage.repositories.outbox import OutboxRow
from llm_planner.storage.states import OutboxState

from ..authorisation import API, CONSOLE, Row
from ..harness import Client, operator, serving, settings_for
from ..tools import LEDGER, plan
from .conftest import PASSWORD, TOOLS

TOOL_OF = {"user": "ledger_add", "billing": "refund"}
EDITED = {"what": "b", "amount": 3}
SOMEBODY = "somebody-else"


def greeting() -> ScriptedModel:
    return ScriptedModel(repeat(plan(reply="hola")))


@dataclass(slots=True)
class Seeded:
    """`of` is the id that an action is tried on, by its name in the table; `digests` those of parked writes."""

    path: Path
    session: str = ""
    turn: str = ""
    of: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    def body(self, act: str, name: str) -> dict[str, Any] | None:
        """The JSON of one action on a write."""
        if act == "settle":
            return {"outcome": "done"}
        if act in ("", "look"):
            return None
        return {"decision": act, "digest": self.digests[name], **({"args": EDITED} if act == "edit" else {})}

    def form(self, row: Row) -> Mapping[str, str]:
        """The fields of one form, filled in."""
        name = self.of.get(row.told, "")
        if row.write is not None:
            return {"digest": self.digests[name], "arg:what": "b", "arg:amount": "3"}
        return FORMS.get(row.door.name, {}) | (
            {"sure": f"anon:{_label(row.told)}"} if row.door.name == "sessions.erase" else {}
        )


FORMS: dict[str, dict[str, str]] = {
    "entrance.enter": {"name": "who-logs-in", "password": PASSWORD},
    "entrance.speak": {"locale": "pt"},
    "chat.say": {"label": "c_1", "message": "hola", "locale": "es"},
    "sessions.give_back": {"seen": SOMEBODY},
    "sessions.say": {"words": "good morning"},
    "deliveries.settle": {"outcome": "arrived"},
    "doubts.settle": {"outcome": "done"},
    "tools.attempt": {"arg:text": "x"},
}
TRIED = "echo"


def seeded_database(folder: Path, template: Path) -> Seeded:
    """Fill a copy of the migrated file."""
    seeded = Seeded(folder / "seeded.db")
    shutil.copy(template, seeded.path)
    asyncio.run(_fill(seeded, folder))
    return seeded


async def _fill(seeded: Seeded, folder: Path) -> None:
    ways = [(way.told, way.write, way.act == "settle" or "/writes" in way.path) for way in API if way.write]
    rows = [(row.told, row.write, False) for row in CONSOLE if row.write]
    doubts = [(row.told, "user", True) for row in CONSOLE if row.door.name.startswith("doubts.")]
    parked = [(told, str(write), run) for told, write, run in (*ways, *rows, *doubts)]
    script = [plan((TOOL_OF[write], {"what": "raise" if run else "a"})) for _, write, run in parked]
    settings = settings_for(f"sqlite:///{seeded.path}", folder, confirm_ttl_sec=86_400)
    async with serving(settings, TOOLS, ScriptedModel([*script, *repeat(plan(reply="hola"), 40)])) as client:
        await client.rows(LEDGER)
        for told, write, run in parked:
            await _park(client, seeded, told, write, run)
        for row in CONSOLE:
            await _other(client, seeded, row)
        await client.rows("UPDATE tool_runs SET deadline_at = started_at")


async def _park(client: Client, seeded: Seeded, told: str, write: str, run: bool) -> None:
    """One parked write; or one that was called and of which nobody knows what became."""
    asked = (await client.say("do it", session=_label(told)))["confirmations"][0]
    name = asked["id"]
    digest = (await client.get(f"/approvals/{name}", operator("billing" if write == "billing" else "admin")))[
        1
    ]["digest"]
    if run and write == "user":
        await client.say(f"confirm {asked['token']}", session=_label(told))
    elif run:
        body = {"decision": "approve", "digest": digest}
        await client.post(f"/approvals/{name}/resolve", body, operator("billing"))
    if run:
        (found,) = await client.rows("SELECT id FROM tool_runs WHERE confirmation_id = :n", n=name)
        name = found.id
    seeded.of[told], seeded.digests[name] = name, digest


async def _other(client: Client, seeded: Seeded, row: Row) -> None:
    """What the other doors of the console are tried on."""
    page, _, action = row.door.name.partition(".")
    if page not in ("sessions", "deliveries", "tools") or "{id}" not in row.door.path:
        return
    said = await client.say("hola", session=_label(row.told))
    (found,) = await client.rows("SELECT session_id FROM turns WHERE id = :i", i=said["turn_id"])
    seeded.session, seeded.turn = found.session_id, said["turn_id"]
    if page == "deliveries":
        seeded.of[row.told] = f"delivery-{action}"
        await client.parts.database.run(lambda conn: _letter(conn, seeded.session, f"delivery-{action}"))
    elif page == "tools":
        seeded.of[row.told] = TRIED
    else:
        seeded.of[row.told] = said["turn_id"] if action == "turn" else seeded.session
    to = SOMEBODY if action == "give_back" else None
    await client.rows("UPDATE sessions SET handed_to = :t WHERE id = :s", t=to, s=seeded.session)


def _letter(conn: Connection, session_id: str, name: str) -> None:
    moment, body = now(conn), {"to": "a@example.com", "subject": "s", "text": "t"}
    row = OutboxRow(
        session_id, name, None, "mail", "a@example.com", body, name, OutboxState.DEAD, 1, moment, None, moment, moment
    )  # fmt: skip
    outbox.add(conn, [row])


def _label(told: str) -> str:
    return told.replace(" ", "_")


async def machine_key(client: Client, scope: str | None, kind: str) -> str:
    """A new key of a machine that may do everything, but for what makes it of this kind."""
    scopes = tuple(one for one in SCOPES if kind != "unscoped" or one != scope)

    def transaction(conn: Connection) -> str:
        moment = now(conn)
        made = minted(
            f"robot-{kind}", "admin", scopes, moment, moment + timedelta(hours=-1 if kind == "expired" else 1)
        )
        operators.mint(conn, made.row)
        if kind == "disabled":
            operators.disable_key(conn, made.row.id, moment)
        return made.text if kind != "forged" else made.text[:-1] + ("B" if made.text[-1] != "B" else "C")

    return await client.parts.database.run(transaction)
