"""From nothing to a run: create a pipeline (or bring it up to date), start it, and wait for it."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineStartPipelineOperator,
)

with DAG(
    "flowengine_quickstart",
    description="Create a pipeline, start it, wait for it",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:
    create = FlowEngineCreatePipelineOperator(
        task_id="create_pipeline",
        pipeline="churn_model.json",  # beside this file
        pipeline_key="churn_model",
        if_exists="update",
    )
    # START start
    FlowEngineStartPipelineOperator(
        task_id="train_model",
        pipeline_id=create.output,
        job_params={"train": {"trees": "200"}},  # by the node's name, or its id
    )
    # END start
