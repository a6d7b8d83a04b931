"""`tools call`: one call of one tool, through the same turn, card and journal as any other."""

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

import click
from pydantic import ValidationError

from ..api.views import turn_json
from ..assembly import Parts
from ..errors import StartError
from ..messages import Json, TurnView
from ..tools import ToolSpec
from ..turn.plan import PlannerOutput, Rules, check
from ..turn.planner import Planned
from ..turn.record import TurnRecord
from ..turn.verbs import parse
from .common import AS_JSON, blueprint_of, show, with_parts
from .talking import CHANNEL, Talk, talking


class OneCall:
    """The planner that proposes exactly one call, whatever is said."""

    replans = False

    def __init__(self, tool: str, args: Mapping[str, Json]) -> None:
        call = {"id": "s1", "tool": tool, "args": dict(args)}
        self._output = PlannerOutput.model_validate({"tool_calls": [call]})

    async def plan(self, record: TurnRecord, rules: Rules) -> Planned:
        return Planned(check(self._output, rules))

    async def warm(self) -> None:
        """Nothing to make ready."""


@click.command("call")
@click.argument("name")
@click.argument("arguments", default="{}", metavar="JSON")
@AS_JSON
@click.pass_obj
def call(where: str, name: str, arguments: str, as_json: bool) -> None:
    """Call one tool with arguments in JSON. A write shows its card and waits here for `confirm <token>`."""
    spec = blueprint_of(where).ingredients.registry.get(name)
    if spec is None:
        raise StartError(f"there is no tool {name}; see: llm-planner tools list")
    if not spec.allows(CHANNEL):
        raise StartError(f"{name} may be called on {', '.join(spec.tool.channels or ())} only")
    planner = OneCall(name, _checked(spec, arguments))

    async def work(parts: Parts) -> tuple[str, TurnView]:
        async with talking(parts) as talk:
            view = await talk.say(f"tools call {name}")
            asks = bool(view.confirmations) and view.confirmations[0].token is not None
            if asks:
                click.echo(view.reply, err=as_json)
            while asks:
                decided = await _decided(talk)
                if decided is not None:
                    return talk.label, decided
            return talk.label, view

    label, view = with_parts(where, work, planner)
    show(turn_json(view, session_id=label, duplicate=False), as_json, lambda data: [data["reply"]])
    raise SystemExit(0 if view.status != "failed" and all(s.status != "error" for s in view.steps) else 1)


def _checked(spec: ToolSpec, arguments: str) -> dict[str, Any]:
    try:
        args = json.loads(arguments)
        if not isinstance(args, dict):
            raise StartError("the arguments must be a JSON object")
        spec.validate(args)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in found)
        raise StartError(f"{spec.name}: {problems}") from None
    except (ValueError, RecursionError) as error:
        raise StartError(f"the arguments are no JSON: {error}") from None
    return args


async def _decided(talk: Talk) -> TurnView | None:
    """Read one line and obey it if it is a verb; the end of the input cancels. None: ask again."""
    line = await asyncio.to_thread(sys.stdin.readline)
    if not line:
        return await talk.say("cancel")
    if parse(line) is None:
        click.echo("only `confirm <token>` runs it; `cancel` drops it", err=True)
        return None
    view = await talk.say(line.strip())
    if view.status == "refused" and view.code == "token_unknown":
        click.echo(view.reply, err=True)
        return None
    return view
