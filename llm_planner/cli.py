"""The command line: one group, a module a command."""

import os
import sys

import click

from .commands.audit import audit
from .commands.chatting import chat
from .commands.completing import completion
from .commands.database import db
from .commands.doctor import doctor
from .commands.evaluating import evaluate
from .commands.operators import operators
from .commands.outbox import outbox
from .commands.planning import plan
from .commands.server import run, worker
from .commands.starting import init
from .commands.tools import tools
from .commands.webhook import webhook
from .commands.writes import writes
from .errors import PlannerError, StartError
from .version import __version__

DEFAULT_APP = "app.main:app"


def main() -> None:
    """The entry point: errors of ours end with one plain line and exit code 1."""
    try:
        cli.main(standalone_mode=False)
    except StartError as error:
        raise SystemExit(f"llm-planner: {error.detail}") from None
    except PlannerError as error:
        raise SystemExit(f"llm-planner: {error.code}: {error.detail}") from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except click.Abort:
        raise SystemExit(130) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="llm-planner")
@click.option(
    "--app",
    "where",
    default=DEFAULT_APP,
    show_default=True,
    envvar="APP",
    help="The application, as module:attribute.",
)
@click.pass_context
def cli(ctx: click.Context, where: str) -> None:
    """A backend for agents that act: strict plans, allowed tools, writes that wait for confirm <token>."""
    sys.path.insert(0, os.getcwd())
    ctx.obj = where


COMMANDS = (
    run,
    worker,
    init,
    chat,
    db,
    tools,
    plan,
    evaluate,
    audit,
    outbox,
    writes,
    webhook,
    operators,
    completion,
    doctor,
)
for _command in COMMANDS:
    cli.add_command(_command)
