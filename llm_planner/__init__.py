"""llm-planner: strict plans, allowlisted tools, and writes that wait for `confirm <token>`."""

from .application import create_app
from .context import ToolContext
from .errors import ToolFailed, ToolRetry
from .storage.migrate import run_migrations
from .tools import Tool, ToolRegistry
from .version import __version__

__all__ = [
    "Tool",
    "ToolContext",
    "ToolFailed",
    "ToolRegistry",
    "ToolRetry",
    "__version__",
    "create_app",
    "run_migrations",
]
