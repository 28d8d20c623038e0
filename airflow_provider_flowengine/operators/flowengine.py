"""All operators, at the path from which DAGs import them."""

from __future__ import annotations

from airflow_provider_flowengine.operators.pipelines import (
    FlowEngineCreatePipelineOperator,
    FlowEngineSetPipelineScheduleOperator,
    FlowEngineUpdatePipelineOperator,
    FlowEngineUploadFileOperator,
)
from airflow_provider_flowengine.operators.resume import FlowEngineResumePipelineRunOperator
from airflow_provider_flowengine.operators.start import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.operators.stop import FlowEngineStopPipelineRunOperator

__all__ = [
    "FlowEngineCreatePipelineOperator",
    "FlowEngineResumePipelineRunOperator",
    "FlowEngineSetPipelineScheduleOperator",
    "FlowEngineStartPipelineOperator",
    "FlowEngineStopPipelineRunOperator",
    "FlowEngineUpdatePipelineOperator",
    "FlowEngineUploadFileOperator",
]
