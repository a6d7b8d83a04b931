"""The registry: what may be registered, what stops the start, and that users' tools type-check."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, RootModel, SecretStr, ValidationError, computed_field, field_validator

from app.tools import TOOLS
from llm_planner import Tool, ToolContext, ToolRegistry
from llm_planner.errors import StartError

from .tools import Echo, Ledger, Undeclared, plan
from .turn_kit import always

Serve = Any


class Loop(BaseModel):
    inner: "Loop | None" = None


class Input(BaseModel):
    text: str = ""


class Minimal(Tool):
    name = "minimal"
    description = "The least a tool can be."
    input_model = Input

    async def run(self, args: Input, ctx: ToolContext) -> dict[str, object]:
        return {}


class NeedsArguments(Minimal):
    def __init__(self, url: str) -> None:
        self.url = url


def with_(**attributes: object) -> type[Tool]:
    return type("Changed", (Minimal,), attributes)


@pytest.mark.covers("tool.registry")
@pytest.mark.parametrize(
    ("tools", "word"),
    [
        ([Minimal, Minimal], "'minimal' is registered twice"),
        ([Minimal, Minimal()], "registered twice"),
        ([with_(name="two words")], "name 'two words' must match"),
        ([with_(name="")], "must match"),
        ([with_(name=None)], "must match"),
        ([with_(name="1st")], "must match"),
        ([with_(name="a" * 129)], "must match"),
        ([with_(name="año")], "must match"),
        ([with_(name="a\n")], "must match"),
        ([with_(description="")], "description is missing"),
        ([with_(description=None)], "description"),
        ([with_(input_model=None)], "input_model is missing"),
        ([with_(input_model=dict)], "input_model is missing"),
        ([with_(input_model=Input())], "input_model is missing"),
        ([with_(input_model=Loop)], "contains itself"),
        ([with_(run=Tool.run)], "no run"),
        ([NeedsArguments], "register an instance"),
        ([object()], "is not a Tool"),
        ([dict], "is not a Tool"),
        ([with_(timeout_s=0)], "timeout_s"),
        ([with_(timeout_s=-1)], "timeout_s"),
        ([with_(timeout_s=float("nan"))], "timeout_s"),
        ([with_(timeout_s="5")], "timeout_s"),
        ([with_(timeout_s=True)], "timeout_s"),
        ([with_(timeout_s=86400)], "timeout_s"),
        ([with_(retries=-1)], "retries"),
        ([with_(retries=99)], "retries"),
        ([with_(retries="2")], "retries"),
        ([with_(taint="refused")], "taint"),
        ([with_(taint=None)], "taint"),
        ([with_(approver="")], "approver"),
        ([with_(approver=None)], "approver"),
        ([with_(egress="api.example.com")], "egress"),
        ([with_(channels="web")], "channels"),
        ([with_(channels=[1])], "channels"),
        ([with_(confirm_ttl_s=0)], "confirm_ttl_s"),
        ([with_(idempotent="yes")], "idempotent"),
        ([with_(title=" ")], "title"),
        ([with_(examples=["where?"])], "examples"),
        ([with_(examples=[("where?", "x")])], "examples"),
        ([with_(output_model=print)], "output_model"),
    ],
)
def test_what_is_wrong_with_a_tool_stops_the_start_and_is_named(tools: list[Any], word: str) -> None:
    with pytest.raises(StartError, match=word):
        ToolRegistry(tools)


def test_tools_may_be_classes_or_instances_and_names_may_have_dots() -> None:
    registry = ToolRegistry([Minimal])
    registry.register(type("Other", (NeedsArguments,), {"name": "crm.other-one"})("https://x"))
    assert [spec.name for spec in registry] == ["minimal", "crm.other-one"]
    assert registry.get("nothing") is None


@pytest.mark.covers("tool.undeclared-asks", "rule.6")
@pytest.mark.parametrize("value", [True, None, 0, "", "no", 1])
def test_everything_but_a_plain_false_is_a_write(value: object) -> None:
    assert ToolRegistry([with_(write=value)]).get("minimal").write  # type: ignore[union-attr]
    assert not ToolRegistry([with_(write=False)]).get("minimal").write  # type: ignore[union-attr]


@pytest.mark.covers("tool.undeclared-asks")
async def test_an_undeclared_tool_asks_first(serve: Serve) -> None:
    client = await serve(tools=[Undeclared], model=always(plan(("undeclared", {"text": "x"}))))
    turn = await client.say("do it")
    assert turn["status"] == "needs_confirmation"
    assert await client.rows("SELECT * FROM tool_runs") == []


@pytest.mark.covers("tool.aliases")
@pytest.mark.parametrize(
    "args",
    [{"text": "x", "more": 1}, {"text": 1}, {"Text": "x"}, {"text": {"a": float("nan")}}, {"text": "\ud800"}],
)
def test_arguments_that_do_not_fit_are_refused(args: dict[str, Any]) -> None:
    spec = ToolRegistry([Minimal]).get("minimal")
    assert spec is not None
    with pytest.raises(ValidationError):
        spec.validate(args)


class Odd(BaseModel):
    secret: SecretStr = SecretStr("s3cret")
    filled: str = "default"
    picky: str = ""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def both(self) -> str:
        return self.filled

    @field_validator("picky")
    @classmethod
    def _fails(cls, value: str) -> str:
        return value and {"a": value}[value]


def test_a_validator_that_trips_is_a_wrong_argument_and_not_a_crash() -> None:
    spec = ToolRegistry([with_(input_model=Odd)]).get("minimal")
    assert spec is not None
    with pytest.raises(ValidationError, match="a check of the tool failed"):
        spec.validate({"picky": "zzz"})
    assert spec.validate({"picky": "a"})


def test_defaults_are_pinned_where_they_survive_the_round_trip() -> None:
    ledger, odd = ToolRegistry([Ledger, with_(input_model=Odd)])
    assert ledger.pin({"what": "x"}) == {"what": "x", "amount": 1}
    assert odd.pin({"picky": "a"}) == {"picky": "a"}


class Root(RootModel[dict[str, int]]):
    pass


def test_an_input_of_free_keys_is_pinned_as_it_is() -> None:
    spec = ToolRegistry([with_(input_model=Root)]).get("minimal")
    assert spec is not None
    assert spec.pin({"a\u200b": 1, "a": 2}) == {"a\u200b": 1, "a": 2}


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_examples_of_each_tool_of_the_app_are_arguments_it_takes(tool: type[Tool]) -> None:
    spec = ToolRegistry([tool]).get(tool.name)
    assert spec is not None
    assert 2 <= len(tool.examples) <= 6
    for said, args in tool.examples:
        assert said.strip()
        assert set(spec.pin(args)) >= set(args)


TYPED = """
from collections.abc import Mapping

