"""The dashboard that is shipped shows only what is really measured."""

import json
import re
from typing import Any

from llm_planner.llm.scripted import ScriptedModel
from llm_planner.telemetry import _DURATIONS

from .harness import ROOT, operator

DASHBOARD = ROOT / "docs" / "dashboards" / "grafana.json"


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def over_otlp() -> set[str]:
    """Our OTLP metrics as Prometheus names them: dots become underscores, seconds are spelled out."""
    return {f"{name.replace('.', '_')}_seconds" for name in _DURATIONS.values()} | {
        "gen_ai_client_token_usage"
    }


async def test_every_metric_of_the_dashboard_is_one_of_ours(serve: Any) -> None:
    client = await serve(tools=[], model=ScriptedModel([]))
    async with client.http.get(f"{client.url}/metrics", headers=operator("viewer")) as answer:
        scraped = set(re.findall(r"^([a-z_]+) ", await answer.text(), re.MULTILINE))
    asked = {name for text in expressions() for name in metrics_in(text)}
    assert asked
    assert asked <= scraped | over_otlp()


def metrics_in(text: str) -> list[str]:
    """The names of metrics in an expression: what stands before a range, or alone."""
    found = re.findall(r"\b((?:llm_planner|gen_ai)_[a-z_]+)(?=\[|\{[a-z_]+!?=|$)", text)
    return [re.sub(r"_(?:bucket|count|sum)$", "", name) for name in found]
