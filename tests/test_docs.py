"""What the documentation shows is run, and what it lists is complete."""

import importlib
import json
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import pytest
from mypy import api as mypy

import dev
from app.tools import TOOLS
from llm_planner.cli import cli
from llm_planner.llm.base import ChatModel
from llm_planner.llm.scripted import ScriptedModel

from . import docs_tools as docs
from .harness import Client, serving, settings_for
from .test_architecture import LAYERS

PAGES = docs.documents()
TEXT = {page.relative_to(docs.ROOT).as_posix(): page.read_text("utf-8") for page in PAGES}
ENGLISH, SPANISH = (TEXT[name] for name in docs.READMES)
LOCALES = {"README.md": "en", "README.es.md": "es"}
LOCAL_PLACES = re.compile(
    r"(?<![\w.:/}])/(?:work|root|home|tmp)/|(?:design|contract|brief)\.md|\bissues show\b"
)
MOST_PACKAGES = 40
LICENCES = {"MIT", "MIT-0", "BSD-3-Clause", "Apache-2.0", "PSF-2.0"}
LONGEST_PATH = 9
LONGEST_LINE = 122

each_page = pytest.mark.parametrize("name", list(TEXT))
each_readme = pytest.mark.parametrize("name", docs.READMES)


@asynccontextmanager
async def served(
    template: Path, folder: Path, tools: Any = TOOLS, model: ChatModel | None = None, **more: Any
) -> AsyncIterator[Client]:
    """A server over a fresh SQLite file."""
    shutil.copy(template, folder / "docs.db")
    settings = settings_for(f"sqlite:///{folder / 'docs.db'}", folder, **more)
    async with serving(settings, tools, model) as client:
        yield client


def spoken(text: str) -> list[tuple[str, str]]:
    """(message, reply) pairs of a conversation in a page."""
    (block,) = [block for block in docs.blocks(text, "text") if block.startswith("> ")]
    turns = re.split(r"^> ", block, flags=re.MULTILINE)[1:]
    return [(turn.partition("\n")[0], turn.partition("\n")[2].strip()) for turn in turns]


