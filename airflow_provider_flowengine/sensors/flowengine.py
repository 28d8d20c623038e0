"""Waiting for a run that something else has started: another task, or FlowEngine's own schedule."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.links import FlowEngineRunLink, push_run_link
from airflow_provider_flowengine.local_time import parse_local_datetime
from airflow_provider_flowengine.operators.arguments import (
    RENDERED,
    Id,
    Text,
    Time,
    refuse,
    rendered_id,
    require_exactly_one,
    validate_arguments,
)
from airflow_provider_flowengine.operators.base import CONNECTION_FIELDS, PIPELINE_FIELDS, PipelineMixin
from airflow_provider_flowengine.operators.deferral import (
    build_trigger,
    error_from_deferral,
    error_from_event,
    is_deferrable,
    parse_event,
)
from airflow_provider_flowengine.protocol.arguments import Seconds, seconds
from airflow_provider_flowengine.protocol.errors import (
    FlowEngineError,
    RunError,
    RunTimeoutError,
    ServiceUnavailableError,
    StatusUnavailableError,
    UnexpectedResponseError,
    sentence,
    with_page,
)
from airflow_provider_flowengine.retry import failing_at_once
from airflow_provider_flowengine.sensors.dag_run_time import DagRunTime
from airflow_provider_flowengine.sensors.outage import restore_outage, save_outage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from airflow_provider_flowengine.operators.execution.report import ProgressXCom
    from airflow_provider_flowengine.protocol.history import History
    from airflow_provider_flowengine.protocol.models import Pipeline, PipelineRun
    from airflow_provider_flowengine.protocol.monitor import RunMonitor

NEVER_FAIL = "Skipped, since never_fail is on: "


class FlowEnginePipelineRunSensor(PipelineMixin, BaseSensorOperator):
    """
    Wait until a run has succeeded; fail at once, not at the timeout, when it failed or was stopped.

    With ``run_id`` it waits for that run. Without, it waits for the first run started at or after a moment, so a DAG
    can follow a pipeline that FlowEngine schedules itself. The moment is ``started_after``, or ``started_within``
    before the DAG run's own time. With neither it is the data interval's start if the DAG run is scheduled or
    backfilled and its interval has a length, and the DAG run's own time if it was started by hand or by an asset. A
    scheduled DAG run whose interval has no length, as with Airflow 3's plain cron, is refused.

    It never stops a run. ``execution_timeout`` fails it in every mode, and never skips it.

    :param pipeline_id: the pipeline, by its id; or by one of the next two (templated, like all identifying arguments).
    :param pipeline_key: by its ``pipelineKey``.
    :param pipeline_name: by its name.
    :param run_id: the run.
    :param started_after: a datetime or its ISO 8601 text, e.g. ``{{ data_interval_start }}``; in Airflow's default time
        zone if it names none.
    :param started_within: seconds or a timedelta before the DAG run's own time: the end of its data interval if it is
        scheduled or backfilled, else when it was due. Means the same on Airflow 2.11 and 3.
    :param deferrable: whether to wait in the triggerer; default Airflow's ``[operators] default_deferrable``.
    :param poke_interval: seconds (or a timedelta) between two polls at most, default 60. A short run is polled more
        often: the delay is a tenth of its length so far, at least a second.
    :param timeout: seconds (or a timedelta) to wait at most, counted from the first start of this try; default
        Airflow's ``[sensors] default_timeout``, 7 days.
    :param soft_fail: whether the task is skipped instead of failed when the run doesn't succeed in time. A mistake,
        such as an unknown pipeline, fails it all the same; ``never_fail`` skips it then too.
    :param unreachable_timeout: seconds (or a timedelta) that FlowEngine may give no usable answer, default 900.
    :param flowengine_conn_id: the connection, default ``flowengine_default``.
    :param engine_key: the engine; default the connection's.
    :return: the run: ``{"run_id", "pipeline_id", "status", "state", "started", "ended", "trigger"}``.
    """

    template_fields: Sequence[str] = ("run_id", "started_after", *PIPELINE_FIELDS, *CONNECTION_FIELDS)
    operator_extra_links: Sequence[BaseOperatorLink] = (FlowEngineRunLink(),)
    ui_color = "#f1f5fe"

    def __init__(
        self,
        *,
        pipeline_id: Id | None = None,
        pipeline_key: Text | None = None,
        pipeline_name: Text | None = None,
        run_id: Id | None = None,
        started_after: Time | None = None,
        started_within: Seconds | None = None,
        deferrable: bool | None = None,
        poke_interval: Seconds = 60,
        timeout: Seconds | None = None,
        soft_fail: bool = False,
        unreachable_timeout: Seconds = 900,
        flowengine_conn_id: Text = DEFAULT_CONN_ID,
        engine_key: Text | None = None,
        **kwargs: Any,
    ) -> None:
        if timeout is not None:  # Airflow 2.11 takes no None
            kwargs["timeout"] = timeout
        super().__init__(poke_interval=poke_interval, soft_fail=soft_fail, **kwargs)
        require_exactly_one(self, pipeline_id=pipeline_id, pipeline_key=pipeline_key, pipeline_name=pipeline_name)
        selectors = {"run_id": run_id, "started_after": started_after, "started_within": started_within}
        selector = {name: value for name, value in selectors.items() if value is not None}
        if len(selector) > 1:
            names = " or ".join(selector)
            refuse(self, f"give {names}, not both")
        validate_arguments(
            self,
            flowengine_conn_id=flowengine_conn_id,
            engine_key=engine_key,
            deferrable=deferrable,
            unreachable_timeout=unreachable_timeout,
            **selector,
        )
        self.pipeline_id = pipeline_id
        self.pipeline_key = pipeline_key
        self.pipeline_name = pipeline_name
        self.run_id = run_id
        # A run_id that renders to nothing is an error; it doesn't mean any run.
        self._waits_for_run_id = run_id is not None
        self.started_after = started_after
        self.started_within = started_within
        self.deferrable = is_deferrable(deferrable)
        self.unreachable_timeout = unreachable_timeout
        self.flowengine_conn_id = flowengine_conn_id
        self.engine_key = engine_key
        self._monitor: RunMonitor | None = None
        self._history: History | None = None
        self._pipeline: Pipeline | None = None
        self._xcom: ProgressXCom | None = None

    @failing_at_once()
    def execute(self, context: Context) -> Any:
        """Wait for the run, in the worker or in the triggerer."""
        try:
            return self._poke_and_defer(context) if self.deferrable else super().execute(context)
        except AirflowTaskTimeout as error:
            raise self._overdue(error) from None
        except AirflowSensorTimeout as error:
            if error.__cause__:  # it is ours
                raise
            text = self._describe_timeout("timeout", _seconds(self.timeout))
            if self.never_fail:
                raise AirflowSkipException(f"{NEVER_FAIL}{text}") from None
            raise AirflowSensorTimeout(text) from None
        except AirflowSkipException as skip:
            # Airflow's sensor treats execution_timeout as its own timeout if it fires during a poke.
            if isinstance(skip.__cause__, AirflowTaskTimeout):
                raise self._overdue(skip.__cause__) from None
            raise

    def _overdue(self, error: AirflowTaskTimeout) -> AirflowTaskTimeout:
        """Return Airflow's error with a text that says which limit is over, and the run's state."""
        if not self.execution_timeout:
            return error
        return AirflowTaskTimeout(self._describe_timeout("execution_timeout", self.execution_timeout.total_seconds()))

    def _describe_timeout(self, name: str, length: float) -> str:
        from airflow_provider_flowengine.protocol.monitor import describe_limit

        if self._monitor is None:
            return f"The {describe_limit(name, length)} is over: no run is known yet."
        return with_page(self._monitor.describe_timeout(describe_limit(name, length)), self._monitor.known_url)

    def _poke_and_defer(self, context: Context) -> Any:
        try:
            result = self.poke(context)
        except FlowEngineError as error:
            self._fail(error)
        return result.xcom_value if isinstance(result, PokeReturnValue) else self._defer(context)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """
        Poll the run once.

        :return: the run when it has succeeded, False while it is under way.
        :raises RunFailedError: when it failed.
        :raises RunStoppedError: when it was stopped.
        """
        from airflow_provider_flowengine.protocol.waiting import poll_once

        try:
            monitor, history = self._prepare(context)
        except (ServiceUnavailableError, UnexpectedResponseError) as error:
            if not self.reschedule or compat.first_poke_date(context) is None:
                raise
            self._tolerate_setup_error(context, error)
            return False
        try:
            run = self.hook.client.run(poll_once(history, monitor))
        except RunError as error:
            self._fail(error)
        if self.reschedule:
            save_outage(context, monitor)
        if monitor.last:
            push_run_link(context, monitor.run_url)
            self._publish(context, monitor.last)
        return PokeReturnValue(True, self._succeed(context, run, monitor.run_url)) if run else False

    @failing_at_once()
    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Resume after the trigger, and report how the run ended.

        :param event: the trigger's event.
        :return: the run.
        """
        from airflow_provider_flowengine.operators.execution.report import ProgressXCom
        from airflow_provider_flowengine.protocol.progress import run_from_progress

        event = parse_event(self.hook, event)
        if event.get("outcome") != "ended":
            self._fail(error_from_event(event))
        self._xcom = ProgressXCom(event["run"], is_written=bool(event.get("published")))
        url = str(event.get("run_url") or "")
        push_run_link(context, url)
        return self._succeed(context, run_from_progress(event["run"]), url)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral; if Airflow itself has ended it, fail as if the trigger had reported that."""
        try:
            # Not the sensor's own, which would skip the task for a broken trigger.
            return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
        except compat.DEFERRAL_ERRORS as error:
            cause = error
        reason = error_from_deferral(cause)
        if isinstance(reason, RunTimeoutError):
            self._fail(reason)
        raise reason from cause

    # --- how it ends ----------------------------------------------------------------------------------------------

    def _succeed(self, context: Context, run: PipelineRun, run_url: str) -> dict[str, Any]:
        from airflow_provider_flowengine.protocol.outcomes import check_success

        # Nodes that were read while the run was under way are out of date, and another process may have read them.
        if run.nodes or self.reschedule or self.deferrable or run.state != "succeeded":
            run = self.hook.fetch_final_nodes(run)
        self._publish(context, run)
        try:
            check_success(run, run_url)
        except RunError as error:
            self._fail(error)
        self.log.info("%s succeeded.", sentence(run))
        return run.as_dict()

    def _fail(self, error: FlowEngineError) -> NoReturn:
        """Fail or skip the task, as ``soft_fail`` says of runs and ``never_fail`` of whatever goes wrong."""
        is_timeout = isinstance(error, RunTimeoutError) and not isinstance(error, StatusUnavailableError)
        if is_timeout and self._limit()[0] == "execution_timeout":
            raise AirflowTaskTimeout(str(error)) from error
        if self.never_fail:
            raise AirflowSkipException(f"{NEVER_FAIL}{error}") from error
        if self.soft_fail and isinstance(error, RunError):
            raise AirflowSkipException(f"Skipped, since soft_fail is on: {error}") from error
        if is_timeout:
            raise AirflowSensorTimeout(str(error)) from error
        raise error

    def _publish(self, context: Context, run: PipelineRun) -> None:
        from airflow_provider_flowengine.operators.execution.report import ProgressXCom

        self._xcom = self._xcom or ProgressXCom()
        self._xcom.update(context, run, self._pipeline, time.time())

    # --- waiting --------------------------------------------------------------------------------------------------

    def _prepare(self, context: Context) -> tuple[RunMonitor, History]:
        """Return the monitor and the history, built once a process: rescheduled, each poll has its own."""
        if self._monitor is None or self._history is None:
            from airflow_provider_flowengine.protocol.waiting import polled_history

            monitor = self._build_monitor(context)  # before anything that takes time
            hook, self._pipeline = self.hook, self.find_pipeline()
            monitor.pipeline_id = self._pipeline.id
            monitor.run_url = hook.run_url(self._pipeline.id, "{run_id}" if monitor.run_id is None else monitor.run_id)
            self._history, self._monitor = polled_history(hook.api, self._pipeline.id), monitor
            self.log.info("Waiting for %s.", monitor.name)
        return self._monitor, self._history

    def _build_monitor(self, context: Context) -> RunMonitor:
        """Build a monitor as of now; its pipeline has the name that the DAG gives it, until it is found."""
        from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor

        run_id = rendered_id("run_id", self.run_id) if self._waits_for_run_id else None
        started_at = self._started_at(context)
        monitor = RunMonitor(
            run_id,
            str(self.pipeline_id or self.pipeline_key or self.pipeline_name or ""),
            PollOptions(
                poll_interval=_seconds(self.poke_interval),
                unreachable_timeout=seconds("unreachable_timeout", self.unreachable_timeout),
            ).limited(*self._limit(), started_at),
            started_at=started_at,
            started_after=None if run_id is not None else self._started_after(context),
            # Rescheduled, each poll has its own process, which would not know that the server reports no nodes.
            fetch_nodes=not self.reschedule and not self.deferrable,
        )
        if self.reschedule:
            restore_outage(context, monitor)
        return monitor

    def _tolerate_setup_error(self, context: Context, error: ServiceUnavailableError | UnexpectedResponseError) -> None:
        """
        Count an error before the poll as a failed poll.

        An earlier process of this try has polled already: what is wrong now was right then, and may pass.
        """
        monitor = self._build_monitor(context)
        try:
            monitor.record_failure(error, time.time())
        except RunError as end:
            self._fail(end)
        save_outage(context, monitor)

    def _defer(self, context: Context) -> NoReturn:
        monitor, _ = self._prepare(context)
        trigger, timeout = build_trigger(self.hook, monitor, self._pipeline, cancel_on_kill=False)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)
        raise AssertionError("defer raises")

    def _get_next_poke_interval(self, started_at: Any, run_duration: Callable[[], float], poke_count: int) -> float:
        """Poll as often as the operator does, unless Airflow's own ``exponential_backoff`` is asked for."""
        if self.exponential_backoff or self._monitor is None:
            return super()._get_next_poke_interval(started_at, run_duration, poke_count)
        return self._monitor.delay(time.time())

    # --- time -----------------------------------------------------------------------------------------------------

    def _started_at(self, context: Context) -> float:
        """Return when the wait started: if rescheduled, with this try's first poll."""
        first = compat.first_poke_date(context) if self.reschedule else None
        moment = first or getattr(context["ti"], "start_date", None)
        return moment.timestamp() if moment else time.time()

    def _limit(self) -> tuple[str, float]:
        """
        Return which limit ends the wait, and after how many seconds.

        Airflow enforces ``execution_timeout`` while the task is in one process, but not while it is deferred or between
        two polls.
        """
        timeout = "timeout", _seconds(self.timeout)
        if not self.execution_timeout or not (self.deferrable or self.reschedule):
            return timeout
        return min(("execution_timeout", self.execution_timeout.total_seconds()), timeout, key=lambda limit: limit[1])

    def _started_after(self, context: Context) -> datetime:
        if self.started_after is not None:
            return parse_local_datetime("started_after", self.started_after, RENDERED)
        time_of_dag_run = DagRunTime.of(context)
        if self.started_within is not None:
            return time_of_dag_run.started_within(seconds("started_within", self.started_within))
        return time_of_dag_run.started_after()


def _seconds(value: Any) -> float:
    """Return a sensor's time, which Airflow has checked: seconds, or in Airflow 2.11 perhaps a timedelta."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)
