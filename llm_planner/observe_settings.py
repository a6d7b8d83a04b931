"""The settings of observability: where traces and metrics go."""

from pydantic import Field
from pydantic_settings import BaseSettings


class ObserveSettings(BaseSettings):
    """One attribute a variable. The OpenTelemetry SDK reads every other `OTEL_*` variable itself."""

    otel_exporter_otlp_endpoint: str | None = Field(None, pattern=r"^https?://[^/\s]+(/.*)?$")
    otel_service_name: str = Field("llm-planner", min_length=1, max_length=255)
