"""Wait without holding a worker: the task is deferred, and all runs of one pipeline share one poll in the triggerer."""

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineStartPipelineOperator,
)

with DAG(
    "flowengine_deferrable",
    description="Start a pipeline, and wait for it in the triggerer",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:
    create = FlowEngineCreatePipelineOperator(
        task_id="create_pipeline", pipeline="churn_model.json", pipeline_key="churn_model", if_exists="update"
    )
    # START deferrable
    FlowEngineStartPipelineOperator(
        task_id="train_model",
        pipeline_id=create.output,
        deferrable=True,
        poll_interval=60,  # a long run is looked at once a minute, a short one more often
        timeout=timedelta(hours=6),  # then the run is stopped, and the task fails
        retries=2,  # a retry reconnects to the run that there is
    )
    # END deferrable
