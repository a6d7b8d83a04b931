"""Access: the one table of the console's routes, each with the least role that may use it."""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What a role may do includes what the ones before it may."""

    ANYONE = -1  # not logged in
    NAMED = 0  # a role that some tool names as its approver: sees and decides its own approvals
    VIEWER = 1  # sees everything, changes nothing
    OPERATOR = 2  # talks, rejects, edits, hands over, retries, settles, tries tools, exports
    APPROVER = 3  # the same; tools may name it
    ADMIN = 4  # erases


def rank(role: str) -> Role:
    """Where an operator's role stands; one that is none of ours is a tool's."""
    return {role.name.lower(): role for role in Role if role >= Role.VIEWER}.get(role, Role.NAMED)


@dataclass(frozen=True, slots=True)
class Door:
    """One route below `/console`. `name` is `page.action`: the function `action` of that page's module."""

    name: str
    method: str
    path: str
    least: Role


DOORS = (
    Door("entrance.home", "GET", "", Role.NAMED),
    Door("entrance.form", "GET", "/login", Role.ANYONE),
    Door("entrance.enter", "POST", "/login", Role.ANYONE),
    Door("entrance.leave", "POST", "/logout", Role.NAMED),
    Door("entrance.speak", "POST", "/locale", Role.ANYONE),
    Door("entrance.file", "GET", "/static/{file}", Role.ANYONE),
    Door("chat.shown", "GET", "/chat", Role.OPERATOR),
    Door("chat.say", "POST", "/chat/say", Role.OPERATOR),
    Door("approvals.listed", "GET", "/approvals", Role.NAMED),
    Door("approvals.rows", "GET", "/approvals/rows", Role.NAMED),
    Door("approvals.shown", "GET", "/approvals/{id}", Role.NAMED),
    Door("approvals.approve", "POST", "/approvals/{id}/approve", Role.NAMED),
    Door("approvals.reject", "POST", "/approvals/{id}/reject", Role.NAMED),
    Door("approvals.edit", "POST", "/approvals/{id}/edit", Role.NAMED),
    Door("sessions.listed", "GET", "/sessions", Role.VIEWER),
    Door("sessions.shown", "GET", "/sessions/{id}", Role.VIEWER),
    Door("sessions.take", "POST", "/sessions/{id}/take", Role.OPERATOR),
    Door("sessions.give_back", "POST", "/sessions/{id}/give-back", Role.OPERATOR),
    Door("sessions.say", "POST", "/sessions/{id}/say", Role.OPERATOR),
    Door("sessions.export", "POST", "/sessions/{id}/export", Role.OPERATOR),
    Door("sessions.erase", "POST", "/sessions/{id}/erase", Role.ADMIN),
    Door("sessions.turn", "GET", "/turns/{id}", Role.VIEWER),
    Door("deliveries.listed", "GET", "/deliveries", Role.VIEWER),
    Door("deliveries.shown", "GET", "/deliveries/{id}", Role.VIEWER),
    Door("deliveries.retry", "POST", "/deliveries/{id}/retry", Role.OPERATOR),
    Door("deliveries.settle", "POST", "/deliveries/{id}/settle", Role.OPERATOR),
    Door("doubts.listed", "GET", "/doubts", Role.VIEWER),
    Door("doubts.shown", "GET", "/doubts/{id}", Role.VIEWER),
    Door("doubts.settle", "POST", "/doubts/{id}/settle", Role.OPERATOR),
    Door("trail.listed", "GET", "/audit", Role.VIEWER),
    Door("trail.verify", "POST", "/audit/verify", Role.OPERATOR),
    Door("trail.export", "POST", "/audit/export", Role.OPERATOR),
    Door("tools.listed", "GET", "/tools", Role.VIEWER),
    Door("tools.shown", "GET", "/tools/{id}", Role.VIEWER),
    Door("tools.attempt", "POST", "/tools/{id}/try", Role.OPERATOR),
    Door("health.shown", "GET", "/health", Role.VIEWER),
    Door("health.live", "GET", "/health/live", Role.VIEWER),
)
"""A named role that decides nothing here finds no approvals either: what may be decided, `may_decide` says."""
