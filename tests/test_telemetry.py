"""What leaves over OTLP and stands in the logs: every stage of a turn, and nothing of what was said."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.turn import free_port
from llm_planner.testing.servers import FakeOpenAI
from llm_planner.testing.servers_script import Content

from .harness import ROOT

SECRETS = ("A-1234", "my secret order", "in transit")
PLAN = {"tool_calls": [{"id": "s1", "tool": "get_order_status", "args": {"order_id": "A-1234"}}]}


class Collector:
    """Takes what an exporter sends."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.url = ""

    async def traces(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response()

    async def numbers(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw.append(body)
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self.metrics |= {
                metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics
            }
        return web.Response()

    def span(self, name: str) -> Any:
        (found,) = [span for span in self.spans if span.name == name]
        return found


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.traces)
    app.router.add_post("/v1/metrics", collector.numbers)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    collector.url = f"http://127.0.0.1:{port}"
    try:
        yield collector
    finally:
        await runner.cleanup()


def attributes(item: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in item.attributes}


async def served_once(
    folder: Path, message: str, **environment: str
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The answer to one message by a server process of its own, and the lines of its log."""
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    process = await asyncio.to_thread(
        subprocess.Popen,
        [sys.executable, "-m", "llm_planner", "run"], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        env={**clean, "PORT": str(port), "DATA_DIR": str(folder), "DB_URL": f"sqlite:///{folder}/t.db",
             "LOG_FORMAT": "json", "LOG_LEVEL": "info", **environment},
    )  # fmt: skip
    try:
        async with aiohttp.ClientSession() as http:
            answer = await _asked(http, f"http://127.0.0.1:{port}", message, process)
    finally:
        process.terminate()
        _, log = await asyncio.to_thread(process.communicate, timeout=60)
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return answer, lines


async def _asked(
    http: aiohttp.ClientSession, url: str, message: str, process: "subprocess.Popen[str]"
) -> dict[str, Any]:
    body = {"message": message, "session_id": "demo", "locale": "en"}
    for _ in range(600):
        assert process.poll() is None, "the server ended at its start"
        try:
            async with http.post(f"{url}/agent", json=body, headers={"x-request-id": "req-1"}) as answer:
                found: dict[str, Any] = await answer.json()
                return found
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)
    raise AssertionError("the server did not answer")


@pytest.mark.covers("settings.otel")
async def test_a_turn_is_one_trace_of_agent_model_and_tool_without_a_word_of_what_was_said(
    tmp_path: Path,
) -> None:
    async with collecting() as collector, FakeOpenAI(Content(json.dumps(PLAN))) as model:
        answer, log = await served_once(
            tmp_path, "my secret order is A-1234, where is it?",
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OPENAI_BASE_URL=model.url, OPENAI_MODEL="scripted-1",
        )  # fmt: skip
        assert answer["status"] == "answered", (answer, log)
    agent = collector.span("invoke_agent llm-planner")
    chat, tool = collector.span("chat scripted-1"), collector.span("execute_tool get_order_status")
    assert chat.parent_span_id == tool.parent_span_id == agent.span_id
    told = attributes(agent)
    assert told["gen_ai.operation.name"] == "invoke_agent"
    assert told["llm_planner.turn.id"] == answer["turn_id"]
    assert (told["llm_planner.channel"], told["llm_planner.status"]) == ("web", "answered")
    assert attributes(chat)["gen_ai.provider.name"] == "openai"
    assert attributes(chat)["gen_ai.usage.input_tokens"] > 0
    assert attributes(tool)["gen_ai.tool.name"] == "get_order_status"
    assert {"gen_ai.client.token.usage", "gen_ai.client.operation.duration", "llm_planner.turn.duration",
            "gen_ai.execute_tool.duration"} <= set(collector.metrics)  # fmt: skip
    sent = b"".join(collector.raw).decode("latin-1")
    assert not [word for word in SECRETS if word in sent]


async def test_a_failed_call_is_an_error_in_the_trace_and_its_log_lines_lead_to_the_turn(
    tmp_path: Path,
) -> None:
    tools = tmp_path / "failing_tools.py"
    tools.write_text(
        "from pydantic import BaseModel\n"
        "from llm_planner import Tool\n\n"
        "class Nothing(BaseModel): pass\n\n"
        "class Broken(Tool):\n"
        "    name = 'broken'\n    description = 'Breaks.'\n    input_model = Nothing\n    write = False\n"
        "    async def run(self, args, ctx):\n        raise RuntimeError('my secret order')\n\n"
        "TOOLS = [Broken]\n"
    )
    plan = {"tool_calls": [{"id": "s1", "tool": "broken", "args": {}}]}
    async with collecting() as collector, FakeOpenAI(Content(json.dumps(plan))) as model:
        answer, log = await served_once(
            tmp_path, "break", TOOL_MODULES="failing_tools", PYTHONPATH=str(tmp_path),
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OPENAI_BASE_URL=model.url, OPENAI_MODEL="scripted-1",
        )  # fmt: skip
    span = collector.span("execute_tool broken")
    assert attributes(span)["error.type"] == "raised"
    assert span.status.code == 2
    assert "my secret order" not in b"".join(collector.raw).decode("latin-1")
    (line,) = [line for line in log if line["logger"] == "llm_planner.tools"]
    assert (line["turn_id"], line["request_id"]) == (answer["turn_id"], "req-1")
    assert {"session_id", "message_id"} <= line.keys()
    assert line["trace_id"] == span.trace_id.hex()


async def test_without_an_endpoint_nothing_is_exported_and_log_lines_have_no_trace(tmp_path: Path) -> None:
    answer, log = await served_once(tmp_path, "where is order A-1234?", LLM_PROVIDER="embedded")
    assert answer["status"] == "answered"
    assert log
    assert not [line for line in log if "trace_id" in line]


def test_an_endpoint_without_the_packages_stops_the_start_and_says_what_to_install(tmp_path: Path) -> None:
    hidden = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None; from llm_planner.cli import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", hidden, "run"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "DATA_DIR": str(tmp_path), "DB_URL": f"sqlite:///{tmp_path}/t.db", "PORT": "0",
             "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    )  # fmt: skip
    assert ran.returncode != 0
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in ran.stdout + ran.stderr
    assert "llm-planner[otel]" in ran.stdout + ran.stderr
