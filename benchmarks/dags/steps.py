"""The same work by each way: start a remote run, wait for its end. One mapped step a run; how many says the DAG run."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator
from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import task_group

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator

STEPS = [str(number) for number in range(int(os.environ["BENCH_STEPS"]))]
POLL_INTERVAL = 5
HOURS = timedelta(hours=1).total_seconds()


def dag(name: str) -> DAG:
    """Return a DAG that limits nothing but what Airflow itself limits."""
    return DAG(name, schedule=None, catchup=False, max_active_tasks=1000)


with dag("empty"):
    EmptyOperator.partial(task_id="step").expand_kwargs([{"doc": step} for step in STEPS])

with dag("http"):

    @task_group
    def both(step: str) -> None:
        """Start a run, then wait for it: what people do without a provider."""
        start = HttpOperator(task_id="start", http_conn_id="bench_http", endpoint="start", method="POST", data=step)
        start >> HttpSensor(
            task_id="step",
            http_conn_id="bench_http",
            endpoint="runs/{{ ti.xcom_pull(task_ids='both.start', map_indexes=ti.map_index) }}",
            deferrable=True,
            poke_interval=POLL_INTERVAL,
            timeout=HOURS,
        )

    both.expand(step=STEPS)

with dag("dbt"):
    DbtCloudRunJobOperator.partial(
        task_id="step", dbt_cloud_conn_id="bench_dbt", job_id=1, deferrable=True, check_interval=POLL_INTERVAL
    ).expand(trigger_reason=STEPS)

for mode in ("sync", "deferred"):
    with dag(f"flowengine_{mode}"):
        FlowEngineStartPipelineOperator.partial(
            task_id="step",
            flowengine_conn_id="bench_flowengine",
            pipeline_key="bench",
            deferrable=mode == "deferred",
            poll_interval=POLL_INTERVAL,
        ).expand(job_params=[{"train": {"step": step}} for step in STEPS])
