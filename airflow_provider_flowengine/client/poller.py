"""
All waiters on a pipeline share one poller, so cost scales with pipelines, not runs.

In a triggerer, hundreds of deferred tasks may wait for runs of few pipelines. A :class:`PipelinePoller` starts with
the first waiter of its pipeline, polls the run history when the first of them is due, and ends with the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import math
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_flowengine.client.aio import AsyncClient
from airflow_provider_flowengine.client.node_details import DEFAULT_BUDGET, NodeBudget
from airflow_provider_flowengine.client.shared_connection import SharedConnection, shared_connection
from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.errors import AmbiguousRunError, FlowEngineError
from airflow_provider_flowengine.protocol.flow import NO_RETRY
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.latest_runs import MIN_SIZE
from airflow_provider_flowengine.protocol.status import RunState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timezone

    from airflow_provider_flowengine.protocol.flow import Flow, T
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.monitor import RunMonitor
    from airflow_provider_flowengine.protocol.settings import Settings

log = logging.getLogger(__name__)

TICK = 0.05
"""Seconds between the moments at which polls are sent: a few at once wake the event loop less often than one by one."""


class EngineRef(NamedTuple):
    """
    An engine as a task has resolved it: the handshake isn't repeated.

    :param key: its key.
    :param url: its url.
    :param id: its id.
    :param offset: the offset of its times that name no zone, if the task has determined it.
    """

    key: str
    url: str
    id: Identifier
    offset: timezone | None = None


@dataclass(eq=False)
class _Subscriber:
    """
    One waiter of a poller.

    Its clock shows the time of day as it was at the start, and moves on with the monotonic clock: when the machine's
    clock is set back or forward, polls come as before.
    """

    monitor: RunMonitor
    on_observed: Callable[[PipelineRun], None]
    result: asyncio.Future[PipelineRun]
    clock_offset: float = field(default_factory=lambda: time.time() - time.monotonic())
    due: float = 0.0  # by the monotonic clock
    context: contextvars.Context = field(default_factory=contextvars.copy_context)  # Airflow finds the task's log by it

    @property
    def now(self) -> float:
        """The time of day, in seconds since the epoch."""
        return time.monotonic() + self.clock_offset

    def schedule(self, part: float = 1.0) -> None:
        """Set the next poll to after a part of the monitor's delay."""
        self.due = time.monotonic() + part * self.monitor.delay(self.now)

    def report(self, observe: Callable[[RunMonitor, float], PipelineRun | None]) -> None:
        """Let the monitor observe a result; an error in it ends this wait alone."""
        if self.result.done():
            return
        try:
            ended = self.context.run(observe, self.monitor, self.now)
            if self.monitor.last:
                self.context.run(self.on_observed, self.monitor.last)
            self.schedule()
        except Exception as error:
            self.result.set_exception(error)
        else:
            if ended:
                self.result.set_result(ended)


