"""
Job parameters: what nodes are given at a start, checked against the pipeline before anything is sent.

``{node: {key: value}}``; a node is named by its id or, if that is unambiguous, by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.errors import ConfigurationError, NodeNotFoundError, closest, known
from airflow_provider_flowengine.protocol.http import Json

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.models import Node, Pipeline

JobParams = Mapping[str, Mapping[str, Json]]
"""What nodes are given at a start: ``{node: {key: value}}``."""


def resolve_job_params(pipeline: Pipeline, job_params: JobParams) -> dict[str, dict[str, Json]]:
    """
    Check job params against the pipeline's nodes, and name each node by its id.

    :param pipeline: the pipeline, read from FlowEngine.
    :param job_params: ``{node: {key: value}}``; a node is named by its id or, where that is unambiguous, its name.
    :return: ``{node id: {key: value}}``.
    :raises NodeNotFoundError: when the pipeline has no such node, or two of this name, or the node has no such key.
    :raises ConfigurationError: when a node is given something else than an object, or what can't be sent as JSON.
    """
    matched: dict[str, dict[str, Json]] = {}
    for name, params in job_params.items():
        node = _node(pipeline, str(name))
        if not isinstance(params, Mapping):
            raise ConfigurationError(
                f"job_params: node {name!r} must be given an object {{key: value}}, not {params!r}"
            )
        keys = [param.key for param in node.params]
        unknown = [key for key in params if key not in keys]
        if unknown:
            raise NodeNotFoundError(
                f"job_params: node {name!r} of pipeline {pipeline.id} has no parameter {unknown[0]!r}; "
                f"{known('parameters', keys, wanted=unknown[0])}"
            )
        for key, value in params.items():
            endpoints.ensure_json_serializable(f"job_params: {value!r} for {key!r} of node {name!r}", value)
        matched.setdefault(node.id, {}).update(params)
    return matched


def _node(pipeline: Pipeline, name: str) -> Node:
    by_id = [node for node in pipeline.nodes if node.id == name]
    found = by_id or [node for node in pipeline.nodes if node.name == name]
    if len(found) == 1:
        return found[0]
    raise NodeNotFoundError(f"job_params: {_why_not_one(pipeline, name, found)}")


def _why_not_one(pipeline: Pipeline, name: str, found: list[Node]) -> str:
    """Say why a name is not that of one node."""
    if found:
        ids = ", ".join(node.id for node in found)
        return f"{len(found)} nodes of pipeline {pipeline.id} are called {name!r}; name one by its id: {ids}"
    names = known("nodes", map(_label, pipeline.nodes))
    likely = closest(name, [each for node in pipeline.nodes for each in (node.id, node.name) if each])
    return f"pipeline {pipeline.id} has no node {name!r}; {likely}{names}"


def _label(node: Node) -> str:
    return f"{node.id} ({node.name})" if node.name and node.name != node.id else node.id
