"""The floor: steps that no worker runs."""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator

from benchmarks.step_dag import STEPS, dag

with dag("empty"):
    EmptyOperator.partial(task_id="step").expand_kwargs([{"doc": step} for step in STEPS])
