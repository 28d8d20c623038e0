"""What a DAG declares to start a pipeline; what the task does stands in ``execution/start.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.operators.arguments import Id, IfRunning, Object, RetryMode, Text, validate_arguments
from airflow_provider_flowengine.operators.run import FlowEngineRunOperator
from airflow_provider_flowengine.protocol.arguments import Seconds, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.operators.execution.start import StartTask
    from airflow_provider_flowengine.protocol.identifiers import Identifier


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
    :param durable: whether a later try reconnects to the run of an earlier one, default True. Needs Airflow 3.3.
    :param retry_mode: what a retry does about a run that failed: ``"restart"`` (default) starts a new one, ``"resume"``
        resumes it from its failed nodes.
    :param retry_stopped: whether a retry starts a new run after one was stopped in FlowEngine, default False: the task
        fails at once.
    :param if_running: what to do if a run of the pipeline is already running, whoever started it: ``"start"`` another
        one (default), ``"reuse"`` it, ``"wait"`` until none is running and then start, ``"skip"`` the task, ``"stop"``
        it and then start, or ``"fail"``. Runs of the task's own earlier tries aren't meant.
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
        Execute, now that the run that was already running has ended (``if_running="wait"``).

        :param event: the trigger's event about that run.
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
            confirmation_timeout=seconds("start_confirmation_timeout", self.start_confirmation_timeout),
        )
