"""The settings: environment and `.env`, checked once at the start; a wrong value names its variable."""

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .errors import StartError

SHORTEST_SECRET = 16
"""Bytes. A shorter secret in production stops the start."""

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
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
    default_locale: str = "es"
    timezone: str = "UTC"
    log_format: Literal["pretty", "json"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    db_url: str = "sqlite:///data/llm_planner.db"
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
    llm_max_tokens: int = Field(1024, ge=64)
    ollama_base_url: str | None = None
    ollama_api_key: SecretStr | None = None
    ollama_model: str = "gpt-oss:20b"
    openai_base_url: str | None = None
    openai_api_key: SecretStr | None = None
    openai_model: str = "gpt-5-mini"
    answerer: Literal["off", "on"] = "off"

    tool_modules: Names = ()
    tool_timeout_s: float = Field(20.0, gt=0, le=600)
    max_plan_rounds: int = Field(3, ge=1, le=10)
    history_messages: int = Field(20, ge=0, le=200)
    confirm_ttl_sec: int = Field(600, ge=1, le=604800)

    budget_steps: int = Field(16, ge=1, le=200)
    budget_result_bytes: int = Field(16384, ge=256)
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
    provider_verify_signature: bool = True
    allow_unsigned_webhooks: bool = False
    provider_hmac_secret: SecretStr | None = None
    provider_max_skew_sec: int = Field(300, ge=0)

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
        url = urlsplit(self.db_url)
        if self.db_host is None and self.db_password is None:
            return self.db_url
        user, port = quote(unquote(url.username or ""), safe=""), f":{url.port}" if url.port else ""
        password = self.db_password.get_secret_value() if self.db_password else unquote(url.password or "")
        host = self.db_host or url.hostname or ""
        return urlunsplit(url._replace(netloc=f"{user}:{quote(password, safe='')}@{host}{port}"))

    @property
    def migrates(self) -> bool:
        """`DB_AUTO_MIGRATE`, or on in development and on SQLite."""
        if self.db_auto_migrate is not None:
            return self.db_auto_migrate
        return not self.production or self.db_url.startswith("sqlite")

    @cached_property
    def provider(self) -> Literal["embedded", "ollama", "openai"]:
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
        raise StartError("wrong settings:\n  " + "\n  ".join(lines)) from None
    problems = [*_malformed(settings), *(_unsafe(settings) if settings.production else [])]
    if problems:
        raise StartError("wrong settings:\n  " + "\n  ".join(problems))
    return settings


def _malformed(settings: Settings) -> list[str]:
    problems = []
    if settings.who_may_chat == "jwt" and not (settings.jwt_jwks_url or settings.jwt_key):
        problems.append("WEB_AUTH: jwt needs JWT_JWKS_URL or JWT_KEY")
    if settings.who_may_chat == "jwt" and not (settings.jwt_issuer and settings.jwt_audience):
        problems.append("WEB_AUTH: jwt needs JWT_ISSUER and JWT_AUDIENCE")
    if any(not name or not key for name, key in settings.internal_keys):
        problems.append("INTERNAL_API_KEY: each entry is name:key or a bare key, separated by commas")
    known = {
        "sqlite",
        "mysql",
        "mysql+pymysql",
        "mysql+asyncmy",
        "mariadb",
        "mariadb+pymysql",
        "mariadb+asyncmy",
    }
    if settings.db_url.partition("://")[0] not in known:
        problems.append("DB_URL: starts with sqlite:///, mysql:// or mariadb://")
    try:
        _ = settings.operators
    except StartError as error:
        problems.append(error.detail)
    return problems


def _unsafe(settings: Settings) -> list[str]:
    """What production refuses to start with (contract.md, section 5)."""
    problems = []
    if settings.who_may_chat == "open":
        problems.append("WEB_AUTH: open is for development; use token or jwt")
    if settings.secret_key is None:
        problems.append(
            'SECRET_KEY: missing; make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    if not settings.provider_verify_signature and not settings.allow_unsigned_webhooks:
        problems.append("PROVIDER_VERIFY_SIGNATURE: 0 needs ALLOW_UNSIGNED_WEBHOOKS=1 as well")
    if settings.db_url.startswith("sqlite") and (not settings.workers_inline or _web_workers() > 1):
        problems.append(
            "DB_URL: SQLite serves one process; use MySQL, or WORKERS_INLINE=1 and one web worker"
        )
    problems += [f"{name}: shorter than {SHORTEST_SECRET} bytes" for name in _short_secrets(settings)]
    return problems


def _web_workers() -> int:
    try:
        return int(os.environ.get("WEB_CONCURRENCY", "1"))
    except ValueError:
        raise StartError("wrong settings:\n  WEB_CONCURRENCY: a number") from None


def _short_secrets(settings: Settings) -> list[str]:
    values = {
        "SECRET_KEY": secrets_of(settings.secret_key),
        "SECRET_KEY_PREVIOUS": secrets_of(settings.secret_key_previous),
        "INTERNAL_API_KEY": [key for _, key in settings.internal_keys],
        "OPERATOR_API_KEYS": [key for _, _, key in settings.operators],
        "PROVIDER_HMAC_SECRET": secrets_of(settings.provider_hmac_secret),
    }
    blank = {
        name: [s for s in secrets if len(s.encode()) < SHORTEST_SECRET] for name, secrets in values.items()
    }
    empty = settings.secret_key is not None and not settings.secret_key.get_secret_value().strip()
    return [name for name, short in blank.items() if short or (name == "SECRET_KEY" and empty)]
