"""The tables of those who look after the agent: operators, their logins, machines' keys; and stored prompts."""

from sqlalchemy import Column, Index, PrimaryKeyConstraint, String, Table

from .tables import MYSQL, Id, JsonText, LongText, Moment, metadata

operators = Table(
    "operators",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("person", String(64), nullable=False),
    Column("role", String(64), nullable=False),
    Column("password", String(255), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("disabled_at", Moment),
    Index("ix_operators_person", "person"),
    **MYSQL,
)
"""`password` is Argon2id in the PHC string format; logins with the same `person` count as one (rule 5)."""

console_logins = Table(
    "console_logins",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("operator", String(64), nullable=False),
    Column("credential", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Index("ix_logins_operator", "operator"),
    Index("ix_logins_expires", "expires_at"),
    **MYSQL,
)
"""One row a browser that is logged in: `id` is the hash of what its cookie holds, `credential` says which
password opened it, so that a changed password ends it."""

api_keys = Table(
    "api_keys",
    metadata,
    Id("id", primary_key=True),
    Column("name", String(64), nullable=False),
    Column("role", String(64), nullable=False),
    Column("scopes", String(128), nullable=False),
    Column("secret", String(64), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment),
    Column("disabled_at", Moment),
    **MYSQL,
)
"""`secret` is the SHA-256 of 256 random bits; `scopes` are separated by commas."""

model_prompts = Table(
    "model_prompts",
    metadata,
    Id("session_id", nullable=False),
    Id("id", nullable=False),
    Column("system", String(64)),
    Column("messages", JsonText, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("session_id", "id"),
    Index("ix_prompts_at", "at"),
    **MYSQL,
)
"""What one model call was asked, redacted; `id` is the call's, `system` the hash of its first part."""

prompt_texts = Table(
    "prompt_texts",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("text", LongText, nullable=False),
    **MYSQL,
)
"""System prompts, each once: one a channel, language and version of the tools."""
