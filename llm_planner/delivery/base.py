"""What travels on the way out: a reply, its cards, the receipts for its parts, and how sending fails."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ..turn.outbox import Refused

Scope = Literal["pair", "account"]


@dataclass(frozen=True, slots=True)
class Card:
    """A confirmation card as its owner sees it: the verb lines stand in its last lines, tokens filled in.

    A payload is what comes back when its button is pressed; None means no button, and a card without any is
    text.
    """

    text: str
    confirm_payload: str | None
    cancel_payload: str | None
    confirm_title: str
    cancel_title: str


@dataclass(frozen=True, slots=True)
class OutgoingReply:
    """One reply to one user.

    `account` is our own address at the provider (phone number id, number, bot, team, inbox; "" for the
    configured one), `user` the provider's id of the person, `reply_to` the address to write to, `thread` the
    thread there. `callback_id` is the pressed button's query, for providers that want it answered.
    `window_closed` says that on WhatsApp only a template would arrive (see window.py): then the reply is laid
    out in messages that fit one.
    """

    account: str
    user: str
    reply_to: str
    text: str
    cards: tuple[Card, ...] = ()
    thread: str | None = None
    callback_id: str | None = None
    window_closed: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where in a reply: piece 0 is its text, piece n its nth card; `part` counts the messages of a piece.

    A card whose text changed meanwhile (its token is no longer good) moves no other piece's place.
    """

    piece: int = 0
    part: int = 0


START: Final = Place()
"""The beginning of a reply."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """One provider message was taken. `reference` is the provider's id of it, `resume` the place after it.

    `as_template`: places are those of a reply whose `window_closed` is set; keep that beside them.
    """

    reference: str
    resume: Place
    as_template: bool = False


class TryLater(Refused):
    """Not taken, and not to be tried again for `retry_after_s` seconds, for one user or all the account."""

    def __init__(self, reason: str, retry_after_s: float, scope: Scope = "pair") -> None:
        super().__init__(reason)
        self.retry_after_s: float | None = retry_after_s
        self.seconds = retry_after_s
        self.scope = scope


class OutsideWindow(Refused):
    """The user has not written for 24 hours: only a template would be taken."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, final=True)


@dataclass(frozen=True, slots=True)
class Traits:
    """What a provider is like. `reports`: it tells later what became of a message, under ids that are unique
    beyond one chat. `windowed`: WhatsApp's 24 hours bind it. `templated`: a template is configured for after
    them."""

    reports: bool = False
    windowed: bool = False
    templated: bool = False


class Sender(Protocol):
    """Sends replies through one provider."""

    @property
    def traits(self) -> Traits: ...

    @property
    def repeatable(self) -> bool:
        """Whether the other side recognises a message that it had already."""

    def send(
        self, reply: OutgoingReply, idempotency_key: str, start_at: Place = START
    ) -> AsyncIterator[Receipt]:
        """Send what stands at `start_at` and after it, and yield a receipt for each message that was taken.

        Keep `resume` of the last receipt: handing it back as `start_at` sends nothing twice. Raises Refused
        (TryLater with the seconds to wait; `final` for what no repetition helps) or Ambiguous, and nothing
        else; both are about the message after the last receipt.
        """
