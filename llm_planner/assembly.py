"""The assembly: every part made once and handed to those who need it; constructor passing, no container."""

import asyncio
import importlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

from .channels import Channel
from .clock import Clock
from .delivery.courier import ReplyCourier
from .delivery.http import Outlet
from .delivery.pace import Pace
from .delivery.sending import ReplySender
from .delivery.statuses import Statuses
from .embedded import Copier
from .engine import EmbeddedEngine, ProcessLock, TurnEngine
from .errors import StartError
from .keys import Keyring
from .llm.base import ChatModel, OutputMode
from .llm.http import ModelHttp
from .llm.llamacpp import LlamaModel
from .llm.observed import ObservedModel
from .llm.ollama import OllamaModel
from .llm.openai import OpenAIModel
from .mail import SmtpCourier
from .plugins import Plugins
from .prompts import load_prompt
from .providers import channels_of, senders_of
from .settings import SHORTEST_SECRET, Settings
from .storage.database import Database, connect, normal_url
from .storage.queued import Queued
from .tools import Tool, ToolRegistry
from .turn.answerer import Answerer
from .turn.audit import Audit
from .turn.closing import Closing
from .turn.confirmations import Confirmations
from .turn.decisions import Decisions
from .turn.embedded_planner import EmbeddedPlanner
from .turn.executor import Executor
from .turn.guard import Guard
from .turn.handover import Handover
from .turn.inbox import Inbox, Limits
from .turn.joining import Joining
from .turn.journal import Journal
from .turn.memory import Memory
from .turn.models import Ceilings, Models
from .turn.orchestrator import AgentOrchestrator
from .turn.outbox import REPLY, Courier, Deliveries
from .turn.parking import Parking
from .turn.planner import Asking, ModelPlanner, Planner
from .turn.retention import Ages, Retention
from .turn.rounds import Planning
from .turn.session import SessionLane
from .turn.surroundings import Surroundings
from .turn.timers import Timers
from .turn.tokens import Tokens
from .turn.view import Views
from .worker import Worker

LEASE_S = 30.0
SWEEP_S = 3.0
OLLAMA_LOCAL, OLLAMA_CLOUD = "http://localhost:11434", "https://ollama.com"
OPENAI = "https://api.openai.com/v1"
PROMPTS = {
    "planner": frozenset(["tools", "language"]),
    "answerer": frozenset(["language"]),
    "summary": frozenset(["language"]),
}
"""The prompt files, with the slots that each may use."""


@dataclass(frozen=True, slots=True)
class Ingredients:
    """What a process is made from; tests put their doubles here. `apis` are addresses of providers' APIs;
    `copier` makes the small model beside the embedded planner's rules, `plugins` the adapters of other packages."""

    settings: Settings
    registry: ToolRegistry
    prompts: Path
    clock: Clock
    model: ChatModel | None = None
    lease_s: float = LEASE_S
    sweep_s: float = SWEEP_S
    planner: Planner | None = None
    apis: Mapping[str, str] = field(default_factory=dict)
    plugins: Plugins = field(default_factory=dict)
    database: Database | None = None
    copier: Callable[[], Copier] | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """One process, put together and not yet running."""

    settings: Settings
    registry: ToolRegistry
    keys: Keyring
    database: Database
    audit: Audit
    guard: Guard
    inbox: Inbox
    planner: Planner
    views: Views
    worker: Worker
    engine: TurnEngine
    model: ChatModel | None
    channels: Mapping[str, Channel]
    statuses: Statuses
    outlet: Outlet
    memory: Memory | None
    copier: Copier | None
    local: LlamaModel | None

    async def warm(self) -> None:
        """Make ready what takes time, before the first message waits for it. Raises StartError."""
        if self.local is not None:
            await self.local.load()
        await self.planner.warm()

    async def close(self) -> None:
        """Close what holds threads, files and connections."""
        if self.copier is not None:
            await asyncio.to_thread(self.copier.close)
        if self.memory is not None:
            await self.memory.close()
        if self.model is not None:
            await self.model.close()
        await self.outlet.close()
        self.guard.close()
        await self.database.close()


