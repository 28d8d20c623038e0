"""What DAGs declare about runs: start a pipeline, resume a run, stop runs. What a task does stands in ``execution``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.links import FlowEngineRunLink
from airflow_provider_flowengine.operators.arguments import seconds, to_seconds, validate_arguments
from airflow_provider_flowengine.operators.base import DEFAULT_CONN_ID, FlowEnginePipelineOperator
from airflow_provider_flowengine.operators.deferral import is_deferrable
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_flowengine.operators.arguments import (
        Flag,
        Id,
        IfRunning,
        Object,
        RetryMode,
        Seconds,
        Text,
    )
    from airflow_provider_flowengine.operators.execution.resume import ResumeTask
    from airflow_provider_flowengine.operators.execution.start import StartTask
    from airflow_provider_flowengine.operators.execution.task import RunOptions, RunTask
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier


class FlowEngineRunOperator(FlowEnginePipelineOperator):
    """
    The base of the operators that wait for a run.

    :param pipeline_id: the pipeline, by its id; or by one of the next two.
    :param pipeline_key: the pipeline, by its ``pipelineKey``.
    :param pipeline_name: the pipeline, by its name, if only one has it.
    :param wait_for_completion: whether the task ends when the run has ended (default), or at once.
    :param deferrable: whether to wait in the triggerer, which costs no worker slot; default Airflow's
        ``[operators] default_deferrable``.
    :param poll_interval: seconds (or a timedelta) between two polls at most, default 30. A short run is polled more
        often: the delay is a tenth of its length so far, at least a second.
    :param timeout: seconds (or a timedelta) that the run may take, counted from the try's start; default without end.
    :param cancel_on_kill: whether the run is stopped when the user ends the task, when it takes too long, and when the
        last try gives up; default True.
    :param durable: whether a later try goes on with the run of an earlier one, default True. Needs Airflow 3.3.
    :param unreachable_timeout: seconds (or a timedelta) that FlowEngine may give no usable answer while the run is
        waited for, default 900.
    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine's key; default the connection's.
    """

    operator_extra_links: Sequence[BaseOperatorLink] = (FlowEngineRunLink(),)
    ui_color = "#d6e4fa"
    _task: RunTask | None = None
    _is_killed = False

    def __init__(
        self,
        *,
        pipeline_id: Id | None = None,
        pipeline_key: Text | None = None,
        pipeline_name: Text | None = None,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: Seconds = 30,
        timeout: Seconds | None = None,
        cancel_on_kill: bool = True,
        durable: bool = True,
        unreachable_timeout: Seconds = 900,
        flowengine_conn_id: Text = DEFAULT_CONN_ID,
        engine_key: Text | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pipeline_id=pipeline_id,
            pipeline_key=pipeline_key,
            pipeline_name=pipeline_name,
            flowengine_conn_id=flowengine_conn_id,
            engine_key=engine_key,
            **kwargs,
        )
        validate_arguments(
            self,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            poll_interval=poll_interval,
            timeout=timeout,
            cancel_on_kill=cancel_on_kill,
            durable=durable,
            unreachable_timeout=unreachable_timeout,
        )
        self.wait_for_completion = wait_for_completion
        self.deferrable = is_deferrable(deferrable)
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.cancel_on_kill = cancel_on_kill
        self.durable = durable
        self.unreachable_timeout = unreachable_timeout

    def execute(self, context: Context) -> Identifier | None:
        """
        Acquire the run, and wait for it.

        :return: the run's id.
        :raises RunFailedError: when it failed, with the failed nodes and what FlowEngine says of them.
        :raises RunStoppedError: when it was stopped.
        :raises RunTimeoutError: when it took longer than ``timeout``.
        """
        return self._begin(context).execute()

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, progress: JsonObject | None = None
    ) -> Identifier | None:
        """
        Take over from the trigger, and tell how the run ended.

        :param event: what the trigger saw.
        :param progress: the run's progress before the deferral.
        :return: the run's id.
        :raises FlowEngineError: as :meth:`execute`.
        """
        return self._begin(context).complete(event, progress)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral; if Airflow itself has ended that, treat it as a give-up of ours."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except compat.DEFERRAL_ERRORS as error:
            cause = error
        return self._begin(context).fail_deferral(cause)

    def on_kill(self) -> None:
        """
        Stop the run if the user ended the task; leave it to the next try if the worker is being shut down.

        Airflow calls this from a signal handler while :meth:`execute` waits, and after its ``execution_timeout``.
        """
        self._is_killed = True
        if self._task:
            self._task.kill()
        elif context := compat.context_of_overdue_task(self):
            self._begin(context).time_out()

    def build_task(self, context: Context) -> RunTask:
        """Return one try's work."""
        raise NotImplementedError

    def run_options(self) -> RunOptions:
        """Return how the task goes about its run."""
        from airflow_provider_flowengine.operators.execution.task import RunOptions

        return RunOptions(
            wait_for_completion=self.wait_for_completion,
            deferrable=self.deferrable,
            poll_interval=to_seconds("poll_interval", self.poll_interval),
            timeout=seconds("timeout", self.timeout),
            execution_timeout=self.execution_timeout.total_seconds() if self.execution_timeout else None,
            cancel_on_kill=self.cancel_on_kill,
            durable=self.durable,
            unreachable_timeout=to_seconds("unreachable_timeout", self.unreachable_timeout),
        )

    def _begin(self, context: Context) -> RunTask:
        task = self._task = self.build_task(context)
        if self._is_killed:  # before there was a task that could be told
            self._is_killed = False
            task.kill()
        return task

    # --- lineage ------------------------------------------------------------------------------------------------------

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage which pipeline it is."""
        return self._lineage()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage how the run went."""
        return self._lineage()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage how the run went, as far as it is known."""
        return self._lineage()

    def _lineage(self) -> OperatorLineage[Any, Any] | None:
        """Tell what is known already; lineage is no reason to fail a task."""
        try:
            from airflow_provider_flowengine.operators.execution.report import lineage_of

            return lineage_of(self, self._task.report if self._task else None)
        except Exception:
            self.log.debug("Nothing is told to OpenLineage", exc_info=True)
            return None


class FlowEngineStartPipelineOperator(FlowEngineRunOperator):
    """
    Start a pipeline, exactly once whatever breaks, and wait for its run.

    On retry, the task reconnects to the run that an earlier try started; what it does in each case stands in the
    reliability page. That needs Airflow 3.3; before, ``if_running="reuse"`` is the nearest there is.

    :param pipeline_id: the pipeline, by its id; or by one of the next two.
    :param pipeline_key: the pipeline, by its ``pipelineKey``.
    :param pipeline_name: the pipeline, by its name, if only one has it.
    :param job_params: what nodes are given: ``{node: {key: value}}``, a node named by its id or, if that is
        unambiguous, its name. Unknown nodes and keys are refused before anything starts.
    :param wait_for_completion: whether the task ends when the run has ended (default), or at once.
    :param deferrable: whether to wait in the triggerer, which costs no worker slot; default Airflow's
        ``[operators] default_deferrable``.
    :param poll_interval: seconds (or a timedelta) between two polls at most, default 30. A short run is polled more
        often: the delay is a tenth of its length so far, at least a second.
    :param timeout: seconds (or a timedelta) that the run may take, counted from the try's start; default without end.
    :param cancel_on_kill: whether the run is stopped when the user ends the task, when it takes too long, and when the
        last try gives up; default True.
    :param durable: whether a later try goes on with the run of an earlier one, default True. Needs Airflow 3.3.
    :param retry_mode: what a retry does about a run that failed: ``"restart"`` (default) starts a new one, ``"resume"``
        resumes it from its failed nodes.
    :param retry_stopped: whether a run that somebody stopped in FlowEngine is retried, default False: the task fails at
        once.
    :param if_running: what to do if a run of the pipeline goes on already, whoever started it: ``"start"`` another one
        (default), ``"reuse"`` it, ``"wait"`` until none goes on and then start, ``"skip"`` the task, ``"stop"`` it and
        then start, or ``"fail"``. Runs of the task's own earlier tries aren't meant.
    :param start_confirmation_timeout: seconds (or a timedelta) that a started run may take to appear in the history,
        default 30.
    :param unreachable_timeout: seconds (or a timedelta) that FlowEngine may give no usable answer while the run is
        waited for, default 900.
    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine's key; default the connection's.
    :return: the run's id.
    """

    template_fields: Sequence[str] = ("job_params", *FlowEngineRunOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"job_params": "json"}

    def __init__(
        self,
        *,
        pipeline_id: Id | None = None,
        pipeline_key: Text | None = None,
        pipeline_name: Text | None = None,
        job_params: Object | None = None,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: Seconds = 30,
        timeout: Seconds | None = None,
        cancel_on_kill: bool = True,
        durable: bool = True,
        retry_mode: RetryMode = "restart",
        retry_stopped: bool = False,
        if_running: IfRunning = "start",
        start_confirmation_timeout: Seconds = 30,
        unreachable_timeout: Seconds = 900,
        flowengine_conn_id: Text = DEFAULT_CONN_ID,
        engine_key: Text | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pipeline_id=pipeline_id,
            pipeline_key=pipeline_key,
            pipeline_name=pipeline_name,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            poll_interval=poll_interval,
            timeout=timeout,
            cancel_on_kill=cancel_on_kill,
            durable=durable,
            unreachable_timeout=unreachable_timeout,
            flowengine_conn_id=flowengine_conn_id,
            engine_key=engine_key,
            **kwargs,
        )
        validate_arguments(
            self,
            job_params=job_params,
            retry_mode=retry_mode,
            retry_stopped=retry_stopped,
            if_running=if_running,
            start_confirmation_timeout=start_confirmation_timeout,
        )
        self.job_params = job_params
        self.retry_mode = retry_mode
        self.retry_stopped = retry_stopped
        self.if_running = if_running
        self.start_confirmation_timeout = start_confirmation_timeout

    def execute_after_wait(self, context: Context, event: dict[str, Any] | None = None) -> Identifier | None:
        """
        Execute, now that the run that went on already has ended (``if_running="wait"``).

        :param event: what the trigger saw of it.
        :return: the run's id.
        """
        return self._begin(context).execute_after_wait(event)  # only a start's task defers to this method

    def build_task(self, context: Context) -> StartTask:
        """Return one try's work."""
        from airflow_provider_flowengine.operators.execution.start import StartTask

        return StartTask(
            self,
            context,
            self.run_options(),
            job_params=self.job_params,
            resume_failed=self.retry_mode == "resume",
            retry_stopped=self.retry_stopped,
            if_running=self.if_running,
            confirmation_timeout=to_seconds("start_confirmation_timeout", self.start_confirmation_timeout),
        )


