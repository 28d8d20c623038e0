"""
What an engine would refuse in a definition, said before anything is sent.

Types of nodes and jobs are those of the vendor's API page and its older client.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from airflow_provider_flowengine.definitions.content import is_empty, is_object, nodes_of, params_of
from airflow_provider_flowengine.definitions.schedule import schedule_problem
from airflow_provider_flowengine.protocol.errors import known
from airflow_provider_flowengine.protocol.http import objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_flowengine.protocol.http import Json, JsonObject

NODE_TYPES = ("START", "TASK", "SENSOR")
JOB_TYPES = ("SHELL", "PYTHON3", "JAVA", "NODEJS", "DAG")
HOOK_TYPES = ("SHELL", "PYTHON3")
_NODE_HOOKS = ("onPreStart", "onComplete", "onTimeout", "onError")


def problems(pipeline: Mapping[str, Json]) -> list[str]:
    """
    Return all that an engine would refuse in a pipeline, a sentence each; none if it would take it.

    :param pipeline: the whole pipeline object.
    """
    return list(_problems(pipeline))


def _problems(pipeline: Mapping[str, Json]) -> Iterator[str]:
    data = pipeline.get("data")
    if not is_object(data):
        yield "it has no data object with the pipeline's nodes"
        return
    execution = data.get("executionConfig")
    if not (execution is None or is_object(execution)):
        yield "executionConfig must be an object"
    elif reason := schedule_problem(execution or {}):
        yield f"executionConfig: {reason}"
    nodes, edges = data.get("nodes"), data.get("edges")
    if not _is_list_of_objects(nodes):
        yield "nodes must be a list of objects"
    elif not _is_list_of_objects(edges):
        yield "edges must be a list of objects"
    else:
        yield from _graph_problems(objects(nodes), objects(edges))


def _is_list_of_objects(value: Json) -> bool:
    return value is None or (isinstance(value, list) and all(map(is_object, value)))


def _graph_problems(nodes: list[JsonObject], edges: list[JsonObject]) -> Iterator[str]:
    ids: dict[str, None] = {}
    for number, node in enumerate(nodes, 1):
        node_id = node.get("nodeId")
        if not isinstance(node_id, str) or not node_id:
            yield f"node number {number} has no nodeId"
            continue
        if node_id in ids:
            yield f"two nodes have the nodeId {node_id!r}"
        ids[node_id] = None
        yield from (f"node {node_id!r}: {reason}" for reason in _node_problems(node))
    yield from _edge_problems(ids, edges)


def _edge_problems(ids: Mapping[str, None], edges: list[JsonObject]) -> Iterator[str]:
    upstream: dict[Json, set[Json]] = {node_id: set() for node_id in ids}
    for number, edge in enumerate(edges, 1):
        ends = [edge.get("srcNodeId"), edge.get("destNodeId")]
        unknown = [end for end in ends if not isinstance(end, str) or end not in ids]
        yield from (f"edge number {number} names the node {end!r}; {known('nodes', ids)}" for end in unknown)
        if not unknown:
            upstream[ends[1]].add(ends[0])
    try:
        TopologicalSorter(upstream).prepare()
    except CycleError as error:
        yield f"its edges make a cycle: {' → '.join(error.args[1])}"


def _node_problems(node: JsonObject) -> Iterator[str]:
    yield from _type_problems(node.get("type"), node.get("indexType"))
    params, execution = node.get("params"), node.get("executionConfig")
    if not (params is None or (is_object(params) and _is_list_of_objects(params.get("values")))):
        yield "params must be an object whose values are a list of objects"
    if not (execution is None or is_object(execution)):
        yield "executionConfig must be an object"
    for name in _NODE_HOOKS:
        if node.get(name) and not _is_hook(node[name]):
            yield f"{name} must be a script, or an object with indexType {' or '.join(HOOK_TYPES)} and indexSource"


def _type_problems(node_type: Json, job_type: Json) -> Iterator[str]:
    if node_type not in NODE_TYPES:
        yield f"type {node_type!r} isn't known; {known('types', NODE_TYPES)}"
    if job_type not in JOB_TYPES and not (job_type is None and node_type == "START"):
        yield f"indexType {job_type!r} isn't known; {known('types', JOB_TYPES)}"


def _is_hook(hook: Json) -> bool:
    if is_object(hook):
        script = hook.get("indexSource")
        return (hook.get("indexType") or "SHELL") in HOOK_TYPES and (not script or isinstance(script, str))
    return isinstance(hook, str)


def file_params(pipeline: Mapping[str, Json]) -> list[tuple[str, JsonObject]]:
    """
    Return a pipeline's FILE params, whose values are paths on one engine's own disk.

    :param pipeline: the whole pipeline object.
    :return: what each is called, ``node.key``, and its object, which may be changed in place.
    """
    return [
        (f"{node.get('nodeId')}.{param.get('key')}", param)
        for node in nodes_of(pipeline)
        for param in params_of(node)
        if param.get("type") == "FILE"
    ]


def missing_files(pipeline: Mapping[str, Json]) -> list[str]:
    """
    Return the FILE params that have no file, as ``node.key``.

    :param pipeline: the whole pipeline object.
    """
    return [name for name, param in file_params(pipeline) if is_empty(param.get("value"))]
