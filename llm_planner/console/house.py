"""The house: what the console's pages are made from, and what they know of this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ..api.operators import Office
from ..keys import Keyring
from ..prompts import Prompt
from ..settings import Settings
from ..tools import ToolRegistry
from ..turn.audit import Audit
from ..turn.guard import Guard
from ..turn.inbox import Inbox
from ..turn.outbox import Nudge
from ..turn.view import Views


@dataclass(frozen=True, slots=True)
class Outside:
    """What plans, and whom this process talks to."""

    planner: str
    channels: tuple[str, ...]
    mail: bool
    """Whether letters leave; else they wait where the local mailbox shows them."""


@dataclass(frozen=True, slots=True)
class House:
    """The parts that pages use; `office` is the operators' own HTTP door with its desk."""

    settings: Settings
    keys: Keyring
    office: Office
    registry: ToolRegistry
    audit: Audit
    guard: Guard
    inbox: Inbox
    views: Views
    nudge: Nudge
    prompts: Sequence[Prompt]
    outside: Outside

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.settings.timezone)
