"""Every error of the core, as one tree: what went wrong, as code and HTTP status, and whether trying again helps.

PlannerError
├── StartError                    the process must not start: settings, tools, database schema
├── RequestError                  the caller's fault
│   ├── InvalidRequest       422
│   ├── MalformedRequest     400
│   ├── BodyTooLarge         413
│   ├── UnsupportedMedia     415
│   ├── Unauthorized         401
│   ├── Forbidden            403
│   ├── NotFound             404
│   ├── Conflict             409
│   └── RateLimited          429  too many requests; says when to come back
├── Unavailable              503  ours, and it passes: try again
│   ├── DatabaseUnavailable
│   │   └── CommitUnknown         COMMIT was sent, and no answer came: done or not, nobody knows
│   └── Busy
├── LaneLost                      another worker owns this session now; nothing of this turn may be written
├── PlanRejected                  a plan that fails the check; its problems go back to the planner
├── ModelError                    a language model did not give an answer that can be used
│   ├── ModelUnavailable
│   ├── ModelRefusedMode
│   └── ModelBadAnswer
└── ToolError                     raised by tools on purpose; both say that nothing was done
    ├── ToolRetry                 tell the planner why
    └── ToolFailed                tell the user why
"""

from typing import ClassVar


class PlannerError(Exception):
    """Base of the tree. `detail` may be shown to the caller: it never holds a secret."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = code or self.code


class StartError(PlannerError):
    """The process must not start. The message names what to change."""

    code = "start_refused"


class RequestError(PlannerError):
    """The caller's fault; the same request fails again."""

    code = "bad_request"
    status = 400


class MalformedRequest(RequestError):
    """The body is not JSON, not UTF-8, or a header is not what it must be."""

    code = "malformed_request"


class InvalidRequest(RequestError):
    """JSON of the wrong shape, or a value outside its limits."""

    code = "invalid_request"
    status = 422


class BodyTooLarge(RequestError):
    """More bytes than this door reads."""

    code = "body_too_large"
    status = 413


class UnsupportedMedia(RequestError):
    """Not `application/json`, or an encoded body."""

    code = "unsupported_media_type"
    status = 415


class Unauthorized(RequestError):
    """No key, or a wrong one."""

    code = "unauthorized"
    status = 401


class Forbidden(RequestError):
    """Known, and not allowed."""

    code = "forbidden"
    status = 403


class NotFound(RequestError):
    """Not there, or not yours to see: the two look the same."""

    code = "not_found"
    status = 404


class Conflict(RequestError):
    """It happened already, or what was looked at is no longer what there is."""

    code = "conflict"
    status = 409


class RateLimited(RequestError):
    """Too many requests of one session, key or address; nothing was done."""

    code = "rate_limited"
    status = 429

    def __init__(self, detail: str = "", *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Unavailable(PlannerError):
    """Ours, and it passes."""

    code = "unavailable"
    status = 503
    retryable = True


class DatabaseUnavailable(Unavailable):
    """The database did not answer, or refused for a reason that passes."""

    code = "database_unavailable"


class CommitUnknown(DatabaseUnavailable):
    """The connection was lost at COMMIT. Whoever can tell by a unique key whether it was done looks again."""


class Busy(Unavailable):
    """The turn is still in progress, or there is no room for another one."""

    code = "busy"


class LaneLost(PlannerError):
    """Another worker owns this session's lane: what this one knows is stale."""

    code = "lane_lost"
    retryable = True


class PlanRejected(PlannerError):
    """A plan that fails the check. `problems` are sentences for the planner."""

    code = "plan_rejected"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class ModelError(PlannerError):
    """A language model gave nothing that can be used."""

    code = "model_error"


class ModelUnavailable(ModelError):
    """No answer: refused connection, timeout, 429 or 5xx after the retries, or an open circuit."""

    code = "model_unavailable"
    retryable = True


class ModelRefusedMode(ModelError):
    """The endpoint takes no schema, or no tools, in the form that was sent."""

    code = "model_refused_mode"


class ModelBadAnswer(ModelError):
    """HTTP 200 with something that is not a chat answer."""

    code = "model_bad_answer"


class ToolError(PlannerError):
    """Raised by a tool on purpose. Both kinds promise that nothing was done."""

    code = "tool_error"


class ToolRetry(ToolError):
    """Nothing was done; the planner is told why and may plan again."""

    code = "tool_retry"


class ToolFailed(ToolError):
    """Nothing was done; the user is told why."""

    code = "tool_failed"
