"""Adapters of other packages: found by their entry points at the start, checked, and made from their own variables.

What such an adapter is written with stands here under one name; docs/providers/custom.md shows one.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, Final

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from .channels import BadSignature, Channel, Delivery, Incoming, NotReady, Reply, StatusUpdate, WebhookRequest
from .channels.reading import (
    Envelope,
    Item,
    ItemError,
    at,
    attachment,
    gather,
    json_object,
    place,
    pressed,
    rows,
    said,
    shared,
    word,
)
from .channels.verifying import (
    Signed,
    base64_mac,
    check_timed,
    header,
    hex_mac,
    hex_offer,
    keys_of,
    raw,
    same,
)
from .delivery.base import OutgoingReply
from .delivery.http import Answer, Request, as_json
from .delivery.layout import Limits, Part
from .delivery.pace import Limit
from .delivery.sending import Provider
from .delivery.verdicts import by_status, dead, known, retry, wait
from .errors import StartError
from .provider_settings import WEBHOOK_SECRETS, installed_channels
from .settings import SHORTEST_SECRET, Settings, secrets_of

__all__ = [
    "Answer", "BadSignature", "Channel", "Delivery", "Envelope", "Incoming", "Item", "ItemError", "Limit",
    "Limits", "NotReady", "OutgoingReply", "Part", "Plugin", "PluginSettings", "Provider", "Reply", "Request",
    "Signed", "StatusUpdate", "WebhookRequest", "as_json", "at", "attachment", "base64_mac", "by_status",
    "check_timed", "dead", "gather", "header", "hex_mac", "hex_offer", "json_object", "keys_of", "known", "place",
    "pressed", "raw", "retry", "rows", "said", "same", "shared", "wait", "word",
]  # fmt: skip

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,19}")
"""It stands in addresses, in rows, and in front of the names of variables."""
_DOORS: Final = frozenset(["web", "wa", "cli", "mail"])
"""Channels that are no provider's."""


class PluginSettings(BaseSettings):
    """The variables of an adapter called acme begin with `ACME_`; subclasses add their own."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    webhook_secret: SecretStr | None = None
    """Comma-separated while it rotates, current first."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What the entry point leads to.

    `channel` makes the webhook's side from the secrets (current first) and the settings; `sender` the way out,
    or None while its settings don't allow it. Without `sender` replies go to GENERIC_REPLY_URL.
    """

    channel: Callable[[tuple[str, ...], Any], Channel]
    sender: Callable[[Any], Provider | None] | None = None
    settings: type[PluginSettings] = PluginSettings


@dataclass(frozen=True, slots=True)
class Installed:
    """A plugin that is there, with its settings read."""

    name: str
    plugin: Plugin
    settings: PluginSettings = field(repr=False)

    @property
    def own_secrets(self) -> tuple[str, ...]:
        return secrets_of(self.settings.webhook_secret)

    @property
    def configured(self) -> bool:
        return bool(self.settings.model_fields_set)


def secret_variable(name: str) -> str:
    """The variable that holds the webhook secret of the plugin of that name."""
    return f"{_prefix(name).upper()}WEBHOOK_SECRET"


def load_plugins(settings: Settings) -> dict[str, Installed]:
    """Every installed adapter by its name. Raises StartError, without a value, for what can't be used."""
    found = installed_channels()
    _check_names(found, settings)
    return {entry.name: _installed(entry, settings) for entry in found}


def _prefix(name: str) -> str:
    return name.replace("-", "_") + "_"


def _check_names(found: Iterable[EntryPoint], settings: Settings) -> None:
    """Names are a matter of the whole process: a clash stops it, whoever came first."""
    owners: dict[str, str] = {}
    for entry in found:
        owner = entry.dist.name if entry.dist is not None else entry.value
        taken = owners.get(entry.name) or ("llm-planner" if _reserved(entry.name, settings) else None)
        if taken is not None:
            raise StartError(
                f"the adapter {entry.name} of {owner} clashes with {taken}: uninstall or rename one"
            )
        if not _NAME.fullmatch(entry.name):
            raise StartError(f"the adapter {entry.name!r} of {owner}: names are a-z, 0-9 and -, 20 at most")
        owners[entry.name] = owner


def _reserved(name: str, settings: Settings) -> bool:
    """Whether the core has a provider, a door or variables of that name."""
    ours = type(settings).model_fields
    return name in WEBHOOK_SECRETS or name in _DOORS or any(key.startswith(_prefix(name)) for key in ours)


def _installed(entry: EntryPoint, settings: Settings) -> Installed:
    try:
        plugin = entry.load()
    except (ImportError, AttributeError) as error:
        raise StartError(f"the adapter {entry.name} ({entry.value}) can't be imported: {error}") from error
    if not isinstance(plugin, Plugin):
        raise StartError(f"the adapter {entry.name}: {entry.value} is no llm_planner.plugins.Plugin")
    prefixed: dict[str, Any] = {"_env_prefix": _prefix(entry.name)}
    try:
        own = plugin.settings(**prefixed)
    except ValidationError as error:
        names = [f"{_prefix(entry.name)}{'_'.join(map(str, e['loc']))}".upper() for e in error.errors()]
        told = [
            f"{name}: {e['msg']}" for name, e in zip(names, error.errors(include_input=False), strict=True)
        ]
        raise StartError("wrong settings: " + "; ".join(told)) from None
    made = Installed(entry.name, plugin, own)
    short = any(len(secret.encode()) < SHORTEST_SECRET for secret in made.own_secrets)
    if short and settings.production:
        raise StartError(f"{secret_variable(entry.name)}: shorter than {SHORTEST_SECRET} bytes")
    named = plugin.channel(made.own_secrets, own).name
    if named != entry.name:
        raise StartError(f"the adapter {entry.name}: its channel calls itself {named}")
    return made


Plugins = Mapping[str, Installed]
