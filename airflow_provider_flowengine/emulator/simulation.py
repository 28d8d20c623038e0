"""A simulated run: when each node starts and ends and how, known in full when the run starts.

What a run looks like at any moment follows from this plan and the clock alone, so nothing has to run in the background.
A node's own params steer it: ``duration`` (seconds, or ``forever``), ``outcome`` and ``message``. ``outcome`` is
``succeeded``, ``failed``, ``failed_once``, or one word an attempt: ``failed,failed,succeeded``, the last one repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeGuard

if TYPE_CHECKING:
    from .definition import Definition, Node

_UNITS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


@dataclass(frozen=True)
class NodeRun:
    """One node in one run. ``start`` is None where it was never reached, ``end`` while it has none (all in seconds)."""

    node_id: str
    name: str
    title: str
    type: str
    job_type: str
    start: float | None = None
    end: float | None = None
    outcome: str = ""
    message: str = ""
    attempts: int = 0
    attempts_before: int = 0  # in the run's earlier goes, before it was resumed
    params: dict[str, str] = field(default_factory=dict)
    output: str = ""

    def state(self, now: float, *, settled: bool) -> str:
        """Where the node stands.

        :param now: the time.
        :param settled: whether its run has ended.
        :returns: waiting, running, succeeded, failed, stopped or unreached.
        """
        if self.start is None or now < self.start:
            return "unreached" if settled else "waiting"
        return "running" if not _ended(self.end, now) else self.outcome

    @property
    def succeeded(self) -> bool:
        """Whether it ends well, so that a resumed run keeps it."""
        return self.outcome == "succeeded"


def unreached(node: NodeRun) -> NodeRun:
    """The node as if it had never been reached in this go."""
    return replace(node, start=None, end=None, outcome="", message="", attempts=node.attempts_before)


def _ended(end: float | None, now: float) -> TypeGuard[float]:
    return end is not None and end <= now


def seconds(config: dict[str, Any], value: str, unit: str) -> float | None:
    """A length of time out of an ``executionConfig``.

    :param config: the ``executionConfig``.
    :param value: the number's field, e.g. ``timeOut``.
    :param unit: the unit's field, e.g. ``timeOutUnit``; MINUTE where it isn't set, as in the vendor's example.
    :returns: seconds, or None where it isn't set.
    """
    try:
        return float(config[value]) * _UNITS[config.get(unit) or "MINUTE"] or None
    except (KeyError, TypeError, ValueError):
        return None


def retries(config: dict[str, Any]) -> int:
    """How many more times a node is tried, out of its ``executionConfig``."""
    try:
        return max(0, int(config.get("retryCount") or 0))
    except (TypeError, ValueError):
        return 0


def node_run(node: Node, **known: Any) -> NodeRun:
    """A node that hasn't been reached yet."""
    return NodeRun(node.id, node.name, node.title, node.type, node.job_type, **known)


def simulated_duration(node: Node, params: dict[str, str], otherwise: float) -> float | None:
    """How long a simulated node takes.

    :param node: the node.
    :param params: its params in this run.
    :param otherwise: seconds, if it doesn't say; the START node takes none.
    :returns: seconds, None for a node that goes on until it is stopped.
    """
    if node.type == "START":
        otherwise = 0
    text = params.get("duration", "").strip()
    if text == "forever":
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        return otherwise


def simulated_outcome(params: dict[str, str], attempt: int) -> str:
    """How an attempt of a simulated node ends.

    :param params: its params in this run.
    :param attempt: which attempt, from 1, counted through all of its run's resumes.
    """
    words = params.get("outcome", "").replace("failed_once", "failed,succeeded").split(",")
    word = words[min(attempt, len(words)) - 1].strip()
    return "failed" if word == "failed" else "succeeded"


def _simulate(node: Node, at: float, params: dict[str, str], attempts: int, otherwise: float) -> NodeRun:
    """Play one node from its start to its end, its own retries included."""
    duration = simulated_duration(node, params, otherwise)
    limit = seconds(node.execution, "timeOut", "timeOutUnit")
    gap = seconds(node.execution, "retryGapTime", "retryGapTimeUnit") or 0
    begun = node_run(node, start=at, params=params, attempts_before=attempts)
    end = at
    for again in range(retries(node.execution) + 1):
        attempts += 1
        if limit is not None and (duration is None or duration > limit):
            outcome, message, length = "failed", f"timed out after {limit:g} s", limit
        elif duration is None:
            return replace(begun, attempts=attempts)
        else:
            outcome, message, length = simulated_outcome(params, attempts), params.get("message", ""), duration
        end += length + (gap if again else 0)
        if outcome == "succeeded":
            break
    if outcome == "failed":
        message = message or f"node {node.name or node.id} failed"
    return replace(begun, end=end, outcome=outcome, message=message, attempts=attempts)


def plan(
    definition: Definition,
    job_params: dict[str, dict[str, str]],
    at: float,
    node_seconds: float,
    earlier: dict[str, NodeRun] | None = None,
) -> tuple[NodeRun, ...]:
    """Say when each node of a run starts and ends, and how.

    A node starts when all nodes before it have succeeded. Branches beside a failed node run to their end (inference).

    :param definition: the pipeline.
    :param job_params: the start call's params.
    :param at: when the run starts, or is resumed.
    :param node_seconds: how long a node takes that doesn't say.
    :param earlier: the nodes as they were when the run failed or was stopped; those that succeeded are kept.
    :returns: one record a node, in an order in which they can run.
    """
    earlier = earlier or {}
    played: dict[str, NodeRun] = {}
    for node in definition.nodes:
        before = earlier.get(node.id)
        if before and before.succeeded:
            played[node.id] = before
            continue
        attempts = before.attempts if before else 0
        params = node.values(job_params)
        upstream = [played[node_id] for node_id in node.upstream]
        if all(run.succeeded for run in upstream):
            ready = max([at, *(run.end for run in upstream if run.end is not None)])
            played[node.id] = _simulate(node, ready, params, attempts, node_seconds)
        else:
            played[node.id] = node_run(node, params=params, attempts=attempts, attempts_before=attempts)
    return tuple(played.values())


def to_be_executed(
    definition: Definition, job_params: dict[str, dict[str, str]], earlier: dict[str, NodeRun] | None = None
) -> tuple[NodeRun, ...]:
    """The nodes of a run whose jobs really run, before they do.

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
    """When a run with these nodes ends, and how.

    :param nodes: the plan.
    :param at: when the run started or was resumed: the end of a run with nothing to do.
    :returns: seconds, or None for a run that goes on until it is stopped; succeeded or failed.
    """
    outcome = "succeeded" if all(node.succeeded for node in nodes) else "failed"
    if any(node.start is not None and node.end is None for node in nodes):
        return None, outcome
    return max([at, *(node.end for node in nodes if node.end is not None)]), outcome


def cut_short(nodes: tuple[NodeRun, ...], now: float, end: float) -> tuple[NodeRun, ...]:
    """The nodes of a run that is being stopped: what is running ends then, what waits is never reached.

    :param nodes: the plan.
    :param now: when the stop was asked for.
    :param end: when the run will have stopped.
    """

    def cut(node: NodeRun) -> NodeRun:
        if node.start is None or node.start > now:
            return unreached(node)
        if _ended(node.end, now):
            return node
        return replace(node, end=end, outcome="stopped", message="", attempts=node.attempts_before + 1)

    return tuple(cut(node) for node in nodes)
