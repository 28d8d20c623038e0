"""What a DAG declares to resume a run; what the task does stands in ``execution/resume.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.operators.arguments import Id, Text, validate_arguments
from airflow_provider_flowengine.operators.run import FlowEngineRunOperator
from airflow_provider_flowengine.protocol.arguments import Seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.operators.execution.resume import ResumeTask


class FlowEngineResumePipelineRunOperator(FlowEngineRunOperator):
    """
    Resume a failed or stopped run from where it ended, and wait for it; it keeps its id.

    A run that is already running is only waited for.

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
    :param durable: whether a later try reconnects to the run of an earlier one, default True. Needs Airflow 3.3.
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
