"""The graph of a plan: boxes in waves, arrows for what waits for what, as SVG without a style or a script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from ..messages import Json

WIDTH, HEIGHT, GAP, LINE = 236, 58, 48, 14
LONGEST = 28
"""Characters of a title in its box."""


@dataclass(frozen=True, slots=True)
class Node:
    """One step: its id, title, status as class and in words, time, and the steps it waits for."""

    id: str
    title: str
    status: str
    told: str
    after: frozenset[str]


def waits_for(call: Mapping[str, Json]) -> frozenset[str]:
    """The steps that a stored call comes after: named ones, and those whose results it uses."""
    return frozenset([*call.get("after", ()), *_steps(call.get("args"))])


def _steps(value: Json) -> list[str]:
    if isinstance(value, Mapping):
        here = [str(value["$step"])] if "$step" in value else []
        return here + [name for item in value.values() for name in _steps(item)]
    return [name for item in value for name in _steps(item)] if isinstance(value, list) else []


def waves(nodes: Sequence[Node]) -> list[list[Node]]:
    """The steps in columns: each stands behind the last one that it waits for."""
    depth = {node.id: 0 for node in nodes}
    for _ in nodes:  # a step may be listed before the one that it waits for
        for node in nodes:
            depth[node.id] = 1 + max((depth.get(name, -1) for name in node.after), default=-1)
    return [[node for node in nodes if depth[node.id] == wave] for wave in range(max(depth.values()) + 1)]


def plan_graph(nodes: Sequence[Node], label: str) -> str:
    """The SVG; `label` says what it shows to who can't see it."""
    columns = waves(nodes)
    width = len(columns) * WIDTH + (len(columns) - 1) * GAP + 2
    height = max(map(len, columns)) * (HEIGHT + LINE) - LINE + 2
    places = {
        node.id: (1 + column * (WIDTH + GAP), 1 + row * (HEIGHT + LINE))
        for column, found in enumerate(columns)
        for row, node in enumerate(found)
    }
    arrows = [
        _arrow(places[name], places[node.id])
        for node in nodes
        for name in sorted(node.after)
        if name in places
    ]
    boxes = [_box(node, places[node.id]) for node in nodes]
    return (
        f'<svg class="graph" role="img" aria-label="{escape(label)}" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">{"".join(arrows + boxes)}</svg>'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + WIDTH, start[1] + HEIGHT // 2
    x2, y2 = end[0], end[1] + HEIGHT // 2
    bend = (x2 - x1) // 2
    line = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2 - 5} {y2}"
    return f'<path class="edge" d="{line}"/><path class="tip" d="M{x2} {y2}l-7 -4v8z"/>'


def _box(node: Node, place: tuple[int, int]) -> str:
    x, y = place
    title = node.title if len(node.title) <= LONGEST else node.title[: LONGEST - 1] + "…"
    return (
        f'<g class="node node-{escape(node.status)}"><title>{escape(node.title)}</title>'
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="9"/>'
        f'<rect class="mark" x="{x}" y="{y + 12}" width="4" height="{HEIGHT - 24}" rx="2"/>'
        f'<text class="node-title" x="{x + 16}" y="{y + 25}">{escape(title)}</text>'
        f'<text class="node-told" x="{x + 16}" y="{y + 44}">{escape(node.id)} · {escape(node.told)}</text></g>'
    )
