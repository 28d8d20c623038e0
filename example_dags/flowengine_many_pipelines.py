"""One task a pipeline: a start that is mapped over pipelines, each waited for, retried and linked by itself."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineStartPipelineOperator,
)

with DAG(
    "flowengine_many_pipelines",
    description="Start several pipelines by mapping",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:
    # START mapped
    create = FlowEngineCreatePipelineOperator.partial(
        task_id="create_pipeline", pipeline="churn_model.json", if_exists="update"
    ).expand_kwargs(
        [{"pipeline_key": f"churn_{region}", "name": f"Churn model, {region}"} for region in ("north", "south", "east")]
    )

    FlowEngineStartPipelineOperator.partial(
        task_id="train_model",
        deferrable=True,
        max_active_tis_per_dagrun=2,  # how many run at once; deferred ones count from Airflow 3.2 on
    ).expand(pipeline_id=create.output)
    # END mapped
