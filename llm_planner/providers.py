"""The providers of one process, made from the settings: who may knock, and through whom replies leave."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pydantic import SecretStr

from .channels import (
    BirdChannel,
    Channel,
    ChatwootChannel,
    D360Channel,
    GenericChannel,
    MessageBirdChannel,
    MetaChannel,
    N8nChannel,
    SlackChannel,
    StandardChannel,
    TelegramChannel,
    TwilioChannel,
    YCloudChannel,
)
from .delivery.chatwoot import Chatwoot
from .delivery.cloud_api import Template
from .delivery.generic import GenericReply
from .delivery.http import Outlet
from .delivery.meta import Dialog360, Meta
from .delivery.pace import Pace
from .delivery.sending import Provider, ReplySender
from .delivery.slack import Slack
from .delivery.telegram import Telegram
from .delivery.twilio import Twilio
from .delivery.ycloud import YCloud
from .errors import StartError
from .plugins import Installed, Plugins, secret_variable
from .provider_settings import WEBHOOK_SECRETS
from .settings import Settings, secrets_of

_PREFIXES: Final[Mapping[str, str]] = {
    "twilio": "twilio_", "meta": "whatsapp_", "ycloud": "ycloud_", "standard": "standard_webhooks_",
    "telegram": "telegram_", "slack": "slack_", "chatwoot": "chatwoot_", "n8n": "n8n_", "360dialog": "d360_",
    "bird": "bird_", "messagebird": "messagebird_", "generic": "generic_",
}  # fmt: skip
"""How the names of each provider's own variables begin."""

NO_PLUGINS: Final[Plugins] = {}

_RELAYED: Final = ("generic", "standard", "n8n", "bird", "messagebird")
"""Providers without an API of ours: their replies go to GENERIC_REPLY_URL."""


def channels_of(settings: Settings, plugins: Plugins = NO_PLUGINS) -> dict[str, Channel]:
    """A webhook for each provider that is `PROVIDER` or has a variable set; without a secret it is shut."""
    ours = {
        name: _CHANNELS[name](settings, webhook_secrets(settings, name))
        for name in WEBHOOK_SECRETS
        if _configured(settings, name, plugins)
    }
    theirs = {
        name: one.plugin.channel(_secrets_of(settings, one), one.settings)
        for name, one in plugins.items()
        if name == settings.provider or one.configured
    }
    return ours | theirs


def webhook_secrets(settings: Settings, name: str) -> tuple[str, ...]:
    """Its own secrets; for the one that `PROVIDER` names, those of PROVIDER_HMAC_SECRET where it has none."""
    own = secrets_of(getattr(settings, WEBHOOK_SECRETS[name]))
    return own or _general_secrets(settings, name)


def _secrets_of(settings: Settings, plugin: Installed) -> tuple[str, ...]:
    return plugin.own_secrets or _general_secrets(settings, plugin.name)


def _general_secrets(settings: Settings, name: str) -> tuple[str, ...]:
    return secrets_of(settings.provider_hmac_secret) if name == settings.provider else ()


def secret_setting(settings: Settings, name: str) -> str:
    """The variables that hold this provider's webhook secret, for messages."""
    own = WEBHOOK_SECRETS[name].upper() if name in WEBHOOK_SECRETS else secret_variable(name)
    return own if name != settings.provider or name == "generic" else f"{own} or PROVIDER_HMAC_SECRET"


def public_base(settings: Settings) -> str | None:
    """Our address as providers sign it, without a closing slash; in development this machine's own stands in."""
    local = None if settings.production else f"http://{settings.host}:{settings.port}"
    base = settings.public_base_url or local
    return base.rstrip("/") if base is not None else None


def _configured(settings: Settings, name: str, plugins: Plugins) -> bool:
    if name == settings.provider:
        return True
    if name == "generic" and settings.provider_hmac_secret is not None:
        # Unless it stands in for the secret of the one that PROVIDER names.
        return _has_own_secret(settings, plugins)
    fields = (field for field in type(settings).model_fields if field.startswith(_PREFIXES[name]))
    return any(getattr(settings, field) is not None for field in fields)


def _has_own_secret(settings: Settings, plugins: Plugins) -> bool:
    if settings.provider in plugins:
        return bool(plugins[settings.provider].own_secrets)
    return getattr(settings, WEBHOOK_SECRETS[settings.provider]) is not None


def _bot_id(settings: Settings) -> str:
    return _plain(settings.telegram_bot_token).partition(":")[0]


def _plain(secret: SecretStr | None) -> str:
    return secret.get_secret_value().strip() if secret is not None else ""


