"""The settings of what a model is shown, how much of the conversation; and of a model in this process."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class ModelSettings(BaseSettings):
    """One attribute a variable. Tokens are estimated. `embedded_model` is used where the planner is the
    embedded one (`LLM_PROVIDER`)."""

    history_messages: int = Field(20, ge=0, le=200)
    history_tokens: int = Field(4000, ge=0, le=1_000_000)
    memory: Literal["off", "on"] = "off"
    embedded_model: Path | None = None
