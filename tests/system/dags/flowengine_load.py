"""Many mapped steps over few pipelines, all of them deferred; which ones comes with the DAG run."""

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

with DAG("load", schedule=None, catchup=False, max_active_tasks=200):

    @task
    def steps(params=None, dag_run=None) -> list[dict]:
        """Return the arguments of each step: its pipeline, and a param that no other step has."""
        pipelines = dag_run.conf["pipelines"]
        return [
            {"pipeline_id": pipelines[number % len(pipelines)], "job_params": {"train": {"step": str(number)}}}
            for number in range(dag_run.conf["steps"])
        ]

    FlowEngineStartPipelineOperator.partial(
        task_id="run",
        flowengine_conn_id="{{ dag_run.conf['connection'] }}",
        deferrable=True,
        poll_interval=5,
        retries=4,
        retry_delay=timedelta(seconds=1),
    ).expand_kwargs(steps())
