"""Stop runs, and wait until they have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_flowengine.operators.arguments import rendered_flag, rendered_id
from airflow_provider_flowengine.protocol.errors import (
    ConfigurationError,
    RequestRejectedError,
    RunNotFoundError,
    sentence,
)
from airflow_provider_flowengine.protocol.identifiers import Identifier
from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor
from airflow_provider_flowengine.protocol.stopping import active_runs
from airflow_provider_flowengine.protocol.waiting import poll_until_done

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_flowengine.operators.base import FlowEnginePipelineOperator

MAX_RUNS_TO_STOP = 1000
"""How many of a pipeline's newest runs are searched for active ones, to stop them all."""


def find_runs_to_stop(
    operator: FlowEnginePipelineOperator, pipeline_id: Identifier, *, run_id: object, all_running: object
) -> list[Identifier]:
    """
    Return the ids of the runs to stop.

    :param operator: what the DAG declares.
    :param pipeline_id: the pipeline.
    :param run_id: the run, if it isn't all.
    :param all_running: whether it is all active ones.
    """
    if not rendered_flag("all_running", all_running):
        if run_id is None:
            raise ConfigurationError("Give run_id, or leave all_running on; run_id has rendered to None")
        return [rendered_id("run_id", run_id)]
    hook = operator.hook
    return [run.id for run in hook.client.run(active_runs(hook.api, pipeline_id, MAX_RUNS_TO_STOP))]


def stop_runs(
    operator: FlowEnginePipelineOperator, pipeline_id: Identifier, run_ids: Iterable[Identifier]
) -> list[Identifier]:
    """
    Stop each run; if one is refused, the others are stopped all the same, and then the task fails.

    :param operator: what the DAG declares.
    :param pipeline_id: the pipeline.
    :param run_ids: the runs.
    :return: the ids of the runs that were stopped; a run that had ended already isn't among them.
    """
    hook, stopped = operator.hook, list[Identifier]()
    refused: dict[Identifier, RequestRejectedError | RunNotFoundError] = {}
    for run_id in run_ids:
        try:
            if hook.stop_run(run_id, pipeline_id):
                stopped.append(run_id)
                url = hook.run_url(pipeline_id, run_id)
                operator.log.info("Requested cancellation of run %s of pipeline %s. %s", run_id, pipeline_id, url)
        except (RequestRejectedError, RunNotFoundError) as error:
            operator.log.error("%s", error)
            refused[run_id] = error
    if refused:
        operator.log.error("Not stopped: runs %s of pipeline %s.", ", ".join(map(str, refused)), pipeline_id)
        raise next(iter(refused.values()))
    if not stopped:
        operator.log.info("No run of pipeline %s needs a stop.", pipeline_id)
    return stopped


def wait_for_ends(
    operator: FlowEnginePipelineOperator,
    pipeline_id: Identifier,
    run_ids: Iterable[Identifier],
    *,
    poll_interval: float,
    timeout: float | None,
) -> None:
    """
    Wait until runs have ended, also those that were stopping already.

    :param operator: what the DAG declares.
    :param pipeline_id: the pipeline.
    :param run_ids: the runs.
    :param poll_interval: seconds between two polls at most.
    :param timeout: seconds that all of them may take, None is without end.
    """
    hook, started_at = operator.hook, operator.hook.api.now()
    options = PollOptions(poll_interval).limited("timeout", timeout, started_at)
    for run_id in run_ids:
        monitor = RunMonitor(run_id, pipeline_id, options, started_at, hook.run_url(pipeline_id, run_id))
        run = hook.client.run(poll_until_done(hook.api, monitor))
        operator.log.info("%s has ended (status %s).", sentence(run), run.status)