class FlowEngineResumePipelineRunOperator(FlowEngineRunOperator):
    """
    Resume a failed or stopped run from where it ended, and wait for it; it keeps its id.

    A run that goes on already is only waited for.

    :param pipeline_id: the pipeline, by its id; or by one of the next two.
    :param pipeline_key: the pipeline, by its ``pipelineKey``.
    :param pipeline_name: the pipeline, by its name, if only one has it.
    :param run_id: the run.
    :param wait_for_completion: whether the task ends when the run has ended (default), or at once.
    :param deferrable: whether to wait in the triggerer, which costs no worker slot; default Airflow's
        ``[operators] default_deferrable``.
    :param poll_interval: seconds (or a timedelta) between two polls at most, default 30. A short run is polled more
        often: the delay is a tenth of its length so far, at least a second.
    :param timeout: seconds (or a timedelta) that the run may take, counted from the try's start; default without end.
    :param cancel_on_kill: whether the run is stopped when the user ends the task, when it takes too long, and when the
        last try gives up; default True.
    :param durable: whether a later try goes on with the run of an earlier one, default True. Needs Airflow 3.3.
    :param unreachable_timeout: seconds (or a timedelta) that FlowEngine may give no usable answer while the run is
        waited for, default 900.
    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine's key; default the connection's.
    :return: the run's id.
    """

    template_fields: Sequence[str] = ("run_id", *FlowEngineRunOperator.template_fields)

    def __init__(
        self,
        *,
        run_id: Id,
        pipeline_id: Id | None = None,
        pipeline_key: Text | None = None,
        pipeline_name: Text | None = None,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: Seconds = 30,
        timeout: Seconds | None = None,
        cancel_on_kill: bool = True,
        durable: bool = True,
        unreachable_timeout: Seconds = 900,
        flowengine_conn_id: Text = DEFAULT_CONN_ID,
        engine_key: Text | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pipeline_id=pipeline_id,
            pipeline_key=pipeline_key,
            pipeline_name=pipeline_name,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            poll_interval=poll_interval,
            timeout=timeout,
            cancel_on_kill=cancel_on_kill,
            durable=durable,
            unreachable_timeout=unreachable_timeout,
            flowengine_conn_id=flowengine_conn_id,
            engine_key=engine_key,
            **kwargs,
        )
        validate_arguments(self, run_id=run_id)
        self.run_id = run_id

    def build_task(self, context: Context) -> ResumeTask:
        """Return one try's work."""
        from airflow_provider_flowengine.operators.execution.resume import ResumeTask

        return ResumeTask(self, context, self.run_options(), run_id=self.run_id)


