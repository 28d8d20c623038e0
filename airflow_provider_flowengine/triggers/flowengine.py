"""Waiting for runs in the triggerer."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_flowengine.hooks.connection import async_settings
from airflow_provider_flowengine.local_time import parse_local_datetime
from airflow_provider_flowengine.protocol.arguments import parse_id
from airflow_provider_flowengine.protocol.errors import (
    FlowEngineError,
    RunError,
    RunLostError,
    RunTimeoutError,
    StatusUnavailableError,
)
from airflow_provider_flowengine.triggers.events import FlowEnginePipelineRunEventTrigger
from airflow_provider_flowengine.triggers.progress import ProgressWriter, node_budget

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_flowengine.client.aio import AsyncClient
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.monitor import RunMonitor
    from airflow_provider_flowengine.protocol.settings import Settings

__all__ = ["FlowEnginePipelineRunEventTrigger", "FlowEnginePipelineRunTrigger"]

KILL_TIMEOUT = 20.0
"""Seconds to stop a run when the user ends the task: Airflow allows ``[triggerer] on_kill_timeout``, 30 by default."""

MIN_DEFERRAL = 3.0
"""
Seconds before which a triggerer gets no event. If a task is queued again before Airflow's scheduler has noticed that
its first process has ended, the scheduler takes that end for the second process's and fails the task.
"""

OUTCOMES: dict[str, type[RunError]] = {
    "unreachable": StatusUnavailableError,  # before the more general one
    "timeout": RunTimeoutError,
    "lost": RunLostError,
}
"""How a wait can end before its run, by its ``outcome`` in the event."""


@dataclass(kw_only=True, eq=False, repr=False)
class FlowEnginePipelineRunTrigger(BaseTrigger):
    """
    Waits for a run to end, sharing one poller with all triggers of the same pipeline in this triggerer.

    All arguments are plain values, none is secret: the connection is named, and read where it is needed.

    :param flowengine_conn_id: the connection's id.
    :param engine_key: the engine.
    :param engine_url: ``engineUrl`` as the task resolved it, so that the handshake isn't repeated.
    :param engine_id: ``engineId``, likewise.
    :param pipeline_id: the pipeline.
    :param run_id: the run; None waits for the first one that started at or after ``started_after``.
    :param started_after: an ISO 8601 time, for a wait without ``run_id``; in Airflow's default time zone if it names
        none.
    :param poll_interval: seconds between two polls at most, default 30.
    :param deadline: when the wait is over, in seconds since the epoch: it doesn't move when the triggerer restarts.
    :param limit: which limit sets the deadline, for the error (:func:`.describe_limit`).
    :param unreachable_timeout: seconds that FlowEngine may give no usable answer, default 900.
    :param run_url: the address of the run's page; may hold ``{run_id}`` while the run isn't known.
    :param started_at: when the run started, in seconds since the epoch.
    :param pre_resume_run: the run as it was before it was resumed, whose end doesn't count
        (:meth:`.PipelineRun.as_dict`).
    :param cancel_on_kill: whether the run is stopped when a user ends the task.
    :param writes_progress: whether the task's XCom shows the run.
    :param pipeline_key: the pipeline's key, if it is known; for the run's progress.
    :param pipeline_name: its name, likewise.
    :param utc_offset: how many seconds FlowEngine's times that name no zone are ahead of UTC, if the task has
        determined it.
    """

    flowengine_conn_id: str
    engine_key: str
    engine_url: str
    engine_id: int | str
    pipeline_id: int | str
    run_id: int | str | None = None
    started_after: str | None = None
    poll_interval: float = 30.0
    deadline: float | None = None
    unreachable_timeout: float = 900.0
    run_url: str = ""
    started_at: float | None = None
    pre_resume_run: dict[str, Any] | None = None
    cancel_on_kill: bool = True
    writes_progress: bool = True
    pipeline_key: str = ""
    pipeline_name: str = ""
    limit: str = ""
    utc_offset: float | None = None

    def __post_init__(self) -> None:
        """Read ids that are digits as numbers."""
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's has no hints
        self.engine_id = parse_id("engine_id", self.engine_id)
        self.pipeline_id = parse_id("pipeline_id", self.pipeline_id)
        self.run_id = None if self.run_id is None else parse_id("run_id", self.run_id)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow keeps of this trigger: plain values only."""
        arguments = {argument.name: getattr(self, argument.name) for argument in fields(self)}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """
        Wait, and fire one event that says how the wait ended: the run's end, or why there was none.

        The event is ``{"outcome", "run", "run_url", "published", "engine"}``, and with an outcome other than ``ended``
        ``"message"`` and ``"missing"`` too. ``run`` is the run's progress (:func:`.describe_progress`), ``published``
        says whether the task's XCom ``flowengine_run`` holds it already, and ``engine`` is the engine as the task has
        resolved it: ``{"url", "id", "utc_offset"}``.
        """
        from airflow_provider_flowengine.client import poller
        from airflow_provider_flowengine.protocol.models import Pipeline
        from airflow_provider_flowengine.protocol.zone import offset_from

        earliest = time.monotonic() + (MIN_DEFERRAL if self.task_instance else 0.0)  # none: dag.test() runs it
        pipeline = Pipeline(self.pipeline_id, name=self.pipeline_name, key=self.pipeline_key)
        progress = ProgressWriter(self.task_instance if self.writes_progress else None, pipeline)
        monitor = self._monitor()
        run: PipelineRun | None
        try:
            run = await poller.wait(
                self.flowengine_conn_id,
                partial(async_settings, self.flowengine_conn_id),
                poller.EngineRef(self.engine_key, self.engine_url, self.engine_id, offset_from(self.utc_offset)),
                monitor,
                self.connect,
                progress.update,
                node_budget(),
            )
            event: dict[str, Any] = {"outcome": "ended"}
        except FlowEngineError as error:
            run = getattr(error, "run", None) or monitor.last
            outcome = next((word for word, kind in OUTCOMES.items() if isinstance(error, kind)), "error")
            event = {
                "outcome": outcome,
                "message": getattr(error, "message", str(error)),
                "missing": getattr(error, "gone", False),
            }
        except asyncio.CancelledError:  # the trigger moves to another triggerer
            progress.stop()
            raise
        event["run"] = {"run_id": monitor.run_id, "pipeline_id": self.pipeline_id}
        if run:
            event["run"], event["published"] = await progress.finish(run)
        engine = {"url": self.engine_url, "id": self.engine_id, "utc_offset": self.utc_offset}
        await asyncio.sleep(earliest - time.monotonic())
        yield TriggerEvent({**event, "run_url": monitor.run_url, "engine": engine})

    async def on_kill(self) -> None:
        """Stop the run: Airflow (3.3 and later) calls this when a user ends the deferred task, and only then."""
        if not self.cancel_on_kill or self.run_id is None:
            return
        stopping = asyncio.create_task(self._stop(self.run_id))
        # Airflow cancels the trigger again at each of its rounds, a second apart, until it has ended: on_kill included.
        while not stopping.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(stopping)

    async def _stop(self, run_id: Identifier) -> None:
        from airflow_provider_flowengine.protocol.api import Api
        from airflow_provider_flowengine.protocol.stopping import stop

        self.log.info("The task was ended: stopping run %s of pipeline %s.", run_id, self.pipeline_id)
        try:
            settings = await async_settings(self.flowengine_conn_id)
            address = (self.engine_url, self.engine_id)
            api = Api(settings, self.engine_key, address=address).without_retries(KILL_TIMEOUT / 4)
            async with self.connect(settings) as client:
                flow = stop(api, self.pipeline_id, run_id, timeout=KILL_TIMEOUT, assume_exists=True)
                stopped = await client.run(flow)
            self.log.info("Run %s: %s.", run_id, "cancellation requested" if stopped else "it had already finished")
        except Exception as error:  # what Airflow can't read of the connection too
            self.log.error("Run %s could not be stopped and may still be running: %s %s", run_id, self.run_url, error)

    def connect(self, settings: Settings) -> AsyncClient:
        """Return a client for a connection's settings."""
        from airflow_provider_flowengine.client.aio import AsyncClient

        return AsyncClient(settings)

    def _monitor(self) -> RunMonitor:
        from airflow_provider_flowengine.protocol.models import run_from_dict
        from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor

        started_after = self.started_after
        return RunMonitor(
            self.run_id,
            self.pipeline_id,
            PollOptions(self.poll_interval, self.deadline, self.unreachable_timeout, limit=self.limit),
            started_at=self.started_at or time.time(),
            run_url=self.run_url,
            pre_resume_run=run_from_dict(self.pre_resume_run) if self.pre_resume_run else None,
            started_after=parse_local_datetime("started_after", started_after) if started_after else None,
        )
