"""Every fixed point of the contract has a test that names it, and no test names one that is not there."""

import ast
from collections import defaultdict
from pathlib import Path

from .requirements import REQUIREMENTS

TESTS = Path(__file__).parent


def named() -> dict[str, list[str]]:
    """Requirement id -> the tests that name it with `@pytest.mark.covers(...)`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                for decorator in node.decorator_list:
                    for name in _covers(decorator):
                        found[name].append(f"{path.name}::{node.name}")
    return found


def _covers(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.covers":
        return [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
    return []


def test_every_requirement_is_named_by_a_test() -> None:
    assert sorted(set(REQUIREMENTS) - set(named())) == []


def test_no_test_names_a_requirement_that_is_not_there() -> None:
    assert sorted(set(named()) - set(REQUIREMENTS)) == []