class FlowEngineStopPipelineRunOperator(FlowEnginePipelineOperator):
    """
    Stop one run of a pipeline, or all that are running.

    :param pipeline_id: the pipeline, by its id; or by one of the next two.
    :param pipeline_key: the pipeline, by its ``pipelineKey``.
    :param pipeline_name: the pipeline, by its name, if only one has it.
    :param run_id: the run; default all that are running.
    :param all_running: whether all runs that go on are stopped if no ``run_id`` is given, default True; they are looked
        for among the newest thousand. Mapped over run ids, give False: there None can't be told from none given.
    :param wait_for_completion: whether the task ends when the runs have ended (default), or at once.
    :param poll_interval: seconds (or a timedelta) between two polls at most, default 30. A short run is polled more
        often: the delay is a tenth of its length so far, at least a second.
    :param timeout: seconds (or a timedelta) that the runs may take to stop, default 600; None is without end.
    :param flowengine_conn_id: the connection's id, default ``flowengine_default``.
    :param engine_key: the engine's key; default the connection's.
    :return: the ids of the runs that were stopped; a run that had ended already isn't among them.
    """

    template_fields: Sequence[str] = ("run_id", "all_running", *FlowEnginePipelineOperator.template_fields)

    def __init__(
        self,
        *,
        run_id: Id | None = None,
        all_running: Flag = True,
        pipeline_id: Id | None = None,
        pipeline_key: Text | None = None,
        pipeline_name: Text | None = None,
        wait_for_completion: bool = True,
        poll_interval: Seconds = 30,
        timeout: Seconds | None = 600,
        flowengine_conn_id: Text = DEFAULT_CONN_ID,
        engine_key: Text | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            pipeline_id=pipeline_id,
            pipeline_key=pipeline_key,
            pipeline_name=pipeline_name,
            flowengine_conn_id=flowengine_conn_id,
            engine_key=engine_key,
            **kwargs,
        )
        validate_arguments(
            self,
            all_running=all_running,
            wait_for_completion=wait_for_completion,
            poll_interval=poll_interval,
            timeout=timeout,
        )
        if run_id is not None:
            validate_arguments(self, run_id=run_id)
        if run_id is None and all_running is False:
            raise ConfigurationError(f"Task {self.task_id}: give run_id, or leave all_running on")
        self.run_id = run_id
        self.all_running = all_running if run_id is None else False  # what renders to nothing doesn't mean all runs
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.timeout = timeout

    def perform(self, context: Context) -> list[Identifier]:
        """Stop the runs, and wait until they have ended."""
        from airflow_provider_flowengine.operators.execution.stop import find_runs_to_stop, stop_runs, wait_for_ends

        pipeline_id = self.find_pipeline_id()
        run_ids = find_runs_to_stop(self, pipeline_id, run_id=self.run_id, all_running=self.all_running)
        stopped = stop_runs(self, pipeline_id, run_ids)
        if self.wait_for_completion:
            poll_interval = to_seconds("poll_interval", self.poll_interval)
            timeout = seconds("timeout", self.timeout)
            wait_for_ends(self, pipeline_id, run_ids, poll_interval=poll_interval, timeout=timeout)
        return stopped
