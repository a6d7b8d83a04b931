"""The engine over Temporal: a workflow for each session calls the handlers as activities, in any process.

Nothing depends on it for safety. The database holds the messages, the order and the leases; a signal that is
lost, a workflow that is gone or an activity that runs twice costs time and nothing else: the sweep of any
worker process tells Temporal again, and fires timers and delivers letters without it.
"""

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from temporalio import activity
from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.exceptions import ApplicationError
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from ..engine import BREATH_S, Chores, Handlers, Load, complain
from ..errors import StartError
from ..keys import Keyring
from ..turn.inbox import Claimed
from ..version import __version__
from .workflow import DELIVER, FIRE_TIMER, RUN_NEXT, VERSION, Beginning, SessionWorkflow

T = TypeVar("T")
logger = logging.getLogger("llm_planner.temporal")
SIGNAL = timedelta(seconds=5)
"""How long a connection may take, and then a signal; what is not told by then the sweep tells."""

AGAIN_S = 2.0
"""Between two tries to connect a worker."""

FORGOTTEN = timedelta(days=30)
"""When Temporal ends a session's workflow that no worker knows any more: of an older version, or key."""

STICKS = timedelta(seconds=3)
"""How long a workflow waits for the process that remembers it, before another one reads its history."""

WORKFLOW_TASKS = 20
"""At the same time in one process; each is a thread for a millisecond."""

SANDBOX = SandboxedWorkflowRunner(SandboxRestrictions.default.with_passthrough_modules("llm_planner"))
"""The workflow's module imports nothing of ours; only its package, which would be loaded anew for each run."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where Temporal is, and the task queue of this installation there."""

    connection: ClientConnectConfig = field(repr=False)
    queue: str

    @property
    def address(self) -> str:
        return self.connection["target_host"]


