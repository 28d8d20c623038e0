"""What a task publishes of its run: its XComs, the link to its page, its outlets' events, its lineage."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_flowengine.assets import attach_run_to_outlet_events
from airflow_provider_flowengine.links import RUN_KEY, RUN_URL_KEY, FlowEngineRunLink, push_run_link
from airflow_provider_flowengine.protocol.errors import FlowEngineError
from airflow_provider_flowengine.protocol.progress import describe_progress

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_flowengine.operators.base import FlowEnginePipelineOperator
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.models import Pipeline, PipelineRun

log = logging.getLogger(__name__)

MIN_INTERVAL = 1.0
"""Seconds between two writes of the run's progress at least, but for the run's end."""

FIRST_INTERVAL = 2.0
"""Seconds from its start to the first write if the worker waits for it: a run that is over by then is written once."""


class ProgressXCom:
    """
    The XCom ``flowengine_run`` of a task, as this process has left it. A write that fails never fails the task.

    :param progress: what it held when this process began, as far as is known.
    :param is_written: whether the XCom holds that already.
    """

    def __init__(self, progress: JsonObject | None = None, *, is_written: bool = False) -> None:
        self.progress = progress
        self._is_written = is_written
        self._quiet_from = self._quiet_seconds = 0.0

    def pause(self, now: float, seconds: float) -> None:
        """Write nothing for some seconds, unless the run ends."""
        self._quiet_from, self._quiet_seconds = now, seconds

    def update(
        self, context: Context, run: PipelineRun, pipeline: Pipeline | None, now: float, *, at_once: bool = False
    ) -> None:
        """Write what has changed since the last write, at most once a second; the run's end, or if asked, at once."""
        progress = describe_progress(run, pipeline, self.progress)
        is_early = 0 <= now - self._quiet_from < self._quiet_seconds
        is_due = at_once or run.state.is_final or not is_early
        if not is_due or (progress == self.progress and self._is_written):
            return
        try:
            context["ti"].xcom_push(key=RUN_KEY, value=progress)
        except Exception:
            log.warning("Run %s could not be pushed to XCom", run.id, exc_info=True)
            return
        self.progress, self._is_written = progress, True
        self.pause(now, MIN_INTERVAL)


class RunReport:
    """
    Publishes a task's run. Nothing here ever fails the task.

    :param operator: the task's operator.
    :param context: the task's context.
    """

    def __init__(self, operator: FlowEnginePipelineOperator, context: Context) -> None:
        self.operator = operator
        self.context = context
        self.pipeline: Pipeline | None = None
        self.run: PipelineRun | None = None
        self.url = ""
        self._xcom = ProgressXCom()

    @property
    def progress(self) -> JsonObject | None:
        """The run's progress as it was last published."""
        return self._xcom.progress

    def read_xcom(self) -> JsonObject | None:
        """Return the progress that the task's XCom shows."""
        ti = self.context["ti"]
        shown = ti.xcom_pull(key=RUN_KEY, task_ids=self.operator.task_id, map_indexes=getattr(ti, "map_index", -1))
        return shown if isinstance(shown, dict) else None

    def restore(self, run: PipelineRun, progress: JsonObject, url: str, *, is_published: bool) -> None:
        """
        Take over what the task published before it was deferred.

        :param run: the run.
        :param progress: its progress.
        :param url: the address of the run's page.
        :param is_published: whether the XCom holds this progress.
        """
        self.run, self.url, self._xcom = run, url, ProgressXCom(progress, is_written=is_published)
        self._hide_link()

    def name(self, run: PipelineRun) -> str:
        """Return how logs name a run: with its pipeline's key, else id; and with its name, if that says more."""
        key, name = self._known_of_pipeline("key"), self._known_of_pipeline("name")
        label = f"pipeline {key or run.pipeline_id}"
        return f"run {run.id} of {label}" + (f" ({name})" if name and name != key else "")

    def _known_of_pipeline(self, field: Literal["key", "name"]) -> object:
        """Return what is known of the pipeline, from the pipeline itself or an earlier part of this try; or None."""
        return (getattr(self.pipeline, field) if self.pipeline else None) or (self.progress or {}).get(
            f"pipeline_{field}"
        )

    def link(self, run: PipelineRun) -> str:
        """Return the address of a run's page; empty if it isn't known."""
        if not self.url:
            try:
                self.url = self.operator.hook.run_url(run.pipeline_id, run.id)
            except FlowEngineError:
                log.debug("The address of the run's page is unknown", exc_info=True)
        return self.url

    def publish(self, run: PipelineRun, *, waits_here: bool) -> None:
        """
        Show the task's run for the first time: its link and its progress.

        :param run: the run.
        :param waits_here: whether this process waits for it: then a later update shows its progress soon enough.
        """
        self.run = run
        push_run_link(self.context, self.link(run))
        self._hide_link()
        if waits_here:
            self._xcom.pause(self.operator.hook.api.now(), FIRST_INTERVAL)
        self.update(run)

    def update(self, run: PipelineRun, *, at_once: bool = False) -> None:
        """
        Show how the run is now.

        :param run: the run.
        :param at_once: whether to show it even within a second of the last update; a run's end always is.
        """
        self.run = run
        self._xcom.update(self.context, run, self.pipeline, self.operator.hook.api.now(), at_once=at_once)

    def attach_to_outlet_events(self, run: PipelineRun) -> None:
        """Put the run into the events of the task's outlets."""
        if self.operator.outlets:
            attach_run_to_outlet_events(
                self.context, self.operator.outlets, {**run.as_dict(), "run_url": self.link(run)}
            )

    def _hide_link(self) -> None:
        """Keep Airflow from reading the link and writing it once more when this part of the task ends."""
        if FlowEngineRunLink().xcom_key == RUN_URL_KEY:
            self.operator.operator_extra_links = ()


def lineage_of(operator: FlowEnginePipelineOperator, report: RunReport | None) -> OperatorLineage[Any, Any]:
    """
    Return what is known already for OpenLineage; it sends no request.

    :param operator: the task's operator.
    :param report: what its execution has published; None before it executes.
    """
    from airflow_provider_flowengine.lineage import FlowEnginePipelineFacet, build_lineage

    engine_key = operator.engine_key
    with suppress(Exception):  # the connection, which need not be readable here
        engine_key = operator.hook.api.engine_key
    names = (engine_key, operator.pipeline_id, operator.pipeline_key, operator.pipeline_name)
    facet = FlowEnginePipelineFacet(*(str(name) if name is not None else None for name in names))
    return build_lineage(facet, report.run if report else None, report.url if report else "")
