"""Follow a pipeline that FlowEngine schedules itself: wait for its next run, and fail at once when that fails."""

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineSetPipelineScheduleOperator,
    FlowEngineUpdatePipelineOperator,
)
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor

with DAG(
    "flowengine_sensor",
    description="Wait for a run that FlowEngine's own schedule starts",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:
    # A pipeline that runs every ten seconds, until the end of this DAG run.
    create = FlowEngineCreatePipelineOperator(
        task_id="create_pipeline",
        pipeline="churn_model.json",
        pipeline_key="churn_nightly",
        name="Churn model, nightly",
        if_exists="update",
    )
    set_interval = FlowEngineUpdatePipelineOperator(
        task_id="set_interval",
        pipeline_id=create.output,
        changes={"data": {"executionConfig": {"runMode": "PERIODICAL", "interval": 10, "intervalUnit": "SECOND"}}},
    )
    schedule_on = FlowEngineSetPipelineScheduleOperator(task_id="schedule_on", pipeline_id=create.output, enabled=True)
    schedule_off = FlowEngineSetPipelineScheduleOperator(
        task_id="schedule_off", pipeline_id=create.output, enabled=False, trigger_rule="all_done"
    )
    # START sensor
    wait = FlowEnginePipelineRunSensor(
        task_id="wait_for_run",
        pipeline_key="churn_nightly",
        # The first run since this moment. In a DAG with a schedule rather: started_within=timedelta(hours=24)
        started_after="{{ dag_run.start_date }}",
        timeout=timedelta(minutes=10),
        deferrable=True,
    )
    # END sensor
    set_interval >> schedule_on >> wait >> schedule_off
