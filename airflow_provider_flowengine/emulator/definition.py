"""
A pipeline's definition, read from the object of the create call and checked.

Field names are those of the vendor's API page and of its older client. Two things are documented nowhere, so they are
inference: ``startParam: false`` marks a param that can't be set at start (without it, it can), and a param is wired if
an edge's ``destSlotId`` is the param's own ``id``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

NODE_TYPES = ("START", "TASK", "SENSOR")
JOB_TYPES = ("SHELL", "PYTHON3", "JAVA", "NODEJS", "DAG")
HOOK_TYPES = ("SHELL", "PYTHON3")

_UNITS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}
MAX_RETRIES = 100  # more would only keep the emulator busy, as would more nodes
MAX_NODES = 2_000
MAX_PARAMS = MAX_EDGES = 20_000  # of a pipeline
MAX_SECONDS = 1e9  # some thirty years: what is longer is cut to that, so that all times are dates


class RequestRejected(Exception):
    """
    FlowEngine rejects a request: HTTP 200 with an envelope whose status isn't 0.

    :param message: the envelope's ``msg``.
    """


@dataclass(frozen=True)
class Param:
    """One entry of a node's ``params.values``."""

    id: str
    key: str
    value: str
    type: str
    settable: bool


@dataclass(frozen=True)
class Wire:
    """An edge that passes a node's output on to a param."""

    source: str
    key: str


@dataclass(frozen=True)
class Node:
    """One node of a pipeline, with the nodes that must succeed before it."""

    id: str
    name: str
    title: str
    type: str
    job_type: str
    source: str
    params: tuple[Param, ...]
    retries: int
    retry_gap: float  # seconds
    limit: float | None  # seconds
    hooks: dict[str, tuple[str, str]]  # to type and script
    upstream: tuple[str, ...]
    wires: tuple[Wire, ...]

    def values(self, job_params: dict[str, dict[str, str]]) -> dict[str, str]:
        """
        Return the node's params in a run that was started with these job params.

        :param job_params: the start call's ``{nodeId: {key: value}}``.
        :return: key to value. What isn't settable at start, or is wired, keeps its own value (Source: the vendor's
            documentation; how a param is marked is inference).
        """
        given = job_params.get(self.id, {})
        wired = {wire.key for wire in self.wires}
        return {
            param.key: given[param.key]
            if param.key in given and param.settable and param.key not in wired
            else param.value
            for param in self.params
        }


@dataclass(frozen=True)
class Definition:
    """A checked pipeline: its nodes in an order in which they can run."""

    nodes: tuple[Node, ...]
    config: dict[str, Any]  # its ``executionConfig``


@dataclass(frozen=True)
class Defaults:
    """
    What holds if a definition doesn't say it.

    :param retry_count: how often a failed node is tried again.
    :param settable: whether a param can be set at start.
    """

    retry_count: int = 0
    settable: bool = True