@dataclass
class PipelinePoller:
    """
    The one poller of a pipeline's history.

    :param connection: the connection.
    :param engine: the engine.
    :param pipeline_id: the pipeline.
    """

    connection: SharedConnection
    engine: EngineRef
    pipeline_id: Identifier
    _subscribers: set[_Subscriber] = field(default_factory=set)
    _task: asyncio.Task[None] | None = None
    _has_changed: asyncio.Event = field(default_factory=asyncio.Event)  # a waiter was added or removed
    _history: History | None = None
    _returns_nodes: bool = True

    async def wait(
        self, monitor: RunMonitor, on_observed: Callable[[PipelineRun], None] = lambda run: None
    ) -> PipelineRun:
        """
        Wait until a run has ended, however it ended.

        :param monitor: decides when the wait is over.
        :param on_observed: is called with the run each time it was observed.
        :raises RunError: when it can't be waited for any longer.
        """
        if monitor.started_after and monitor.started_after.tzinfo is None:
            raise ValueError(f"started_after must have a time zone, not {monitor.started_after!r}")
        subscriber = _Subscriber(monitor, on_observed, asyncio.get_running_loop().create_future())
        # Spread the first polls over the delay, so that a thousand pipelines aren't polled in the same instant.
        subscriber.schedule(random.random())
        self._subscribers.add(subscriber)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"FlowEngine poller of pipeline {self.pipeline_id}")
        self._has_changed.set()
        try:
            return await subscriber.result
        finally:
            self._subscribers.discard(subscriber)
            self.connection.node_details.forget(self._run_key(monitor.run_id))
            self._has_changed.set()

    @property
    def is_idle(self) -> bool:
        """Whether no task waits."""
        return not self._subscribers

    async def stop(self) -> None:
        """End the loop."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        try:
            while True:
                await self._until_due()
                await self._poll()
        except Exception as error:
            # A bug must reach the waiters: a poller that ends silently would leave them waiting for ever.
            for subscriber in self._waiting():
                subscriber.result.set_exception(error)
            self._task = None

    async def _until_due(self) -> None:
        while True:
            self._has_changed.clear()
            due = min((subscriber.due for subscriber in self._waiting()), default=math.inf)
            now = time.monotonic()
            if due <= now:
                return
            # Not asyncio.wait_for, which loses a cancellation in Python 3.11 when it races with a result.
            delay = math.ceil(due / TICK) * TICK - now if due < math.inf else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._has_changed.wait()

    # --- one poll -------------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        """Poll once, and report its run to every waiter."""
        waiting = self._waiting()
        await self._poll_known([each for each in waiting if each.monitor.run_id is not None])
        await self._poll_expected([each for each in waiting if each.monitor.run_id is None])

    async def _poll_known(self, subscribers: list[_Subscriber]) -> None:
        """Poll for runs whose ids are known."""
        wanted = {each.monitor.run_id for each in subscribers if each.monitor.run_id is not None}
        found = await self._read(subscribers, lambda history: history.find_all(wanted))
        if found is None:
            return
        for subscriber in subscribers:
            subscriber.report(lambda monitor, now: monitor.observe_lookup(found, now))
            self._request_nodes(subscriber)

    async def _poll_expected(self, subscribers: list[_Subscriber]) -> None:
        """Poll for runs of which only the earliest start time is known."""
        earliest = min((each.monitor.started_after for each in subscribers if each.monitor.started_after), default=None)
        try:
            runs = await self._read(subscribers, lambda history: history.started_since(earliest))
        except AmbiguousRunError as error:  # the earliest moment is too far back: only its own waiters fail
            for subscriber in subscribers:
                if subscriber.monitor.started_after == earliest and not subscriber.result.done():
                    subscriber.result.set_exception(error)
            return
        if runs is None:
            return
        for subscriber in subscribers:
            subscriber.report(lambda monitor, now: monitor.observe_any(runs, now))

    async def _read(self, subscribers: list[_Subscriber], flow: Callable[[History], Flow[T]]) -> T | None:
        """
        Read from the history for some waiters; report it to them if that fails.

        Whatever goes wrong is a failed poll, a bug too, so that it ends no wait by itself.

        :raises AmbiguousRunError: if there are more runs than can be looked through.
        """
        if not subscribers:
            return None
        try:
            history, client = await self._connect()
            return await client.run(flow(history))
        except AmbiguousRunError:
            raise
        except FlowEngineError as error:
            failure = error
        except Exception as error:
            log.exception("A poll of pipeline %s broke", self.pipeline_id)
            failure = FlowEngineError(f"The poll broke: {type(error).__name__}: {error}")
        for subscriber in subscribers:
            subscriber.report(lambda monitor, now: monitor.record_failure(failure, now))
        return None

    async def _connect(self) -> tuple[History, AsyncClient]:
        settings, client = await self.connection.acquire()
        if self._history is None or self._history.api.settings is not settings:
            address = (self.engine.url, self.engine.id)
            api = Api(settings, self.engine.key, address=address, retry=NO_RETRY)
            self._history = History(api, self.pipeline_id, MIN_SIZE)
        self._history.api.offset = self.engine.offset
        return self._history, client

    def _waiting(self) -> list[_Subscriber]:
        return [subscriber for subscriber in self._subscribers if not subscriber.result.done()]

    # --- nodes ----------------------------------------------------------------------------------------------------

    def _request_nodes(self, subscriber: _Subscriber) -> None:
        """Request the nodes of a run that is under way, if the history holds none."""
        run = subscriber.monitor.last
        if self._returns_nodes and run and run.started and not run.nodes and not subscriber.result.done():
            self.connection.node_details.request(self._run_key(run.id), lambda: self._fetch_nodes(run.id))

    async def _fetch_nodes(self, run_id: Identifier) -> None:
        if not self._returns_nodes:  # another run's answer has shown it meanwhile
            return
        history, client = await self._connect()
        run = await client.run(history.api.read_run(self.pipeline_id, run_id))
        self._returns_nodes = bool(run and run.nodes)
        if run is None or not run.nodes or run.state is RunState.UNKNOWN:
            return
        for subscriber in self._waiting():
            if subscriber.monitor.run_id == run_id:
                subscriber.report(lambda monitor, now: monitor.observe(run, now))

    def _run_key(self, run_id: Identifier | None) -> tuple[str, Identifier, Identifier | None]:
        return (self.engine.key, self.pipeline_id, run_id)


_pollers: dict[tuple[asyncio.AbstractEventLoop, str, str, Identifier], PipelinePoller] = {}
"""The pollers at work, by event loop, connection, engine key and pipeline."""


async def wait(
    conn_id: str,
    load: Callable[[], Awaitable[Settings]],
    engine: EngineRef,
    monitor: RunMonitor,
    connect: Callable[[Settings], AsyncClient] = AsyncClient,
    on_observed: Callable[[PipelineRun], None] = lambda run: None,
    node_budget: NodeBudget = DEFAULT_BUDGET,
) -> PipelineRun:
    """
    Wait until a run has ended, sharing the poller of its pipeline with all who wait in this event loop.

    :param conn_id: the connection's id.
    :param load: reads its settings.
    :param engine: the engine.
    :param monitor: decides when the wait is over.
    :param connect: makes the client, if this event loop has none yet.
    :param on_observed: is called with the run each time it was observed.
    :param node_budget: how often the connection requests nodes that the history doesn't hold.
    :return: the run as it ended.
    :raises RunError: when it can't be waited for any longer.
    """
    async with shared_connection(conn_id, load, connect, node_budget) as shared:
        key = (asyncio.get_running_loop(), conn_id, engine.key, monitor.pipeline_id)
        poller = _pollers.setdefault(key, PipelinePoller(shared, engine, monitor.pipeline_id))
        if engine.offset:  # how to read times that name no zone, as a task has determined it
            poller.engine = engine
        try:
            return await poller.wait(monitor, on_observed)
        finally:
            if poller.is_idle and _pollers.get(key) is poller:
                del _pollers[key]
                await poller.stop()
