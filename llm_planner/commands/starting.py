"""`init`: a project of one's own, with the starter tools, tests that pass, and a copy of this program."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, PackagePath, distribution
from pathlib import Path

import click

from ..errors import StartError

PACKAGE = Path(__file__).parent.parent
NOT_SHIPPED = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json")
RENAMED = {"gitignore": ".gitignore", "env.example": ".env.example"}
TESTS_NEED = ("pytest>=9.2", "pytest-asyncio>=1.5")


@click.command()
@click.argument("name", metavar="NAME")
def init(name: str) -> None:
    """Make a project in the folder NAME: tools, prompts, tests, and dev.py that runs them.

    \b
    llm-planner init shop
    cd shop
    python dev.py test
    python dev.py run
    """
    folder = Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StartError(f"{name} is there already, and not empty; choose another name")
    app, project = _templates()
    try:
        shutil.copytree(app, folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(project, folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        for shipped, wanted in RENAMED.items():
            (folder / shipped).rename(folder / wanted)
        readme = folder / "README.md"
        readme.write_text(readme.read_text("utf-8").replace("{name}", folder.resolve().name), "utf-8")
        wheel = _vendored(folder / "vendor")
        needed = [f"./vendor/{wheel}[embedded]", *TESTS_NEED]
        (folder / "requirements.txt").write_text("\n".join(needed) + "\n", "utf-8")
    except OSError as error:
        raise StartError(f"{name} could not be written: {error}") from error
    click.echo(f"{name} is ready.\n\n    cd {name}\n    python dev.py test\n    python dev.py run\n")


def _templates() -> tuple[Path, Path]:
    """The folders of the starter app and of what stands around it: in the package, or in the repository."""
    shipped = PACKAGE / "starter"
    if shipped.is_dir():
        return shipped / "app", shipped / "project"
    return PACKAGE.parent / "app", PACKAGE.parent / "scaffold"


def _vendored(folder: Path) -> str:
    """A wheel of the llm-planner that runs, in `folder`; its file name. From a checkout pip builds it."""
    folder.mkdir(parents=True)
    found = _installed()
    if found is None:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
        built = subprocess.run([*command, str(PACKAGE.parent)], check=False)  # noqa: S603 - a command of ours
        if built.returncode:
            raise StartError("the wheel of llm-planner could not be built; the cause stands above")
        return next(folder.glob("*.whl")).name
    name = f"llm_planner-{found.version}-py3-none-any.whl"
    _pack(found, folder / name)
    return name


def _installed() -> Distribution | None:
    """The installed distribution that this code belongs to; None in a checkout."""
    try:
        found = distribution("llm-planner")
    except PackageNotFoundError:
        return None
    here = Path(str(found.locate_file("llm_planner"))).resolve()
    return found if here == PACKAGE.resolve() else None


def _pack(found: Distribution, path: Path) -> None:
    """The distribution's own files as a wheel (the binary distribution format of PEP 427)."""
    files = list(_own(found))
    record = [f"{file},{_hash(file)},{file.size or ''}" for file in files]
    info = next(file.parent.as_posix() for file in files if file.name == "METADATA")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for file in files:
            wheel.write(str(found.locate_file(file)), file.as_posix())
        wheel.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))


def _own(found: Distribution) -> Iterator[PackagePath]:
    for file in found.files or ():
        outside = file.parts[0] in ("..", "/") or "__pycache__" in file.parts
        if not outside and file.name not in NOT_SHIPPED:
            yield file


def _hash(file: PackagePath) -> str:
    return f"{file.hash.mode}={file.hash.value}" if file.hash is not None else ""
