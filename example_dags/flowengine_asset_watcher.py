"""A DAG that runs whenever a pipeline's run has ended in FlowEngine, whoever started it. Needs Airflow 3."""

from datetime import datetime
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunEventTrigger

model = Asset(
    "churn_model",
    watchers=[
        AssetWatcher(
            name="run ended",
            trigger=FlowEnginePipelineRunEventTrigger(pipeline_key="churn_model", outcomes="all"),
        )
    ],
)

with DAG(
    "flowengine_asset_watcher",
    description="Runs whenever a FlowEngine pipeline's run has ended",
    schedule=[model],
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:

    @task
    def report(triggering_asset_events: Any = None) -> None:
        """Say how each run went that this DAG run was started by."""
        for events in triggering_asset_events.values():
            for event in events:
                run = event.extra["payload"]
                print(f"Run {run['run_id']} {run['state']}, {run['started']} to {run['ended']}: {run['run_url']}")

    report()
