"""A reply laid out as provider messages: text in parts, cards with buttons where the channel has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .base import Card, OutgoingReply
from .text import Weigh, characters, shortened, split, split_before_tail

TEMPLATE_TEXT: Final = 900
"""Characters of our text in a template, whose body holds 1024 with the words around it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message may hold. `card` is the longest text with buttons under it, 0 where there are none;
    titles count characters, payloads bytes."""

    text: int
    card: int = 0
    title: int = 20
    payload: int = 256
    weigh: Weigh = characters


@dataclass(frozen=True, slots=True)
class Button:
    """`name` is confirm or cancel, `payload` what comes back when it is pressed."""

    name: str
    title: str
    payload: str


@dataclass(frozen=True, slots=True)
class Part:
    """One provider message."""

    text: str
    buttons: tuple[Button, ...] = ()


def laid_out(reply: OutgoingReply, limits: Limits) -> tuple[tuple[Part, ...], ...]:
    """The messages of each piece: of the text (none where it is empty), then of each card."""
    text = tuple(Part(part) for part in split(reply.text, limits.text, limits.weigh))
    return (text, *(_card(card, limits) for card in reply.cards))


def _card(card: Card, limits: Limits) -> tuple[Part, ...]:
    """A long card's verbs stand in its last part, with the buttons under it."""
    buttons = _buttons(card, limits)
    tail = limits.card if buttons else limits.text
    parts = split_before_tail(card.text, limits.text, tail, limits.weigh)
    return (*(Part(part) for part in parts[:-1]), *(Part(part, buttons) for part in parts[-1:]))


def _buttons(card: Card, limits: Limits) -> tuple[Button, ...]:
    """None at all rather than one that the provider would refuse: the verbs stand in the text too."""
    buttons = tuple(_offered(card, limits)) if limits.card else ()
    fit = all(button.title and len(button.payload.encode()) <= limits.payload for button in buttons)
    apart = len({button.title for button in buttons}) == len(buttons)
    return buttons if fit and apart else ()


def _offered(card: Card, limits: Limits) -> Iterator[Button]:
    if card.confirm_payload is not None:
        yield Button("confirm", shortened(card.confirm_title, limits.title), card.confirm_payload)
    if card.cancel_payload is not None:
        yield Button("cancel", shortened(card.cancel_title, limits.title), card.cancel_payload)
