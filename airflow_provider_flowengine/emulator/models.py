"""
The engine's records: pipelines, their runs, and the nodes of a run. All times are in seconds since the epoch.

A run's state isn't stored: it follows from its record and the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: its id and its object as it was created or last changed."""

    id: int
    version: int
    key: str
    body: dict[str, Any]
    created: float
    scheduled: bool
    next_fire: float | None
    runs: int

    @property
    def name(self) -> str:
        """The name that the user gave it."""
        return str(self.body["data"].get("name") or "")


@dataclass(frozen=True)
class NodeRun:
    """One node in one run. ``start`` is None if it was never reached, ``end`` while it is unknown."""

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
    attempts_before: int = 0  # in the run before it was resumed
    params: dict[str, str] = field(default_factory=dict)
    output: str = ""

    def state(self, now: float, *, run_has_ended: bool) -> str:
        """
        Return the node's state.

        :param now: the time.
        :param run_has_ended: whether its run has ended.
        :return: waiting, running, succeeded, failed, stopped or unreached.
        """
        if self.start is None or now < self.start:
            return "unreached" if run_has_ended else "waiting"
        return self.outcome if past(self.end, now) else "running"

    @property
    def succeeded(self) -> bool:
        """Whether it succeeds: a resumed run keeps it then."""
        return self.outcome == "succeeded"

    def unreached(self) -> NodeRun:
        """Return the node as if it had not been reached since the run was started or resumed."""
        return replace(self, start=None, end=None, outcome="", message="", attempts=self.attempts_before)


@dataclass(frozen=True)
class Run:
    """
    One run of a pipeline.

    ``visible_at`` is when it shows in the history, ``stopping`` when its stop was asked for, ``ends_at`` when it ends,
    None if that isn't known yet. ``nodes`` is empty if the run was read for a history page.
    """

    id: int
    pipeline_id: int
    version: int
    trigger: str
    params: dict[str, dict[str, str]]
    started: float
    visible_at: float
    ends_at: float | None
    outcome: str
    nodes: tuple[NodeRun, ...]
    stopping: float | None = None
    executed: bool = False

    def has_ended(self, now: float) -> bool:
        """Whether it has ended."""
        return past(self.ends_at, now)

    def state(self, now: float) -> str:
        """Return its state: running, stopping, succeeded, failed or stopped."""
        if self.has_ended(now):
            return self.outcome
        return "running" if self.stopping is None else "stopping"

    def ended_at(self, now: float) -> float | None:
        """When it ended; None while it is under way."""
        return self.ends_at if self.has_ended(now) else None


def past(moment: float | None, now: float) -> TypeGuard[float]:
    """Whether a moment has come; None never comes."""
    return moment is not None and moment <= now


def key_of(body: dict[str, Any]) -> str:
    """Return the pipelineKey, as SQLite takes it: without halves of surrogate pairs."""
    return str(body.get("pipelineKey") or "").encode(errors="replace").decode()


def number_of(identifier: object) -> int | None:
    """Return an id as a number; None if it can't be one."""
    text = str(identifier)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
