"""The settings: environment and `.env`, checked once at the start; a wrong value names its variable."""

import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from .console_settings import ConsoleSettings
from .engine_settings import EngineSettings
from .errors import StartError
from .model_settings import ModelSettings
from .observe_settings import ObserveSettings
from .plan_settings import PlanSettings
from .provider_settings import WEBHOOK_SECRETS, ProviderSettings, installed_channels

SHORTEST_SECRET = 16
"""Bytes. A shorter secret in production stops the start."""

LONGEST_NAME = 64
HOST_AND_PORT = re.compile(r"([^\s/:@\[\]]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")
DRIVERS = frozenset(
    [
        "sqlite",
        *(f"{name}{driver}" for name in ("mysql", "mariadb") for driver in ("", "+pymysql", "+asyncmy")),
    ]
)

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(
    EngineSettings, ModelSettings, PlanSettings, ConsoleSettings, ObserveSettings, ProviderSettings
):
    """One attribute a variable, in the order of `.env.example`. Times in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    environment: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    allowed_hosts: Names = ()
    public_base_url: str | None = None
    data_dir: Path = Path("data")
    secret_key: SecretStr | None = None
    secret_key_previous: SecretStr | None = None
    default_locale: str = Field("es", pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", max_length=35)
    timezone: str = "UTC"
    log_format: Literal["pretty", "json"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    db_url: str = Field("sqlite:///data/llm_planner.db", repr=False)
    db_host: str | None = None
    db_password: SecretStr | None = None
    db_auto_migrate: bool | None = None

    web_auth: Literal["open", "token", "jwt"] | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_jwks_url: str | None = None
    jwt_key: SecretStr | None = None
    internal_api_key: SecretStr | None = None
    operator_api_keys: SecretStr | None = None

    llm_provider: Literal["auto", "embedded", "ollama", "openai"] = "auto"
    llm_output_mode: Literal["auto", "schema", "tool", "prompt"] = "auto"
    llm_timeout_s: float = Field(60.0, gt=0, le=600)
    llm_max_tokens: int = Field(4096, ge=64)
    ollama_base_url: str | None = None
    ollama_api_key: SecretStr | None = None
    ollama_model: str = "gpt-oss:20b"
    openai_base_url: str | None = None
    openai_api_key: SecretStr | None = None
    openai_model: str = "gpt-5-mini"
    answerer: Literal["off", "on"] = "off"

    tool_modules: Names = ()
    tool_timeout_s: float = Field(20.0, gt=0, le=600)
    confirm_ttl_sec: int = Field(600, ge=1, le=604800)

    budget_queued_messages: int = Field(50, ge=1)
    budget_pending_writes: int = Field(10, ge=1)
    budget_session_calls: int = Field(200, ge=0)
    budget_principal_calls: int = Field(0, ge=0)
    budget_account_calls: int = Field(20000, ge=0)
    budget_session_tokens: int = Field(0, ge=0)
    budget_principal_tokens: int = Field(0, ge=0)
    budget_account_tokens: int = Field(0, ge=0)

    smtp_url: SecretStr | None = None
    mail_from: str = "llm-planner@localhost"
    workers_inline: bool = True
    turn_engine: Literal["embedded", "temporal"] = "embedded"
    temporal_address: str | None = None

    @field_validator("allowed_hosts", "tool_modules", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @property
    def production(self) -> bool:
        return self.environment == "production"

    @property
    def who_may_chat(self) -> Literal["open", "token", "jwt"]:
        """`WEB_AUTH`, or its default for the environment."""
        return self.web_auth or ("token" if self.production else "open")

    @property
    def database_url(self) -> str:
        """`DB_URL`, with `DB_HOST` and `DB_PASSWORD` in it where a platform gives them apart."""
        if self.db_host is None and self.db_password is None:
            return self.db_url
        url = make_url(self.db_url)
        password = self.db_password.get_secret_value() if self.db_password is not None else url.password
        return url.set(host=self.db_host or url.host, password=password).render_as_string(hide_password=False)

    @property
    def migrates(self) -> bool:
        """`DB_AUTO_MIGRATE`, or on in development and on SQLite."""
        if self.db_auto_migrate is not None:
            return self.db_auto_migrate
        return not self.production or self.db_url.startswith("sqlite")

    @cached_property
    def llm(self) -> Literal["embedded", "ollama", "openai"]:
        """What plans: the choice itself, or by which address and key are set."""
        if self.llm_provider != "auto":
            return self.llm_provider
        if self.ollama_base_url or self.ollama_api_key:
            return "ollama"
        if self.openai_base_url or self.openai_api_key:
            return "openai"
        return "embedded"

    @cached_property
    def internal_keys(self) -> tuple[tuple[str, str], ...]:
        """`INTERNAL_API_KEY` as (name, key); bare keys are called key1, key2 and so on."""
        pairs = []
        for number, item in enumerate(secrets_of(self.internal_api_key), start=1):
            name, colon, key = item.partition(":")
            pairs.append((name.strip(), key.strip()) if colon else (f"key{number}", item))
        return tuple(pairs)

    @cached_property
    def operators(self) -> tuple[tuple[str, str, str], ...]:
        """`OPERATOR_API_KEYS` as (name, role, key)."""
        found = []
        for item in secrets_of(self.operator_api_keys):
            parts = [part.strip() for part in item.split(":", 2)]
            if len(parts) != 3 or not all(parts):
                raise StartError("OPERATOR_API_KEYS: each entry is name:role:key, separated by commas")
            found.append((parts[0], parts[1], parts[2]))
        return tuple(found)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host names that requests may carry; empty means any (production without a public URL)."""
        if self.allowed_hosts:
            return self.allowed_hosts
        named = [urlsplit(self.public_base_url).hostname] if self.public_base_url else []
        if self.production and not named:
            return ()
        return tuple(name for name in [*named, "localhost", "127.0.0.1", "[::1]", self.host] if name)


