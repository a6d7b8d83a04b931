"""Rendering: templates with everything escaped, the static files, and the headers of a page."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from starlette.responses import Response

from ..clock import Clock
from ..errors import NotFound, StartError
from ..i18n import LANGUAGES, language
from ..messages import Json
from ..neutral import hidden, quoted
from .access import Role
from .texts import text

try:
    import jinja2
except ImportError:  # the extra [console] is not installed
    jinja2 = None  # type: ignore[assignment]

HERE = Path(__file__).parent
KINDS = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
PAGES = (
    ("chat", Role.OPERATOR),
    ("approvals", Role.NAMED),
    ("sessions", Role.VIEWER),
    ("deliveries", Role.VIEWER),
    ("doubts", Role.VIEWER),
    ("audit", Role.VIEWER),
    ("tools", Role.VIEWER),
    ("health", Role.VIEWER),
)
"""The pages in the order of the navigation, each with the least role that sees it."""
MISSING = "The console needs a package that is not installed. Run: pip install 'llm-planner[console]'"


def available() -> bool:
    """Whether the extra [console] is installed."""
    return jinja2 is not None


class Rendering:
    """Templates and static files, loaded once. Raises StartError without the extra [console]."""

    def __init__(self, zone: ZoneInfo, clock: Clock) -> None:
        if not available():
            raise StartError(MISSING)
        self._zone = zone
        self._clock = clock
        self._files = {path.name: path.read_bytes() for path in sorted((HERE / "static").iterdir())}
        self._versions = {
            name: hashlib.sha256(content).hexdigest()[:12] for name, content in self._files.items()
        }
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            when=self.when, left=self.left, quoted=quoted, visible=visible, pretty=pretty, duration=duration
        )
        self._templates.globals.update(static=self._address, pages=PAGES, languages=LANGUAGES)

    @staticmethod
    def text(key: str, locale: str, **values: object) -> str:
        return text(key, locale, **values)

    def response(self, template: str, status: int, values: Mapping[str, Any]) -> Response:
        """The template, filled; `t` in it is the text of a key in the visit's language."""
        locale = values["visit"].locale
        page = self._templates.get_template(template).render(
            **values, t=partial(text, locale=locale), lang=language(locale)
        )
        headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
        return Response(page, status, headers, "text/html; charset=utf-8")

    def file(self, name: str) -> Response:
        """A static file; its address changes with its content, so that browsers may keep it. Raises NotFound."""
        if name not in self._files:
            raise NotFound("there is no such file")
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "Content-Security-Policy": POLICY}
        return Response(self._files[name], 200, headers, KINDS[Path(name).suffix])

    def _address(self, name: str) -> str:
        return f"/console/static/{name}?v={self._versions[name]}"

    def when(self, moment: datetime | None) -> str:
        """A moment in the configured time zone, to the second."""
        return f"{moment.astimezone(self._zone):%Y-%m-%d %H:%M:%S}" if moment is not None else "–"

    def left(self, moment: datetime) -> str:
        """How long until then, or since."""
        seconds = int((moment - self._clock.now()).total_seconds())
        return f"{'-' if seconds < 0 else ''}{duration(abs(seconds) * 1000)}"


def visible(value: object) -> str:
    """Foreign text with every character that shows nothing, or steers others, spelled out."""
    return "".join(
        f"\\u{ord(char):04x}" if char not in "\n\t" and hidden(char) else char for char in str(value)
    )


def pretty(value: Json) -> str:
    """JSON over several lines, nothing in it hidden."""
    return visible(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def duration(ms: float) -> str:
    """Milliseconds for people: 12 ms, 3.4 s, 8 min, 5 h, 3 d."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    seconds = ms / 1000
    if seconds < 60:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    for size, unit in ((86400, "d"), (3600, "h")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 60:.0f} min"
