"""`python dev.py bench webhook [--rate N] [--seconds S] [DB_URL ...]`: how soon a provider has its answer.

Three processes: the server, a scripted model that thinks for a second, and this client, which delivers signed
webhooks at a steady rate, each for a user of its own, as providers do: on time, whether or not the ones before
were answered. What is measured runs from the moment a delivery is due to its answer, so that a queue shows.
Prints the acknowledgement's p50, p95, p99 and maximum for each provider, and whether every turn was closed.
Without DB_URL: a throwaway SQLite file and every server of TEST_DB_URLS.
"""

import argparse
import asyncio
import itertools
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection, make_url, text

from llm_planner.channels.signing import Unsigned, sign
from llm_planner.clock import SystemClock
from llm_planner.storage.database import Database, connect

from .turn import Bench, started

SECRET = "a-secret-for-the-webhook-benchmark"
PUBLIC = "https://agent.example.com"
SETTLE_S = 60.0
SETTINGS = {
    "PUBLIC_BASE_URL": PUBLIC, "ALLOWED_HOSTS": "127.0.0.1,agent.example.com",
    "PROVIDER_HMAC_SECRET": SECRET, "TWILIO_AUTH_TOKEN": SECRET, "WHATSAPP_APP_SECRET": SECRET,
    "WHATSAPP_VERIFY_TOKEN": SECRET, "SLACK_SIGNING_SECRET": SECRET, "TELEGRAM_WEBHOOK_SECRET_TOKEN": SECRET,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Load:
    """Deliveries a second, and for how many seconds."""

    rate: float
    seconds: float

    def due(self) -> Iterator[float]:
        """When each delivery is due, in seconds after the start."""
        return itertools.takewhile(lambda at: at < self.seconds, (n / self.rate for n in itertools.count()))


def _generic(number: int) -> bytes:
    return _json({"message_id": f"g{number}", "from": f"user-{number}", "text": "please plain"})


def _twilio(number: int) -> bytes:
    fields = {
        "MessageSid": f"SM{number:032x}", "AccountSid": "AC" + "0" * 32, "From": f"whatsapp:+52155{number:08}",
        "To": "whatsapp:+14155238886", "Body": "please plain", "NumMedia": "0",
    }  # fmt: skip
    return urlencode(fields).encode()


def _meta(number: int) -> bytes:
    message = {
        "from": f"52155{number:08}",
        "id": f"wamid.{number}",
        "timestamp": "1795305600",
        "type": "text",
    }
    message |= {"text": {"body": "please plain"}}  # type: ignore[dict-item]
    value = {"metadata": {"phone_number_id": "777"}, "messages": [message]}
    change = {"field": "messages", "value": value}
    return _json({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]})


def _slack(number: int) -> bytes:
    event = {"type": "message", "user": f"U{number}", "text": "please plain", "channel": f"D{number}"}
    event |= {"channel_type": "im", "ts": f"1795305600.{number:06}"}
    return _json(
        {
            "type": "event_callback",
            "event_id": f"Ev{number}",
            "team_id": "T1",
            "api_app_id": "A1",
            "event": event,
        }
    )


def _telegram(number: int) -> bytes:
    who = {"id": number, "is_bot": False, "first_name": "Ana"}
    chat = {"id": number, "type": "private"}
    message = {"message_id": 1, "date": 1795305600, "from": who, "chat": chat, "text": "please plain"}
    return _json({"update_id": number, "message": message})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


BODIES: dict[str, Callable[[int], bytes]] = {
    "generic": _generic,
    "twilio": _twilio,
    "meta": _meta,
    "slack": _slack,
    "telegram": _telegram,
}


async def delivered(bench: Bench, provider: str, number: int) -> None:
    """One signed delivery; ends the benchmark where it is not taken."""
    path = f"/provider/{provider}/inbound"
    body = BODIES[provider](number)
    _, headers = sign(provider, Unsigned(SECRET, PUBLIC + path, body, int(time.time())))
    async with bench.http.post(bench.url + path, data=body, headers=headers) as answer:
        said = await answer.read()
        if answer.status not in (200, 202, 204):
            raise SystemExit(f"{provider}: {answer.status} {said!r}")


async def under(bench: Bench, provider: str, load: Load) -> list[float]:
    """Milliseconds from when each delivery was due to its answer."""
    base, began, took = secrets.randbelow(10**6) * 1000, time.perf_counter(), list[float]()

    async def one(number: int, due: float) -> None:
        await delivered(bench, provider, base + number)
        took.append((time.perf_counter() - began - due) * 1000)

    tasks = []
    for number, due in enumerate(load.due()):
        await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number, due)))
    await asyncio.gather(*tasks)
    return took


async def settled(database: Database) -> tuple[int, int]:
    """Turns in all, and those that are still open after a while."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        total, open_ = await database.read(_counted)
        if not open_ or time.monotonic() > deadline:
            return total, open_
        await asyncio.sleep(0.5)


def _counted(conn: Connection) -> tuple[int, int]:
    total = conn.execute(text("SELECT COUNT(*) FROM turns")).scalar_one()
    open_ = conn.execute(text("SELECT COUNT(*) FROM turns WHERE state IN ('queued', 'running')")).scalar_one()
    return int(total), int(open_)


async def table(db_url: str, name: str, load: Load) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = db_url or f"sqlite:///{folder}/bench.db"
        async with started(url, folder, 1000, "off") as bench:
            database = connect(url, SystemClock())
            print(f"\n**{name}**, {load.rate:g} deliveries/s for {load.seconds:g} s, a model of 1,000 ms\n")
            print(f"| provider | deliveries | p50 ms | p95 ms | p99 ms | max ms |\n|{'---|' * 6}")
            try:
                for provider in BODIES:
                    print(f"  {name}: {provider} …", file=sys.stderr, flush=True)
                    print(_row(provider, await under(bench, provider, load)), flush=True)
                total, left = await settled(database)
                print(f"\n{total} turns accepted, {left} of them still open after the run")
            finally:
                await database.close()


def _row(provider: str, took: list[float]) -> str:
    cuts = statistics.quantiles(took, n=100)
    numbers = (statistics.median(took), cuts[94], cuts[98], max(took))
    return f"| {provider} | {len(took)} | {' | '.join(f'{number:.1f}' for number in numbers)} |"


async def on(url: str, load: Load) -> None:
    """The same in a database of its own where it is a server's."""
    if not url:
        await table("", "SQLite", load)
        return
    name, server = f"bench_{secrets.token_hex(4)}", connect(url, SystemClock())
    await server.run(lambda conn: conn.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")))
    try:
        own = make_url(url).set(database=name).render_as_string(hide_password=False)
        await table(own, make_url(url).get_backend_name(), load)
    finally:
        await server.run(lambda conn: conn.execute(text(f"DROP DATABASE {name}")))
        await server.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench webhook", description=__doc__)
    parser.add_argument("urls", nargs="*", metavar="DB_URL")
    parser.add_argument("--rate", type=float, default=50.0, help="deliveries a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each provider")
    chosen = parser.parse_args()
    os.environ.update(SETTINGS)
    urls = chosen.urls or ["", *filter(None, os.environ.get("TEST_DB_URLS", "").split(","))]
    for url in urls:
        asyncio.run(on(url, Load(chosen.rate, chosen.seconds)))


if __name__ == "__main__":
    main()
