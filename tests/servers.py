"""Throwaway database servers for the tests: found on this machine, or from Docker.

Standard library only: `dev.py` loads this file by its path, before any package is installed. By hand,
`python tests/servers.py` starts what there is, prints one line a server (URL, name), then `ready`, and
stops them at Ctrl-C or SIGTERM.

Each server listens on a free loopback port, with a data folder that goes away and a user with a password.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

INSTALL_HINT = (
    "No MySQL or MariaDB server was found. Install one with\n"
    "    Debian, Ubuntu:  sudo apt-get install mariadb-server\n"
    "    Fedora:          sudo dnf install mariadb-server\n"
    "    macOS:           brew install mariadb\n"
    "    Windows:         winget install MariaDB.Server\n"
    "or start Docker, or name servers in TEST_DB_URLS=mysql://user:password@host:port/database,..."
)
DOCKER_IMAGE = "docker.io/library/mysql:8.4"
USER = "planner"
DATABASE = "test"
START_LIMIT_S = 120
UNIX = ("/usr/*bin", "/usr/libexec", "/usr/local/*bin", "/usr/local/mysql*/bin", "/opt/mysql*/bin")
HOMEBREW = ("/opt/homebrew/bin", "/opt/homebrew/opt/m*/bin", "/usr/local/opt/m*/bin")
WINDOWS = ("C:/Program Files/MySQL/*/bin", "C:/Program Files/MariaDB*/bin")
FOLDERS = (*UNIX, *HOMEBREW, *WINDOWS)
"""Where servers are looked for besides the PATH: patterns."""


class NoServerError(Exception):
    """A server did not start; the text says why, with the end of its log."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers: its URL, as TEST_DB_URLS takes it, and its name with version for people."""

    url: str
    name: str


@dataclass(frozen=True, slots=True)
class Binary:
    """A server program on this machine; `version` is what it says of itself."""

    path: Path
    version: str

    @property
    def mariadb(self) -> bool:
        return "mariadb" in self.version.lower()


def find_binaries(folders: Sequence[str] = FOLDERS, path: str | None = None) -> list[Binary]:
    """The different servers installed here, each once; `path` is the PATH to search, by default our own."""
    names = ("mariadbd", "mysqld", "mariadbd.exe", "mysqld.exe")
    places = [*(path if path is not None else os.environ.get("PATH", "")).split(os.pathsep)]
    places += [place for pattern in folders for place in sorted(glob.glob(pattern))]
    files = [Path(place, name) for place in places if place for name in names]
    programs = dict.fromkeys(file.resolve() for file in files if file.is_file() and os.access(file, os.X_OK))
    found: dict[str, Binary] = {}
    for file in programs:
        version = _says(file)
        if version:
            found.setdefault(version, Binary(file, version))
    return list(found.values())


def _says(file: Path) -> str:
    """`8.4.3` or `10.11.19-MariaDB`: the version, without the path and the build's host."""
    try:
        command = [str(file), "--no-defaults", "--version"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"Ver\s+(\S+)", done.stdout)
    return match.group(1) if match else ""


def greeting(host: str, port: int, timeout: float = 5.0) -> str | None:
    """The version in the greeting every server of this family sends first; None where none arrives."""
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            packet = connection.recv(512)
    except OSError:
        return None
    if len(packet) < 6 or packet[4] != 10:
        return None
    return packet[5:].split(b"\0", 1)[0].decode("ascii", "replace").removeprefix("5.5.5-") or None


