"""The settings of message providers: which one `/provider/inbound` is, their secrets, their APIs' keys."""

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

CHANNELS_GROUP: Final = "llm_planner.channels"
"""The entry points by which other packages bring adapters of their own."""


def installed_channels() -> list[EntryPoint]:
    """The adapters of other packages, by name; nothing of them is imported."""
    return sorted(entry_points(group=CHANNELS_GROUP), key=lambda entry: (entry.name, entry.value))


class ProviderSettings(BaseSettings):
    """One attribute a variable. Webhook secrets are comma-separated while they rotate, current first."""

    provider: str = "generic"
    provider_verify_signature: bool = True
    allow_unsigned_webhooks: bool = False
    provider_hmac_secret: SecretStr | None = None
    provider_max_skew_sec: int = Field(300, ge=0)
    provider_max_body_bytes: int = Field(3_145_728, ge=1024)

    twilio_account_sid: str | None = None
    twilio_auth_token: SecretStr | None = None
    twilio_from: str | None = None
    twilio_api_key_sid: str | None = None
    twilio_api_key_secret: SecretStr | None = None
    twilio_card_content_sid: str | None = None
    twilio_window_content_sid: str | None = None
    whatsapp_app_secret: SecretStr | None = None
    whatsapp_verify_token: SecretStr | None = None
    whatsapp_access_token: SecretStr | None = None
    whatsapp_phone_number_id: str | None = None
    whatsapp_template: str | None = Field(None, pattern=r"^[a-z0-9_]+:[a-zA-Z_]+$")
    ycloud_webhook_secret: SecretStr | None = None
    ycloud_api_key: SecretStr | None = None
    ycloud_from: str | None = None
    telegram_webhook_secret_token: SecretStr | None = None
    telegram_bot_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_bot_token: SecretStr | None = None
    standard_webhooks_secret: SecretStr | None = None
    chatwoot_webhook_secret: SecretStr | None = None
    chatwoot_api_token: SecretStr | None = None
    chatwoot_base_url: str | None = None
    n8n_webhook_secret: SecretStr | None = None
    d360_webhook_secret: SecretStr | None = None
    d360_api_key: SecretStr | None = None
    bird_signing_key: SecretStr | None = None
    messagebird_signing_key: SecretStr | None = None
    generic_reply_url: str | None = None


WEBHOOK_SECRETS: Final[dict[str, str]] = {
    "generic": "provider_hmac_secret",
    "twilio": "twilio_auth_token",
    "meta": "whatsapp_app_secret",
    "ycloud": "ycloud_webhook_secret",
    "standard": "standard_webhooks_secret",
    "telegram": "telegram_webhook_secret_token",
    "slack": "slack_signing_secret",
    "chatwoot": "chatwoot_webhook_secret",
    "n8n": "n8n_webhook_secret",
    "360dialog": "d360_webhook_secret",
    "bird": "bird_signing_key",
    "messagebird": "messagebird_signing_key",
}
"""The variable that holds each provider's webhook secret."""
