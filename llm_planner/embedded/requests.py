"""Owns the requests of one message: the tool and values of each, in the order they were asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from .arguments import Tool, Values, find_values, missing_fields
from .bare import is_bare
from .clauses import split
from .denial import denied
from .message import Message, read_message
from .ranking import Ranked, Ranking


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a message: its tool, the values found for it, and the part of the message it stands in."""

    tool: Tool
    values: Values
    score: float
    said: Message

    @property
    def complete(self) -> bool:
        """Whether no required value is missing."""
        return not missing_fields(self.tool, self.values)


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbouring pieces that ask for one thing; an `echo` repeats the tool of the group before."""

    start: int
    end: int
    tool: Tool
    score: float
    echo: bool = False


def find_requests(message: Message, whole: Ranked, ranking: Ranking, today: date) -> list[Request]:
    """All requests of a message, none when it needs no tool; it is split only where every part is sure."""
    places = split(message.tokens)
    places = places if len(places) > 1 else []
    pieces = [_read(message, place, today) for place in places]
    ranks = ranking.rank(pieces) if pieces else []
    groups = _grouped(places, pieces, ranks, ranking)
    if wanted := _without_denied(message, groups, today):
        return wanted
    parts = _parts(message, groups, ranking, today)
    best = max(ranks, key=lambda rank: rank.score, default=whole)
    chosen = whole if whole.fits or not _sure(best, ranking) else best
    one = [_request(chosen.tool, message, chosen.score)] if chosen.fits else []
    finished = any(request.complete for request in parts) or not any(request.complete for request in one)
    return parts if len(parts) > 1 and finished else one


def _without_denied(message: Message, groups: Sequence[_Group], today: date) -> list[Request]:
    """The other requests of a message that says of some what it does not want; none when it denies nothing.

    A code that only the denied part names is what the message is about.
    """
    texts = [_read(message, (group.start, group.end), today) for group in groups]
    no = [denied(text, group.tool) for group, text in zip(groups, texts, strict=True)]
    if not any(no) or all(no):
        return []
    about: dict[tuple[str, ...], object] = {}
    kept: list[Request] = []
    for group, text, refused in zip(groups, texts, no, strict=True):
        request = _request(group.tool, text, group.score)
        if refused:
            coded = {field.path for field in group.tool.fields if field.kind == "code"}
            about |= {path: value for path, value in request.values.items() if path in coded}
        else:
            kept.append(request)
    return [replace(request, values=_completed(request, about)) for request in kept]


def _completed(request: Request, about: Values) -> Values:
    paths = {field.path for field in request.tool.fields if field.kind == "code"}
    return {**{path: value for path, value in about.items() if path in paths}, **request.values}


def _parts(message: Message, groups: Sequence[_Group], ranking: Ranking, today: date) -> list[Request]:
    if len(groups) < 2:
        return []
    texts = [_read(message, (group.start, group.end), today) for group in groups]
    ranks = ranking.rank(texts)
    if not all(group.echo or _sure(rank, ranking) for group, rank in zip(groups, ranks, strict=True)):
        return []
    requests = [
        _request(group.tool if group.echo else rank.tool, text, rank.score)
        for group, text, rank in zip(groups, texts, ranks, strict=True)
    ]
    return [] if any(map(_leans, requests, requests[1:])) else _distinct(requests)


def _leans(first: Request, second: Request) -> bool:
    """Whether the second part lacks a code of the name that the first holds: they may be one request."""
    if first.tool is second.tool:
        return False
    named = {path for path in first.values if path not in second.values}
    return any(field.path in named and field.kind == "code" for field in second.tool.fields)


def _read(message: Message, place: tuple[int, int], today: date) -> Message:
    return read_message(message.text[place[0] : place[1]], today, message.locale)


def _sure(rank: Ranked, ranking: Ranking) -> bool:
    return rank.fits and rank.score >= ranking.thresholds.clause


def _grouped(
    places: Sequence[tuple[int, int]], pieces: Sequence[Message], ranks: Sequence[Ranked], ranking: Ranking
) -> list[_Group]:
    """Join pieces that go with the one before: bare values, and what is no sure request by itself."""
    groups: list[_Group] = []
    held: set[str] = set()
    for (start, end), piece, rank in zip(places, pieces, ranks, strict=True):
        last = groups[-1] if groups else None
        if last and is_bare(piece, last.tool):
            kinds = _kinds(piece, last.tool)
            if kinds & held:
                groups.append(_Group(start, end, last.tool, rank.score, echo=True))
            else:
                groups[-1] = replace(last, end=end)
            held |= kinds
        elif last is None or _sure(rank, ranking):
            groups.append(_Group(start, end, rank.tool, rank.score))
            held = _kinds(piece, rank.tool)
        else:
            groups[-1] = replace(last, end=end)
            held |= _kinds(piece, last.tool)
    return groups


def _kinds(piece: Message, tool: Tool) -> set[str]:
    found = find_values(tool, piece, {})
    return {
        field.kind for field in tool.fields if field.path in found and field.kind not in ("text", "person")
    }


def _request(tool: Tool, text: Message, score: float) -> Request:
    return Request(tool, find_values(tool, text, {}), score, text)


def _distinct(requests: Sequence[Request]) -> list[Request]:
    """Requests without those that only say the one before again."""
    kept: list[Request] = []
    for request in requests:
        same = kept and kept[-1].tool is request.tool
        if same and (not request.values or dict(request.values) == dict(kept[-1].values)):
            continue
        if same and not kept[-1].values:
            kept.pop()
        kept.append(request)
    return kept
