"""The settings of what a model is shown: how much of the conversation, and what of the rest."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class ModelSettings(BaseSettings):
    """One attribute a variable. Tokens are estimated."""

    history_messages: int = Field(20, ge=0, le=200)
    history_tokens: int = Field(4000, ge=0, le=1_000_000)
    memory: Literal["off", "on"] = "off"
