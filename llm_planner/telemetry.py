"""Telemetry: spans and durations of turns, model calls and tool calls, named by OpenTelemetry's GenAI conventions.

Names, ids, counts and times only: what was said, asked or returned is never in it. Without an SDK behind the
API (`OTEL_EXPORTER_OTLP_ENDPOINT`, extra [otel]) all of it is the API's own no-op.
https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Final, Literal

from opentelemetry import metrics, trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from .version import __version__

Operation = Literal["invoke_agent", "chat", "execute_tool"]
Value = str | int | float | bool
NAME: Final = "llm-planner"
ERROR: Final = "error.type"
_DURATIONS: Final[Mapping[Operation, str]] = {
    "invoke_agent": "llm_planner.turn.duration",
    "chat": "gen_ai.client.operation.duration",
    "execute_tool": "gen_ai.execute_tool.duration",
}
_FEW: Final = frozenset(
    ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.tool.name", ERROR,
     "llm_planner.channel", "llm_planner.purpose", "llm_planner.status"]
)  # fmt: skip
"""Attributes of few different values: the ones that a measurement carries, too."""


@contextmanager
def measured(
    operation: Operation, subject: str, attributes: Mapping[str, Value]
) -> Iterator[MutableMapping[str, Value]]:
    """One span `operation subject` and its duration in seconds. What the block puts into the mapping it gets
    is added at the end; `error.type` in it, or an exception, makes the span one that failed."""
    given: dict[str, Value] = {"gen_ai.operation.name": operation, **attributes}
    kind = SpanKind.CLIENT if operation == "chat" else SpanKind.INTERNAL
    span = trace.get_tracer(NAME, __version__).start_span(
        f"{operation} {subject}", kind=kind, attributes=given
    )
    told: dict[str, Value] = {}
    started = time.monotonic()
    try:
        with _around(operation, span):
            yield told
    except BaseException as error:
        told[ERROR] = type(error).__name__
        raise
    finally:
        took = time.monotonic() - started
        span.set_attributes(told)
        if ERROR in told:
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        few = {name: value for name, value in {**given, **told}.items() if name in _FEW}
        _histogram(_DURATIONS[operation], "s").record(took, few)


def _around(operation: Operation, span: Span) -> AbstractContextManager[object]:
    """Make the span the parent of what happens in it. Nothing of ours happens inside a model; and a stream is
    left in another context than it was begun in."""
    if operation == "chat":
        return nullcontext()
    return trace.use_span(span, record_exception=False, set_status_on_exception=False)


def count_tokens(model: Mapping[str, Value], used: Mapping[Literal["input", "output"], int | None]) -> None:
    """How many tokens one call took, by the name of the model."""
    for kind, count in used.items():
        if count is not None:
            _histogram("gen_ai.client.token.usage", "{token}").record(
                count, {**model, "gen_ai.token.type": kind}
            )


def trace_ids() -> dict[str, str]:
    """`trace_id` and `span_id` of where we are, hex; empty outside a recorded trace."""
    here = trace.get_current_span().get_span_context()
    if not here.is_valid:
        return {}
    return {"trace_id": f"{here.trace_id:032x}", "span_id": f"{here.span_id:016x}"}


@cache
def _histogram(name: str, unit: str) -> Histogram:
    return metrics.get_meter(NAME, __version__).create_histogram(name, unit)