def assemble(made_of: Ingredients) -> Parts:
    """Put one process together. Raises StartError for what can't work."""
    settings, registry, keys = made_of.settings, made_of.registry, keyring(made_of.settings)
    database = made_of.database or connect(settings.database_url, made_of.clock)
    audit, model = Audit(keys), chat_model(made_of)
    work = Queued(database)  # what stands at the door goes to the database itself
    guard = Guard(work, settings.tool_timeout_s, settings.budget_result_bytes)
    gate = Confirmations(work, registry, keys, audit, guard, made_of.lease_s)
    models = _models(made_of, work, model, gate.tokens) if model is not None else None
    parking = Parking(work, gate, guard, settings.confirm_ttl_sec, settings.budget_pending_writes)
    shown = settings.history_messages, settings.history_tokens
    memory = _memory(made_of, work, models, shown)
    closing, executor = Closing(work, audit, gate.tokens, memory), Executor(guard, settings.tool_parallel)
    journal = Journal(work, registry, gate, audit, guard, executor)
    outlet = Outlet(made_of.clock)
    pace = Pace(made_of.clock)
    senders = senders_of(settings, outlet, pace, made_of.apis, made_of.plugins)
    limits = (settings.max_plan_rounds, settings.budget_steps)
    copier = made_of.copier() if made_of.copier is not None else None
    planner = made_of.planner or _planner(made_of, models, gate.tokens, senders, copier)
    planning = Planning(planner, registry, closing, executor, parking, limits)
    turn_limits = (settings.budget_turn_s, settings.budget_turn_result_bytes)
    lanes = SessionLane(database, made_of.lease_s, *turn_limits)
    views = Views(database, gate.tokens)
    decisions = Decisions(work, registry, gate, journal, parking, executor)
    answerer = Answerer(registry, guard, time_zone(settings), models if settings.answerer == "on" else None)
    orchestrator = AgentOrchestrator(
        lanes, (decisions, Handover(work, registry)), planning, answerer, closing, views
    )
    joining = Joining(timedelta(milliseconds=settings.debounce_ms))
    inbox_limits = Limits(
        made_of.lease_s, *shown, settings.budget_queued_messages, memory is not None, joining
    )
    inbox = Inbox(database, work, audit, inbox_limits, settings.default_locale)
    replies = ReplyCourier(work, senders, gate.tokens)
    deliveries = Deliveries(work, {**_couriers(settings, pace), REPLY: replies})
    engine = _engine(made_of, keys)
    timers = Timers(work, audit, Retention(work, _ages(settings)))
    worker = Worker(engine, inbox, orchestrator, lanes, deliveries, timers)
    return Parts(
        settings, registry, keys, database, audit, guard, inbox, planner, views, worker, engine, model,
        channels_of(settings, made_of.plugins), Statuses(database, deliveries.nudge, replies.templated), outlet,
        memory, copier, model if isinstance(model, LlamaModel) else None,
    )  # fmt: skip


def tool_registry(settings: Settings, tools: Iterable[Tool | type[Tool]]) -> ToolRegistry:
    """The allowlist: `TOOL_MODULES` where it is set, else the tools that the app gave."""
    if not settings.tool_modules:
        return ToolRegistry(tools)
    found: list[Tool | type[Tool]] = []
    for name in settings.tool_modules:
        try:
            found += importlib.import_module(name).TOOLS
        except (ImportError, AttributeError, TypeError) as error:
            raise StartError(
                f"TOOL_MODULES: {name} must be importable and have a list TOOLS ({error})"
            ) from error
    return ToolRegistry(found)


def keyring(settings: Settings) -> Keyring:
    """The keys: of SECRET_KEY, or, in development, of one minted into the data folder."""
    previous = (
        settings.secret_key_previous.get_secret_value().encode() if settings.secret_key_previous else None
    )
    if settings.secret_key is not None:
        return Keyring(settings.secret_key.get_secret_value().encode(), previous)
    return Keyring(_minted_key(settings.data_dir / "secret_key").encode(), previous)


