"""`python dev.py torture [--quick] [--only NAME,…] [DB_URL …]`: the whole suite, one table, exit code 1 for a broken
promise.

Runs on SQLite and on every server of TEST_DB_URLS, or on those named.
"""

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from tests.servers import Throwaway, find_binaries, name_of, throwaway

from . import confirms, deadly, load, outage, points
from .arena import Arena, arena
from .plans import QUICK, WHOLE, Size
from .verdict import HEAD, Verdict

Scenario = Callable[[Arena, Size], Awaitable[Verdict]]
OWN_SERVER = "outage"
"""The scenario that ends its server: on each one that can be started here, none that others use."""
ON_SERVERS, ON_SQLITE = frozenset(["cut"]), frozenset(["full"])
SCENARIOS: dict[str, Scenario] = {
    "load": load.play,
    "points": points.play,
    "confirm": confirms.many,
    "races": confirms.races,
    "stale": deadly.stale,
    "resumed": deadly.resumed,
    "poison": deadly.poison,
    "cut": outage.cut,
    "full": outage.full,
    "clock": outage.clock,
}


async def tortured(url: str, chosen: Sequence[str], size: Size) -> list[Verdict]:
    """Every chosen scenario on one database, one after the other."""
    name, verdicts = name_of(url) if url else "SQLite", list[Verdict]()
    async with arena(name, url) as place:
        for scenario in (one for one in chosen if one not in (ON_SERVERS if place.sqlite else ON_SQLITE)):
            began = time.monotonic()
            print(f"{name}: {scenario} …", flush=True)
            await place.empty()
            verdict = await SCENARIOS[scenario](place, size)
            verdicts.append(verdict)
            took = time.monotonic() - began
            print(f"{name}: {scenario}: {'good' if verdict.good else 'BROKEN'}, {took:.0f} s", flush=True)
            print(f"  {verdict.line()}", flush=True)
    return verdicts


def ended(size: Size) -> list[Verdict]:
    """The outage of every server that is installed here, on data of its own."""
    verdicts = list[Verdict]()
    for binary in find_binaries():
        with throwaway(binary) as server:
            verdicts.append(asyncio.run(_ended(server, size)))
    return verdicts


async def _ended(server: Throwaway, size: Size) -> Verdict:
    name = name_of(server.url)
    print(f"{name}: {OWN_SERVER} …", flush=True)
    async with arena(name, server.url) as place:
        return await outage.outage(place, size, server)


def main() -> int:
    logging.getLogger("asyncmy").setLevel(logging.ERROR)  # MySQL calls SHOW PROCESSLIST old
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument(
        "urls", nargs="*", metavar="DB_URL", help="servers; without any: those of TEST_DB_URLS"
    )
    parser.add_argument("--quick", action="store_true", help="the short form that the tests run")
    names = [*SCENARIOS, OWN_SERVER]
    parser.add_argument("--only", default=",".join(names), help=f"some of {', '.join(names)}")
    parser.add_argument(
        "--points", action="store_true", help="print what may come of a death at each point, and end"
    )
    parser.add_argument("--no-sqlite", action="store_true", help="on the servers alone")
    asked = parser.parse_args()
    if asked.points:
        print(asyncio.run(points.printed()))
        return 0
    chosen = asked.only.split(",")
    if unknown := set(chosen) - set(names):
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    urls = asked.urls or [url for url in os.environ.get("TEST_DB_URLS", "").split(",") if url.strip()]
    verdicts, size = list[Verdict](), QUICK if asked.quick else WHOLE
    for url in [*([] if asked.no_sqlite else [""]), *urls]:
        verdicts += asyncio.run(tortured(url, [one for one in chosen if one != OWN_SERVER], size))
    verdicts += ended(size) if OWN_SERVER in chosen else []
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
