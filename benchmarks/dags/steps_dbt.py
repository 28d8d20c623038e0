"""Start a job of dbt Cloud, and wait for it in the triggerer."""

from __future__ import annotations

from airflow.providers.dbt.cloud.operators.dbt import DbtCloudRunJobOperator

from benchmarks.step_dag import POLL_INTERVAL, STEPS, dag

with dag("dbt"):
    DbtCloudRunJobOperator.partial(
        task_id="step", dbt_cloud_conn_id="bench_dbt", job_id=1, deferrable=True, check_interval=POLL_INTERVAL
    ).expand(trigger_reason=STEPS)
