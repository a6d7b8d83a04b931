"""The torture's short form: every scenario, on the databases of this run, side by side; and what is told of it."""

import asyncio
import os
import re
import sys

from bench.torture import points
from bench.torture.__main__ import ON_SERVERS, ON_SQLITE, OWN_SERVER, SCENARIOS
from bench.torture.verdict import promised

from .conftest import SERVERS
from .counters import ONE_PROCESS
from .harness import ROOT
from .servers import find_binaries

ON_FILE = ("points", "poison", "full", "clock")
"""Those that the short form plays on SQLite; on a server it plays all the others, on its own one the outage."""


async def tortured(*arguments: str) -> tuple[int | None, str]:
    """Exit code and output of `python -m bench.torture --quick …`."""
    command = [sys.executable, "-m", "bench.torture", "--quick", *arguments]
    environment = {**os.environ, "TEST_DB_URLS": ""}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


def zeros(output: str) -> dict[str, list[str]]:
    """For each scenario in the table the columns that are promised to be zero."""
    lines = [line.strip("| ").split(" | ") for line in output.splitlines() if line.startswith("| ")]
    head, rows = lines[0], lines[1:]
    return {
        f"{row[0]} on {row[1]}": [row[head.index(name)] for name in promised(row[0], row[1])] for row in rows
    }


@ONE_PROCESS
async def test_nothing_is_lost_doubled_or_stuck_when_processes_and_servers_die() -> None:
    others = [name for name in SCENARIOS if name not in ON_FILE and (SERVERS or name not in ON_SERVERS)]
    runs = [tortured("--only", ",".join(ON_FILE))]
    runs += [tortured("--only", ",".join(others), *(["--no-sqlite", SERVERS[0]] if SERVERS else []))]
    runs += [tortured("--only", OWN_SERVER)] if find_binaries() else []
    for code, output in await asyncio.gather(*runs):
        assert code == 0, output
        assert zeros(output), output
        for scenario, found in zeros(output).items():
            assert set(found) <= {"0", "–"}, f"{scenario}: {output}"


async def test_a_scenario_that_is_not_known_is_answered_with_the_list() -> None:
    code, output = await tortured("--only", "nonsense")
    assert code == 2
    assert all(name in output for name in [*SCENARIOS, OWN_SERVER, *ON_SQLITE])
    assert not re.search("Traceback", output)


def block(name: str) -> str:
    """What stands between two comments of docs/reliability.md."""
    page = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", page, re.DOTALL)
    assert found, f"docs/reliability.md has no room for {name}"
    return found.group(1).strip()


async def test_the_page_has_the_ends_that_the_torture_allows() -> None:
    assert block("points") == await points.printed(), "python -m bench.torture --points prints it"


def test_the_page_has_the_torture_s_table_and_its_zeros() -> None:
    told = zeros(block("torture"))
    assert told
    for scenario, found in told.items():
        assert set(found) <= {"0", "–"}, scenario
    assert "python dev.py bench engine" in (ROOT / "docs" / "reliability.md").read_text("utf-8")
