"""`run` and `worker`: the processes of a deployment."""

import asyncio
import signal

import click
import uvicorn

from ..application import running
from ..version import __version__
from .common import blueprint_of, load_app


@click.command()
@click.pass_obj
def run(where: str) -> None:
    """Run the server (HOST, PORT); by default it also runs the worker."""
    app = load_app(where)
    settings = app.state.blueprint.ingredients.settings
    shown = "localhost" if settings.host in ("127.0.0.1", "0.0.0.0") else settings.host  # noqa: S104 - compared
    click.echo(f"llm-planner {__version__}: http://{shown}:{settings.port}  (Ctrl-C stops it)", err=True)
    try:
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            workers=1,
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=25,
        )
    except SystemExit:  # it did not start, and has said why
        raise SystemExit(1) from None


@click.command()
@click.pass_obj
def worker(where: str) -> None:
    """Run turns, deliveries and timers without a web server; any number of these on MySQL."""

    async def forever() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(name, stop.set)
            except NotImplementedError:  # Windows: Ctrl-C ends the process
                break
        async with running(blueprint_of(where), background=True):
            click.echo("llm-planner worker: running", err=True)
            await stop.wait()

    asyncio.run(forever())
