"""Exporting: traces and metrics leave over OTLP, where an endpoint is set and the extra [otel] is installed."""

from collections.abc import Callable

from .errors import StartError
from .settings import Settings
from .version import __version__


def start_exporting(settings: Settings) -> Callable[[], None]:
    """Put an SDK behind the API, once a process; what is returned sends the rest and ends it.

    The SDK reads all other `OTEL_*` variables itself. Raises StartError without the packages.
    """
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        return _nothing
    try:
        from opentelemetry import metrics, trace
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise StartError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: needs the packages of the extra [otel]; "
            "install them with: pip install 'llm-planner[otel]'"
        ) from error
    base = endpoint.rstrip("/")
    resource = Resource.create({"service.name": settings.otel_service_name, "service.version": __version__})
    spans = TracerProvider(resource=resource)
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{base}/v1/metrics"))
    numbers = MeterProvider([reader], resource)
    trace.set_tracer_provider(spans)
    metrics.set_meter_provider(numbers)

    def end() -> None:
        spans.shutdown()
        numbers.shutdown()

    return end


def _nothing() -> None:
    """Nothing is exported, so nothing is left to send."""
