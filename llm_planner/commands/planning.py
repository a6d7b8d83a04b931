"""`plan`: what the planner proposes for a message; nothing runs and nothing is stored."""

import asyncio
import math
from typing import Any

import click

from ..assembly import Parts, assemble
from ..messages import InboundMessage, SessionKey
from ..storage.database import now
from ..storage.repositories.sessions import SessionRow
from ..turn.plan import CheckedPlan, Rules
from ..turn.record import Held, Lane, TurnRecord
from .common import AS_JSON, blueprint_of, show


@click.command()
@click.argument("message")
@click.option("--locale", default=None, help="es, en, pt, or a tag such as es-AR.")
@AS_JSON
@click.pass_obj
def plan(where: str, message: str, locale: str | None, as_json: bool) -> None:
    """Print the checked plan for MESSAGE, in waves, with its writes marked. Exit code 1 without a plan."""

    async def work() -> dict[str, Any]:
        parts = assemble(blueprint_of(where).ingredients)
        try:
            return await _planned(parts, message, locale)
        finally:
            await parts.close()

    found = asyncio.run(work())
    show(found, as_json, _lines)
    raise SystemExit(1 if found["failure"] else 0)


async def _planned(parts: Parts, message: str, locale: str | None) -> dict[str, Any]:
    key = SessionKey("web", "cli", "cli", "plan")
    moment = await parts.database.read(now)
    session = SessionRow(
        "cli", key.digest(), key.channel, key.account, key.principal, key.label,
        parts.settings.default_locale, 0, None, 1, 0, {}, 0, "", 0, None, None, moment,
    )  # fmt: skip
    inbound = InboundMessage(key, "plan", message, locale)
    record = TurnRecord(Lane("cli", "cli", 1, 0, 1), inbound, session, (), Held(math.inf))
    rules = Rules(parts.registry, key.channel, parts.settings.budget_steps)
    planned = await parts.planner.plan(record, rules)
    checked = planned.plan
    return {
        "failure": planned.failure,
        "plan": checked.output.model_dump(mode="json") if checked is not None else None,
        "waves": [[_step(step) for step in wave] for wave in waves(checked)] if checked is not None else [],
    }


def waves(plan: CheckedPlan) -> list[list[Any]]:
    """The steps in groups: each group may run as soon as the one before it is through."""
    done: set[str] = set()
    waiting, found = list(plan.steps), []
    while waiting:
        ready = [step for step in waiting if step.needs <= done]
        found.append(ready)
        done |= {step.id for step in ready}
        waiting = [step for step in waiting if step.id not in done]
    return found


def _step(step: Any) -> dict[str, Any]:
    needs = sorted(step.needs)
    return {
        "id": step.id,
        "tool": step.spec.name,
        "args": step.args,
        "needs": needs,
        "write": step.spec.write,
    }


def _lines(found: dict[str, Any]) -> list[str]:
    if found["failure"]:
        return [f"no plan: {found['failure']}"]
    lines = [f"reply: {found['plan']['reply']}"] if found["plan"]["reply"] else []
    for number, wave in enumerate(found["waves"], start=1):
        lines.append(f"wave {number}")
        for step in wave:
            needs = f"  after {', '.join(step['needs'])}" if step["needs"] else ""
            lines.append(
                f"  {step['id']} {step['tool']}{' [WRITE]' if step['write'] else ''} {step['args']}{needs}"
            )
    if found["plan"]["then"] == "replan":
        lines.append("then it looks at the results and plans again")
    return lines or ["an empty plan"]
