"""Sending a reply through a provider: its parts in order, at its pace, each with a receipt, none twice."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar, Final

from ..turn.outbox import Ambiguous, Refused
from .base import START, OutgoingReply, OutsideWindow, Place, Receipt, Traits, TryLater
from .http import Answer, Outlet, Request
from .layout import TEMPLATE_TEXT, Limits, Part, laid_out
from .pace import Lane, Limit, Pace
from .verdicts import outside_window


class Provider:
    """One provider's way of being written to: pure translation, no I/O. Subclasses give what differs."""

    name: ClassVar[str]
    limits: ClassVar[Limits]
    account_limit: ClassVar[Limit] = Limit(1 / 80, 80)
    pair_limit: ClassVar[Limit] = Limit(1.0, 5)
    repeatable: ClassVar[bool] = False
    """Whether the other side recognises a message that it had already: then a lost answer may be retried."""

    @property
    def traits(self) -> Traits:
        return Traits()

    def windowed(self, reply: OutgoingReply) -> bool:
        """Whether the 24 hours bind this reply: not all that a provider sends is WhatsApp."""
        return self.traits.windowed

    def limits_for(self, reply: OutgoingReply) -> Limits:
        return self.limits

    def pair_limit_for(self, reply: OutgoingReply) -> Limit:
        return self.pair_limit

    def request(self, reply: OutgoingReply, part: Part, key: str) -> Request:
        """The POST of one part. Raises Refused for what can't be addressed."""
        raise NotImplementedError

    def reference(self, answer: Answer, key: str) -> str:
        """The provider's id of the message that it took. Raises Refused or Ambiguous where it did not."""
        raise NotImplementedError

    def template(self, reply: OutgoingReply, part: Part, key: str) -> Request | None:
        """The POST of the same outside the 24-hour window; None where that can't be done."""
        return None

    def prelude(self, reply: OutgoingReply) -> Request | None:
        """A POST before the first part, of which the outcome does not matter."""
        return None


AS_TEMPLATE: Final = Limits(text=TEMPLATE_TEXT)
"""A reply that leaves as templates: their variable holds less than a message, and they have no buttons of ours."""


class ReplySender:
    """The Sender of a provider; senders of one process share an Outlet and a Pace."""

    def __init__(self, provider: Provider, outlet: Outlet, pace: Pace) -> None:
        self._provider = provider
        self._outlet = outlet
        self._pace = pace

    @property
    def traits(self) -> Traits:
        return self._provider.traits

    @property
    def repeatable(self) -> bool:
        """See Sender."""
        return self._provider.repeatable

    @property
    def longest(self) -> int:
        """Characters that one message holds; a longer reply goes in parts."""
        return self._provider.limits.text

    async def send(
        self, reply: OutgoingReply, idempotency_key: str, start_at: Place = START
    ) -> AsyncIterator[Receipt]:
        """See Sender."""
        if start_at == START:
            await self._open(reply)
        began = start_at != START
        try:
            async for receipt in self._parts(reply, idempotency_key, start_at):
                began = True
                yield receipt
        except OutsideWindow:
            if began or reply.window_closed or not self.traits.templated:
                raise
            late = replace(reply, window_closed=True)
            async for receipt in self._parts(late, idempotency_key, START):
                yield receipt

    async def _parts(
        self, reply: OutgoingReply, idempotency_key: str, start_at: Place
    ) -> AsyncIterator[Receipt]:
        closed = self._closed(reply)
        limits = AS_TEMPLATE if closed and self.traits.templated else self._provider.limits_for(reply)
        for number, piece in enumerate(laid_out(reply, limits)):
            for position, part in enumerate(piece):
                if Place(number, position) >= start_at:
                    key = f"{idempotency_key}.{number}.{position}"
                    reference = await self._deliver(reply, part, key)
                    last = position + 1 == len(piece)
                    place = Place(number + 1) if last else Place(number, position + 1)
                    yield Receipt(reference, place, as_template=closed)

    def _closed(self, reply: OutgoingReply) -> bool:
        return reply.window_closed and self._provider.windowed(reply)

    async def _open(self, reply: OutgoingReply) -> None:
        request = self._provider.prelude(reply)
        if request is not None:
            with suppress(Refused, Ambiguous):
                await self._outlet.post(request)

    async def _deliver(self, reply: OutgoingReply, part: Part, key: str) -> str:
        account, pair = self._lanes(reply)
        request, template = (
            self._provider.request(reply, part, key),
            self._provider.template(reply, part, key),
        )
        closed = self._closed(reply)
        if closed and template is None:
            raise outside_window(self._provider.name, "window")
        seconds = self._pace.take((account, pair))
        if seconds > 0.0:
            raise TryLater(f"{self._provider.name}: we would write too fast", seconds)
        try:
            if closed and template is not None:
                return await self._exchange(template, key)
            return await self._try_both(request, template, key)
        except TryLater as told:
            self._pace.hold(account if told.scope == "account" else pair, told.seconds)
            raise

    async def _try_both(self, request: Request, template: Request | None, key: str) -> str:
        try:
            return await self._exchange(request, key)
        except OutsideWindow:
            if template is None:
                raise
        return await self._exchange(template, key)

    async def _exchange(self, request: Request, key: str) -> str:
        try:
            return self._provider.reference(await self._outlet.post(request), key)
        except Ambiguous as error:
            if not self._provider.repeatable:
                raise
            raise Refused(str(error)) from None

    def _lanes(self, reply: OutgoingReply) -> tuple[Lane, Lane]:
        provider = self._provider
        account = f"{provider.name} {reply.account}"
        pair = f"{account} {reply.reply_to} {reply.thread or ''}"
        return Lane(account, provider.account_limit), Lane(pair, provider.pair_limit_for(reply))
