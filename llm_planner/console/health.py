"""The health: queue, throughput, model latency and errors, tokens by day, budgets; small charts."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from ..storage.database import now
from ..storage.repositories import confirmations, health
from .charts import bars, gauge, line
from .rendering import duration
from .visits import Visit

HOURS, DAYS, CALLS, ACCOUNTS = 24, 14, 200, 20


async def shown(visit: Visit) -> Response:
    return visit.page("health.html", **await _numbers(visit))


async def live(visit: Visit) -> Response:
    """The numbers alone, for the page that keeps itself current."""
    return visit.page("health_live.html", **await _numbers(visit))


async def _numbers(visit: Visit) -> dict[str, Any]:
    def query(conn: Connection) -> tuple[Any, ...]:
        moment = now(conn)
        hours, days = moment - timedelta(hours=HOURS), moment - timedelta(days=DAYS - 1)
        first_day = days.replace(hour=0, minute=0, second=0, microsecond=0)
        return (
            moment, health.queue(conn), confirmations.count_pending(conn), health.accepted(conn, hours),
            health.latest_calls(conn, CALLS), health.failures(conn, hours), health.tokens_by_day(conn, first_day),
            health.spent_today(conn, moment.date().isoformat(), ACCOUNTS),
        )  # fmt: skip

    moment, queue, pending, accepted, calls, failures, days, spent = await visit.read(query)
    age = (moment - queue.oldest).total_seconds() * 1000 if queue.oldest is not None else None
    settings = visit.house.settings
    limits = (settings.budget_account_calls, settings.budget_account_tokens)
    return {
        "queue": queue, "age": age, "pending": pending, "failures": failures, "outside": visit.house.outside,
        "throughput": _throughput(visit, accepted, moment), "latency": _latency(visit, calls),
        "tokens": _tokens(visit, days, moment), "database": visit.database.url.get_backend_name(),
        "budgets": [_budget(visit, account, used, limits) for account, *used in spent],
        "limits": [(name, getattr(settings, f"budget_{name}")) for name in _LIMITS],
    }  # fmt: skip


_LIMITS = (
    "session_calls", "principal_calls", "account_calls", "session_tokens", "principal_tokens", "account_tokens",
    "queued_messages", "pending_writes",
)  # fmt: skip


def _throughput(visit: Visit, accepted: Sequence[tuple[datetime, int]], moment: datetime) -> str:
    zone = visit.house.zone
    hours = [(moment - timedelta(hours=back)).astimezone(zone) for back in reversed(range(HOURS))]
    counts = {f"{hour:%d %H}": 0 for hour in hours}
    for at, count in accepted:
        name = f"{at.astimezone(zone):%d %H}"
        if name in counts:
            counts[name] += count
    values = [(f"{name[3:]}:00", float(count)) for name, count in counts.items()]
    total = sum(counts.values())
    told = visit.text("health.most", value=max(counts.values()))
    return bars(values, visit.text("health.throughput.label", total=total), told)


def _latency(visit: Visit, calls: Sequence[tuple[int, str]]) -> dict[str, Any]:
    took = sorted(ms for ms, outcome in calls if outcome == "ok")
    if not took:
        return {"chart": "", "p50": None, "p95": None}
    p50, p95 = took[len(took) // 2], took[min(len(took) - 1, int(len(took) * 0.95))]
    label = visit.text("health.latency.label", p50=duration(p50), p95=duration(p95))
    chart = line([float(ms) for ms, outcome in calls if outcome == "ok"], label, duration(took[-1]))
    return {"chart": chart, "p50": p50, "p95": p95}


def _tokens(visit: Visit, days: Sequence[tuple[str, int, int]], moment: datetime) -> dict[str, Any]:
    names = [(moment - timedelta(days=back)).date().isoformat() for back in reversed(range(DAYS))]
    found = {day: (calls, tokens) for day, calls, tokens in days}
    values = [(name[5:], float(found.get(name, (0, 0))[1])) for name in names]
    today = found.get(names[-1], (0, 0))
    label = visit.text("health.tokens.label", total=sum(int(value) for _, value in values))
    told = visit.text("health.most", value=f"{max(value for _, value in values):,.0f}")
    return {"chart": bars(values, label, told), "calls": today[0], "tokens": today[1]}


def _budget(visit: Visit, account: str, used: list[int], limits: tuple[int, int]) -> dict[str, Any]:
    """One account with how much of its day is used."""
    calls, tokens = used
    label = visit.text("health.budget.label", account=account, used=calls, most=limits[0] or "∞")
    return {
        "account": account, "calls": calls, "tokens": tokens, "most_calls": limits[0], "most_tokens": limits[1],
        "gauge": gauge(calls, limits[0], label),
    }  # fmt: skip
