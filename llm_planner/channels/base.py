"""What travels between a provider's webhook and the engine: requests, messages, statuses, answers, errors.

Adapters are pure: they get plain values and the time, and do no I/O. `receive` is `verify` (over the raw
bytes) and then `read`; the door calls `read` alone only where verification is switched off.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, Literal, Protocol

from ..errors import MalformedRequest, Unauthorized, Unavailable
from ..messages import InboundMessage, Route, SessionKey

LONGEST_TEXT: Final = 8000
"""Characters of one message, as at every door."""

Kind = Literal["text", "button", "list", "media", "location", "contact"]
State = Literal["accepted", "sent", "delivered", "read", "failed"]
_EVENT_OF: Final = {"button": "button_reply", "list": "list_reply"}
_LONGEST_DETAIL: Final = 200


class BadSignature(Unauthorized):
    """401: not from this provider. `why` is for our log; strangers get one sentence for every case."""

    code = "bad_signature"

    def __init__(self, why: str) -> None:
        super().__init__("this request is not signed as the provider signs")
        self.why = why


class HandshakeRefused(BadSignature):
    """403, as Meta expects it: a subscription request with a wrong verify token. Nothing is echoed."""

    code = "handshake_refused"
    status = 403


class NotReady(Unavailable):
    """503: something that this door needs is missing or unusable. The detail never holds a value; `setting` is
    the variable, where it is not the provider's own secret."""

    code = "provider_not_ready"

    def __init__(self, detail: str, setting: str | None = None) -> None:
        super().__init__(detail)
        self.setting = setting


class Malformed(MalformedRequest):
    """400: authentic, but not what this provider sends (no JSON, or a required field is missing)."""


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One request as it came. `url` is the public one: configured scheme and host, raw path, raw query.

    `headers` is the raw list (a name given twice stands twice), values decoded as latin-1 like ASGI does;
    `body` is the bytes on the wire, counted and without any content encoding.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something sent along, described and never fetched. `reference` is the provider's media id or URL."""

    kind: str
    media_type: str | None = None
    reference: str | None = None
    name: str | None = None
    place: tuple[str, str] | None = None
    """Latitude and longitude, as the provider wrote them."""

    def describe(self) -> str:
        """One line for the planner, quoted as data: no URL in it, at most about 200 characters."""
        parts = [self.media_type, ", ".join(self.place) if self.place else None]
        if self.name:
            parts.append('"' + self.name.replace('"', "'") + '"')
        line = " ".join([self.kind, *(" ".join(part.split()) for part in parts if part)])
        return "[" + line[:_LONGEST_DETAIL].replace("[", "(").replace("]", ")") + "]"


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message of a user.

    `account` is our own address at the provider (phone number id, number, team, bot), `user` the provider's
    id of the sender (WhatsApp: the BSUID where there is one, never the phone number then), `sender` the
    address as the provider shows it. `reply_to` and `thread` say where to answer, `label` tells conversations
    of one user apart ("" is the private one). `text` is what the planner or the verbs see: for a pressed
    button of ours `confirm <token>`; `reply_id` and `title` are the payload and the label as they came.
    `verbs` is false for what may approve nothing: forwarded, quoted, from a group, not the user's own text.
    """

    message_id: str
    account: str
    user: str
    sender: str
    text: str
    kind: Kind
    verbs: bool
    reply_to: str
    label: str = ""
    thread: str | None = None
    reply_id: str | None = None
    title: str | None = None
    name: str | None = None
    attachments: tuple[Attachment, ...] = ()

    def content(self) -> str:
        """The text, and a line for each attachment; 8,000 characters at most."""
        lines = [self.text] if self.text else []
        return "\n".join([*lines, *(item.describe() for item in self.attachments)])[:LONGEST_TEXT]

    def inbound(self, channel: str) -> InboundMessage:
        """The same for the engine, in the session of this user, account and conversation."""
        key = SessionKey(channel, self.account, self.user, self.label)
        route = Route(self.reply_to, self.thread)
        chat = self.reply_id is None
        return InboundMessage(key, self.message_id, self.content(), verbs=self.verbs, route=route, chat=chat)


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """What became of a message of ours. Updates repeat, skip states and come out of order.

    `reference` is the provider's id of that message, `correlation` what we gave along when we sent it, `code`
    the provider's error code, `event_id` the key to tell repeats by.
    """

    event_id: str
    reference: str
    status: State
    code: str | None = None
    correlation: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """Authentic and not for the planner: our own echo, an edit, a reaction, an event nobody asked for."""

    reason: str
    message_id: str | None = None
    sender: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """One bad item of an authentic delivery: `where` it stands in the body and what is wrong with it."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer that the provider expects, to be sent once the messages are durable."""

    status: int = 200
    content_type: str | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one webhook request held, in the order of the body."""

    response: Reply
    messages: tuple[Incoming, ...] = ()
    statuses: tuple[StatusUpdate, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    handshake: bool = False

    @property
    def event(self) -> str:
        """The delivery in a word, for logs: the first message's kind, or status, or why it was ignored."""
        if self.handshake:
            return "handshake"
        if self.messages:
            return _EVENT_OF.get(self.messages[0].kind, self.messages[0].kind)
        if self.statuses:
            return "status"
        if self.ignored:
            return self.ignored[0].reason
        return "rejected" if self.rejected else "event"


class Channel(Protocol):
    """One provider's webhook. `name` is the value of `PROVIDER` and the channel of its sessions; `signs_url`
    says that our public address is part of what is signed."""

    name: ClassVar[str]
    signs_url: ClassVar[bool] = False

    def verify(self, request: WebhookRequest, now: datetime) -> None:
        """Return when the raw bytes are authentic; raises BadSignature or NotReady, nothing else."""

    def read(self, request: WebhookRequest) -> Delivery:
        """What the body says. Raises Malformed, nothing else; a bad item in a batch is in `rejected`."""
        ...

    def receive(self, request: WebhookRequest, now: datetime) -> Delivery:
        """Verify, then read. Raises BadSignature, NotReady or Malformed, whatever the bytes are."""
        self.verify(request, now)
        return self.read(request)


def identifier(value: str, longest: int = 128) -> str:
    """`value` where it is an id of ours (`!` to `~`, not too long), else a digest that stands for it."""
    if 0 < len(value) <= longest and re.fullmatch(r"[!-~]+", value):
        return value
    return "sha256-" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
