"""The authorisation matrix: who may do what by the rules, and its tables in docs/security.md.

What is expected comes from contract.md (the column `auth`), design.md (rules 5 and 15) and the console's own
table of least roles, never from an answer. tests/console/test_authorisation.py tries every cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from llm_planner.console.access import DOORS, Door, Role, rank

ROLES = ("viewer", "operator", "approver", "admin", "billing")
"""`billing` stands for a role that only a tool names, as the approver of a write."""
GENERAL, DECIDERS = frozenset(ROLES[:-1]), frozenset(["operator", "approver", "admin"])
API_CALLERS = (
    "nobody", *ROLES, "machine", "unscoped", "expired", "disabled", "forged", "cookie",
)  # fmt: skip
CONSOLE_CALLERS = (
    "nobody", *ROLES, "forged", "expired", "disabled", "no csrf", "other csrf", "other origin", "key",
)  # fmt: skip
CALLERS = {
    "nobody": "nobody is logged in, no key",
    "machine": "a machine's key (admin) with every scope",
    "unscoped": "a machine's key (admin) with every scope but this one",
    "expired": "a key, or a login, whose time is over",
    "disabled": "a key, or an operator, that was disabled",
    "forged": "a key with another secret half; a cookie whose signature is another's",
    "cookie": "an admin's login to the console, without a key",
    "no csrf": "who may do it, but the form has no CSRF token",
    "other csrf": "who may do it, with the CSRF token of another operator's browser",
    "other origin": "who may do it, by a browser from a page of another site",
    "key": "an admin's Bearer key, without a login",
    "good": "what opens this door",
    "operator": "an admin's Bearer key in its place",
}
YES, AWAY, NONE = "yes", "login", "–"
"""Let in; sent to the login form; there is no such cell."""
Write = Literal["user", "billing"]
WRITES: dict[Write, str] = {"user": "its user decides", "billing": "`billing` decides"}


@dataclass(frozen=True, slots=True)
class Way:
    """One route, or one action of it. `scope` is None where everybody is let in; `general` asks for one of the
    four general roles; `act` is what is done to a parked or unknown write, whose approver is `write`."""

    method: str
    path: str
    scope: str | None = None
    general: bool = True
    act: str = ""
    write: Write | None = None

    @property
    def told(self) -> str:
        """The row's name in the table."""
        more = ", ".join([part for part in (self.act, WRITES[self.write] if self.write else "") if part])
        return f"`{self.method} {self.path}`" + (f" ({more})" if more else "")


PUBLIC = ("/health", "/ready", "/docs", "/openapi.json", "/", "/chat", "/page/{name}", "/page-mail")
API: tuple[Way, ...] = (
    *(Way("GET", path) for path in PUBLIC),
    Way("GET", "/approvals", "approvals", general=False),
    *(Way("GET", "/approvals/{confirmation_id}", "approvals", False, "look", of) for of in WRITES),
    *(
        Way("POST", "/approvals/{confirmation_id}/resolve", "approvals", False, act, of)
        for act in ("approve", "reject", "edit")
        for of in WRITES
    ),
    Way("GET", "/writes", "approvals", general=False),
    *(Way("GET", "/writes/{write_id}", "approvals", False, "look", of) for of in WRITES),
    *(Way("POST", "/writes/{write_id}/settle", "approvals", False, "settle", of) for of in WRITES),
    Way("GET", "/sessions", "sessions"),
    Way("GET", "/sessions/{session_id}", "sessions"),
    Way("GET", "/turns/{turn_id}", "sessions"),
    Way("GET", "/audit", "audit"),
    Way("GET", "/metrics", "metrics"),
)
AGENT_MODES = ("open", "token", "jwt")
USERS_CALLERS = ("nobody", "good", "expired", "forged", "operator", "other origin")
"""Who comes to the doors of users and providers."""


@dataclass(frozen=True, slots=True)
class Users:
    """A door that no role opens, what opens it, and what each of USERS_CALLERS gets; `mode` is a WEB_AUTH."""

    method: str
    path: str
    by: str
    expected: Sequence[str]
    mode: str | None = None

    @property
    def told(self) -> str:
        return f"`{self.method} {self.path}`" + (f" (`WEB_AUTH={self.mode}`)" if self.mode else "")


