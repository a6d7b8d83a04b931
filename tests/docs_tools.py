"""Reads the documentation for its tests, and writes its generated parts: `python -m tests.docs_tools`.

Without an argument it renews the list of modules in docs/architecture.md and the tables of who may do what in
docs/security.md; with `sizes` it prints what each
dependency takes on this machine, as docs/dependencies.md quotes it.
"""

import ast
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.requirements import Requirement

from llm_planner.provider_settings import ProviderSettings
from llm_planner.settings import Settings

from .authorisation import tables

ROOT = Path(__file__).resolve().parent.parent
READMES = ("README.md", "README.es.md")
ARCHITECTURE = ROOT / "docs" / "architecture.md"
MODULES = re.compile(r"(?<=<!-- modules -->\n).*?(?=<!-- /modules -->)", re.DOTALL)
SECURITY = ROOT / "docs" / "security.md"
MATRIX = re.compile(r"(?<=<!-- matrix -->\n).*?(?=<!-- /matrix -->)", re.DOTALL)
_FENCE = re.compile(r"^(?P<fence>`{3,})(?P<kind>\w*)\n(?P<body>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^(#{1,4}) (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_ROW = re.compile(r"^\| `([A-Z][A-Z0-9_]*)` \| (?:`([^`]*)`|–) \|(.*)\|$", re.MULTILINE)
_REQUIREMENT = re.compile(r"[A-Za-z0-9._-]+")
_NOT_SHIPPED = ("storage/migrations/",)
_FAMILIES = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}


def documents() -> list[Path]:
    """Every page of documentation."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def blocks(text: str, kind: str) -> list[str]:
    """The fenced blocks of one kind, in order."""
    return [found["body"] for found in _FENCE.finditer(text) if found["kind"] == kind]


def without_blocks(text: str) -> str:
    return _FENCE.sub("", text)


def headings(text: str) -> list[tuple[int, str]]:
    """(level, title) of each heading outside code."""
    return [(len(marks), title) for marks, title in _HEADING.findall(without_blocks(text))]


def anchors(text: str) -> set[str]:
    """The anchors that a page's headings get."""
    kept = (re.sub(r"[^\w\- ]", "", title.lower()) for _, title in headings(text))
    return {title.replace(" ", "-") for title in kept}


def links(text: str) -> list[str]:
    """The targets of links outside code that lead to files of ours."""
    found = _LINK.findall(without_blocks(text))
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def documented_settings(text: str) -> list[tuple[str, str]]:
    """(variable, default as written) of each row of the table of settings."""
    return [(name, default) for name, default, _ in _ROW.findall(text)]


def settings() -> list[tuple[str, str]]:
    """The same from the code."""
    fields = Settings.model_fields
    order = [name for name in fields if name not in ProviderSettings.model_fields]
    return [(name.upper(), _shown(fields[name].default)) for name in [*order, *ProviderSettings.model_fields]]


def _shown(default: Any) -> str:
    """A default as a person sets it in the environment; nothing for one that is worked out."""
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return str(int(default))
    return f"{default:g}" if isinstance(default, float) else str(default)


def modules() -> str:
    """The tables of modules: a line each, a table a package, in the words of their own docstrings."""
    packages: dict[str, list[str]] = defaultdict(list)
    for folder in ("app", "llm_planner"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            first = _first_line(path)
            if first and path.name != "__init__.py" and not any(part in name for part in _NOT_SHIPPED):
                packages[path.parent.relative_to(ROOT).as_posix()].append(
                    f"| [{path.name}](../{name}) | {first} |"
                )
    return "\n".join(_table(package, rows) for package, rows in packages.items())


def _table(package: str, rows: Sequence[str]) -> str:
    about = ROOT / package / "__init__.py"
    intro = f"\n{_first_line(about)}\n" if about.is_file() and _first_line(about) else ""
    head = "| module | what it owns |\n|---|---|"
    return f"\n### {package}/\n{intro}\n{head}\n" + "\n".join(rows) + "\n"


def _first_line(path: Path) -> str:
    """The first sentence or paragraph of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")


def architecture(text: str) -> str:
    """The page with its list of modules renewed."""
    new = modules() + "\n"
    return MODULES.sub(lambda _: new, text)


def authorisation(text: str) -> str:
    """docs/security.md with its tables of who may do what renewed."""
    new = tables() + "\n"
    return MATRIX.sub(lambda _: new, text)


def core() -> list[str]:
    """The core's requirements as pyproject.toml has them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        requirements: list[str] = tomllib.load(file)["project"]["dependencies"]
    return requirements


def dependencies() -> dict[str, list[str]]:
    """Names in pyproject.toml by group: core, each extra, and dev."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        data = tomllib.load(file)
    groups = {
        "core": data["project"]["dependencies"],
        **data["project"]["optional-dependencies"],
        **data["dependency-groups"],
    }
    return {group: [_name(entry) for entry in entries] for group, entries in groups.items()}


def _name(requirement: str) -> str:
    found = _REQUIREMENT.match(requirement)
    if found is None:
        raise ValueError(f"no name in {requirement!r}")
    return found.group()


def documented_dependencies(text: str) -> dict[str, dict[str, str]]:
    """Licence by name, by group: the tables below the headings `core`, `embedded`, `dev`."""
    found: dict[str, dict[str, str]] = {}
    for group, section in re.findall(r"^## .*?`(\w+)`.*?$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE):
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in section.splitlines()
            if "|" in line
        ]
        found[group] = {row[0].strip("`"): row[-1] for row in rows if row[0].startswith("`")}
    return found


def licence(name: str) -> str | None:
    """The licence that the installed package's metadata gives, else the first line of its licence's text; None
    where it is not installed."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    metadata = found.metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    lines = metadata.get_all("Classifier") or []
    families = [line.rpartition(":: ")[2] for line in lines if line.startswith("License ::")]
    if not families and "License" in metadata:
        return metadata["License"]
    if not families:
        families = (found.read_text("licenses/LICENSE") or "").strip().splitlines()[:1]
    return " / ".join(_FAMILIES.get(family, family) for family in families)


def size(name: str) -> float | None:
    """MiB that the package itself takes, compiled bytecode not counted; None where it is not installed."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    paths = [Path(str(found.locate_file(file))) for file in found.files or [] if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 2**20


def in_all(requirements: Sequence[str]) -> set[str]:
    """The installed packages that these need, themselves included, as pip would take them here."""
    found: set[str] = set()
    waiting = [Requirement(requirement) for requirement in requirements]
    while waiting:
        wanted = waiting.pop()
        marked = wanted.marker
        key = wanted.name.lower().replace("_", "-")
        if (key in found and not wanted.extras) or (
            marked is not None and not marked.evaluate({"extra": ""})
        ):
            continue
        found.add(key)
        for line in distribution(wanted.name).requires or []:
            need = Requirement(line)
            if need.marker is None or _applies(need.marker, wanted.extras):
                need.marker = None
                waiting.append(need)
    return found


def _applies(marker: Marker, extras: Iterable[str]) -> bool:
    return any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def sizes() -> Iterator[str]:
    """A line a dependency: group, name, version, MiB, licence; then the core with all it needs."""
    for group, names in dependencies().items():
        for name in names:
            mebibytes = size(name)
            if mebibytes is not None:
                version = distribution(name).version
                yield f"{group:<10}{name:<34}{version:<12}{mebibytes:>8.1f}  {licence(name)}"
    everything = in_all(core())
    total = sum(size(name) or 0.0 for name in everything)
    yield f"the core in all: {len(everything)} packages, {total:.0f} MiB"


def main(arguments: Sequence[str]) -> int:
    if arguments == ["sizes"]:
        print("\n".join(sizes()))
        return 0
    if arguments:
        print(__doc__)
        return 2
    ARCHITECTURE.write_text(architecture(ARCHITECTURE.read_text("utf-8")), "utf-8")
    SECURITY.write_text(authorisation(SECURITY.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
