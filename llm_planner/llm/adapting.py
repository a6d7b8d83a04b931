"""Asking again, within the same deadline, when an endpoint refuses one of our optional parameters."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from .http import ModelHttp, Post
from .wire import Answer


class AdaptingHttp:
    """ModelHttp for one endpoint. `adapts(answer)`: will the next post leave out what was refused?

    It must come to an end by itself: each yes has to leave less to refuse.
    """

    def __init__(self, http: ModelHttp, adapts: Callable[[Answer], bool]) -> None:
        self._http = http
        self._adapts = adapts

    async def post_json(self, make_post: Callable[[], Post]) -> Answer:
        """As ModelHttp.post_json; the attempts of all rounds are added up."""
        started = self._http.clock.monotonic()
        answer = await self._http.post_json(make_post())
        attempts = answer.attempts
        while self._adapts(answer):
            answer = await self._http.post_json(self._shortened(make_post(), started))
            attempts += answer.attempts
        return replace(answer, attempts=attempts)

    async def post_lines(self, make_post: Callable[[], Post]) -> AsyncIterator[bytes | Answer]:
        """As ModelHttp.post_lines."""
        started = self._http.clock.monotonic()
        refused = True
        while refused:
            refused = False
            async for line in self._http.post_lines(self._shortened(make_post(), started)):
                if isinstance(line, Answer) and self._adapts(line):
                    refused = True
                else:
                    yield line

    def _shortened(self, post: Post, started: float) -> Post:
        return replace(post, deadline_s=post.deadline_s - (self._http.clock.monotonic() - started))