USERS_DOORS = (
    Users("POST", "/agent", "nothing", (YES, NONE, NONE, NONE, YES, "403"), "open"),
    Users("POST", "/agent", "minted id", (YES, YES, NONE, "404", YES, "403"), "token"),
    Users("POST", "/agent", "jwt", ("401", YES, "401", "401", "401", "403"), "jwt"),
    Users("POST", "/wa/agent", "x-api-key", ("401", YES, NONE, "401", "401", YES)),
    Users("POST", "/provider/inbound", "signature", ("401", YES, "401", "401", "401", YES)),
    Users("GET", "/provider/inbound", "signature", ("401", NONE, NONE, "401", "401", NONE)),
    Users("POST", "/provider/{provider}/inbound", "signature", ("401", YES, "401", "401", "401", YES)),
    Users("GET", "/provider/{provider}/inbound", "verify token", ("403", YES, NONE, "403", "403", YES)),
)  # fmt: skip
DECIDING = {
    "approvals.shown": "look",
    "approvals.approve": "approve",
    "approvals.reject": "reject",
    "approvals.edit": "edit",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One door of the console, for writes of one kind where it is about a write."""

    door: Door
    write: Write | None = None

    @property
    def told(self) -> str:
        more = f" ({WRITES[self.write]})" if self.write else ""
        return f"`{self.door.method} /console{self.door.path}`{more}"


CONSOLE = tuple(
    Row(door, write) for door in DOORS for write in (WRITES if door.name in DECIDING else (None,))
)


def by_the_write(act: str, write: Write, role: str) -> str:
    """Rule 5: who sees a write, who may reject or edit it, who alone approves it, and who settles it."""
    if role not in GENERAL and role != write:
        return "404"
    may = {
        "look": True,
        "approve": role == write,
        "reject": role in DECIDERS or role == write,
        "edit": role in DECIDERS or role == write,
        "settle": role in DECIDERS,
    }
    return YES if may[act] else "403"


def over_http(way: Way, caller: str) -> str:
    """What an operator's or machine's key gets."""
    if way.scope is None:
        return YES
    if caller in ("nobody", "expired", "disabled", "forged", "cookie"):
        return "401"
    if caller == "unscoped" or (way.general and caller not in (*GENERAL, "machine")):
        return "403"
    return by_the_write(way.act, way.write, _role(caller)) if way.write else YES


def in_the_console(row: Row, caller: str) -> str:
    """What a browser gets: first the login, then the least role, then the form, then the write itself."""
    door = row.door
    form = caller in ("no csrf", "other csrf", "other origin")
    if form:
        return "403" if door.method == "POST" else NONE
    if door.least == Role.ANYONE:
        return YES
    if caller not in ROLES:
        return AWAY if door.method == "GET" else "401"
    if rank(caller) < door.least:
        return "403"
    return by_the_write(DECIDING[door.name], row.write, caller) if row.write else YES


def _role(caller: str) -> str:
    return "admin" if caller == "machine" else caller


def who_may(row: Row) -> str:
    """A role that is let in where its form is right, for the columns that spoil the form."""
    fitting = [role for role in reversed(ROLES) if in_the_console(row, role) == YES]
    return fitting[0] if fitting else "admin"


def tables() -> str:
    """Both tables as Markdown, and what their columns mean."""
    http = [(way.told, [over_http(way, caller) for caller in API_CALLERS]) for way in API]
    web = [(row.told, [in_the_console(row, caller) for caller in CONSOLE_CALLERS]) for row in CONSOLE]
    users = [(f"{door.told} by {door.by}", door.expected) for door in USERS_DOORS]
    meaning = [f"- **{name}**: {told}" for name, told in CALLERS.items()]
    return "\n".join(
        [
            "### Over HTTP, with a key\n", *_table(API_CALLERS, http),
            "\n### In the console\n", *_table(CONSOLE_CALLERS, web),
            "\n### Users, backends and providers\n", *_table(USERS_CALLERS, users),
            "\n### What the columns are\n",
            "- **viewer, operator, approver, admin**: the general roles",
            "- **billing**: a role that only a tool names, as the approver of its writes", *meaning,
        ]
    )  # fmt: skip


def _table(callers: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    head = [f"| | {' | '.join(callers)} |", "|---|" + "---|" * len(callers)]
    return head + [f"| {told} | {' | '.join(cells)} |" for told, cells in rows]
