"""The XCom ``flowengine_run`` of a deferred task, written by the trigger at each change of its run or a node."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.client.node_details import DEFAULT_BUDGET, NodeBudget
from airflow_provider_flowengine.links import RUN_KEY
from airflow_provider_flowengine.protocol.progress import describe_progress, run_from_progress

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.models import Pipeline, PipelineRun

log = logging.getLogger(__name__)

MIN_WRITE_INTERVAL = 1.0
"""Seconds between two writes of one task at least."""

MAX_WRITE_TIME = 10.0
"""Seconds that the end of a wait waits at most for a write that Airflow doesn't answer."""


class ProgressWriter:
    """
    Writes a task's progress, at most once a second. A write that fails is logged, and never harms the wait.

    The XCom already holds what only the worker has read of the pipeline. So it is read once, before the first write,
    and merged in: the trigger's arguments stay small however large the pipeline is.

    :param task_instance: the deferred task; None, as in ``dag.test()``, writes nothing.
    :param pipeline: the pipeline, as far as the trigger knows it.
    """

    def __init__(self, task_instance: Any, pipeline: Pipeline | None = None) -> None:
        self._pipeline = pipeline
        self._task_instance = task_instance if compat.TRIGGERS_WRITE_XCOM else None
        self._progress: JsonObject = {}
        self._written: JsonObject | None = None
        self._written_at = -MIN_WRITE_INTERVAL
        self._has_read = self._has_warned = False
        self._write_lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def update(self, run: PipelineRun) -> None:
        """Write a run's progress in the background, if it has changed."""
        self._progress = describe_progress(run, self._pipeline, self._progress)
        if self._task_instance and self._task is None and self._progress != self._written:
            self._task = asyncio.create_task(self._write_changes(), name="FlowEngine progress")

    def stop(self) -> None:
        """End the background writes: the wait is over, or the trigger moves to another triggerer."""
        if self._task:
            self._task.cancel()
            self._task = None

    async def finish(self, run: PipelineRun) -> tuple[JsonObject, bool]:
        """
        Write a run's progress at the end of the wait, unless the last write was within the last second.

        :return: the progress, and whether the XCom holds it.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MAX_WRITE_TIME), self._write_lock:
                self.stop()  # not amid a write, which must not arrive after the last one
        self.stop()
        self._progress = describe_progress(run, self._pipeline, self._progress)
        if self._task_instance and asyncio.get_running_loop().time() - self._written_at >= MIN_WRITE_INTERVAL:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MAX_WRITE_TIME):
                    await self._write()
        return self._progress, self._progress == self._written

    async def _write_changes(self) -> None:
        attempted: JsonObject | None = None
        while self._progress not in (attempted, self._written):
            async with self._write_lock:
                attempted = await self._write()
            await asyncio.sleep(MIN_WRITE_INTERVAL)
        self._task = None

    async def _write(self) -> JsonObject:
        """Complete the progress by what the XCom held before, write it if it differs, and return it."""
        progress = self._progress
        try:
            if not self._has_read:
                self._written = await asyncio.to_thread(_read_xcom, self._task_instance)
                self._has_read = True
            progress = describe_progress(run_from_progress(self._progress), self._pipeline, self._written)
            self._progress = progress
            if progress != self._written:
                await asyncio.to_thread(_write_xcom, self._task_instance, progress)
                self._written = progress
                self._written_at = asyncio.get_running_loop().time()
        except Exception as error:
            level = logging.DEBUG if self._has_warned else logging.WARNING
            log.log(level, "The XCom %s can't be written: %s: %s", RUN_KEY, type(error).__name__, error)
            self._has_warned = True
        return progress


def _key(task_instance: Any) -> dict[str, Any]:
    names = ("dag_id", "task_id", "run_id", "map_index")
    return {"key": RUN_KEY, **{name: getattr(task_instance, name) for name in names}}


def _read_xcom(task_instance: Any) -> JsonObject | None:
    from airflow.providers.common.compat.sdk import XCom

    content = XCom.get_one(**_key(task_instance))
    return content if isinstance(content, dict) else None


def _write_xcom(task_instance: Any, progress: JsonObject) -> None:
    from airflow.providers.common.compat.sdk import XCom

    XCom.set(value=progress, **_key(task_instance))


def node_budget() -> NodeBudget:
    """Return how often nodes are requested, from Airflow's configuration section ``[flowengine]``."""
    return NodeBudget(
        conf.getfloat("flowengine", "node_requests_per_second", fallback=DEFAULT_BUDGET.requests_per_second),
        conf.getfloat("flowengine", "node_request_interval", fallback=DEFAULT_BUDGET.interval),
    )
