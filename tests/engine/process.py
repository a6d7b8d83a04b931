"""The application of the worker processes of these tests: `llm-planner --app tests.engine.process:app worker`.

Its model thinks for TEST_THINKS_S seconds. Settings come from the environment, as everywhere.
"""

import itertools
import os
from dataclasses import replace

from llm_planner import create_app
from llm_planner.application import app_of
from llm_planner.llm.scripted import ScriptedModel

from ..harness import PROMPTS
from ..tools import Echo, plan
from .kit import SHORT_LEASE_S, SWEEP_S

_model = ScriptedModel(itertools.repeat(plan(reply="done")), float(os.environ["TEST_THINKS_S"]))
_blueprint = create_app(tools=[Echo], prompts=PROMPTS, model=_model).state.blueprint
app = app_of(
    replace(_blueprint, ingredients=replace(_blueprint.ingredients, lease_s=SHORT_LEASE_S, sweep_s=SWEEP_S))
)