def name_of(url: str) -> str:
    """`MySQL 9.4.0`, `MariaDB 10.11.19`, or the address with "does not answer"."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "127.0.0.1", parts.port or 3306
    except ValueError:
        return "an address that is not a URL"
    version = greeting(host, port)
    if version is None:
        return f"{host}:{port} (does not answer)"
    return f"{'MariaDB' if 'mariadb' in version.lower() else 'MySQL'} {version.partition('-')[0]}"


@contextlib.contextmanager
def running() -> Iterator[list[Server]]:
    """Start every server found here, else one from Docker; stop them at the end, whatever happens.

    Yields an empty list where there is none. Servers that fail to start are named on stderr.
    """
    with contextlib.ExitStack() as stack:
        servers: list[Server] = []
        for binary in find_binaries():
            with _told(binary.version):
                servers.append(stack.enter_context(from_binary(binary)))
        if not servers and docker_works():
            with _told(DOCKER_IMAGE):
                servers.append(stack.enter_context(from_docker()))
        yield servers


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except (NoServerError, OSError, subprocess.TimeoutExpired) as error:
        print(f"servers: {name} did not start: {error}", file=sys.stderr, flush=True)


class Throwaway:
    """One server of an installed program, with data in a folder; it may be ended and started again there.

    The torture ends them in every way. Raises NoServerError where it does not start.
    """

    def __init__(self, binary: Binary, folder: Path) -> None:
        self._binary, self._folder, self._port = binary, folder, _free_port()
        password = secrets.token_hex(8)
        scheme = "mariadb" if binary.mariadb else "mysql"
        self.url = f"{scheme}://{USER}:{password}@127.0.0.1:{self._port}/{DATABASE}"
        self.process: subprocess.Popen[bytes] | None = None
        _make_data(binary, folder)
        (folder / "init.sql").write_text(_users(password), encoding="ascii")

    def start(self) -> None:
        self.process = _launch(self._binary, self._folder, self._port)
        _await_ready(self.process, self._folder / "log")

    def stop(self) -> None:
        if self.process is not None:
            _stop(self.process)


@contextlib.contextmanager
def throwaway(binary: Binary) -> Iterator[Throwaway]:
    """A started one; stopped, and its folder gone, at the end."""
    folder = Path(tempfile.mkdtemp(prefix="planner-db-"))
    try:
        made = Throwaway(binary, folder)
        try:
            made.start()
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def from_binary(binary: Binary) -> Iterator[Server]:
    """One server from an installed program. Raises NoServerError."""
    with throwaway(binary) as made:
        yield Server(made.url, name_of(made.url))


def _users(password: str) -> str:
    return (
        f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;\n"
        f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON *.* TO '{USER}'@'%';\n"
    )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _as_root() -> list[str]:
    return ["--user=root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


def _make_data(binary: Binary, folder: Path) -> None:
    command = [str(binary.path), "--no-defaults", "--initialize-insecure"]
    if binary.mariadb:
        command = [_installer(binary)]
        if os.name != "nt":
            command += ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
    command += [f"--datadir={folder / 'data'}", *_as_root()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_LIMIT_S, check=False)
    if done.returncode:
        raise NoServerError(
            "its data folder could not be made: " + (done.stderr or done.stdout).strip()[-600:]
        )


def _installer(binary: Binary) -> str:
    """The program that makes MariaDB's data folder; beside the server, or on the PATH."""
    near = [binary.path.parent, binary.path.parent.parent / "bin", binary.path.parent.parent / "scripts"]
    search = os.pathsep.join([*map(str, near), os.environ.get("PATH", "")])
    for name in ("mariadb-install-db", "mysql_install_db"):
        found = shutil.which(name, path=search)
        if found:
            return found
    raise NoServerError("mariadb-install-db is missing")


def _launch(binary: Binary, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """In a session of its own: Ctrl-C reaches us, and we stop the server."""
    options = {"datadir": folder / "data", "tmpdir": folder, "pid-file": folder / "pid"}
    options |= {"init-file": folder / "init.sql", "socket": folder / "s"}
    command = [str(binary.path), "--no-defaults", *(f"--{name}={value}" for name, value in options.items())]
    command += [f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"]
    command += ["--innodb-buffer-pool-size=64M", *_as_root(), *(["--console"] if os.name == "nt" else [])]
    command += [] if binary.mariadb else ["--mysqlx=OFF", "--performance-schema=OFF"]
    with open(folder / "log", "wb") as log:
        own_session = os.name != "nt"
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=own_session
        )


def _await_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """The server says "ready" after the init file has run."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        text = log.read_bytes()
        if b"ready for connections" in text:
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise NoServerError(log.read_text(errors="replace").strip()[-600:] or "no reason given")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def docker_works() -> bool:
    """Is there a Docker client, and an engine that answers it?"""
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=15, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextlib.contextmanager
def from_docker(image: str = DOCKER_IMAGE) -> Iterator[Server]:
    """One MySQL in a container; the image arrives with Docker's own progress. Raises NoServerError."""
    password = secrets.token_hex(8)
    if subprocess.run(["docker", "pull", image], check=False).returncode:
        raise NoServerError("the image could not be pulled")
    settings = {"ROOT_PASSWORD": password, "DATABASE": DATABASE, "USER": USER, "PASSWORD": password}
    options = [part for key, value in settings.items() for part in ("-e", f"MYSQL_{key}={value}")]
    container = _docker("run", "--rm", "-d", "-p", "127.0.0.1::3306", *options, image)
    try:
        port = int(_docker("port", container, "3306/tcp").rpartition(":")[2])
        _await_greeting(port)
        grant = f"GRANT ALL ON *.* TO '{USER}'@'%'"
        _docker("exec", "-e", f"MYSQL_PWD={password}", container, "mysql", "-uroot", "-e", grant)
        url = f"mysql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"
        yield Server(url, f"{name_of(url)} (Docker)")
    finally:
        subprocess.run(["docker", "stop", container], capture_output=True, check=False)


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoServerError(done.stderr.strip()[-600:])
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""


def _await_greeting(port: int) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while greeting("127.0.0.1", port) is None:
        if time.monotonic() > deadline:
            raise NoServerError("it did not answer in time")
        time.sleep(0.5)


def end_on_signal(number: int, _frame: FrameType | None) -> None:
    """A signal handler that unwinds, so that the servers are stopped on the way out."""
    raise SystemExit(128 + number)


def main() -> int:
    signal.signal(signal.SIGTERM, end_on_signal)
    with contextlib.suppress(KeyboardInterrupt), running() as servers:
        for server in servers:
            print(server.url, server.name, flush=True)
        if not servers:
            print(INSTALL_HINT, file=sys.stderr)
            return 1
        print("ready", flush=True)
        while True:
            time.sleep(3600)
    return 0


if __name__ == "__main__":
    sys.exit(main())
