"""Start a run by one task, wait for it by another: what people do without a provider."""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.http.operators.http import HttpOperator
from airflow.providers.http.sensors.http import HttpSensor
from airflow.sdk import task_group

from benchmarks.step_dag import POLL_INTERVAL, STEPS, dag

with dag("http"):

    @task_group
    def both(step: str) -> None:
        """Start a run, then wait for it."""
        start = HttpOperator(task_id="start", http_conn_id="bench_http", endpoint="start", method="POST", data=step)
        start >> HttpSensor(
            task_id="step",
            http_conn_id="bench_http",
            endpoint="runs/{{ ti.xcom_pull(task_ids='both.start', map_indexes=ti.map_index) }}",
            deferrable=True,
            poke_interval=POLL_INTERVAL,
            timeout=timedelta(hours=1).total_seconds(),
        )

    both.expand(step=STEPS)
