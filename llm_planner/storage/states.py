"""The states of the four things that have one, a meaning per line."""

from enum import StrEnum


class TurnState(StrEnum):
    """`queued → running → answered | needs_confirmation | failed`."""

    QUEUED = "queued"  # accepted durably, nobody works on it
    RUNNING = "running"  # a worker holds the session's lane for it
    ANSWERED = "answered"  # closed; whatever was asked has its reply
    NEEDS_CONFIRMATION = "needs_confirmation"  # closed; it parked at least one write
    FAILED = "failed"  # closed with an honest reply: something did not work


CLOSED_TURNS = (TurnState.ANSWERED, TurnState.NEEDS_CONFIRMATION, TurnState.FAILED)


class ConfirmationState(StrEnum):
    """`pending → claimed → executed | failed | unknown`, or `rejected | cancelled | expired | superseded`."""

    PENDING = "pending"  # waits for its token or its operator
    CLAIMED = "claimed"  # decided; the journal holds the intent
    EXECUTED = "executed"  # done
    FAILED = "failed"  # the tool says that nothing was done
    UNKNOWN = "unknown"  # the call left and its outcome is not known
    REJECTED = "rejected"  # an operator said no, or edited it into a new row
    CANCELLED = "cancelled"  # its owner took it back
    EXPIRED = "expired"  # its time is over, or too many wrong tokens
    SUPERSEDED = "superseded"  # the owner asked for the same tool again


class RunState(StrEnum):
    """The write journal: `intent → ok | failed | unknown`."""

    INTENT = "intent"  # committed before the call; the call may or may not have happened
    OK = "ok"  # the tool returned
    FAILED = "failed"  # the tool promised that nothing was done
    UNKNOWN = "unknown"  # timeout, crash, or an error that promises nothing


class OutboxState(StrEnum):
    """`queued → sending → delivered | retrying | dead | unknown`."""

    QUEUED = "queued"  # waits for its time; mail stays here while no SMTP_URL is set
    SENDING = "sending"  # a worker has it
    DELIVERED = "delivered"  # the other side took it
    RETRYING = "retrying"  # refused for now; due again later
    DEAD = "dead"  # will not be tried again by itself
    UNKNOWN = "unknown"  # it left, and no answer came
