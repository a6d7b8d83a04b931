"""Owns the way from a message to a proposal: rank, continue an earlier request, fill arguments, or reply."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Final

from .arguments import build, compile_tool, find_values, missing_fields
from .bank import Topic
from .bare import answers, is_bare
from .cards import Call, Proposal, ToolCard
from .copying import Copier, copied, prefix_of
from .lexicon import GREETINGS
from .message import Message, read_message
from .ranking import Ranked, Ranking
from .replies import ask, talk
from .requests import Request, find_requests
from .similarity import Embedder, load_embedder

_LOOK_BACK: Final = 4
_SAME: Final = 0.75


class EmbeddedCore:
    """Proposes calls by retrieval over examples and by rules; the same input gives the same proposal."""

    def __init__(
        self,
        tools: Sequence[ToolCard],
        today: Callable[[], date],
        embedder: Embedder | None = None,
        copier: Copier | None = None,
    ) -> None:
        """Embed all examples once; `today` is what relative dates count from, `copier` the small model, where
        there is one. ValueError without any tool."""
        if not tools:
            raise ValueError("the embedded planner needs at least one tool")
        self._cards = tuple(tools)
        self._today = today
        compiled = [compile_tool(card) for card in tools]
        self._ranking = Ranking(compiled, embedder or load_embedder())
        self._copier = copier
        self.prefixes = tuple(prefix for tool in compiled if (prefix := prefix_of(tool)))

    def propose(self, text: str, locale: str, recent: Sequence[str] = ()) -> Proposal:
        """What to do about a message; `recent` are the user's earlier messages, oldest first.

        A message that gives what an earlier, incomplete request lacked completes it.
        """
        today = self._today()
        message = _without_greeting(text, today, locale)
        ranked = self._ranking.rank([message])[0]
        continued = self._continued(message, ranked, recent)
        requests = [continued] if continued else find_requests(message, ranked, self._ranking, today)
        if requests:
            return _proposed([self._copied(request) for request in requests], locale)
        topic = _topic(ranked)
        reply = talk(topic, locale, self._cards)
        return Proposal((), reply, "out_of_scope" if topic == "other" else "smalltalk", ranked.none)

    def _copied(self, request: Request) -> Request:
        """A request with what the small model copies better than the rules did."""
        if self._copier is None:
            return request
        values = copied(request.tool, request.said, request.values, self._copier)
        return replace(request, values=values)

    def _continued(self, message: Message, ranked: Ranked, recent: Sequence[str]) -> Request | None:
        """The earlier request that this message goes on with, None when it stands alone."""
        if ranked.nearest >= _SAME and _topic(ranked) != "other":
            return None
        pending = self._pending(recent, message.locale)
        if pending is None:
            return None
        other = ranked.fits and ranked.tool is not pending.tool
        if other and not is_bare(message, pending.tool):
            return None
        found = answers(message, pending.tool, pending.values)
        if not found:
            return None
        values = {**pending.values, **found}
        return Request(pending.tool, values, max(ranked.score, pending.score), message)

    def _pending(self, recent: Sequence[str], locale: str) -> Request | None:
        """The latest request of the earlier messages when it still lacks a value after the answers since."""
        today = self._today()
        later: list[Message] = []
        for text in reversed(recent[-_LOOK_BACK:]):
            message = _without_greeting(text, today, locale)
            ranked = self._ranking.rank([message])[0]
            if not ranked.fits or is_bare(message, ranked.tool):
                later.append(message)
                continue
            values = find_values(ranked.tool, message, {})
            for answer in reversed(later):
                values |= answers(answer, ranked.tool, values)
            request = Request(ranked.tool, values, ranked.score, message)
            return None if request.complete else request
        return None


def _without_greeting(text: str, today: date, locale: str) -> Message:
    """A message without the greeting at its beginning, when something else follows."""
    message = read_message(text, today, locale)
    place = 0
    while place < len(message.tokens) and (
        message.word(place) in GREETINGS or not message.tokens[place].is_word
    ):
        place += 1
    words = [token for token in message.tokens[place:] if token.is_word]
    if not words or len(words) == len(message.tokens):
        return message
    return read_message(text[message.tokens[place].start :], today, locale)


def _topic(ranked: Ranked) -> Topic:
    """The topic of the nearest line, when it is near at all."""
    return ranked.topic if ranked.nearest >= ranked.enough * 2 else "other"


def _proposed(requests: Sequence[Request], locale: str) -> Proposal:
    """Calls for the complete requests, and a question for the first incomplete one."""
    calls = tuple(Call(r.tool.card.name, build(r.tool, r.values)) for r in requests if r.complete)
    open_ones = [request for request in requests if not request.complete]
    question = ask(missing_fields(open_ones[0].tool, open_ones[0].values), locale) if open_ones else None
    return Proposal(calls, question, "calls" if calls else "ask", min(request.score for request in requests))