def secrets_of(value: SecretStr | None) -> tuple[str, ...]:
    """The parts of a comma-separated secret, blanks dropped."""
    if value is None:
        return ()
    return tuple(part.strip() for part in value.get_secret_value().split(",") if part.strip())


def load_settings(**overrides: Any) -> Settings:
    """Read and check the settings.

    Raises StartError with one line a variable, the variable's name first; secrets are not repeated.
    """
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors(include_input=False)
        ]
        raise _refusal(lines) from None
    problems = [*_malformed(settings), *(_unsafe(settings) if settings.production else [])]
    if problems:
        raise _refusal(problems)
    return settings


def _refusal(problems: Sequence[str]) -> StartError:
    return StartError("wrong settings: " + "\n  ".join(["", *problems] if len(problems) > 1 else problems))


def _malformed(settings: Settings) -> list[str]:
    problems = []
    if settings.who_may_chat == "jwt" and not (settings.jwt_jwks_url or settings.jwt_key):
        problems.append("WEB_AUTH: jwt needs JWT_JWKS_URL or JWT_KEY")
    if settings.who_may_chat == "jwt" and not (settings.jwt_issuer and settings.jwt_audience):
        problems.append("WEB_AUTH: jwt needs JWT_ISSUER and JWT_AUDIENCE")
    if any(not name or not key for name, key in settings.internal_keys):
        problems.append("INTERNAL_API_KEY: each entry is name:key or a bare key, separated by commas")
    try:
        _ = settings.operators
    except StartError as error:
        problems.append(error.detail)
    return [*problems, *_odd_names(settings), *_odd_places(settings), *_odd_providers(settings)]


def _odd_names(settings: Settings) -> list[str]:
    """Names of keys are stored with what is done under them: they have to fit."""
    named = {
        "INTERNAL_API_KEY": [name for name, _ in settings.internal_keys],
        "OPERATOR_API_KEYS": [part for entry in _operators_or_none(settings) for part in entry[:2]],
    }
    return [
        f"{variable}: a name has at most {LONGEST_NAME} printable characters"
        for variable, names in named.items()
        if not all(len(name) <= LONGEST_NAME and name.isprintable() for name in names)
    ]


def _operators_or_none(settings: Settings) -> tuple[tuple[str, str, str], ...]:
    try:
        return settings.operators
    except StartError:
        return ()


