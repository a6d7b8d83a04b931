"""The settings of plans: how many steps run at once, and what one turn may take."""

from pydantic import Field
from pydantic_settings import BaseSettings


class PlanSettings(BaseSettings):
    """One attribute a variable. Times in seconds, sizes in bytes."""

    tool_parallel: int = Field(8, ge=1, le=64)
    max_plan_rounds: int = Field(3, ge=1, le=10)
    budget_steps: int = Field(16, ge=1, le=200)
    budget_turn_s: float = Field(300.0, gt=0, le=3600)
    budget_result_bytes: int = Field(16384, ge=256)
    budget_turn_result_bytes: int = Field(131072, ge=256)
    budget_prompt_result_bytes: int = Field(16384, ge=256)
