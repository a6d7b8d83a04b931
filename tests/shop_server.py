"""`python -m tests.shop_server PORT`: the shop as a process of its own, so that it can be killed."""

import sys

import uvicorn

from llm_planner import create_app
from llm_planner.settings import load_settings

from .harness import PROMPTS
from .shop import SHOP

if __name__ == "__main__":
    app = create_app(tools=SHOP, prompts=PROMPTS, settings=load_settings(_env_file=None))
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
