"""Bodies made to exhaust a server: a gigabyte in chunks, and a few kilobytes that would unpack to very many."""

import gzip
import re
import select
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..harness import ROOT
from ..test_cli import _environment

MIB = 1 << 20
GIGABYTE = 1 << 30
UNPACKED = 128 * MIB
ROOM = 48 * MIB
"""What the server may grow by; a body that is kept, or unpacked, is far more."""
UNSEEN = 12 * MIB
"""What may be on its way, in the buffers of two sockets, when a server has stopped reading."""
SECRET = "a-webhook-secret-for-the-tests"
KEYS = {
    "PROVIDER_HMAC_SECRET": SECRET,
    "WHATSAPP_APP_SECRET": SECRET,
    "INTERNAL_API_KEY": "shop:internal-key-0123456789",
    "OPERATOR_API_KEYS": "anne:approver:operator-key-0123456789",
    "OLLAMA_BASE_URL": "http://127.0.0.1:9",
}
"""With a model elsewhere, so that none is loaded into the process while its memory is measured."""
HEADERS = "x-api-key: internal-key-0123456789\r\nAuthorization: Bearer operator-key-0123456789\r\n"
DOORS = ["/provider/inbound", "/provider/meta/inbound", "/agent", "/wa/agent"]


@dataclass(frozen=True)
class Server:
    """A process of its own, so that its memory can be measured."""

    pid: int
    port: int

    def most_resident(self) -> int:
        """Bytes: the most that the process ever had in memory (where the system counts that), else now."""
        status = Path(f"/proc/{self.pid}/status")
        if status.exists():
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            assert found is not None
            return int(found.group(1)) * 1024
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(self.pid)], capture_output=True, check=True)
        return int(told.stdout) * 1024

    def lives(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
            return bool(answer.status == 200)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bodies")
    (folder / "app").symlink_to(ROOT / "app")
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_planner", "run"],
        cwd=folder,
        env=_environment(folder, **KEYS),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        ready = next(line for line in process.stderr if "Uvicorn running on" in line)
        found = re.search(r"127\.0\.0\.1:(\d+)", ready)
        assert found is not None
        yield Server(process.pid, int(found.group(1)))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def pour(server: Server, path: str, most: int) -> tuple[bytes, int, int]:
    """Send a chunked body of up to `most` bytes whatever is answered: the answer, how much had left when it
    came, and how much left in all."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{HEADERS}"
    chunk = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"
    answer, early, sent = b"", 0, 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            while sent < most:
                peer.sendall(chunk)
                sent += MIB
                if select.select([peer], [], [], 0)[0]:
                    answer, early = answer + peer.recv(65536), early or sent
            while b"body_too_large" not in answer and (more := peer.recv(65536)):
                answer, early = answer + more, early or sent
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has hung up, which is as good
    return answer, early, sent


@pytest.mark.parametrize("path", DOORS)
def test_a_gigabyte_in_chunks_is_refused_early_and_never_kept(server: Server, path: str) -> None:
    before = server.most_resident()
    answer, early, sent = pour(server, path, GIGABYTE if path == DOORS[0] else 64 * MIB)
    assert answer.startswith(b"HTTP/1.1 413"), answer
    assert b"body_too_large" in answer
    assert early <= 3 * MIB + UNSEEN
    assert sent >= early
    assert server.most_resident() - before < ROOM
    assert server.lives()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "identity, gzip"])
@pytest.mark.parametrize("path", DOORS)
def test_a_body_that_would_unpack_to_very_much_is_refused_packed(
    server: Server, path: str, encoding: str, bomb: bytes
) -> None:
    before = server.most_resident()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{HEADERS}"
        f"Content-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as peer:
        peer.sendall(head.encode() + bomb)
        answer = peer.recv(65536)
    assert answer.startswith(b"HTTP/1.1 415"), answer
    assert server.most_resident() - before < ROOM
    assert server.lives()


@pytest.fixture(scope="module")
def bomb() -> bytes:
    made = gzip.compress(bytes(UNPACKED), compresslevel=6)
    assert len(made) < UNPACKED // 500
    return made
