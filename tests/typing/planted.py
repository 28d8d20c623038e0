"""Declarations for a type checker: a line that is wrong says so, all others are right."""

from datetime import timedelta

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineCreatePipelineOperator,
    FlowEngineResumePipelineRunOperator,
    FlowEngineSetPipelineScheduleOperator,
    FlowEngineStartPipelineOperator,
    FlowEngineStopPipelineRunOperator,
    FlowEngineUpdatePipelineOperator,
)
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor

start = FlowEngineStartPipelineOperator(task_id="start", pipeline_id=1, job_params={"train": {"epochs": 3}})
FlowEngineStartPipelineOperator(task_id="t", pipeline_key="{{ ds }}", timeout=timedelta(hours=1), if_running="wait")
FlowEngineStartPipelineOperator(task_id="t", pipeline_key=lambda context, jinja_env: "nightly")
FlowEngineResumePipelineRunOperator(task_id="t", pipeline_id="7", run_id=start.output)
FlowEngineStopPipelineRunOperator(task_id="t", pipeline_id=start.output, all_running=True, timeout=None)
FlowEngineCreatePipelineOperator(task_id="t", pipeline={"nodes": [], "edges": []}, if_exists="update")
FlowEnginePipelineRunSensor(task_id="t", pipeline_id=1, run_id=start.output)
FlowEnginePipelineRunSensor(task_id="t", pipeline_key=lambda context, jinja_env: "nightly", started_within=3600)

FlowEngineStartPipelineOperator(task_id="t", pipeline_id=1.5)  # wrong
FlowEngineStartPipelineOperator(task_id="t", pipeline_id=1, timeout="3h")  # wrong
FlowEngineStartPipelineOperator(task_id="t", pipeline_id=1, if_running="always")  # wrong
FlowEngineStartPipelineOperator(task_id="t", pipeline_id=1, retry_mode="again")  # wrong
FlowEngineStartPipelineOperator(task_id="t", pipeline_id=1, job_params=[1])  # wrong
FlowEngineStartPipelineOperator(task_id="t", pipeline_id=1, deferrable="false")  # wrong
FlowEngineResumePipelineRunOperator(task_id="t", pipeline_id=1)  # wrong
FlowEngineResumePipelineRunOperator(task_id="t", pipeline_id=1, run_id=None)  # wrong
FlowEngineStopPipelineRunOperator(task_id="t", pipeline_id=1, wait_for_completion="no")  # wrong
FlowEngineCreatePipelineOperator(task_id="t", pipeline=[1])  # wrong
FlowEngineCreatePipelineOperator(task_id="t", pipeline={}, if_exists="replace")  # wrong
FlowEngineSetPipelineScheduleOperator(task_id="t", pipeline_id=1, enabled=5.0)  # wrong
FlowEngineUpdatePipelineOperator(task_id="t", pipeline_id=1, transform="upper")  # wrong
FlowEnginePipelineRunSensor(task_id="t", pipeline_id=1, started_within="1h")  # wrong
FlowEnginePipelineRunSensor(task_id="t", pipeline_id=1, started_after=1.5)  # wrong
