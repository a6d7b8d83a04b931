"""The values that travel between the doors and the turn: who speaks, what came in, what goes out."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Json = Any
"""A JSON value: str, int, float, bool, None, or a list or dict of them."""

StepStatus = Literal["ok", "error", "timeout", "skipped", "blocked", "awaiting_confirmation", "unknown"]
TurnStatus = Literal["answered", "needs_confirmation", "executed", "cancelled", "refused", "failed"]


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def canonical(value: Json) -> bytes:
    """The one byte form of a JSON value that digests are taken over: sorted keys, no spaces, UTF-8."""
    return _encode(value).encode()


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Who speaks where. The label means something only inside the other three (rule 15)."""

    channel: str
    account: str
    principal: str
    label: str

    def digest(self) -> str:
        """SHA-256 of the four parts, hex: the unique key of the session's row."""
        parts = [self.channel, self.account, self.principal, self.label]
        return hashlib.sha256(canonical(parts)).hexdigest()


@dataclass(frozen=True, slots=True)
class Decision:
    """What an operator decided about a parked write, or found out about one whose outcome was not known
    (`done`, `not_done`); travels in the session's lane like a message."""

    confirmation_id: str
    decision: Literal["approve", "reject", "edit", "done", "not_done"]
    operator: str
    roles: tuple[str, ...]
    digest: str | None = None
    args: Mapping[str, Json] | None = None
    reason: str | None = None
    also: tuple[str, ...] = ()
    """Every name that the operator's person goes by: linked logins count as one."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a provider's user is answered: the address, the thread there, the pressed button's query."""

    reply_to: str
    thread: str | None = None
    callback_id: str | None = None


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """One verified message. `message_id` is unique in its session; `verbs` is false where the text is
    not the owner's own original message (forwarded, quoted, from a group): then it approves nothing. `route`
    says where the answer is sent; None where the caller waits for it."""

    key: SessionKey
    message_id: str
    text: str
    locale: str | None = None
    verbs: bool = True
    decision: Decision | None = None
    route: Route | None = None
    speaker: str | None = None
    """The operator who wrote it to the user, in the agent's place."""
    chat: bool = False
    """Words that came through a webhook, no pressed button: may be one of a burst."""
    over: bool = False
    """It came when its session had too many waiting: it is answered by a fixed text, unless it is a verb."""

    def digest(self) -> str:
        """SHA-256 over what the message says, hex: same id with another digest is a conflict."""
        decided = None
        if self.decision is not None:
            decided = [self.decision.confirmation_id, self.decision.decision, self.decision.operator]
        spoken = [self.speaker] if self.speaker is not None else []
        return hashlib.sha256(canonical([self.text, self.locale, self.verbs, decided, *spoken])).hexdigest()


@dataclass(frozen=True, slots=True)
class StepView:
    """One step as the caller sees it."""

    id: str
    tool: str
    status: StepStatus
    result: Json = None
    error: str | None = None
    ms: int = 0


@dataclass(frozen=True, slots=True)
class ConfirmationView:
    """A parked write as its owner sees it; `token` is None where an operator decides. `home` and `step` are
    the turn whose plan it comes from and its step there; `open` says that it can still be decided."""

    id: str
    token: str | None
    tool: str
    args: Mapping[str, Json]
    summary: str
    approver: str
    expires_at: datetime
    home: str
    step: str
    open: bool


@dataclass(frozen=True, slots=True)
class TurnView:
    """The answer to one message, in the shape of the contract."""

    session_id: str
    turn_id: str
    message_id: str
    duplicate: bool
    status: TurnStatus
    code: str | None
    reply: str
    confirmations: tuple[ConfirmationView, ...] = ()
    steps: tuple[StepView, ...] = ()


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that happened. `payload` is redacted by whoever makes the event."""

    kind: str
    actor: str
    payload: Mapping[str, Json] = field(default_factory=dict)
    turn_id: str | None = None
