"""Waiting for a run that something else has started: another task, or FlowEngine's own schedule."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.links import FlowEngineRunLink, push_run_link
from airflow_provider_flowengine.operators.base import (
    CONNECTION_FIELDS,
    DEFAULT_CONN_ID,
    PIPELINE_FIELDS,
    PipelineMixin,
    check,
    rendered_id,
    rendered_time,
    require_exactly_one,
    seconds,
)
from airflow_provider_flowengine.operators.deferral import build_trigger, failure, is_deferrable
from airflow_provider_flowengine.protocol.errors import (
    ConfigurationError,
    FlowEngineError,
    RunError,
    RunTimeoutError,
    ServiceUnavailableError,
    StatusUnavailableError,
    UnexpectedResponseError,
    sentence,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context

    from airflow_provider_flowengine.operators.base import Seconds
    from airflow_provider_flowengine.protocol.history import History
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.waiting import RunMonitor

_SINCE_KEY = "flowengine_since"
_SINCE = ("unavailable_since", "suspect_since")


class FlowEnginePipelineRunSensor(PipelineMixin, BaseSensorOperator):
    """
    Wait until a run has succeeded; fail at once, not at the timeout, when it failed or was stopped.

    With ``run_id`` it waits for that run; without, for the first run that started at or after ``started_after``: so a
    DAG can follow a pipeline that FlowEngine schedules itself. It never stops a run: it doesn't own one.

    :param pipeline_id: the pipeline, by its id; or by one of the next two (templated, as all that names something).
    :param pipeline_key: by its ``pipelineKey``.
    :param pipeline_name: by its name.
    :param run_id: the run.
    :param started_after: a datetime or its ISO 8601 text, e.g. ``{{ data_interval_start }}``, which is the default
        (where the DAG run has none: when it was due).
    :param deferrable: whether to wait in the triggerer; default Airflow's ``[operators] default_deferrable``.
    :param poke_interval: seconds (or a timedelta) between two looks at most, default 60. A short run is looked at more
        often: the delay is a tenth of its length so far, at least a second.
    :param timeout: seconds (or a timedelta) to wait at most, counted from the first start of this try, default 7 days.
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
        pipeline_id: int | str | None = None,
        pipeline_key: str | None = None,
        pipeline_name: str | None = None,
        run_id: int | str | None = None,
        started_after: datetime | str | None = None,
        deferrable: bool | None = None,
        unreachable_timeout: Seconds = 900,
        flowengine_conn_id: str = DEFAULT_CONN_ID,
        engine_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_exactly_one(self, pipeline_id=pipeline_id, pipeline_key=pipeline_key, pipeline_name=pipeline_name)
        if run_id is not None and started_after is not None:
            raise ConfigurationError(f"Task {self.task_id}: give run_id or started_after, not both")
        check(self, flowengine_conn_id=flowengine_conn_id, engine_key=engine_key)
        check(self, unreachable_timeout=unreachable_timeout)
        if run_id is not None:
            check(self, run_id=run_id)
        if started_after is not None:
            check(self, started_after=started_after)
        if deferrable is not None:
            check(self, deferrable=deferrable)
        self.pipeline_id = pipeline_id
        self.pipeline_key = pipeline_key
        self.pipeline_name = pipeline_name
        self.run_id = run_id
        self._names_run = run_id is not None  # what is named may render to nothing, and then doesn't mean any run
        self.started_after = started_after
        self.deferrable = is_deferrable(deferrable)
        self.unreachable_timeout = unreachable_timeout
        self.flowengine_conn_id = flowengine_conn_id
        self.engine_key = engine_key
        self._waiter: RunMonitor | None = None
        self._history: History | None = None

    def execute(self, context: Context) -> Any:
        """Wait for the run, in the worker or in the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        try:
            seen = self.poke(context)
        except FlowEngineError as error:
            self._fail(error)
        return seen.xcom_value if isinstance(seen, PokeReturnValue) else self._defer(context)

    def poke(self, context: Context) -> PokeReturnValue | bool:
        """
        Look at the run once.

        :return: the run when it has succeeded, False while it goes on.
        :raises RunFailedError: when it failed.
        :raises RunStoppedError: when it was stopped.
        """
        from airflow_provider_flowengine.protocol.waiting import look

        try:
            waiter, history = self._prepare(context)
        except (ServiceUnavailableError, UnexpectedResponseError) as error:
            if not self.reschedule or compat.first_poke_date(context) is None:
                raise
            self._bear(context, error)
            return False
        try:
            run = self.hook.client.run(look(self.hook.api, history, waiter))
        except RunError as error:
            self._fail(error)
        self._remember(context, waiter)
        if waiter.last:
            push_run_link(context, waiter.run_url)
        return PokeReturnValue(True, self._succeed(run, waiter.run_url)) if run else False

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Take over from the trigger, and tell how the run ended.

        :param event: what the trigger saw.
        :return: the run.
        """
        from airflow_provider_flowengine.protocol.models import run_from_dict

        if not isinstance(event, dict) or not isinstance(event.get("run"), dict):
            raise FlowEngineError(f"The trigger's event can't be read: {event!r}")
        if event.get("outcome") == "ended":
            url = str(event.get("run_url") or "")
            push_run_link(context, url)
            return self._succeed(run_from_dict(event["run"]), url)
        self._fail(failure(event))

    # --- how it ends ----------------------------------------------------------------------------------------------

    def _succeed(self, run: PipelineRun, run_url: str) -> dict[str, Any]:
        from airflow_provider_flowengine.protocol.waiting import check_success

        if run.state != "succeeded":
            run = self.hook.fetch_node_details(run)
        try:
            check_success(run, run_url)
        except RunError as error:
            self._fail(error)
        self.log.info("%s succeeded.", sentence(run))
        return run.as_dict()

    def _fail(self, error: FlowEngineError) -> NoReturn:
        """Fail or skip the task, as ``soft_fail`` says of runs and ``never_fail`` of whatever goes wrong."""
        if self.never_fail:
            raise AirflowSkipException(f"Skipped, since never_fail is on: {error}") from error
        if self.soft_fail and isinstance(error, RunError):
            raise AirflowSkipException(f"Skipped, since soft_fail is on: {error}") from error
        if isinstance(error, RunTimeoutError) and not isinstance(error, StatusUnavailableError):
            raise AirflowSensorTimeout(str(error)) from error
        raise error

    # --- waiting --------------------------------------------------------------------------------------------------

    def _prepare(self, context: Context) -> tuple[RunMonitor, History]:
        """Build what decides about the wait, once a process: rescheduled, each look is a new one."""
        if self._waiter is None or self._history is None:
            from airflow_provider_flowengine.protocol.flow import NO_RETRY
            from airflow_provider_flowengine.protocol.history import History

            make = self._waiter_maker(context)  # before anything that takes time
            hook, pipeline_id = self.hook, self.find_pipeline_id()
            waiter = make(pipeline_id)
            waiter.run_url = hook.run_url(pipeline_id, waiter.run_id if waiter.run_id is not None else "{run_id}")
            api = replace(hook.api, retry=NO_RETRY)  # the next look is the retry
            self._history, self._waiter = History(api, pipeline_id), waiter
            self.log.info("Waiting for %s.", waiter.name)
        return self._waiter, self._history

    def _waiter_maker(self, context: Context) -> Callable[[Identifier], RunMonitor]:
        """Return what makes a waiter as of now, once the pipeline is known."""
        from airflow_provider_flowengine.protocol.waiting import PollOptions, RunMonitor

        run_id = rendered_id("run_id", self.run_id) if self._names_run else None
        since = self._remembered(context)
        return partial(
            RunMonitor,
            run_id,
            limits=PollOptions(
                poll_interval=self._poke_seconds(),
                deadline=self._deadline(context),
                unreachable_timeout=seconds("unreachable_timeout", self.unreachable_timeout) or 900.0,
            ),
            began=self._began(context),
            started_after=None if run_id is not None else self._started_after(context),
            # Rescheduled, each look is the first of its process, and couldn't know that the server tells no nodes.
            fetch_nodes=not self.reschedule and not self.deferrable,
            unavailable_since=since.get("unavailable_since"),
            suspect_since=since.get("suspect_since"),
        )

    def _bear(self, context: Context, error: ServiceUnavailableError | UnexpectedResponseError) -> None:
        """
        Bear that FlowEngine gives no usable answer to what comes before a look, as it is borne during one.

        An earlier process of this try has looked already: what is wrong now was right then, and may pass.
        """
        waiter = self._waiter_maker(context)(self.pipeline_id or self.pipeline_key or self.pipeline_name or "")
        try:
            waiter.failed(error, time.time())
        except RunError as end:
            self._fail(end)
        self._remember(context, waiter)

    def _defer(self, context: Context) -> NoReturn:
        waiter, _ = self._prepare(context)
        trigger, timeout = build_trigger(self.hook, waiter, cancel_on_kill=False)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)
        raise AssertionError("defer raises")

    def _get_next_poke_interval(self, started_at: Any, run_duration: Callable[[], float], poke_count: int) -> float:
        """Look as often as the operator does, unless Airflow's own ``exponential_backoff`` is asked for."""
        if self.exponential_backoff or self._waiter is None:
            return super()._get_next_poke_interval(started_at, run_duration, poke_count)
        return self._waiter.delay(time.time())

    def _poke_seconds(self) -> float:
        interval: Any = self.poke_interval
        return interval.total_seconds() if isinstance(interval, timedelta) else float(interval)

    def _began(self, context: Context) -> float:
        """When the wait began: rescheduled, with this try's first look."""
        first = compat.first_poke_date(context) if self.reschedule else None
        moment = first or getattr(context["ti"], "start_date", None)
        return moment.timestamp() if moment else time.time()

    def _deadline(self, context: Context) -> float:
        timeout: Any = self.timeout
        allowed = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
        if self.deferrable and self.execution_timeout:
            allowed = min(allowed, self.execution_timeout.total_seconds())
        return self._began(context) + allowed

    def _started_after(self, context: Context) -> datetime:
        value: Any = self.started_after
        if value is None:
            run: Any = context.get("dag_run")
            value = context.get("data_interval_start") or getattr(run, "run_after", None) or run.start_date
        return rendered_time("started_after", value)

    # --- how long FlowEngine or the run says nothing, for looks in processes of their own ---------------------------

    def _remembered(self, context: Context) -> dict[str, float]:
        store = compat.task_state_store(context) if self.reschedule else None
        known = store.get(_SINCE_KEY) if store else None
        moments = known if isinstance(known, dict) and known.get("try") == context["ti"].try_number else {}
        return {name: float(at) for name, at in moments.items() if name in _SINCE and isinstance(at, int | float)}

    def _remember(self, context: Context, waiter: RunMonitor) -> None:
        store = compat.task_state_store(context) if self.reschedule else None
        if store is None:
            return
        moments = {name: at for name in _SINCE if (at := getattr(waiter, name)) is not None}
        if moments:
            store.set(_SINCE_KEY, {"try": context["ti"].try_number, **moments})
        elif self._remembered(context):
            store.delete(_SINCE_KEY)
