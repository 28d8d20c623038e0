"""One task a run, deferred by the scheduler itself: so that a thousand wait in the triggerer without a worker."""

from __future__ import annotations

import json
import os
from pathlib import Path

from airflow.sdk import DAG, BaseOperator
from airflow.triggers.base import StartTriggerArgs

RUNS: list[tuple[int, int]] = json.loads(Path(os.environ["BENCH_RUNS"]).read_text(encoding="utf-8"))
"""Each run's pipeline and its id."""

WRITES_PROGRESS = os.environ["BENCH_PROGRESS"] == "on"
TRIGGER = "airflow_provider_flowengine.triggers.flowengine.FlowEnginePipelineRunTrigger"


class WaitForRunOperator(BaseOperator):
    """Waits for a run by the provider's trigger, from the trigger on."""

    start_from_trigger = True

    def __init__(self, *, pipeline_id: int, run_id: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=TRIGGER,
            trigger_kwargs={
                "flowengine_conn_id": "bench_flowengine",
                "engine_key": "demo",
                "engine_url": "/engine/15/cess-data-3",
                "engine_id": 6,
                "pipeline_id": pipeline_id,
                "run_id": run_id,
                "poll_interval": 30.0,
                "cancel_on_kill": False,
                "writes_progress": WRITES_PROGRESS,
            },
            next_method="execute",
            next_kwargs=None,
            timeout=None,
        )


with DAG("deferred", schedule=None, catchup=False):
    for pipeline_id, run_id in RUNS:
        WaitForRunOperator(task_id=f"run_{run_id}", pipeline_id=pipeline_id, run_id=run_id)