from pydantic import BaseModel, Field
from sqlalchemy import Connection, text

from llm_planner import Tool, ToolContext, ToolFailed, ToolRegistry, ToolRetry


class OrderStatusInput(BaseModel):
    order_id: str = Field(description="Order number as printed on the receipt")


class Found(BaseModel):
    state: str


class OrderStatus(Tool):
    name = "get_order_status"
    description = "Shipping status of one order."
    input_model = OrderStatusInput
    write = False
    title = "Order"
    output_model = Found
    timeout_s = 5
    retries = 2
    approver = "billing"
    egress = ["api.example.com"]
    taint = "refuse"
    confirm_ttl_s = 60
    rate_limit = 10
    channels = ("web",)
    examples = [("where is order A-17?", {"order_id": "A-17"})]

    async def run(self, args: OrderStatusInput, ctx: ToolContext) -> dict[str, object]:
        if not args.order_id:
            raise ToolRetry("which order?")
        count = await ctx.db.run(count_lines)
        ctx.facts["last"] = args.order_id
        last = ctx.facts.get("last")
        await ctx.mail("a@example.com", "hello", f"{count} {last}")
        answer = await ctx.http.get("https://api.example.com/a", params={"q": "1"})
        ctx.logger.info("%s %s %s", ctx.session_id, ctx.principal, ctx.idempotency_key)
        return {"status": answer.status, "channel": ctx.channel, "locale": ctx.locale}

    def summary(self, args: OrderStatusInput, locale: str) -> str:
        return f"Look up {args.order_id}"

    def render(self, result: Mapping[str, str], locale: str) -> str | None:
        return result["state"]

    async def reconcile(self, args: OrderStatusInput, ctx: ToolContext) -> dict[str, object] | None:
        raise ToolFailed("no")


class Plain(OrderStatus):
    name = "plain"

    def run(self, args: OrderStatusInput, ctx: ToolContext) -> Found:  # type: ignore[override]
        ctx.mail_sync("a@example.com", "hello", str(ctx.db.run_sync(count_lines)))
        return Found(state="x")


class Sync(Tool):
    name = "sync"
    description = "In a thread."
    input_model = OrderStatusInput

    def run(self, args: OrderStatusInput, ctx: ToolContext) -> Found:
        return Found(state=args.order_id)


def count_lines(conn: Connection) -> int:
    return int(conn.execute(text("SELECT 1")).scalar_one())


TOOLS = [OrderStatus, Sync]
registry = ToolRegistry(TOOLS)
registry.register(Plain())
registry.register(type("Another", (Sync,), {"name": "another"}))
"""


@pytest.mark.covers("tool.typed")
def test_tools_written_as_the_contract_shows_pass_mypy_strict(tmp_path: Path) -> None:
    file = tmp_path / "their_tools.py"
    file.write_text(TYPED)
    root = Path(__file__).parent.parent
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file",
        str(root / "pyproject.toml"),
        str(file),
    ]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_tools_are_registered() -> None:
    scope: dict[str, Any] = {}
    exec(compile(TYPED, "their_tools.py", "exec"), scope)
    assert {spec.name for spec in scope["registry"]} == {"get_order_status", "plain", "sync", "another"}
    assert ToolRegistry([Echo]).hosts == frozenset()
    assert scope["registry"].hosts == {"api.example.com"}
