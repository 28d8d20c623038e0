"""How a run and its nodes have ended: as the error that says why, and in the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import RunFailedError, RunLostError, RunStoppedError, sentence
from airflow_provider_flowengine.protocol.status import RunState

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.models import NodeRun, PipelineRun

_MAX_NODES = 10

_VERBS: dict[RunState, str] = {RunState.FAILED: "failed", RunState.STOPPED: "was stopped"}
_ERRORS: dict[RunState, type[RunFailedError | RunStoppedError]] = {
    RunState.FAILED: RunFailedError,
    RunState.STOPPED: RunStoppedError,
}


def check_success(run: PipelineRun, run_url: str = "") -> PipelineRun:
    """
    Return a run that succeeded.

    :param run: the run as it ended, with its nodes where they are known.
    :param run_url: the address of its page, for the error.
    :raises RunFailedError: when it failed; the error begins with what FlowEngine says of the failed nodes.
    :raises RunStoppedError: when it was stopped.
    :raises RunLostError: when it hasn't ended, or its end cannot be determined.
    """
    if run.state is RunState.SUCCEEDED:
        return run
    failed = [node for node in run.nodes if node.state in _VERBS]
    failed.sort(key=lambda node: node.state is not RunState.FAILED)  # a node that failed is why others were stopped
    parts = [_node_sentence(node) for node in failed[:_MAX_NODES]]
    if run.message:
        parts.append(closed(f"FlowEngine says: {run.message[:1000]}"))
    after = f", after {took(run)}" if took(run) else ""
    verb = _VERBS.get(run.state, "has ended in an unrecognized status")
    parts.append(f"{sentence(run)} {verb} (status {run.status}{after}).")
    raise _ERRORS.get(run.state, RunLostError)(" ".join(parts), run=run, run_url=run_url)


def log_node(logger: logging.Logger, node: NodeRun) -> None:
    """
    Log how a node has ended; a failed one with what FlowEngine says of it.

    :param logger: where to.
    :param node: the node.
    """
    has_failed = node.state is RunState.FAILED
    after = f", after {took(node)}" if took(node) else ""
    message = f": {node.message[:1000]}" if has_failed and node.message else ""
    level = logging.ERROR if has_failed else logging.INFO
    logger.log(level, "  node %s: %s%s%s", node.label, node.status, after, message)


def took(thing: PipelineRun | NodeRun) -> str:
    """Return how long a run or a node took, for the user; empty if it isn't known."""
    if not thing.started or not thing.ended or thing.ended < thing.started:
        return ""
    return duration((thing.ended - thing.started).total_seconds())


def duration(seconds: float) -> str:
    """
    Return a length of time for the user.

    :param seconds: the length.
    :return: e.g. ``"1 h 2 min"``, ``"5 min 3 s"`` or ``"0.2 s"``.
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _node_sentence(node: NodeRun) -> str:
    reason = f": {node.message[:500]}" if node.message else f" ({node.status})"
    return closed(f"Node {node.label} {_VERBS[node.state]}{reason}")


def closed(text: str) -> str:
    """Return a sentence with the full stop at its end that another's text may have or not; nothing stays nothing."""
    return text if not text or text.endswith((".", "。", "!", "！")) else f"{text}."
