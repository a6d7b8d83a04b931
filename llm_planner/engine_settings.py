"""The settings of the engine under the turn: how much at once, how long rows are kept."""

from pydantic import Field
from pydantic_settings import BaseSettings

LONGEST_DAYS = 36500


class EngineSettings(BaseSettings):
    """One attribute a variable. `retention_*` in days."""

    turn_slots: int = Field(500, ge=1, le=10000)

    retention_message_ids_days: int = Field(8, ge=1, le=LONGEST_DAYS)
    retention_messages_days: int = Field(90, ge=1, le=LONGEST_DAYS)
    retention_writes_days: int = Field(365, ge=1, le=LONGEST_DAYS)
    retention_audit_days: int = Field(365, ge=1, le=LONGEST_DAYS)
    retention_outbox_days: int = Field(30, ge=1, le=LONGEST_DAYS)
    retention_receipts_days: int = Field(30, ge=1, le=LONGEST_DAYS)
    retention_model_calls_days: int = Field(90, ge=1, le=LONGEST_DAYS)
    retention_prompts_days: int = Field(14, ge=1, le=LONGEST_DAYS)
    retention_sessions_days: int = Field(365, ge=1, le=LONGEST_DAYS)
