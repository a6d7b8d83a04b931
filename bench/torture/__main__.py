"""`python dev.py torture [--quick] [--only NAME,…] [DB_URL …]`: the whole suite, one table, exit code 1 for a broken
promise.

Runs on SQLite and on every server of TEST_DB_URLS, or on those named.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from tests.servers import name_of

from . import confirms, deadly, load, points
from .arena import Arena, arena
from .plans import QUICK, WHOLE, Size
from .verdict import HEAD, Verdict

Scenario = Callable[[Arena, Size], Awaitable[Verdict]]
SCENARIOS: dict[str, Scenario] = {
    "load": load.play,
    "points": points.play,
    "confirm": confirms.many,
    "races": confirms.races,
    "stale": deadly.stale,
    "resumed": deadly.resumed,
    "poison": deadly.poison,
}


async def tortured(url: str, chosen: Sequence[str], size: Size) -> list[Verdict]:
    """Every chosen scenario on one database, one after the other."""
    name, verdicts = name_of(url) if url else "SQLite", list[Verdict]()
    async with arena(name, url) as place:
        for scenario in chosen:
            began = time.monotonic()
            print(f"{name}: {scenario} …", flush=True)
            await place.empty()
            verdict = await SCENARIOS[scenario](place, size)
            verdicts.append(verdict)
            took = time.monotonic() - began
            print(f"{name}: {scenario}: {'good' if verdict.good else 'BROKEN'}, {took:.0f} s", flush=True)
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument(
        "urls", nargs="*", metavar="DB_URL", help="servers; without any: those of TEST_DB_URLS"
    )
    parser.add_argument("--quick", action="store_true", help="the short form that the tests run")
    parser.add_argument("--only", default=",".join(SCENARIOS), help=f"some of {', '.join(SCENARIOS)}")
    parser.add_argument("--no-sqlite", action="store_true", help="on the servers alone")
    asked = parser.parse_args()
    chosen = asked.only.split(",")
    if unknown := set(chosen) - set(SCENARIOS):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    urls = asked.urls or [url for url in os.environ.get("TEST_DB_URLS", "").split(",") if url.strip()]
    verdicts: list[Verdict] = []
    for url in [*([] if asked.no_sqlite else [""]), *urls]:
        verdicts += asyncio.run(tortured(url, chosen, QUICK if asked.quick else WHOLE))
    return told(verdicts)


def told(verdicts: Sequence[Verdict]) -> int:
    """Print the table and what was broken; the exit code."""
    print("\n".join(["", HEAD, *(verdict.line() for verdict in verdicts)]), flush=True)
    for verdict in verdicts:
        for fault in verdict.faults:
            print(f"BROKEN: {verdict.database}, {verdict.scenario}: {fault}", file=sys.stderr, flush=True)
    return 0 if all(verdict.good for verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
