"""Start a run of a pipeline, and wait for it: in the worker, and in the triggerer."""

from __future__ import annotations

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from benchmarks.step_dag import POLL_INTERVAL, STEPS, dag

for mode in ("sync", "deferred"):
    with dag(f"flowengine_{mode}"):
        FlowEngineStartPipelineOperator.partial(
            task_id="step",
            flowengine_conn_id="bench_flowengine",
            pipeline_key="bench",
            deferrable=mode == "deferred",
            poll_interval=POLL_INTERVAL,
        ).expand(job_params=[{"train": {"step": step}} for step in STEPS])
