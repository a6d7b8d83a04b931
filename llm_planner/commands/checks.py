"""What the settings alone tell about a process: what is configured, what is missing, what is unsafe."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from ..channels import BadSignature, Channel, NotReady, WebhookRequest
from ..delivery.base import Sender
from ..plugins import Plugins
from ..providers import channels_of, public_base, secret_setting
from ..settings import SHORTEST_SECRET, Settings, several_processes, short_secrets
from ..tools import ToolRegistry
from .findings import Finding, finding

LOCAL: Final = frozenset(["localhost", "127.0.0.1", "::1", "[::1]"])
REPLIES_NEED: Final = {
    "twilio": "TWILIO_ACCOUNT_SID",
    "meta": "WHATSAPP_ACCESS_TOKEN",
    "360dialog": "D360_API_KEY",
    "ycloud": "YCLOUD_API_KEY",
    "telegram": "TELEGRAM_BOT_TOKEN",
    "slack": "SLACK_BOT_TOKEN",
    "chatwoot": "CHATWOOT_API_TOKEN, CHATWOOT_BASE_URL",
}
"""What each provider needs to be answered through its own API; all others are answered at GENERIC_REPLY_URL."""


def of_settings(settings: Settings) -> Iterator[Finding]:
    """Doors, keys and secrets."""
    yield finding("settings", "ok", "environment", value=settings.environment)
    yield from _reach(settings)
    for variable in short_secrets(settings):
        yield finding("settings", "unsafe", "short_secret", variable=variable, least=SHORTEST_SECRET)
    if settings.secret_key is None:
        yield finding("settings", "note", "minted_key", file=settings.data_dir / "secret_key")
    else:
        yield finding("settings", "ok", "key")
    if not settings.provider_verify_signature:
        yield finding("settings", "unsafe", "unsigned")
    yield from _people(settings)
    if several_processes(settings):
        yield finding("database", "unsafe", "sqlite_several")


def _reach(settings: Settings) -> Iterator[Finding]:
    """Who gets to the doors. Others reach what listens on more than loopback or has a public address."""
    named = urlsplit(settings.public_base_url or "").hostname
    reached = named if named and named not in LOCAL else settings.host
    public = reached not in LOCAL
    if public and not settings.production:
        yield finding("settings", "note", "development_reached", where=reached)
    if public and settings.who_may_chat == "open":
        yield finding("settings", "unsafe", "web_open")
    else:
        yield finding("settings", "ok", "web", value=settings.who_may_chat)
    if settings.production and not settings.hosts:
        yield finding("settings", "note", "any_host")
    if named and named not in LOCAL and not (settings.public_base_url or "").startswith("https:"):
        yield finding("settings", "unsafe", "no_tls")


def _people(settings: Settings) -> Iterator[Finding]:
    if settings.operators:
        names = ", ".join(f"{name} ({role})" for name, role, _ in settings.operators)
        yield finding("settings", "ok", "operators", names=names)
    else:
        yield finding("settings", "note", "no_operators")
    if settings.internal_keys:
        names = ", ".join(name for name, _ in settings.internal_keys)
        yield finding("settings", "ok", "internal_keys", names=names)
    else:
        yield finding("settings", "note", "no_internal_keys")


def of_tools(settings: Settings, registry: ToolRegistry) -> Iterator[Finding]:
    """The tools, and whether somebody may decide about those that wait for an operator."""
    specs = list(registry)
    yield finding("tools", "ok", "tools", count=len(specs), writes=sum(spec.write for spec in specs))
    roles = {role for _, role, _ in settings.operators}
    for spec in specs:
        if spec.write and spec.tool.approver not in ("user", *roles):
            yield finding("tools", "note", "role_without_key", tool=spec.name, role=spec.tool.approver)


def of_providers(
    settings: Settings, senders: Mapping[str, Sender], now: datetime, plugins: Plugins
) -> Iterator[Finding]:
    """Each provider's door and way back."""
    doors = channels_of(settings, plugins)
    if not settings.provider_hmac_secret and "provider" not in settings.model_fields_set:
        doors.pop("generic", None)
    if not doors:
        yield finding("providers", "note", "no_provider")
    for name, channel in doors.items():
        problems = [*_door(settings, channel, now), *_way_back(settings, name, senders)]
        yield from problems
        if not any(one.state == "broken" for one in problems):
            yield finding(name, "ok", "door", path=f"/provider/{name}/inbound")


def _door(settings: Settings, channel: Channel, now: datetime) -> Iterator[Finding]:
    """Asks the adapter itself: it refuses an empty request for its signature only when it is ready."""
    if channel.signs_url and public_base(settings) is None:
        yield finding(channel.name, "broken", "door_shut", variable="PUBLIC_BASE_URL")
    elif settings.provider_verify_signature and not _ready(channel, "POST", now):
        yield finding(channel.name, "broken", "door_shut", variable=secret_setting(settings, channel.name))
    elif channel.name == "meta" and not _ready(channel, "GET", now):
        yield finding(channel.name, "broken", "handshake_shut")


def _ready(channel: Channel, method: str, now: datetime) -> bool:
    try:
        channel.verify(WebhookRequest(method, "https://x/", (), b""), now)
    except NotReady:
        return False
    except BadSignature:
        pass
    return True


def _way_back(settings: Settings, name: str, senders: Mapping[str, Sender]) -> Iterator[Finding]:
    if name not in senders:
        variable = REPLIES_NEED.get(name, "GENERIC_REPLY_URL")
        if name == "twilio" and settings.twilio_account_sid:
            variable = "TWILIO_AUTH_TOKEN"
        yield finding(name, "broken", "no_replies", variable=variable)
        return
    traits = senders[name].traits
    if traits.windowed and not traits.templated:
        template = "TWILIO_WINDOW_CONTENT_SID" if name == "twilio" else "WHATSAPP_TEMPLATE"
        yield finding(name, "note", "no_template", variable=template)
    if name == "twilio" and settings.twilio_card_content_sid is None:
        yield finding(name, "note", "no_buttons")
    reply_url = urlsplit(settings.generic_reply_url or "")
    if name not in REPLIES_NEED and reply_url.scheme == "http" and reply_url.hostname not in LOCAL:
        yield finding(name, "unsafe", "reply_url_no_tls")
