#!/usr/bin/env python3
"""Everyday jobs of this project: makes the virtual environment .venv, keeps it current, runs a command in it.

usage: python dev.py COMMAND

    run                  the server and its page, on http://localhost:8000 (HOST and PORT are honoured)
    test [pytest args]   the tests
    cli [arguments]      the command line: python dev.py cli doctor
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
STAMP = VENV / "requirements.stamp"
"""The digest of what is installed; absent while an install runs."""

COMMANDS = {
    "run": ["-m", "llm_planner", "run"],
    "test": ["-m", "pytest"],
    "cli": ["-m", "llm_planner"],
}


def prepare() -> None:
    """The environment, with the packages of requirements.txt. Ends the program where that can't be done."""
    parts = [ROOT / "requirements.txt", *sorted((ROOT / "vendor").glob("*.whl"))]
    wanted = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == wanted:
        return
    STAMP.unlink(missing_ok=True)
    print("dev.py: making .venv and installing the packages: about a minute the first time", flush=True)
    base = getattr(sys, "_base_executable", sys.executable)
    install = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "-r", "requirements.txt"]
    for command in ([base, "-m", "venv", str(VENV)], install):
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            sys.exit("dev.py: that did not work. Once the cause above is gone, run the same again.")
    STAMP.write_text(wanted)


def main(arguments: list[str]) -> int:
    """The exit code of the command; 2 for one that is not known."""
    name, *rest = arguments or [""]
    if name not in COMMANDS:
        print(__doc__, file=sys.stderr)
        return 2
    os.chdir(ROOT)
    prepare()
    command = [PYTHON, *COMMANDS[name], *rest]
    if os.name != "nt":
        os.execv(command[0], command)  # signals and the process id are the command’s own
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.exit("dev.py: Python 3.11 or newer is needed: https://www.python.org/downloads/")
    sys.exit(main(sys.argv[1:]))
