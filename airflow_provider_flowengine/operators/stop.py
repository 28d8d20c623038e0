"""What a DAG declares to stop runs; what the task does stands in ``execution/stop.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_flowengine.connection_form import DEFAULT_CONN_ID
from airflow_provider_flowengine.operators.arguments import Flag, Id, Text, refuse, validate_arguments
from airflow_provider_flowengine.operators.base import FlowEnginePipelineOperator
from airflow_provider_flowengine.protocol.arguments import Seconds, seconds, seconds_if_given
from airflow_provider_flowengine.retry import failing_at_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.protocol.identifiers import Identifier


class FlowEngineStopPipelineRunOperator(FlowEnginePipelineOperator):
    """
    Stop one run of a pipeline, or all that are running.

    :param pipeline_id: the pipeline, by its id; or by one of the next two.
    :param pipeline_key: the pipeline, by its ``pipelineKey``.
    :param pipeline_name: the pipeline, by its name, if only one has it.
    :param run_id: the run; default all that are running.
    :param all_running: whether all running ones are stopped if no ``run_id`` is given, default True; they are looked
        for among the newest thousand. Give False if the task is mapped over run ids: None would mean all runs there.
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
            refuse(self, "give run_id, or leave all_running on")
        self.run_id = run_id
        self.all_running = all_running if run_id is None else False  # what renders to nothing doesn't mean all runs
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.timeout = timeout

    @failing_at_once()
    def execute(self, context: Context) -> list[Identifier]:
        """Stop the runs, and wait until they have ended."""
        from airflow_provider_flowengine.operators.execution.stop import find_runs_to_stop, stop_runs, wait_for_ends

        pipeline_id = self.find_pipeline().id
        run_ids = find_runs_to_stop(self, pipeline_id, run_id=self.run_id, all_running=self.all_running)
        stopped = stop_runs(self, pipeline_id, run_ids)
        if self.wait_for_completion:
            poll_interval = seconds("poll_interval", self.poll_interval)
            timeout = seconds_if_given("timeout", self.timeout)
            wait_for_ends(self, pipeline_id, run_ids, poll_interval=poll_interval, timeout=timeout)
        return stopped
