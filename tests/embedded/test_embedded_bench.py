"""The measurement of the embedded planner, on our own starter set."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture
def main() -> Callable[[list[str]], int]:
    names: dict[str, Any] = runpy.run_path(str(BENCH / "embedded.py"))
    return names["main"]


def test_the_starter_set_is_measured_and_no_string_is_invented(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["set", "messages", "exact"]
    exact = float(lines[1].split()[3])
    assert exact >= 70


def test_two_files_are_measured_for_each_registry(
    main: Callable[[list[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = json.loads((BENCH / "embedded_starter.json").read_text("utf-8"))
    data["registries"] = {"small": ["get_business_hours"]}
    tools, messages = tmp_path / "tools.json", tmp_path / "messages.json"
    tools.write_text(json.dumps(data), "utf-8")
    messages.write_text(json.dumps(data["messages"][:20]), "utf-8")
    assert main([str(tools), str(messages)]) == 0
    assert "small" in capsys.readouterr().out


def test_one_file_alone_is_refused(main: Callable[[list[str]], int]) -> None:
    assert main(["only.json"]) == 2
