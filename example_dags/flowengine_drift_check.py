"""Each night, compare a pipeline with its definition, and fail if somebody has changed it by hand."""

from datetime import datetime
from pathlib import Path

from airflow.providers.common.compat.sdk import DAG, task

with DAG(
    "flowengine_drift_check",
    description="Find pipelines that are no longer as their definitions say",
    schedule="0 4 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    is_paused_upon_creation=True,  # it would run at once, and there may be no such pipeline yet
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:
    # START drift
    @task
    def find_drift(file: str) -> None:
        from airflow_provider_flowengine.definition_files import read_definition
        from airflow_provider_flowengine.definitions.diff import diff
        from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook

        wanted = read_definition(Path(__file__).with_name(file))
        hook = FlowEngineHook()
        pipeline = hook.get_pipeline(hook.find_pipeline(key="churn_model").id)
        drift = diff(pipeline.content, wanted, unnamed="keep")
        if not drift.is_empty:
            raise ValueError("\n".join(["The pipeline is not as its definition says:", *drift.lines()]))

    # END drift
    find_drift("churn_model.json")
