"""`llm-planner init`, from an installed wheel and without the repository: the project passes its tests and runs."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.turn import free_port
from llm_planner.cli import cli
from llm_planner.errors import StartError

from .harness import ROOT

pytestmark = pytest.mark.xdist_group("wheel")  # two builds in one folder would disturb each other
QUIET = ["--quiet", "--disable-pip-version-check"]


def run(*command: str, cwd: Path, **environment: str) -> str:
    """What it printed; it must succeed."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ran = subprocess.run(
        command,
        cwd=cwd,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by the installed command, in a folder that knows nothing of the repository."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "pip", "wheel", *QUIET, "--no-deps", "-w", str(folder), str(ROOT), cwd=folder)
    (wheel,) = folder.glob("llm_planner-*.whl")
    run(sys.executable, "-m", "venv", "installed", cwd=folder)
    python = folder / "installed" / "bin" / "python"
    run(str(python), "-m", "pip", "install", *QUIET, str(wheel), cwd=folder)
    made = run(str(folder / "installed" / "bin" / "llm-planner"), "init", "demo", cwd=folder)
    assert "python dev.py test" in made
    return folder / "demo"


@pytest.mark.covers("cli.init")
def test_a_new_project_passes_its_own_tests(project: Path) -> None:
    assert "2 passed" in run(sys.executable, "dev.py", "test", cwd=project)


def test_a_new_project_runs_and_answers(project: Path) -> None:
    with served(project) as url:
        body = json.dumps(
            {"message": "where is order A-1234?", "session_id": "demo", "locale": "en"}
        ).encode()
        request = urllib.request.Request(f"{url}/agent", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert "A-1234" in json.load(answer)["reply"]
    assert (project / "data" / "llm_planner.db").is_file()


@contextmanager
def served(project: Path) -> Iterator[str]:
    """The address of `dev.py run` of the project, until the block ends; SIGTERM must end it properly."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "dev.py", "run"], cwd=project, env={**os.environ, "PORT": str(port)}
    )
    try:
        yield _until_up(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        ended = process.wait(40)
    assert ended in (0, -signal.SIGTERM)


def _until_up(url: str, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return url
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the project's server did not start")


def test_init_refuses_a_folder_that_has_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(StartError, match="choose another name"):
        cli.main(["init", str(tmp_path)], standalone_mode=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