_CHANNELS: Final[Mapping[str, Callable[[Settings, tuple[str, ...]], Channel]]] = {
    "generic": lambda s, keys: GenericChannel(keys, s.provider_max_skew_sec),
    "twilio": lambda s, keys: TwilioChannel(keys, account=s.twilio_account_sid or ""),
    "meta": lambda s, keys: MetaChannel(
        keys, secrets_of(s.whatsapp_verify_token), s.whatsapp_phone_number_id or ""
    ),
    "ycloud": lambda s, keys: YCloudChannel(keys, s.provider_max_skew_sec),
    "standard": lambda s, keys: StandardChannel(keys, s.provider_max_skew_sec),
    "telegram": lambda s, keys: TelegramChannel(keys, _bot_id(s)),
    "slack": lambda s, keys: SlackChannel(keys, s.provider_max_skew_sec),
    "chatwoot": lambda s, keys: ChatwootChannel(keys, s.provider_max_skew_sec),
    "n8n": lambda s, keys: N8nChannel(keys, s.provider_max_skew_sec),
    "360dialog": lambda s, keys: D360Channel(keys),
    "bird": lambda s, keys: BirdChannel(keys, s.provider_max_skew_sec),
    "messagebird": lambda s, keys: MessageBirdChannel(keys),
}


def senders_of(
    settings: Settings,
    outlet: Outlet,
    pace: Pace,
    apis: Mapping[str, str] | None = None,
    plugins: Plugins = NO_PLUGINS,
) -> dict[str, ReplySender]:
    """A sender for each provider whose API the settings give access to; `apis` are other addresses of them.

    Raises StartError, without the value, for what can't be used.
    """
    makers = {name: partial(make, settings, _where(name, apis)) for name, make in _SENDERS.items()}
    makers |= {name: partial(_of_plugin, settings, one) for name, one in plugins.items()}
    found = {}
    for name, make in makers.items():
        try:
            made = make()
        except ValueError as error:
            raise StartError(str(error)) from None
        if made is not None:
            found[name] = ReplySender(made, outlet, pace)
    return found


def _where(name: str, apis: Mapping[str, str] | None) -> dict[str, Any]:
    return {"api": apis[name]} if apis and name in apis else {}


def _of_plugin(settings: Settings, plugin: Installed) -> Provider | None:
    if plugin.plugin.sender is None:
        return _relay(settings, {})
    return plugin.plugin.sender(plugin.settings)


def _twilio(settings: Settings, where: Mapping[str, Any]) -> Provider | None:
    tokens, sid = webhook_secrets(settings, "twilio"), settings.twilio_account_sid
    own = _plain(settings.twilio_api_key_secret)
    if sid is None or not (tokens or own):
        return None
    base = settings.public_base_url
    return Twilio(
        sid,
        own or tokens[0],
        settings.twilio_from or "",
        settings.twilio_api_key_sid or "",
        status_callback=f"{base.rstrip('/')}/provider/twilio/inbound" if base else None,
        card_content_sid=settings.twilio_card_content_sid,
        window_content_sid=settings.twilio_window_content_sid,
        **where,
    )


def _meta(settings: Settings, where: Mapping[str, Any]) -> Provider | None:
    token = _plain(settings.whatsapp_access_token)
    number = settings.whatsapp_phone_number_id or ""
    return Meta(token, number, _template(settings), **where) if token else None


def _dialog360(settings: Settings, where: Mapping[str, Any]) -> Provider | None:
    key = _plain(settings.d360_api_key)
    return Dialog360(key, _template(settings), **where) if key else None


def _ycloud(settings: Settings, where: Mapping[str, Any]) -> Provider | None:
    key = _plain(settings.ycloud_api_key)
    return YCloud(key, settings.ycloud_from or "", _template(settings), **where) if key else None


def _template(settings: Settings) -> Template | None:
    if settings.whatsapp_template is None:
        return None
    name, _, language = settings.whatsapp_template.partition(":")
    return Template(name, language)


def _telegram(settings: Settings, where: Mapping[str, Any]) -> Provider | None:
    token = _plain(settings.telegram_bot_token)
    return Telegram(token, **where) if token else None


def _slack(settings: Settings, where: Mapping[str, Any]) -> Provider | None:
    token = _plain(settings.slack_bot_token)
    return Slack(token, **where) if token else None


def _chatwoot(settings: Settings, where: Mapping[str, Any]) -> Provider | None:
    token = _plain(settings.chatwoot_api_token)
    return Chatwoot(settings.chatwoot_base_url or "", token) if token else None


def _relay(settings: Settings, where: Mapping[str, Any]) -> Provider | None:
    secrets = webhook_secrets(settings, "standard") or secrets_of(settings.provider_hmac_secret)
    return GenericReply(settings.generic_reply_url, secrets) if settings.generic_reply_url else None


_SENDERS: Final[Mapping[str, Callable[[Settings, Mapping[str, Any]], Provider | None]]] = {
    "twilio": _twilio,
    "meta": _meta,
    "360dialog": _dialog360,
    "ycloud": _ycloud,
    "telegram": _telegram,
    "slack": _slack,
    "chatwoot": _chatwoot,
    **dict.fromkeys(_RELAYED, _relay),
}