def _odd_places(settings: Settings) -> list[str]:
    """Addresses and time zones that can't be used."""
    problems = []
    try:
        url = make_url(settings.db_url)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in DRIVERS:
        problems.append("DB_URL: is sqlite:///file, mysql://user:password@host/name or mariadb://…")
    elif url.get_backend_name() == "sqlite" and (settings.db_host or settings.db_password):
        problems.append("DB_HOST, DB_PASSWORD: belong to a server, and DB_URL is an SQLite file")
    if settings.turn_engine == "temporal" and not HOST_AND_PORT.fullmatch(settings.temporal_address or ""):
        problems.append("TEMPORAL_ADDRESS: TURN_ENGINE=temporal needs host:port, such as localhost:7233")
    if settings.public_base_url is not None and not _is_address(settings.public_base_url):
        problems.append("PUBLIC_BASE_URL: is an address such as https://chat.example.com")
    try:
        ZoneInfo(settings.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems.append(
            f"TIMEZONE: {settings.timezone!r} is not known; use a name such as America/Montevideo"
        )
    return problems


def _odd_providers(settings: Settings) -> list[str]:
    """Provider values that contradict each other, or that nothing can be done with."""
    known = [*WEBHOOK_SECRETS, *(entry.name for entry in installed_channels())]
    problems = []
    if settings.provider not in known:
        problems.append(f"PROVIDER: {settings.provider!r} is none of {', '.join(known)}")
    problems += [
        f"{one.upper()}: belongs together with {other.upper()}"
        for one, other in _PAIRS
        if (getattr(settings, one) is None) != (getattr(settings, other) is None)
    ]
    problems += [
        f"{name.upper()}: is an address such as https://chat.example.com"
        for name in ("chatwoot_base_url", "generic_reply_url")
        if (url := getattr(settings, name)) is not None and not _is_address(url)
    ]
    problems += [
        f"{name.upper()}: holds no secret"
        for name in (*WEBHOOK_SECRETS.values(), "whatsapp_verify_token")
        if (value := getattr(settings, name)) is not None and not secrets_of(value)
    ]
    return problems


_PAIRS = (
    ("twilio_api_key_sid", "twilio_api_key_secret"),
    ("chatwoot_api_token", "chatwoot_base_url"),
)


def _is_address(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname)
    except ValueError:
        return False


def _unsafe(settings: Settings) -> list[str]:
    """What production refuses to start with."""
    problems = []
    if settings.who_may_chat == "open":
        problems.append("WEB_AUTH: open is for development; use token or jwt")
    if settings.secret_key is None:
        problems.append(
            'SECRET_KEY: missing; make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    if not settings.provider_verify_signature and not settings.allow_unsigned_webhooks:
        problems.append("PROVIDER_VERIFY_SIGNATURE: 0 needs ALLOW_UNSIGNED_WEBHOOKS=1 as well")
    if several_processes(settings):
        problems.append(
            "DB_URL: SQLite serves one process; use MySQL, or WORKERS_INLINE=1 and one web worker"
        )
    problems += [f"{name}: shorter than {SHORTEST_SECRET} bytes" for name in short_secrets(settings)]
    return problems


def several_processes(settings: Settings) -> bool:
    """Whether an SQLite file is meant for more than its one process."""
    return settings.db_url.startswith("sqlite") and (not settings.workers_inline or _web_workers() > 1)


def _web_workers() -> int:
    try:
        return int(os.environ.get("WEB_CONCURRENCY", "1"))
    except ValueError:
        raise _refusal(["WEB_CONCURRENCY: is a number"]) from None


def short_secrets(settings: Settings) -> list[str]:
    """The variables that hold a secret too short to be one."""
    values = {
        "SECRET_KEY": _whole(settings.secret_key),
        "SECRET_KEY_PREVIOUS": _whole(settings.secret_key_previous),
        "CONSOLE_PASSWORD": _whole(settings.console_password),
        "INTERNAL_API_KEY": [key for _, key in settings.internal_keys],
        "OPERATOR_API_KEYS": [key for _, _, key in _operators_or_none(settings)],
        "WHATSAPP_VERIFY_TOKEN": secrets_of(settings.whatsapp_verify_token),
        **{name.upper(): secrets_of(getattr(settings, name)) for name in WEBHOOK_SECRETS.values()},
    }
    return [
        name
        for name, secrets in values.items()
        if any(len(secret.encode()) < SHORTEST_SECRET for secret in secrets)
    ]


def _whole(value: SecretStr | None) -> tuple[str, ...]:
    """A secret that is one, commas and all."""
    return () if value is None else (value.get_secret_value().strip(),)
