"""
What a task reports to OpenLineage about its run. Imported only if OpenLineage asks, since the import costs time.

Datasets aren't reported here: OpenLineage takes a task's inlets and outlets by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attr
from airflow.providers.openlineage.extractors import OperatorLineage
from openlineage.client.facet_v2 import JobFacet, RunFacet, external_query_run

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.models import PipelineRun

RUN_FACET = "flowengine_run"
PIPELINE_FACET = "flowengine_pipeline"


@attr.define
class FlowEnginePipelineFacet(JobFacet):
    """The pipeline that a task runs, as the task names it."""

    engineKey: str | None = None
    pipelineId: str | None = None
    pipelineKey: str | None = None
    pipelineName: str | None = None


@attr.define
class FlowEngineRunFacet(RunFacet):
    """The pipeline's run, and its nodes if FlowEngine reports them."""

    runId: str
    pipelineId: str
    status: str
    state: str
    startedAt: str | None = None
    endedAt: str | None = None
    runUrl: str | None = None
    nodes: list[dict[str, str | None]] = attr.field(factory=list)


def build_lineage(
    pipeline: FlowEnginePipelineFacet, run: PipelineRun | None, run_url: str
) -> OperatorLineage[Any, Any]:
    """
    Return what OpenLineage is told about a task.

    :param pipeline: the pipeline.
    :param run: its run at the last poll, or None while there is none.
    :param run_url: the address of the run's page.
    """
    facets: dict[str, RunFacet] = {}
    if run:
        facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(
            externalQueryId=str(run.id), source="flowengine"
        )
        facets[RUN_FACET] = FlowEngineRunFacet(
            runId=str(run.id),
            pipelineId=str(run.pipeline_id),
            status=run.status,
            state=run.state.value,
            startedAt=run.started.isoformat() if run.started else None,
            endedAt=run.ended.isoformat() if run.ended else None,
            runUrl=run_url or None,
            nodes=[
                {
                    "id": node.id,
                    "name": node.name,
                    "status": node.status,
                    "state": node.state.value,
                    "startedAt": node.started.isoformat() if node.started else None,
                    "endedAt": node.ended.isoformat() if node.ended else None,
                }
                for node in run.nodes
            ],
        )
    return OperatorLineage(run_facets=facets, job_facets={PIPELINE_FACET: pipeline})
