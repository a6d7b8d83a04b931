"""The tools and prompts: the catalogue as the planner has it, and one call of a tool that only reads."""

from typing import Any

from pydantic import ValidationError
from starlette.responses import Response

from ..context import Caller
from ..errors import Conflict, InvalidRequest, NotFound
from ..ids import new_id
from ..tools import ToolSpec
from ..turn.guard import Outcome
from .forms import Field, arguments, fields
from .ledger import note
from .visits import Visit

CHANNEL = "console"


async def listed(visit: Visit) -> Response:
    return visit.page(
        "tools.html",
        specs=list(visit.house.registry),
        prompts=visit.house.prompts,
        outside=visit.house.outside,
    )


async def shown(visit: Visit) -> Response:
    return _page(visit, _spec(visit), None, {})


def _page(visit: Visit, spec: ToolSpec, outcome: Outcome | None, args: dict[str, Any]) -> Response:
    tool = spec.tool
    inputs: list[Field] = fields(spec, args)
    facts = [
        ("tools.approver", tool.approver if spec.write else None),
        ("tools.timeout", f"{visit.house.guard.timeout_of(spec):g} s"),
        ("tools.retries", tool.retries or None),
        ("tools.idempotent", visit.text("yes") if tool.idempotent else None),
        ("tools.egress", ", ".join(tool.egress) or None),
        ("tools.channels", ", ".join(tool.channels) if tool.channels is not None else None),
        ("tools.rate", tool.rate_limit),
        ("tools.hash", spec.schema_hash),
    ]
    return visit.page(
        "tool.html", spec=spec, facts=[(key, value) for key, value in facts if value is not None], fields=inputs,
        outcome=outcome, allowed=spec.allows(CHANNEL),
    )  # fmt: skip


def _spec(visit: Visit) -> ToolSpec:
    spec = visit.house.registry.get(visit.id)
    if spec is None:
        raise NotFound("there is no such tool")
    return spec


async def attempt(visit: Visit) -> Response:
    """One call, outside any conversation: nothing that it says about facts or letters is kept."""
    spec = _spec(visit)
    if spec.write:
        raise Conflict("a write is asked for in the chat, where it waits for its confirmation")
    if not spec.allows(CHANNEL):
        raise Conflict("this tool may not be called from the console")
    args = arguments(spec, visit.form)
    try:
        valid = spec.validate(args)
    except ValidationError as error:
        item = error.errors(include_input=False, include_url=False)[0]
        raise InvalidRequest(f"{'.'.join(map(str, item['loc']))}: {item['msg']}") from None
    caller = Caller("console", f"operator:{visit.operator.name}", CHANNEL, visit.locale, {})
    guard = visit.house.guard
    if not await guard.within_rate(spec, caller):
        raise Conflict("it was used too often this minute")
    outcome = await guard.run(spec, valid, caller, f"try-{new_id()}")
    await note(visit, "tool_tried", visit.operator.name, tool=spec.name, args=args, outcome=outcome.kind)
    return _page(visit, spec, outcome, args)
