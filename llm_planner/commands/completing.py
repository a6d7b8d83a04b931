"""`completion`: the script that makes a shell complete our commands and options."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "llm-planner"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  llm-planner completion bash >> ~/.bashrc
    zsh:   llm-planner completion zsh >> ~/.zshrc
    fish:  llm-planner completion fish > ~/.config/fish/completions/llm-planner.fish
    """
    made = get_completion_class(shell)
    if made is None:
        raise click.ClickException(f"there is no completion for {shell}")
    root = ctx.find_root().command
    click.echo(made(root, {}, PROGRAM, f"_{PROGRAM.upper().replace('-', '_')}_COMPLETE").source())
