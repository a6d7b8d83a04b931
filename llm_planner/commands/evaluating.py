"""`eval`: how well the configured planner plans what a file expects of it. Nothing runs, nothing is kept."""

import asyncio
import contextlib
import math
import secrets
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr

from ..application import Blueprint, running
from ..assembly import Parts
from ..errors import StartError
from ..messages import InboundMessage, SessionKey
from ..storage.database import now
from ..storage.migrate import core_migrations
from ..storage.repositories.sessions import SessionRow
from ..storage.repositories.turns import Line as Said
from ..turn.plan import Rules
from ..turn.record import Held, Lane, TurnRecord
from .common import AS_JSON, blueprint_of, show
from .eval_file import Line, pinned, read
from .eval_score import NAMES, Outcome, lines, report

SHARE = click.FloatRange(0, 1)
CHANNEL = "web"
CEILINGS = [
    f"budget_{scope}_{what}" for scope in ("session", "principal", "account") for what in ("calls", "tokens")
]


@click.command("eval")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--min-tools", type=SHARE, default=0.0, help="Least share of messages with the right tools.")
@click.option("--min-arguments", type=SHARE, default=0.0, help="Least share with the right arguments, too.")
@click.option(
    "--min-no-tool", type=SHARE, default=0.0, help="Least share without a tool where none is meant."
)
@click.option("--at-once", type=click.IntRange(1, 64), default=1, help="Messages that are planned at a time.")
@AS_JSON
@click.pass_obj
def evaluate(where: str, /, file: Path, at_once: int, as_json: bool, **least: float) -> None:
    """Plan every message of FILE (YAML or .jsonl) and print how many plans are as expected.

    Each entry has `message`, and may have `locale`, `history` (earlier messages of the user), `calls` (each `tool`
    and `args`; none: no tool is to be used) and `refuses: true` (declined in words). Exit code 1 below a threshold.
    """
    blueprint = blueprint_of(where)
    cases = read(file, blueprint.ingredients.registry)
    with click.progressbar(length=len(cases), label="planning", file=sys.stderr) as bar:
        outcomes = asyncio.run(_planned(blueprint, cases, at_once, bar.update))
    if all(outcome.failure == "model_away" for outcome in outcomes):
        raise StartError("the model answered no message at all; see: llm-planner doctor")
    found = report(outcomes)
    below = [
        f"{NAMES[name]}: {found[name]['share']:.1%} is below {share:.1%}"
        for name, share in ((option.removeprefix("min_"), share) for option, share in least.items())
        if found[name]["share"] is not None and found[name]["share"] < share
    ]
    show({**found, "below": below}, as_json, lambda data: [*lines(data), *data["below"]])
    raise SystemExit(1 if below else 0)


async def _planned(
    blueprint: Blueprint, cases: list[Line], at_once: int, told: Callable[[int], None]
) -> list[Outcome]:
    """Every message through the planner, over a database that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        throwaway = {
            "db_url": f"sqlite:///{folder}/eval.db", "db_host": None, "db_password": None, "data_dir": Path(folder),
            "secret_key": SecretStr(secrets.token_urlsafe(32)), "log_level": "error",
            **dict.fromkeys(CEILINGS, 0),
        }  # fmt: skip
        settings = blueprint.ingredients.settings.model_copy(update=throwaway)
        ingredients = replace(blueprint.ingredients, settings=settings)
        places = asyncio.Semaphore(at_once)

        async def one(parts: Parts, line: Line) -> Outcome:
            async with places:
                with contextlib.ExitStack() as stack:
                    stack.callback(told, 1)
                    return await _outcome(parts, line)

        process = running(Blueprint(ingredients, (core_migrations(),)), background=False)
        async with process as parts:
            return list(await asyncio.gather(*(one(parts, line) for line in cases)))


async def _outcome(parts: Parts, line: Line) -> Outcome:
    record = await _record(parts, line)
    began = time.perf_counter()
    planned = await parts.planner.plan(record, Rules(parts.registry, CHANNEL, parts.settings.budget_steps))
    ms = (time.perf_counter() - began) * 1000
    output = planned.plan.output if planned.plan is not None else None
    calls = output.tool_calls if output is not None else []
    registry = parts.registry
    return Outcome(
        line=line,
        wanted=tuple((call.tool, pinned(registry, call.tool, call.args)) for call in line.case.calls),
        got=tuple((call.tool, pinned(registry, call.tool, call.args)) for call in calls),
        failure=planned.failure,
        replied=output is not None and bool(output.reply),
        repairs=sum(event.kind == "plan_rejected" for event in record.events),
        tokens=sum((call["input_tokens"] or 0) + (call["output_tokens"] or 0) for call in record.calls),
        ms=ms,
    )


async def _record(parts: Parts, line: Line) -> TurnRecord:
    key = SessionKey(CHANNEL, "eval", "eval", f"line-{line.number}")
    moment = await parts.database.read(now)
    session = SessionRow(
        key.label, key.digest(), key.channel, key.account, key.principal, key.label,
        parts.settings.default_locale, 0, None, 1, 0, {}, 0, "", 0, None, None, moment,
    )  # fmt: skip
    history: Any = tuple(Said("user", text, from_tools=False) for text in line.case.history)
    message = InboundMessage(key, "eval", line.case.message, line.case.locale)
    return TurnRecord(Lane(session.id, session.id, 1, 0, 1), message, session, history, Held(math.inf))
