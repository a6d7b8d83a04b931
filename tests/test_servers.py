"""`tests/servers.py`: which servers are found, what they are called, what is left when one does not start."""

import os
import socket
import threading
from pathlib import Path

import pytest

import dev

servers = dev.load_servers(dev.Workspace(Path(dev.__file__).resolve().parent))


class Greeter:
    """A loopback port whose connections hear `words` and are closed."""

    def __init__(self, words: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._words = words
        self._thread = threading.Thread(target=self._serve)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> "Greeter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._words = b""
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            with connection:
                if not self._words:
                    return
                connection.sendall(self._words)


class TestNames:
    @pytest.mark.parametrize(
        ("words", "name"),
        [
            (b"J\0\0\0\n8.4.6\0rest", "MySQL 8.4.6"),
            (b"J\0\0\0\n5.5.5-10.6.1-MariaDB-log\0rest", "MariaDB 10.6.1"),
            (b"J\0\0\0\n11.4.2-MariaDB\0rest", "MariaDB 11.4.2"),
        ],
    )
    def test_a_server_is_called_by_what_its_greeting_says(self, words: bytes, name: str) -> None:
        with Greeter(words) as server:
            assert servers.name_of(f"mysql://u:p@127.0.0.1:{server.port}/t") == name

    @pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\n"])
    def test_what_is_no_database_is_said_not_to_answer(self, words: bytes) -> None:
        with Greeter(words) as other:
            assert "does not answer" in servers.name_of(f"mysql://u:p@127.0.0.1:{other.port}/t")

    def test_what_is_no_url_is_said_to_be_none(self) -> None:
        assert "not a URL" in servers.name_of("mysql://u:p@127.0.0.1:port/t")


@pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")
class TestServersOfThisMachine:
    @staticmethod
    def put(folder: Path, name: str, script: str) -> None:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    def test_each_server_is_found_once_under_all_its_names(self, tmp_path: Path) -> None:
        maria = "echo 'mariadbd  Ver 11.4.2-MariaDB for Linux'"
        self.put(tmp_path / "one", "mariadbd", maria)
        (tmp_path / "one" / "mysqld").symlink_to("mariadbd")
        self.put(tmp_path / "copy", "mariadbd", maria)
        self.put(tmp_path / "two", "mysqld", "echo 'mysqld  Ver 8.4.6 for Linux'")
        self.put(tmp_path / "broken", "mysqld", "exit 1")
        path = os.pathsep.join([str(tmp_path / "one"), "", str(tmp_path / "broken")])
        found = servers.find_binaries((f"{tmp_path}/t*", f"{tmp_path}/copy"), path)
        assert [(binary.version, binary.mariadb) for binary in found] == [
            ("11.4.2-MariaDB", True),
            ("8.4.6", False),
        ]

    def test_a_server_that_does_not_start_says_why_and_leaves_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.put(tmp_path / "bin", "mysqld", "echo 'no room on the disk' >&2; exit 1")
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        monkeypatch.setattr(servers.tempfile, "tempdir", str(scratch))
        binary = servers.Binary(tmp_path / "bin" / "mysqld", "8.4.6")
        with pytest.raises(servers.NoServerError, match="no room on the disk"), servers.from_binary(binary):
            pass
        assert list(scratch.iterdir()) == []

    def test_a_docker_client_without_an_engine_does_not_count(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.put(tmp_path / "bin", "docker", "exit 1")
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        assert not servers.docker_works()