HOOKS = ("onPreStart", "onComplete", "onTimeout", "onError")


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _objects(value: object, what: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise RequestRejected(f"{what} is not a list of objects")
    return value


def _object(value: object, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestRejected(f"{what} is not an object")
    return value


def seconds(config: dict[str, Any], value: str, unit: str) -> float | None:
    """
    Return a length of time from an ``executionConfig``.

    :param config: the ``executionConfig``.
    :param value: the number's field, e.g. ``timeOut``.
    :param unit: the unit's field, e.g. ``timeOutUnit``; MINUTE if it isn't set, as in the vendor's example.
    :return: seconds; None if it isn't set, or not above 0.
    """
    try:
        length = float(config[value]) * _UNITS[config.get(unit) or "MINUTE"]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return min(length, MAX_SECONDS) if 0 < length < math.inf else None


def _retries(config: dict[str, Any], otherwise: int) -> int:
    try:
        return max(0, min(int(config["retryCount"]), MAX_RETRIES))
    except (KeyError, TypeError, ValueError, OverflowError):
        return otherwise


def _params(node: dict[str, Any], node_id: str, settable: bool) -> tuple[Param, ...]:
    params = _object(node.get("params"), f"params of node {node_id}")
    return tuple(
        Param(
            id=_text(value.get("id")),
            key=_text(value.get("key")),
            value=_text(value.get("value")),
            type=_text(value.get("type")) or "TEXT",
            settable=value["startParam"] if isinstance(value.get("startParam"), bool) else settable,
        )
        for value in _objects(params.get("values"), f"params.values of node {node_id}")
    )


def _check_types(node: dict[str, Any], node_id: str) -> None:
    node_type, job_type = node.get("type"), node.get("indexType")
    if node_type not in NODE_TYPES:
        raise RequestRejected(f"node {node_id} has the unknown type {node_type!r}; known: {', '.join(NODE_TYPES)}")
    if job_type not in JOB_TYPES and not (job_type is None and node_type == "START"):
        raise RequestRejected(f"node {node_id} has the unknown indexType {job_type!r}; known: {', '.join(JOB_TYPES)}")


def _hook(value: object, what: str) -> tuple[str, str]:
    job_type, source = "SHELL", value
    if isinstance(value, dict):
        job_type, source = value.get("indexType") or "SHELL", value.get("indexSource") or ""
    if job_type not in HOOK_TYPES or not isinstance(source, str):
        raise RequestRejected(
            f"{what} is neither a shell script nor an object with indexType {' or '.join(HOOK_TYPES)} and indexSource"
        )
    return job_type, source


def _check_number(number: int, limit: int, what: str) -> None:
    if number > limit:
        raise RequestRejected(f"the pipeline has {number} {what}; at most {limit} are taken")


def _raw_nodes(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    nodes: dict[str, dict[str, Any]] = {}
    found = _objects(data.get("nodes"), "nodes")
    _check_number(len(found), MAX_NODES, "nodes")
    for node in found:
        node_id = node.get("nodeId")
        if not isinstance(node_id, str) or not node_id:
            raise RequestRejected("a node has no nodeId")
        if node_id in nodes:
            raise RequestRejected(f"two nodes have the nodeId {node_id}")
        _check_types(node, node_id)
        nodes[node_id] = node
    _check_number(sum(_number_of_params(node) for node in found), MAX_PARAMS, "params")
    return nodes


def _number_of_params(node: dict[str, Any]) -> int:
    params = node.get("params")
    values = params.get("values") if isinstance(params, dict) else None
    return len(values) if isinstance(values, list) else 0


def _raw_edges(data: dict[str, Any], nodes: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    edges = _objects(data.get("edges"), "edges")
    _check_number(len(edges), MAX_EDGES, "edges")
    for edge in edges:
        for end in ("srcNodeId", "destNodeId"):
            if not isinstance(edge.get(end), str) or edge[end] not in nodes:
                raise RequestRejected(f"edge {edge.get('id')} leads to the unknown node {edge.get(end)!r} ({end})")
    return edges


def _read_node(node_id: str, node: dict[str, Any], incoming: list[dict[str, Any]], defaults: Defaults) -> Node:
    params = _params(node, node_id, defaults.settable)
    config = _object(node.get("executionConfig"), f"executionConfig of node {node_id}")
    key_of = {param.id: param.key for param in params if param.id}
    return Node(
        id=node_id,
        name=_text(node.get("name")),
        title=_text(node.get("title")),
        type=node["type"],
        job_type=node.get("indexType") or "DAG",
        source=_text(node.get("indexSource")),
        params=params,
        retries=_retries(config, defaults.retry_count),
        retry_gap=seconds(config, "retryGapTime", "retryGapTimeUnit") or 0,
        limit=seconds(config, "timeOut", "timeOutUnit"),
        hooks={hook: _hook(node[hook], f"{hook} of node {node_id}") for hook in HOOKS if node.get(hook)},
        upstream=tuple(dict.fromkeys(edge["srcNodeId"] for edge in incoming)),
        wires=tuple(
            Wire(edge["srcNodeId"], key_of[slot])
            for edge in incoming
            if (slot := _text(edge.get("destSlotId"))) in key_of
        ),
    )


def wrap_definition(pipeline: dict[str, Any]) -> dict[str, Any]:
    """
    Return the object of the create call, also for a definition alone.

    :param pipeline: ``{"data": {"nodes": [...], ...}, "pipelineKey": ...}``, or ``{"nodes": [...], ...}``.
    """
    if "data" in pipeline or "nodes" not in pipeline:
        return pipeline
    return {"data": pipeline, "pipelineKey": pipeline.get("pipelineKey") or pipeline.get("name")}


def read_definition(pipeline: dict[str, Any], defaults: Defaults = Defaults()) -> Definition:
    """
    Read and check a pipeline object.

    :param pipeline: the object of the create call: ``{"data": {"nodes": [...], "edges": [...]}, ...}``.
    :param defaults: what holds if the definition doesn't say it.
    :return: the definition, nodes in an order in which they can run.
    :raises RequestRejected: when it has no ``data``, too many nodes, edges or params, two nodes of one id, an unknown
        type, an edge to nowhere, or a cycle.
    """
    data = pipeline.get("data")
    if not isinstance(data, dict):
        raise RequestRejected("the pipeline has no data object")
    raw = _raw_nodes(data)
    incoming: dict[str, list[dict[str, Any]]] = {node_id: [] for node_id in raw}
    for edge in _raw_edges(data, raw):
        incoming[edge["destNodeId"]].append(edge)
    nodes = {node_id: _read_node(node_id, node, incoming[node_id], defaults) for node_id, node in raw.items()}
    try:
        order = tuple(TopologicalSorter({node.id: node.upstream for node in nodes.values()}).static_order())
    except CycleError as error:
        raise RequestRejected(f"the pipeline has a cycle: {' → '.join(error.args[1])}") from error
    return Definition(
        nodes=tuple(nodes[node_id] for node_id in order),
        config=_object(data.get("executionConfig"), "executionConfig"),
    )


def check_job_params(definition: Definition, job_params: object) -> dict[str, dict[str, str]]:
    """
    Check the body of a start call.

    :param definition: the pipeline's definition.
    :param job_params: ``{nodeId: {key: value}}``, ``{}`` or nothing.
    :return: the same, values as text.
    :raises RequestRejected: when it is something else, or names a node that the pipeline doesn't have. A key that a
        node doesn't have has no effect (inference).
    """
    if job_params is None:
        return {}
    if not isinstance(job_params, dict):
        raise RequestRejected("the start params are not an object {nodeId: {key: value}}")
    known = {node.id for node in definition.nodes}
    for node_id, values in job_params.items():
        if node_id not in known:
            raise RequestRejected(f"start params for the unknown node {node_id}; nodes: {', '.join(sorted(known))}")
        if not isinstance(values, dict):
            raise RequestRejected(f"the start params of node {node_id} are not an object")
    return {node_id: {key: _text(value) for key, value in values.items()} for node_id, values in job_params.items()}