def masked(reply: str) -> str:
    """A reply without what differs from run to run: tokens and times."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC|\b[0-9A-HJKMNP-TV-Z]{8}\b", "…", reply)


@each_readme
async def test_the_conversation_of_the_readme_is_what_the_server_says(
    name: str, sqlite_template: Path, tmp_path: Path
) -> None:
    token = code = written = ""
    async with served(sqlite_template, tmp_path) as client:
        for message, shown in spoken(TEXT[name]):
            message = message.replace(written, token) if written else message
            if code:
                message = re.sub(r"\b\d{6}\b", code, message)
            answer = await client.say(message, locale=LOCALES[name])
            assert masked(answer["reply"]) == masked(shown), message
            for card in answer["confirmations"]:
                token = card["token"]
                written = re.findall(r"\b[0-9A-Z]{8}\b", shown)[-1]
            letters = await client.rows("SELECT body FROM outbox")
            code = re.findall(r"\b\d{6}\b", letters[0].body)[0] if letters else ""
    assert code, "the conversation registers somebody"


def requests_of(block: str) -> list[tuple[str, dict[str, str], str | None]]:
    """(URL, headers, body) of each curl command."""
    found = []
    for command in re.findall(r"^curl .*?(?<!\\)$", block, re.DOTALL | re.MULTILINE):
        words = shlex.split(command.replace("\\\n", " "))[1:]
        headers = [words[place + 1] for place, word in enumerate(words) if word == "-H"]
        body = words[words.index("-d") + 1] if "-d" in words else None
        (url,) = [word for word in words if word.startswith("http")]
        found.append((url, dict(re.split(r": ?", header, maxsplit=1) for header in headers), body))
    return found


async def test_the_curl_examples_answer(sqlite_template: Path, tmp_path: Path) -> None:
    keys = dict(re.findall(r"`(INTERNAL_API_KEY|OPERATOR_API_KEYS)=(\S+?)`", ENGLISH))
    settings = {variable.lower(): value for variable, value in keys.items()}
    commands = [item for block in docs.blocks(ENGLISH, "bash") for item in requests_of(block)]
    assert len(commands) >= 7
    answers: list[dict[str, Any]] = []
    async with served(sqlite_template, tmp_path, **settings) as client:
        for url, headers, body in commands:
            waiting = [
                item["id"] for answer in answers for item in answer.get("items", []) if "digest" in item
            ]
            target = url.replace("http://localhost:8000", client.url).replace(
                "$ID", waiting[0] if waiting else ""
            )
            method = "GET" if body is None else "POST"
            data = body.encode() if body is not None else None
            async with client.http.request(method, target, headers=headers, data=data) as answer:
                assert answer.status == 200, (url, await answer.text())
                answers.append(await answer.json(content_type=None))
    shown = json.loads(docs.blocks(ENGLISH, "json")[0])
    assert shown.keys() == answers[1].keys()
    assert (shown["reply"], shown["steps"][0]["result"]) == (
        answers[1]["reply"],
        answers[1]["steps"][0]["result"],
    )


async def test_the_tables_of_endpoints_name_every_route(sqlite_template: Path, tmp_path: Path) -> None:
    async with served(sqlite_template, tmp_path, model=ScriptedModel([])) as client:
        _, schema = await client.get("/openapi.json")
        for page in ("/", "/chat", "/console", "/docs"):
            async with client.http.get(client.url + page) as answer:
                assert answer.status == 200
    paths: dict[str, dict[str, Any]] = schema["paths"]
    routes = {without_names(f"{verb.upper()} {path}") for path, verbs in paths.items() for verb in verbs}
    for text in (ENGLISH, SPANISH):
        section = text.partition("\n## Endpoints\n")[2].partition("```")[0]
        listed = {without_names(route) for route in re.findall(r"`((?:GET|POST) /[^`]*)`", section)}
        assert listed == routes | {"GET /", "GET /chat", "GET /console", "GET /docs"}


def without_names(route: str) -> str:
    return re.sub(r"\{\w+\}", "{}", route)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Any]:
    """The tool of the README as a file, and as a module."""
    (code,) = docs.blocks(ENGLISH, "python")
    path = tmp_path / "request_return_of_the_readme.py"
    path.write_text(code, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop(path.stem, None)
    return path, importlib.import_module(path.stem)


@pytest.mark.covers("tool.typed")
def test_the_tool_of_the_readme_passes_mypy_strict(example: tuple[Path, Any]) -> None:
    config = str(docs.ROOT / "pyproject.toml")
    out, problems, code = mypy.run(
        ["--strict", "--config-file", config, "--follow-imports=silent", str(example[0])]
    )
    assert code == 0, out + problems


@pytest.mark.covers("tool.undeclared-asks")
async def test_the_tool_of_the_readme_asks_runs_once_and_refuses_the_second(
    example: tuple[Path, Any], sqlite_template: Path, tmp_path: Path
) -> None:
    async with served(sqlite_template, tmp_path, [*TOOLS, example[1].RequestReturn]) as client:
        for status in ("executed", "failed"):
            asked = await client.say("quiero devolver el pedido A-17")
            (card,) = asked["confirmations"]
            assert (card["tool"], card["args"]) == ("request_return", {"order_id": "A-17"})
            done = await client.say(f"confirmar {card['token']}")
            assert done["status"] == status, done
    assert list(example[1].ASKED) == ["A-17"]


def commands_in(text: str) -> list[list[str]]:
    """The words behind `python dev.py`, `python -m llm_planner`, `llm-planner` and `python -m bench…`."""
    found = re.findall(
        r"(?:python dev\.py|python -m (?:llm_planner|bench|tests)\b|llm-planner)[\w. /-]*", text
    )
    return [line.replace("python -m llm_planner", "llm-planner").split() for line in found]


@each_page
def test_every_command_that_is_shown_exists(name: str) -> None:
    for words in commands_in(TEXT[name]):
        if words[:2] == ["python", "dev.py"] and len(words) > 2:
            assert words[2] in dev.COMMANDS, words
        if words[0] == "llm-planner" and len(words) > 1 and words[1].isalpha():
            _known(cli, words[1:])
        if words[:2] == ["python", "-m"]:
            module = docs.ROOT / words[2].replace(".", "/")
            assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file(), words


def _known(group: click.Command, words: list[str]) -> None:
    if isinstance(group, click.Group) and words:
        assert words[0] in group.commands, words
        _known(group.commands[words[0]], words[1:])


@each_readme
def test_every_command_there_is_stands_in_the_readme(name: str) -> None:
    for command, group in cli.commands.items():
        assert re.search(rf"`[^`]*\b{command}\b[^`]*`", TEXT[name]), command
        for inner in group.commands if isinstance(group, click.Group) else ():
            assert re.search(rf"\b{command} {inner}\b", TEXT[name]), (command, inner)
    for command in dev.COMMANDS:
        assert f"`{command}`" in TEXT[name] or f"dev.py {command}" in TEXT[name], command


@each_readme
def test_the_table_of_settings_is_the_settings(name: str) -> None:
    assert sorted(docs.documented_settings(TEXT[name])) == sorted(docs.settings())


def test_the_env_example_names_settings_only_with_their_defaults() -> None:
    known = dict(docs.settings())
    lines = [
        line.partition("=") for line in docs.read(".env.example").splitlines() if line and line[0] != "#"
    ]
    for variable, _, value in lines:
        assert value in ("", known[variable]), variable


def test_both_readmes_have_the_same_order_links_code_and_numbers() -> None:
    assert [level for level, _ in docs.headings(ENGLISH)] == [level for level, _ in docs.headings(SPANISH)]
    assert docs.links(ENGLISH)[1:] == docs.links(SPANISH)[1:]
    for kind in ("python", "sql", "json"):
        assert docs.blocks(ENGLISH, kind) == docs.blocks(SPANISH, kind)
    without_comments = [
        [re.sub(r"\s*#.*", "", block) for block in docs.blocks(text, "bash")] for text in (ENGLISH, SPANISH)
    ]
    assert without_comments[0] == without_comments[1]
    tables = [
        [line.count("|") for line in text.splitlines() if line.startswith("|")] for text in (ENGLISH, SPANISH)
    ]
    assert tables[0] == tables[1]
    benches = [
        [block for block in docs.blocks(text, "text") if "bench" in block] for text in (ENGLISH, SPANISH)
    ]
    assert benches[0] == benches[1] != []


@each_page
def test_links_lead_to_files_and_headings_that_exist(name: str) -> None:
    page = docs.ROOT / name
    for target in docs.links(TEXT[name]):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in docs.anchors(file.read_text("utf-8")), target


@each_page
def test_no_page_names_a_place_that_readers_do_not_have(name: str) -> None:
    assert LOCAL_PLACES.findall(TEXT[name]) == []


@each_page
def test_pages_have_short_lines(name: str) -> None:
    text = docs.MODULES.sub("", docs.without_blocks(TEXT[name]))
    long = [line for line in text.splitlines() if len(line) > LONGEST_LINE and not line.startswith("|")]
    assert long == []


def test_the_architecture_page_is_current() -> None:
    page = TEXT["docs/architecture.md"]
    assert docs.architecture(page) == page, "run: python -m tests.docs_tools"
    assert "| [orchestrator.py](../llm_planner/turn/orchestrator.py) |" in page


def test_the_layers_of_the_architecture_page_are_those_that_are_held() -> None:
    block = (
        TEXT["docs/architecture.md"].partition("## Layers")[2].partition("```text\n")[2].partition("```")[0]
    )
    drawn = [re.split(r" {2,}", line)[0].split(" · ") for line in block.splitlines()]
    held = [[name for name in layer if not name.startswith("__")] for layer in LAYERS]
    assert drawn == [["cli", "commands"], *held[2:]]
    assert held[:2] == [["cli"], ["commands"]]


def test_the_path_of_a_message_is_found_in_under_ten_files() -> None:
    rows = re.findall(r"^\| (\d+) \| \[[\w/]+\.py\]", TEXT["docs/architecture.md"], re.MULTILINE)
    assert rows == [str(number) for number in range(1, LONGEST_PATH + 1)]


def test_every_module_that_the_path_names_leads_to_the_next() -> None:
    """A newcomer goes on by what each file imports or calls."""
    steps = re.findall(
        r"^\| \d+ \| \[[\w/]+\.py\]\(\.\./([\w/.]+)\)", TEXT["docs/architecture.md"], re.MULTILINE
    )
    hints: Mapping[str, str] = {
        "app/main.py": "create_app",
        "llm_planner/application.py": "turns.router",
        "llm_planner/api/turns.py": "_inbox.accept",
        "llm_planner/turn/inbox.py": "def claim",
        "llm_planner/worker.py": "_orchestrator.handle",
        "llm_planner/turn/orchestrator.py": "_planning.run",
        "llm_planner/turn/rounds.py": "_executor.run",
        "llm_planner/turn/answerer.py": "def answer",
        "llm_planner/turn/closing.py": "def close",
    }
    assert steps == list(hints)
    for path, hint in hints.items():
        assert hint in docs.read(path), path


def test_every_dependency_stands_in_its_page_and_nothing_else() -> None:
    documented = docs.documented_dependencies(TEXT["docs/dependencies.md"])
    wanted = {group: sorted(names) for group, names in docs.dependencies().items()}
    wanted["core"] = sorted(name.partition("[")[0] for name in wanted["core"])
    assert {group: sorted(rows) for group, rows in documented.items()} == wanted


def test_licences_are_what_the_packages_state_and_go_with_apache() -> None:
    for group, rows in docs.documented_dependencies(TEXT["docs/dependencies.md"]).items():
        for name, written in rows.items():
            assert docs.licence(name) in (None, written), name
            parts = set(re.split(r" AND | OR | / ", written))
            assert parts <= (LICENCES if group != "dev" else LICENCES | {"MPL-2.0"}), name


def test_the_core_is_as_small_as_its_page_says_and_no_licence_in_it_is_another() -> None:
    page = TEXT["docs/dependencies.md"]
    everything = docs.in_all(docs.core())
    assert len(everything) <= MOST_PACKAGES
    assert f"{len(everything)} packages" in " ".join(page.split())
    stated = {part for name in everything for part in re.split(r" AND | OR | / ", docs.licence(name) or "")}
    assert stated <= LICENCES


@pytest.mark.parametrize("name", [name for name in TEXT if name.startswith("docs/decisions/")])
def test_a_decision_has_its_date_and_its_three_parts(name: str) -> None:
    text = TEXT[name]
    number = Path(name).name[:4]
    assert re.match(rf"# {number}: .+\n\n\d{{4}}-\d\d-\d\d · \w+\n", text)
    assert [title for _, title in docs.headings(text)][1:] == ["Context", "Decision", "Consequences"]


def test_the_performance_page_has_room_for_what_the_benchmark_prints() -> None:
    page = TEXT["docs/performance.md"]
    for name in ("turn", "embedded", "schemas"):
        assert re.search(rf"<!-- bench {name} -->\n(.*\n)*<!-- /bench {name} -->", page)
    assert "python dev.py bench turn" in page
