"""Small charts as SVG without a style or a script: bars over time, and a line of measured values."""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, BASE = 320, 84, 66


def bars(values: Sequence[tuple[str, float]], label: str, told: str) -> str:
    """One bar a value, (name, height); `label` says what it shows, `told` its highest value in words."""
    most = max((value for _, value in values), default=0.0) or 1.0
    step = WIDTH / max(1, len(values))
    width = max(1.0, step - 2)
    drawn = []
    for place, (name, value) in enumerate(values):
        tall = round(value / most * (BASE - 14), 1)
        tall = max(tall, 2.0) if value else 0.0
        drawn.append(
            f'<rect class="bar" x="{place * step + 1:.1f}" y="{BASE - tall:.1f}" width="{width:.1f}" '
            f'height="{tall:.1f}" rx="1.5"><title>{escape(name)}: {value:g}</title></rect>'
        )
    first, last = (values[0][0], values[-1][0]) if values else ("", "")
    return _framed("".join(drawn) + _axis(first, last, told), label)


def line(values: Sequence[float], label: str, told: str) -> str:
    """Values one after the other, oldest first."""
    most = max(values, default=0.0) or 1.0
    step = WIDTH / max(1, len(values) - 1)
    points = [
        f"{place * step:.1f},{BASE - value / most * (BASE - 14):.1f}" for place, value in enumerate(values)
    ]
    drawn = f'<polyline class="line" points="{" ".join(points)}"/>' if len(points) > 1 else ""
    return _framed(drawn + _axis("", "", told), label)


def gauge(used: float, most: float, label: str) -> str:
    """How much of a limit is used."""
    share = min(1.0, used / most) if most else 0.0
    kind = "full" if share >= 0.9 else "some"
    return (
        f'<svg class="gauge" role="img" aria-label="{escape(label)}" viewBox="0 0 100 8" preserveAspectRatio="none">'
        f'<rect class="rail" width="100" height="8" rx="4"/>'
        f'<rect class="used used-{kind}" width="{share * 100:.1f}" height="8" rx="4"/></svg>'
    )


def _framed(drawn: str, label: str) -> str:
    return (
        f'<svg class="chart" role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<line class="axis" x1="0" y1="{BASE}" x2="{WIDTH}" y2="{BASE}"/>{drawn}</svg>'
    )


def _axis(first: str, last: str, told: str) -> str:
    return (
        f'<text class="mark" x="0" y="{HEIGHT - 4}">{escape(first)}</text>'
        f'<text class="mark" x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{escape(last)}</text>'
        f'<text class="mark" x="{WIDTH}" y="10" text-anchor="end">{escape(told)}</text>'
    )