def place(address: str, keys: Keyring) -> Place:
    """`TEMPORAL_ADDRESS`, with namespace, TLS and API key from Temporal's own variables. Raises StartError.

    The queue's name comes from `SECRET_KEY`: two installations that share a namespace never get each other's
    sessions, which they would not find in their databases.
    """
    try:
        connection = ClientConfig.load_client_connect_config(disable_file=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise StartError(f"TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS…: {error}") from error
    connection["target_host"] = address
    return Place(connection, f"llm-planner-{VERSION}-{keys.mac('temporal', b'queue').hex()[:12]}")


@cache
def _runtime() -> Runtime:
    """The SDK's threads, once a process. What they say goes into our log, errors alone: by default they print
    on the console, a line for each try while Temporal is away."""
    to_log = LoggingConfig(TelemetryFilter("ERROR", "ERROR"), LogForwardingConfig(logger))
    return Runtime(telemetry=TelemetryConfig(logging=to_log))


class TemporalEngine:
    """Tells Temporal what was committed; with `background` this process also works for it, and sweeps."""

    claims = False

    def __init__(self, where: Place, sweep_s: float, lease_s: float, places: int) -> None:
        self._where = where
        self._sweep_s = sweep_s
        self._lease_s = lease_s
        self._places = places
        self._chores = Chores()
        self._client: Client | None = None
        self._handlers: Handlers | None = None
        self._worker: Worker | None = None
        self._told: dict[str, float] = {}
        self._away = False
        self._draining = False

    @property
    def load(self) -> Load:
        """Temporal keeps the queue, and its workers take what they have places for."""
        return Load(0, self._places)

    async def start(self, handlers: Handlers, *, background: bool) -> None:
        """Connects when there is something to tell: messages are taken also while Temporal is away."""
        self._handlers = handlers
        self._client = await self._connect(lazy=True)
        self._chores.every(BREATH_S, self._pass_on_posted)
        if background:
            self._chores.every(self._lease_s / 3, handlers.renew)
            self._chores.every(self._sweep_s, self._sweep)
            self._chores.every(self._sweep_s, self._deliver)
            self._chores.every(AGAIN_S, self._work)

    def notify(self, session_id: str, claimed: Claimed | None = None) -> None:
        self._chores.begin(self._tell(session_id, RUN_NEXT))

    def arm_timer(self, session_id: str, due: datetime) -> None:
        self._chores.begin(self._tell(session_id, "arm", due))

    async def _pass_on_posted(self) -> None:
        if self._handlers is not None:
            for session_id in await self._handlers.posted():
                self._chores.begin(self._tell(session_id, DELIVER))

    async def _tell(self, session_id: str, signal: str, *arguments: datetime) -> bool:
        """Signal the session's workflow, which begins with that if there is none. False: Temporal is away."""
        if self._client is None:
            return False
        try:
            await self._client.start_workflow(
                SessionWorkflow.run,
                Beginning(session_id, self._lease_s),
                id=f"{self._where.queue}/{session_id}",
                task_queue=self._where.queue,
                execution_timeout=FORGOTTEN,
                start_signal=signal,
                start_signal_args=arguments,
                rpc_timeout=SIGNAL,
            )
        except (RPCError, RuntimeError) as error:
            self._note(error)
            return False
        self._note(None)
        return True

    def _note(self, fault: BaseException | None) -> None:
        """Log when Temporal goes away and when it is back, and not what happens in between."""
        if fault is not None and not self._away:
            logger.warning(
                "Temporal does not answer at TEMPORAL_ADDRESS=%s (%s): messages are stored, their turns wait",
                self._where.address, fault,
            )  # fmt: skip
        elif fault is None and self._away:
            logger.info("Temporal answers again")
        self._away = fault is not None

    async def _sweep(self) -> None:
        """Timers first, which do not need Temporal; then tell it what nobody works on, once a lease."""
        if self._handlers is None or self._draining:
            return
        await self._handlers.fire_timers()
        waiting, moment = await self._handlers.waiting(), asyncio.get_running_loop().time()
        recent = {
            name: at for name, at in self._told.items() if name in waiting and moment - at < self._lease_s
        }
        names = [name for name in waiting if name not in recent]
        heard = await asyncio.gather(*(self._tell(name, RUN_NEXT) for name in names))
        self._told = recent | {name: moment for name, told in zip(names, heard, strict=True) if told}

    async def _deliver(self) -> None:
        """What no workflow was told of: letters without a reply, retries, and what a crash left."""
        more = 1
        while self._handlers is not None and not self._draining and more:
            more = await asyncio.shield(self._chores.begin(self._handlers.deliver()))

    async def _work(self) -> None:
        """Work for Temporal until the end, or until something breaks: then from the beginning."""
        if self._draining or self._handlers is None:
            return
        try:
            client = await self._connect(lazy=False)
            if not self._draining:
                await self._work_for(self._handlers, client)
        except (RPCError, RuntimeError) as error:
            self._note(error)

    async def _work_for(self, handlers: Handlers, client: Client) -> None:
        activities = Activities(handlers, self._chores, self._lease_s / 3)
        self._worker = Worker(
            client,
            task_queue=self._where.queue,
            workflows=[SessionWorkflow],
            activities=[activities.run_next, activities.deliver, activities.fire_timer],
            workflow_runner=SANDBOX,
            max_concurrent_activities=self._places,
            max_concurrent_workflow_tasks=WORKFLOW_TASKS,
            sticky_queue_schedule_to_start_timeout=STICKS,
            graceful_shutdown_timeout=FORGOTTEN,
            build_id=f"llm-planner-{__version__}",  # else every module of the process is hashed for one
        )
        await self._worker.run()

    async def _connect(self, *, lazy: bool) -> Client:
        return await Client.connect(
            lazy=lazy, connect_timeout=SIGNAL, runtime=_runtime(), **self._where.connection
        )

    async def drain(self, timeout_s: float) -> None:
        """Take no more tasks, finish those that were taken, and tell Temporal what they left."""
        self._draining = True
        worker, self._worker = self._worker, None
        if worker is not None:
            self._chores.begin(worker.shutdown())
        await self._chores.end(timeout_s)


class Activities:
    """The handlers as Temporal calls them."""

    def __init__(self, handlers: Handlers, chores: Chores, beat_s: float) -> None:
        self._handlers = handlers
        self._chores = chores
        self._beat_s = beat_s

    @activity.defn(name=RUN_NEXT)
    async def run_next(self, session_id: str) -> bool:
        """Work on the session's oldest open turn. True if there may be another one."""
        return await self._alive(self._handlers.run_next(session_id, None))

    @activity.defn(name=DELIVER)
    async def deliver(self, session_id: str) -> int:
        """Deliver what is due in the session. Returns how many were tried."""
        return await self._alive(self._handlers.deliver(session_id))

    @activity.defn(name=FIRE_TIMER)
    async def fire_timer(self, session_id: str) -> datetime | None:
        """Expire what is overdue in the session. Returns when its next timer is due."""
        return await self._alive(self._handlers.fire_timer(session_id))

    async def _alive(self, work: Coroutine[Any, Any, T]) -> T:
        """Finish this, whatever Temporal thinks meanwhile, and tell it that this process lives.

        Of an error only its name goes into the history: its text may quote a user.
        """
        task = self._chores.begin(work)
        while not (await asyncio.wait([task], timeout=self._beat_s))[0]:
            activity.heartbeat()
        if task.cancelled():
            raise ApplicationError("cancelled")
        fault = task.exception()
        if fault is not None:
            complain(fault)
            raise ApplicationError(type(fault).__name__) from None
        return task.result()
