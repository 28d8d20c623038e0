"""What a DAG declares about any task that waits for a run; what the task does stands in ``execution/task.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.links import FlowEngineRunLink
from airflow_provider_flowengine.operators.arguments import Id, Text, to_seconds, validate_arguments
from airflow_provider_flowengine.operators.base import DEFAULT_CONN_ID, FlowEnginePipelineOperator
from airflow_provider_flowengine.operators.deferral import is_deferrable
from airflow_provider_flowengine.protocol.arguments import Seconds, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_flowengine.operators.execution.options import RunOptions
    from airflow_provider_flowengine.operators.execution.task import RunTask
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
    :param durable: whether a later try reconnects to the run of an earlier one, default True. Needs Airflow 3.3.
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
        from airflow_provider_flowengine.operators.execution.options import RunOptions

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
