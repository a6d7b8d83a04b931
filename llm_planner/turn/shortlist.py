"""The shortlist: which tools a model is shown, all of a small registry, the nearest of a large one."""

import asyncio
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from ..embedded import Catalogue, Nearest, ToolCard
from ..llm.names import NameMap
from ..llm.schema import UnsupportedSchema, reduce_schema
from ..tools import ToolRegistry, ToolSpec
from .record import TurnRecord, known

LARGE = 25
"""From so many tools on they are shortlisted."""

SHOWN = 20
"""Tools on a shortlist: with 227 tools the right one was among the nearest 20 in 99 of 100 messages."""

SHOTS = 8
RECENT = 2
STANDING = "(listed with each message, under “Tools that may fit”, with calls made for similar messages)"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a model may call: `standing` goes into the system prompt and stays the same from message to
    message, `appended` goes before the message; `names` are the tools that its schema allows."""

    standing: str
    appended: str
    names: tuple[str, ...]


class Shortlist:
    """The tools of a registry as models are shown them. The vectors of a large one are made once."""

    def __init__(self, registry: ToolRegistry, names: NameMap, redact: Callable[[str], str]) -> None:
        self._registry = registry
        self._names = names
        self._redact = redact
        self._whole: dict[str, Offer] = {}
        self._catalogue: Catalogue | None = None
        self._thread = ThreadPoolExecutor(1, "shortlist")

    async def offer(self, record: TurnRecord) -> Offer:
        """All tools of the record's channel, or those nearest to its message; tools of earlier rounds stay."""
        specs = self._registry.on(record.session.channel)
        if len(specs) < LARGE:
            whole = self._whole.get(record.session.channel)
            if whole is None:
                whole = Offer(self._listed(specs, shots=True) or "(none)", "", _named(specs))
                self._whole[record.session.channel] = whole
            return whole
        nearest = await asyncio.get_running_loop().run_in_executor(
            self._thread, self._nearest, record, frozenset(_named(specs))
        )
        used = dict.fromkeys(step.tool for step in known(record.rounds).values())
        kept = {*list(dict.fromkeys([*used, *nearest.tools]))[:SHOWN]}
        chosen = [spec for spec in specs if spec.name in kept]
        return Offer(STANDING, self._appended(chosen, nearest), _named(chosen))

    async def warm(self) -> None:
        """Make the vectors of a large registry before the first message waits for them."""
        if len(self._registry) >= LARGE:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._made)

    def _nearest(self, record: TurnRecord, allowed: frozenset[str]) -> Nearest:
        said = [line.text for line in record.history if line.role == "user"][-RECENT:]
        return self._made().nearest(self._redact(record.asked[0]), [*map(self._redact, said)], allowed)

    def _made(self) -> Catalogue:
        if self._catalogue is None:
            self._catalogue = Catalogue([tool_card(spec) for spec in self._registry])
        return self._catalogue

    def _appended(self, chosen: Iterable[ToolSpec], nearest: Nearest) -> str:
        tools = self._listed(chosen, shots=False)
        names = frozenset(_named(chosen))
        near = [example for example in nearest.examples if example[0] in names][:SHOTS]
        shots = [
            f"{compact(said)} -> {compact({'tool': self._names.to_model(name), 'args': dict(args)})}"
            for name, said, args in near
        ]
        similar = "\n\nCalls made for similar messages:\n" + "\n".join(shots) if shots else ""
        return f"Tools that may fit:\n{tools}{similar}\n\n"

    def _listed(self, specs: Iterable[ToolSpec], *, shots: bool) -> str:
        return "\n".join(self._text(spec, shots) for spec in specs)

    def _text(self, spec: ToolSpec, shots: bool) -> str:
        mark = " [WRITE]" if spec.write else ""
        name = self._names.to_model(spec.name)
        lines = [
            f"- {name}{mark}: {spec.description}",
            f"  args: {compact(reduce_schema(spec.schema))}",
        ]
        if spec.result_schema is not None:
            with suppress(UnsupportedSchema):
                lines.append(f"  returns: {compact(reduce_schema(spec.result_schema))}")
        if shots:
            lines += [f"  e.g. {compact(said)} -> {compact(dict(args))}" for said, args in spec.tool.examples]
        return "\n".join(lines)


def tool_card(spec: ToolSpec) -> ToolCard:
    """A tool as the embedded package knows it."""
    examples = tuple((said, dict(args)) for said, args in spec.tool.examples)
    return ToolCard(
        name=spec.name, description=spec.description, schema=spec.schema, examples=examples, title=spec.title
    )


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _named(specs: Iterable[ToolSpec]) -> tuple[str, ...]:
    return tuple(spec.name for spec in specs)