def _minted_key(path: Path) -> str:
    """The key in this file, made at the first start."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError), path.open("x") as file:
            path.chmod(0o600)
            file.write(secrets.token_urlsafe(48))
        found = path.read_text().strip()
    except OSError as error:
        raise StartError(f"SECRET_KEY: unset, and DATA_DIR can't keep one ({error})") from error
    if len(found) < SHORTEST_SECRET:
        raise StartError(f"{path} holds no key: delete it, or set SECRET_KEY")
    return found


def time_zone(settings: Settings) -> ZoneInfo:
    return ZoneInfo(settings.timezone)


def sqlite_lock(settings: Settings) -> ProcessLock | None:
    """The lock that keeps a second engine process off an SQLite file."""
    url = normal_url(settings.database_url)
    return ProcessLock(Path(f"{url.database}.lock")) if url.get_backend_name() == "sqlite" else None


def chat_model(made_of: Ingredients) -> ChatModel | None:
    """The language model of the settings; None for the embedded planner. There is no silent fallback."""
    settings = made_of.settings
    if made_of.model is not None:
        return made_of.model
    if settings.llm == "embedded":
        path = settings.embedded_model
        return None if path is None else LlamaModel(path, settings.llm_timeout_s)
    try:
        return _ollama(settings) if settings.llm == "ollama" else _openai(settings)
    except ValueError as error:
        name = settings.llm.upper()
        raise StartError(f"{name}_BASE_URL, {name}_API_KEY: {error}") from error


def _ollama(settings: Settings) -> ChatModel:
    key = settings.ollama_api_key.get_secret_value() if settings.ollama_api_key else None
    url = settings.ollama_base_url or (OLLAMA_CLOUD if key else OLLAMA_LOCAL)
    return OllamaModel(ModelHttp(), url, settings.ollama_model, api_key=key, timeout_s=settings.llm_timeout_s)


def _openai(settings: Settings) -> ChatModel:
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else None
    url = settings.openai_base_url or OPENAI
    return OpenAIModel(ModelHttp(), url, settings.openai_model, api_key=key, timeout_s=settings.llm_timeout_s)


def _engine(made_of: Ingredients, keys: Keyring) -> TurnEngine:
    """What TURN_ENGINE names; Temporal's package is looked for only then."""
    settings = made_of.settings
    if settings.turn_engine == "embedded":
        return EmbeddedEngine(made_of.clock, made_of.sweep_s, made_of.lease_s / 3, settings.turn_slots)
    if find_spec("temporalio") is None:
        raise StartError(
            "TURN_ENGINE: temporal needs the extra [temporal], which is not installed: pip install temporalio"
        )
    from .temporal.engine import TemporalEngine, place

    where = place(settings.temporal_address or "", keys)
    return TemporalEngine(where, made_of.sweep_s, made_of.lease_s, settings.turn_slots)


def _models(made_of: Ingredients, database: Database, model: ChatModel, tokens: Tokens) -> Models:
    settings = made_of.settings
    ceilings = Ceilings(
        (settings.budget_session_calls, settings.budget_session_tokens),
        (settings.budget_principal_calls, settings.budget_principal_tokens),
        (settings.budget_account_calls, settings.budget_account_tokens),
    )
    return Models(
        database,
        ObservedModel(model),
        load_prompt(made_of.prompts, "answerer", PROMPTS["answerer"]),
        ceilings,
        tokens,
    )


def _memory(
    made_of: Ingredients, database: Database, models: Models | None, window: tuple[int, int]
) -> Memory | None:
    """None where it is off, or where no model plans: nothing else reads a summary."""
    if models is None or made_of.settings.memory == "off":
        return None
    return Memory(database, models, load_prompt(made_of.prompts, "summary", PROMPTS["summary"]), window)


def _planner(
    made_of: Ingredients, models: Models | None, tokens: Tokens, senders: Mapping[str, ReplySender],
    copier: Copier | None,
) -> Planner:  # fmt: skip
    settings = made_of.settings
    if models is None:
        zone = time_zone(settings)
        today = lambda: made_of.clock.now().astimezone(zone).date()  # noqa: E731
        return EmbeddedPlanner(made_of.registry, tokens, today, copier)
    longest = {name: sender.longest for name, sender in senders.items()}
    around = Surroundings(made_of.clock, time_zone(settings), longest, settings.budget_prompt_result_bytes)
    asking = Asking(_modes(settings), settings.llm_timeout_s, settings.llm_max_tokens, around)
    prompt = load_prompt(made_of.prompts, "planner", PROMPTS["planner"])
    return ModelPlanner(models, made_of.registry, prompt, asking)


def _modes(settings: Settings) -> tuple[OutputMode, ...]:
    """The output modes to try, best first. Ollama's cloud takes a schema and does not enforce it."""
    if settings.llm_output_mode != "auto":
        return (settings.llm_output_mode,)
    if settings.llm == "embedded":
        return ("schema", "prompt")
    in_cloud = settings.llm == "ollama" and (settings.ollama_base_url or OLLAMA_CLOUD).startswith(
        OLLAMA_CLOUD
    )
    return ("prompt",) if in_cloud else ("schema", "tool", "prompt")


def _ages(settings: Settings) -> Ages:
    return Ages(
        message_ids=settings.retention_message_ids_days,
        messages=settings.retention_messages_days,
        writes=settings.retention_writes_days,
        audit=settings.retention_audit_days,
        outbox=settings.retention_outbox_days,
        receipts=settings.retention_receipts_days,
        model_calls=settings.retention_model_calls_days,
        prompts=settings.retention_prompts_days,
        sessions=settings.retention_sessions_days,
    )


def _couriers(settings: Settings, pace: Pace) -> dict[str, Courier]:
    if settings.smtp_url is None:
        return {}
    return {"mail": SmtpCourier(settings.smtp_url.get_secret_value(), settings.mail_from, pace)}
