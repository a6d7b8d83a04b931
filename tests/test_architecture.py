"""The house rules of docs/architecture.md, held with the standard library's `ast`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "llm_planner"
MODULES = sorted(path for path in CORE.rglob("*.py") if "migrations/versions" not in path.as_posix())
OURS = [*MODULES, *sorted((ROOT / "app").rglob("*.py"))]
LONGEST_MODULE, LONGEST_BODY, MOST_PARAMETERS = 400, 50, 6

GROUND = [
    "messages",
    "errors",
    "settings",
    "engine_settings",
    "provider_settings",
    "plan_settings",
    "model_settings",
    "console_settings",
    "passwords",
    "i18n",
    "testing",
    "clock",
    "ids",
    "keys",
    "neutral",
    "softening",
    "version",
    "logs",
    "telemetry",
    "exporting",
    "observe_settings",
]
LAYERS = [
    ["cli", "__main__", "__init__"],
    ["commands"],
    ["application"],
    ["assembly", "providers", "plugins"],
    ["console"],
    ["api", "worker", "mail", "delivery"],
    ["engine", "temporal"],
    ["turn"],
    ["context", "tools"],
    ["embedded", "llm", "channels", "prompts", "egress"],
    ["storage"],
    GROUND,
]
"""From top to bottom; a module imports from its own layer or from below."""

BROAD_EXCEPTS = {"api/edge.py": 1, "worker.py": 1, "turn/guard.py": 2}
"""`except Exception` at the HTTP edge, in the worker loop, and around users' code; nowhere else."""

CARRIES_EXCEPTIONS = "storage/writer.py"
"""A thread that hands every exception over to the coroutine that waits: nothing is swallowed there."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def layer_of(module: str) -> int:
    top = module.split(".")[1]
    return next(number for number, names in enumerate(LAYERS) if top in names)


def imports_of(path: Path) -> Iterator[str]:
    """The absolute names of the project's modules that a file imports, wherever the import stands."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from (_module(start, alias.name) for alias in node.names)


def _module(start: str, name: str) -> str:
    inner = ROOT.joinpath(*start.split("."), f"{name}.py")
    folder = ROOT.joinpath(*start.split("."), name)
    return f"{start}.{name}" if inner.exists() or (folder / "__init__.py").exists() else start


def core_graph() -> dict[str, set[str]]:
    graph = {}
    for path in MODULES:
        found = {name for name in imports_of(path) if name.startswith("llm_planner")}
        graph[name_of(path)] = {name for name in found if name != name_of(path)}
    return graph


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_module_is_short_says_what_it_owns_and_has_short_bodies(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST_MODULE
    assert ast.get_docstring(ast.parse(text)), "the first line of a module says what it owns"
    for node in functions(path):
        nested = sum(_lines(inner) for inner in ast.walk(node) if inner is not node and _is_function(inner))
        body = _lines(node) - nested
        assert body <= LONGEST_BODY, f"{node.name} has {body} lines"
        arguments = node.args
        names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        counted = [a for a in names if a.arg not in ("self", "cls")]
        assert len(counted) <= MOST_PARAMETERS, f"{node.name} takes {len(counted)} parameters"


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _lines(node: ast.AST) -> int:
    """Lines of a function's body, its docstring not counted."""
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_arrows_only_go_down() -> None:
    wrong = [
        f"{module} -> {target}"
        for module, targets in core_graph().items()
        for target in targets
        if layer_of(module) > layer_of(target if target.count(".") else f"{target}.__init__")
    ]
    assert wrong == []


def test_every_module_stands_in_a_layer() -> None:
    known = {name for names in LAYERS for name in names}
    assert {name.split(".")[1] for name in core_graph()} <= known


def test_no_import_goes_round() -> None:
    graph, done = core_graph(), set[str]()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for target in graph.get(module, ()):
                visit(target, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_the_ground_floor_imports_nothing_from_above() -> None:
    for module, targets in core_graph().items():
        if module.split(".")[1] in GROUND:
            assert all(target.split(".")[1] in GROUND for target in targets), module


def test_the_core_never_imports_the_app_and_the_app_only_the_public_names() -> None:
    public = set(ast.literal_eval(_assigned(CORE / "__init__.py", "__all__")))
    for path in MODULES:
        assert not any(name == "app" or name.startswith("app.") for name in imports_of(path)), path
    for path in (ROOT / "app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llm_planner"):
                assert node.module == "llm_planner", path
                assert {alias.name for alias in node.names} <= public, path
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("llm_planner") for alias in node.names), path


def _assigned(path: Path, name: str) -> ast.expr:
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == name for t in node.targets
        ):
            return node.value
    raise AssertionError(f"{path} does not assign {name}")


def test_nothing_is_imported_only_for_types() -> None:
    for path in OURS:
        assert "TYPE_CHECKING" not in path.read_text("utf-8"), path


def test_exception_is_caught_in_three_places_and_nothing_broader_anywhere() -> None:
    found: dict[str, int] = {}
    for path in (path for path in MODULES if path != CORE / CARRIES_EXCEPTIONS):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                names = ast.unparse(node.type) if node.type is not None else "BaseException"
                passed_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
                assert passed_on or "BaseException" not in names, path
                if "Exception" in names.replace("(", "").replace(")", "").split(", "):
                    key = path.relative_to(CORE).as_posix()
                    found[key] = found.get(key, 0) + 1
    assert found == BROAD_EXCEPTS


def test_queries_stand_in_storage_and_nobody_commits() -> None:
    for path in MODULES:
        text = path.read_text("utf-8")
        where = path.relative_to(CORE).as_posix()
        if where != CARRIES_EXCEPTIONS:  # its savepoints
            assert ".commit(" not in text, where
            assert ".rollback(" not in text, where
        if not where.startswith("storage/"):
            assert ".execute(" not in text, where
            for name in ("insert", "update", "delete", "select"):
                assert f"from sqlalchemy import {name}" not in text, where


def test_time_comes_from_a_clock_or_the_database() -> None:
    for path in MODULES:
        where = path.relative_to(CORE).as_posix()
        if where not in ("clock.py", "logs.py", "ids.py"):
            assert "datetime.now(" not in path.read_text("utf-8"), where
            assert "utcnow(" not in path.read_text("utf-8"), where


def test_the_public_surface_is_small_named_and_frozen() -> None:
    public = ast.literal_eval(_assigned(CORE / "__init__.py", "__all__"))
    assert public == [
        "Tool",
        "ToolContext",
        "ToolFailed",
        "ToolRegistry",
        "ToolRetry",
        "__version__",
        "create_app",
        "run_migrations",
    ]
