"""
A simulated run: when each node starts and ends and how, known in full when the run starts.

What a run looks like at any moment follows from this plan and the clock alone, so nothing has to run in the background.
A node's own params steer it: ``duration`` (seconds, or ``forever``), ``outcome`` and ``message``. ``outcome`` is
``succeeded``, ``failed``, ``failed_once``, or one word an attempt: ``failed,failed,succeeded``, the last one repeated.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .definition import MAX_SECONDS
from .models import NodeRun, past

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .definition import Definition, Node


def node_run(node: Node, **known: Any) -> NodeRun:
    """Return a node that hasn't been reached yet."""
    return NodeRun(node.id, node.name, node.title, node.type, node.job_type, **known)


def simulated_duration(node: Node, params: dict[str, str], otherwise: float) -> float | None:
    """
    Return how long a simulated node takes.

    :param node: the node.
    :param params: its params in this run.
    :param otherwise: seconds, if it has no param ``duration``; the START node takes none.
    :return: seconds, None for a node that runs until it is stopped.
    """
    if node.type == "START":
        otherwise = 0
    text = params.get("duration", "").strip()
    if text == "forever":
        return None
    try:
        length = float(text)
    except ValueError:
        return otherwise
    return min(length, MAX_SECONDS) if 0 <= length < math.inf else otherwise


def times_out(node: Node, duration: float | None) -> bool:
    """Whether a node takes longer than it may."""
    return node.limit is not None and (duration is None or duration > node.limit)


def simulated_outcome(params: dict[str, str], attempt: int) -> str:
    """
    Return how an attempt of a simulated node ends.

    :param params: its params in this run.
    :param attempt: which attempt, from 1, counted through all of its run's resumes.
    """
    words = params.get("outcome", "").replace("failed_once", "failed,succeeded").split(",")
    word = words[min(attempt, len(words)) - 1].strip()
    return "failed" if word == "failed" else "succeeded"


def _simulate(node: Node, at: float, params: dict[str, str], attempts: int, otherwise: float) -> NodeRun:
    """Simulate one node from its start to its end, its own retries included."""
    duration = simulated_duration(node, params, otherwise)
    begun = node_run(node, start=at, params=params, attempts_before=attempts)
    timed_out = times_out(node, duration)
    length = node.limit if timed_out else duration
    if length is None:
        return replace(begun, attempts=attempts + 1)
    end = at
    for again in range(node.retries + 1):
        attempts += 1
        end += length + (node.retry_gap if again else 0)
        outcome = "failed" if timed_out else simulated_outcome(params, attempts)
        if outcome == "succeeded":
            break
    message = f"timed out after {length:g} s" if timed_out else params.get("message", "")
    if outcome == "failed" and not message:
        message = f"node {_label(node)} failed"
    return replace(begun, end=end, outcome=outcome, message=message, attempts=attempts)


def _label(node: Node) -> str:
    return node.name or node.id


def plan(
    definition: Definition,
    job_params: dict[str, dict[str, str]],
    at: float,
    node_seconds: float,
    earlier: dict[str, NodeRun] | None = None,
) -> tuple[NodeRun, ...]:
    """
    Return when each node of a run starts and ends, and how.

    A node starts when all nodes before it have succeeded. Branches beside a failed node run to their end (inference).

    :param definition: the pipeline.
    :param job_params: the start call's params.
    :param at: when the run starts, or is resumed.
    :param node_seconds: how long a node takes without a param ``duration``.
    :param earlier: the nodes as they were when the run failed or was stopped; those that succeeded are kept.
    :return: one record a node, in an order in which they can run.
    """
    earlier = earlier or {}
    planned: dict[str, NodeRun] = {}
    for node in definition.nodes:
        before = earlier.get(node.id)
        if before and before.succeeded:
            planned[node.id] = before
            continue
        attempts, params = before.attempts if before else 0, node.values(job_params)
        ready = _ready_at(at, [planned[node_id] for node_id in node.upstream])
        if ready is None:
            planned[node.id] = node_run(node, params=params, attempts=attempts, attempts_before=attempts)
        else:
            planned[node.id] = _simulate(node, ready, params, attempts, node_seconds)
    return tuple(planned.values())


def _ready_at(at: float, upstream: Sequence[NodeRun]) -> float | None:
    """Return when a node can start, at this moment at the earliest; None if one before it doesn't succeed."""
    if not all(run.succeeded for run in upstream):
        return None
    return max([at, *(run.end for run in upstream if run.end is not None)])


def nodes_to_execute(
    definition: Definition, job_params: dict[str, dict[str, str]], earlier: dict[str, NodeRun] | None = None
) -> tuple[NodeRun, ...]:
    """
    Return the nodes of a run whose jobs really run, before any has started.

    :param definition: the pipeline.
    :param job_params: the start call's params.
    :param earlier: the nodes as they were when the run failed or was stopped; those that succeeded are kept.
    """

    def fresh(node: Node) -> NodeRun:
        before = (earlier or {}).get(node.id)
        if before and before.succeeded:
            return before
        attempts = before.attempts if before else 0
        return node_run(node, params=node.values(job_params), attempts=attempts, attempts_before=attempts)

    return tuple(fresh(node) for node in definition.nodes)


def ending(nodes: tuple[NodeRun, ...], at: float) -> tuple[float | None, str]:
    """
    Return when a run with these nodes ends, and how.

    :param nodes: the plan.
    :param at: when the run started or was resumed: the end of a run with nothing to do.
    :return: seconds, or None for a run that runs until it is stopped; succeeded or failed.
    """
    outcome = "succeeded" if all(node.succeeded for node in nodes) else "failed"
    if any(node.start is not None and node.end is None for node in nodes):
        return None, outcome
    return max([at, *(node.end for node in nodes if node.end is not None)]), outcome


def cut_short(nodes: tuple[NodeRun, ...], now: float, end: float) -> tuple[NodeRun, ...]:
    """
    Return the nodes of a run that is being stopped: running ones end with it, waiting ones are never reached.

    :param nodes: the plan.
    :param now: when the stop was asked for.
    :param end: when the run will have stopped.
    """

    def cut(node: NodeRun) -> NodeRun:
        if node.start is None or node.start > now:
            return node.unreached()
        if past(node.end, now):
            return node
        return replace(node, end=end, outcome="stopped", message="", attempts=node.attempts_before + 1)

    return tuple(cut(node) for node in nodes)


def lost(node: NodeRun, now: float) -> NodeRun:
    """Return a node of a run whose kernel was restarted: running ones have failed."""
    if node.start is None or node.end is not None:
        return node
    return replace(node, end=now, outcome="failed", message="the kernel was restarted")


def finished(node: NodeRun, now: float, outcome: str, message: str) -> NodeRun:
    """Return a node of a run that is ended at once."""
    if node.end is not None and node.end <= now:
        return node
    begun = node.start is not None and node.start <= now
    if begun or outcome == "succeeded":
        return replace(node, start=node.start if begun else now, end=now, outcome=outcome, message=message)
    return node.unreached()
