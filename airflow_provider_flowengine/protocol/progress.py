"""
A run's progress as plain values: the content of the XCom ``flowengine_run`` and of a trigger's event.

The worker and the triggerer build it with the same function, so readers (the tab in Airflow's page, other tasks) find
one shape, whoever wrote it last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.http import objects
from airflow_provider_flowengine.protocol.models import NodeRun, Pipeline, parse_moment, run_from_dict
from airflow_provider_flowengine.protocol.status import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_flowengine.protocol.http import Json, JsonObject
    from airflow_provider_flowengine.protocol.models import PipelineRun

MAX_MESSAGE_LENGTH = 1000
"""Characters of a node's message that are kept: XCom is no place for a log."""


def describe_progress(
    run: PipelineRun, pipeline: Pipeline | None = None, previous: Mapping[str, Json] | None = None
) -> JsonObject:
    """
    Return a run's progress as plain JSON values.

    What the run itself doesn't tell is taken from the pipeline, then from an earlier progress of the same run: the
    pipeline's key and name, its edges, and nodes that the run doesn't mention. A node that has only been read from the
    definition has the state None.

    :param run: the run as it was last seen, with its nodes if they are known.
    :param pipeline: its pipeline, if its definition was read.
    :param previous: what an earlier call returned, e.g. the XCom as it stands.
    :return: ``{"run_id", "pipeline_id", "pipeline_key", "pipeline_name", "status", "state", "started", "ended",
        "trigger", "nodes": [{"id", "name", "state", "started", "ended", "message"}], "edges": [[id, id]]}``; times are
        ISO 8601 text or None.
    """
    known = previous if previous and previous.get("run_id") == run.id else {}
    pipeline = pipeline or Pipeline(run.pipeline_id)
    about_run = run.as_dict()
    return {
        "run_id": about_run.pop("run_id"),
        "pipeline_id": about_run.pop("pipeline_id"),
        "pipeline_key": pipeline.key or known.get("pipeline_key") or "",
        "pipeline_name": pipeline.name or known.get("pipeline_name") or "",
        **about_run,
        "nodes": _nodes(run, pipeline, objects(known.get("nodes"))),
        "edges": _edges(pipeline) or known.get("edges") or [],
    }


def run_from_progress(content: Mapping[str, Json]) -> PipelineRun:
    """
    Return the run that :func:`describe_progress` described, its nodes included.

    :param content: at least ``run_id`` and ``pipeline_id``.
    """
    nodes = tuple(
        NodeRun(
            id=str(node.get("id")),
            name=str(node.get("name") or ""),
            status=str(node["state"]),
            state=RunState(str(node["state"])),
            started=parse_moment(node.get("started")),
            ended=parse_moment(node.get("ended")),
            message=str(node.get("message") or ""),
        )
        for node in objects(content.get("nodes"))
        if node.get("state") in set(RunState)
    )
    return replace(run_from_dict(content), nodes=nodes)


def _nodes(run: PipelineRun, pipeline: Pipeline, known: Iterable[JsonObject]) -> list[Json]:
    """List the nodes in the definition's order, each as the run tells it, or else as it was known."""
    planned = {node.id: _node(NodeRun(node.id, node.name)) | {"state": None} for node in pipeline.nodes}
    shown = {node.id: _node(node) for node in run.nodes}
    return list({**planned, **{str(node.get("id")): node for node in known}, **shown}.values())


def _node(node: NodeRun) -> JsonObject:
    return {
        "id": node.id,
        "name": node.name or node.id,
        "state": node.state.value,
        "started": node.started.isoformat() if node.started else None,
        "ended": node.ended.isoformat() if node.ended else None,
        "message": node.message[:MAX_MESSAGE_LENGTH],
    }


def _edges(pipeline: Pipeline) -> list[Json]:
    """Return the node ids that edges connect (``srcNodeId``, ``destNodeId``: the vendor's API page)."""
    definition = pipeline.content.get("data")
    edges = objects(definition.get("edges")) if isinstance(definition, dict) else ()
    pairs = [(edge.get("srcNodeId"), edge.get("destNodeId")) for edge in edges]
    unique = dict.fromkeys((str(source), str(target)) for source, target in pairs if source and target)
    return [list(pair) for pair in unique]
