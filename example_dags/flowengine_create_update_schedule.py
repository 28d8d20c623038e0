"""Roll a pipeline out: create it from a file, change a part of it, and turn its own schedule on."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineSetPipelineScheduleOperator,
    FlowEngineUpdatePipelineOperator,
)

with DAG(
    "flowengine_create_update_schedule",
    description="Create a pipeline, change it, schedule it",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:
    # START create
    create = FlowEngineCreatePipelineOperator(
        task_id="create_pipeline",
        pipeline="churn_model.json",  # a dict would do, too; both are templated
        pipeline_key="churn_weekly",
        name="Churn model, weekly",
        if_exists="skip",  # so this DAG can run again
    )
    # END create
    # START update
    update = FlowEngineUpdatePipelineOperator(
        task_id="update_pipeline",
        pipeline_id=create.output,
        # Merged into the pipeline's object; what isn't named stays as it is.
        changes={
            "data": {
                "describe": "Rolled out by {{ dag.dag_id }} on {{ dag_run.start_date | ds }}",
                "executionConfig": {"runMode": "CRONTAB", "cronExpression": "0 0 3 ? * MON"},
            }
        },
    )
    # END update
    # START schedule
    schedule = FlowEngineSetPipelineScheduleOperator(
        task_id="schedule_pipeline", pipeline_id=create.output, enabled=True
    )
    # END schedule
    update >> schedule
