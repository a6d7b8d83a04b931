"""The settings of the engine under the turn: how much at once and a minute, how long rows are kept."""

import ipaddress
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_DAYS = 36500


class EngineSettings(BaseSettings):
    """One attribute a variable. `rate_limit_*` a minute, 0 for none; `retention_*` in days."""

    debounce_ms: int = Field(0, ge=0, le=60000)
    turn_slots: int = Field(500, ge=1, le=10000)
    rate_limit_session: int = Field(300, ge=0)
    rate_limit_key: int = Field(30000, ge=0)
    rate_limit_address: int = Field(30000, ge=0)
    rate_limit_wrong_keys: int = Field(60, ge=0)
    rate_limit_redis_url: SecretStr | None = None
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = ()

    retention_message_ids_days: int = Field(8, ge=1, le=LONGEST_DAYS)
    retention_messages_days: int = Field(90, ge=1, le=LONGEST_DAYS)
    retention_writes_days: int = Field(365, ge=1, le=LONGEST_DAYS)
    retention_audit_days: int = Field(365, ge=1, le=LONGEST_DAYS)
    retention_outbox_days: int = Field(30, ge=1, le=LONGEST_DAYS)
    retention_receipts_days: int = Field(30, ge=1, le=LONGEST_DAYS)
    retention_model_calls_days: int = Field(90, ge=1, le=LONGEST_DAYS)
    retention_prompts_days: int = Field(14, ge=1, le=LONGEST_DAYS)
    retention_sessions_days: int = Field(365, ge=1, le=LONGEST_DAYS)

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
