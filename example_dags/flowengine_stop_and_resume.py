"""Make room and go on later: start a run without waiting, stop it, and resume it from where it was stopped."""

from datetime import datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineResumePipelineRunOperator,
    FlowEngineStartPipelineOperator,
    FlowEngineStopPipelineRunOperator,
)

with DAG(
    "flowengine_stop_and_resume",
    description="Stop a run, and go on with it",
    schedule=None,
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["flowengine", "example"],
    doc_md=__doc__,
) as dag:
    create = FlowEngineCreatePipelineOperator(
        task_id="create_pipeline", pipeline="churn_model.json", pipeline_key="churn_model", if_exists="update"
    )
    start = FlowEngineStartPipelineOperator(
        task_id="start_run",
        pipeline_id=create.output,
        job_params={"train": {"duration": "60"}},  # seconds, on the emulator: it still runs when it is to be stopped
        wait_for_completion=False,  # the task ends once the run is started, and returns its id
    )
    # START stop
    stop = FlowEngineStopPipelineRunOperator(
        task_id="stop_run",
        pipeline_id=create.output,
        run_id=start.output,  # without it, all running runs of the pipeline are stopped
    )
    # END stop
    # START resume
    resume = FlowEngineResumePipelineRunOperator(
        task_id="resume_run",
        pipeline_id=create.output,
        run_id=start.output,  # it keeps its id, and its nodes that had succeeded don't run again
    )
    # END resume
    stop >> resume
