"""What there is in a FlowEngine, and what can be done to it: pipelines, their runs, and the clock they follow.

A run's state isn't kept anywhere: it follows from its row and the clock.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .definition import Definition, Refused, check_job_params, read_definition
from .simulation import NodeRun, cut_short, ending, node_run, plan, unreached
from .store import Store, dump_nodes, load_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .clock import Clock
    from .options import Options

# How a run came about, as FlowEngine's page says it. 手动触发 is the vendor's; the others are inference.
TRIGGERS = {"manual": "手动触发", "interval": "周期触发", "cron": "定时触发", "message": "消息触发"}


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
        """The name people gave it."""
        return str(self.body["data"].get("name") or "")


@dataclass(frozen=True)
class Run:
    """One run of a pipeline; all times in seconds since the epoch.

    ``settles`` is when it ends, None where that isn't known yet; ``stopping`` is when its stop was asked for; ``nodes``
    is empty in a run that comes from a history page.
    """

    id: int
    pipeline_id: int
    version: int
    trigger: str
    params: dict[str, dict[str, str]]
    started: float
    visible: float
    stopping: float | None
    settles: float | None
    outcome: str
    executed: bool
    nodes: tuple[NodeRun, ...]

    def settled(self, now: float) -> bool:
        """Whether it has ended."""
        return self.settles is not None and self.settles <= now

    def state(self, now: float) -> str:
        """Where it stands: running, stopping, succeeded, failed or stopped."""
        if self.settled(now):
            return self.outcome
        return "running" if self.stopping is None else "stopping"

    def ended(self, now: float) -> float | None:
        """When it ended; None while it is under way."""
        return self.settles if self.settled(now) else None


def _pipeline(row: Any) -> Pipeline:
    return Pipeline(
        id=row["id"],
        version=row["version"],
        key=row["key"],
        body=json.loads(row["body"]),
        created=row["created"],
        scheduled=bool(row["scheduled"]),
        next_fire=row["next_fire"],
        runs=row["runs"],
    )


def _run(row: Any) -> Run:
    return Run(
        id=row["id"],
        pipeline_id=row["pipeline"],
        version=row["version"],
        trigger=row["trigger"],
        params=json.loads(row["params"]),
        started=row["started"],
        visible=row["visible"],
        stopping=row["stopping"],
        settles=row["settles"],
        outcome=row["outcome"],
        executed=bool(row["executed"]),
        nodes=load_nodes(row["nodes"]) if "nodes" in row.keys() else (),  # noqa: SIM118 - a Row tests its values
    )


class World:
    """The engine's pipelines and runs. Every method may be called from any thread.

    :param store: where they are kept.
    :param clock: the time they follow.
    :param options: how they behave.
    """

    def __init__(self, store: Store, clock: Clock, options: Options) -> None:
        self.store = store
        self.clock = clock
        self.options = options
        self.lock = threading.RLock()

    # Pipelines

    def create_pipeline(self, body: dict[str, Any]) -> Pipeline:
        """Create a pipeline from the object of the create call; an id in it has no effect.

        :raises Refused: when the definition is wrong, or the key is taken and ``duplicate_keys`` says no.
        """
        read_definition(body)
        key = str(body.get("pipelineKey") or "")
        with self.lock:
            self._check_key(key)
            return self.pipeline(self.store.add_pipeline(json.dumps(body, ensure_ascii=False), key, self.clock.now()))

    def update_pipeline(self, body: dict[str, Any]) -> Pipeline:
        """Give the pipeline that the object names by its id this object; runs under way keep theirs.

        :raises Refused: when there is no such pipeline, or the definition is wrong.
        """
        with self.lock:
            pipeline = self.pipeline(body.get("id"))
            read_definition(body)
            key = str(body.get("pipelineKey") or "")
            self._check_key(key, pipeline.id)
            self.store.change_pipeline(pipeline.id, json.dumps(body, ensure_ascii=False), key)
            return self.pipeline(pipeline.id)

    def _check_key(self, key: str, other_than: int = 0) -> None:
        if self.options.duplicate_keys == "refuse" and key and self.store.has_key(key, other_than):
            raise Refused(f"pipelineKey {key} exists already")

    def pipeline(self, pipeline_id: object) -> Pipeline:
        """One pipeline.

        :param pipeline_id: its id, as a number or as digits.
        :raises Refused: when there is none.
        """
        with self.lock:
            number = _number(pipeline_id)
            row = self.store.pipeline(number) if number is not None else None
            if row is None:
                raise Refused(f"pipeline {pipeline_id} does not exist")
            return _pipeline(row)

    def pipelines(self) -> list[Pipeline]:
        """All pipelines, oldest first."""
        with self.lock:
            return [_pipeline(row) for row in self.store.pipelines()]

    # Runs

    def start(self, pipeline_id: object, job_params: object = None, trigger: str = "manual") -> Run:
        """Start a run now.

        :param pipeline_id: the pipeline's id.
        :param job_params: ``{nodeId: {key: value}}``.
        :param trigger: one of :data:`TRIGGERS`.
        :raises Refused: when there is no such pipeline, or the params name a node it doesn't have.
        """
        with self.lock:
            pipeline = self.pipeline(pipeline_id)
            definition = read_definition(pipeline.body)
            params = check_job_params(definition, job_params)
            return self._add_run(pipeline, definition, params, trigger, self.clock.now())

    def _add_run(
        self, pipeline: Pipeline, definition: Definition, params: dict[str, dict[str, str]], trigger: str, at: float
    ) -> Run:
        nodes = plan(definition, params, at, self.options.node_seconds)
        settles, outcome = ending(nodes, at)
        run_id = self.store.add_run(
            pipeline.id,
            pipeline.version,
            trigger,
            json.dumps(params, ensure_ascii=False),
            at,
            at + self.options.history_delay,
            settles,
            outcome,
            False,
            dump_nodes(nodes),
        )
        return self.run(run_id)

    def run(self, run_id: object) -> Run:
        """One run with its nodes, whether it shows in the history yet or not.

        :param run_id: its id, as a number or as digits.
        :raises Refused: when there is none, or it was pruned.
        """
        with self.lock:
            number = _number(run_id)
            row = self.store.run(number) if number is not None else None
            if row is None:
                raise Refused(f"pipeline run {run_id} does not exist")
            return _run(row)

    def runs(
        self, pipeline_id: object, *, page: int = 1, size: int = -1, ascending: bool = False
    ) -> tuple[list[Run], int]:
        """A page of a pipeline's history.

        :param pipeline_id: the pipeline's id.
        :param page: which page, from 1.
        :param size: runs a page; -1 for all.
        :param ascending: oldest first.
        :returns: the runs, without their nodes, and how many there are in all.
        :raises Refused: when there is no such pipeline.
        """
        with self.lock:
            pipeline = self.pipeline(pipeline_id)
            offset = (page - 1) * size if size > 0 else 0
            rows = self.store.runs(pipeline.id, self.clock.now(), ascending=ascending, limit=size, offset=offset)
            return [_run(row) for row in rows], pipeline.runs

    def stop(self, run_id: object) -> Run:
        """Stop a run; it is stopping for ``stop_seconds`` first.

        :raises Refused: when there is no such run, or it isn't running.
        """
        with self.lock:
            run, now = self.run(run_id), self.clock.now()
            if run.state(now) != "running":
                raise Refused(f"pipeline run {run.id} is not running (status {self.options.word(run.state(now))})")
            end = now + self.options.stop_seconds
            self.store.change_run(
                run.id, stopping=now, settles=end, outcome="stopped", nodes=dump_nodes(cut_short(run.nodes, now, end))
            )
            return self.run(run.id)

    def resume(self, run_id: object) -> Run:
        """Go on with a failed or stopped run, under its own id, from the nodes that didn't succeed.

        :raises Refused: when there is no such run, or it neither failed nor was stopped.
        """
        with self.lock:
            run, now = self.run(run_id), self.clock.now()
            if run.state(now) not in ("failed", "stopped"):
                raise Refused(f"pipeline run {run.id} can't be resumed (status {self.options.word(run.state(now))})")
            definition = read_definition(json.loads(self.store.version(run.version)))
            earlier = {node.node_id: node for node in run.nodes}
            nodes = plan(definition, run.params, now, self.options.node_seconds, earlier)
            settles, outcome = ending(nodes, now)
            self.store.change_run(run.id, stopping=None, settles=settles, outcome=outcome, nodes=dump_nodes(nodes))
            return self.run(run.id)

    def finish(self, run_id: object, outcome: str = "succeeded", message: str = "") -> Run:
        """End a run that is under way at once, for tests.

        :param run_id: the run.
        :param outcome: succeeded, failed or stopped; what is running ends so.
        :param message: what the nodes that failed say.
        :raises Refused: when there is no such run, or it has ended.
        """
        with self.lock:
            run, now = self.run(run_id), self.clock.now()
            if run.settled(now):
                raise Refused(f"pipeline run {run.id} has ended already (status {self.options.word(run.outcome)})")
            nodes = tuple(_finished(node, now, outcome, message) for node in run.nodes)
            self.store.change_run(run.id, stopping=run.stopping, settles=now, outcome=outcome, nodes=dump_nodes(nodes))
            return self.run(run.id)

    def prune(self, pipeline_id: object, up_to: int) -> int:
        """Delete a pipeline's old runs, as installations do by hand. Source: the vendor's documentation.

        :param pipeline_id: the pipeline.
        :param up_to: the newest run id to go.
        :returns: how many went.
        """
        with self.lock:
            return self.store.delete_runs(self.pipeline(pipeline_id).id, up_to)

    def forget(self, run_id: int) -> None:
        """Delete one run, as if it had been pruned.

        :raises Refused: when there is no such run.
        """
        with self.lock:
            self.store.delete_run(self.run(run_id).id)

    def add_history(self, pipeline_id: object, moments: Iterable[float]) -> None:
        """Give a pipeline runs that succeeded in the past, for tests of long histories.

        :param pipeline_id: the pipeline.
        :param moments: when each ran, oldest first.
        """
        with self.lock:
            pipeline = self.pipeline(pipeline_id)
            definition = read_definition(pipeline.body)
            nodes = dump_nodes(node_run(node) for node in definition.nodes)
            self.store.add_runs(pipeline.id, pipeline.version, "manual", moments, nodes)

    # Schedule

    def set_schedule(self, pipeline_id: object, enabled: bool) -> Pipeline:
        """Turn a pipeline's own schedule on or off.

        :raises Refused: when there is no such pipeline.
        """
        with self.lock:
            pipeline = self.pipeline(pipeline_id)
            self.store.schedule(pipeline.id, enabled, None)
            return self.pipeline(pipeline.id)


def _finished(node: NodeRun, now: float, outcome: str, message: str) -> NodeRun:
    if node.end is not None and node.end <= now:
        return node
    begun = node.start is not None and node.start <= now
    if begun or outcome == "succeeded":
        return replace(node, start=node.start if begun else now, end=now, outcome=outcome, message=message)
    return unreached(node)


def _number(identifier: object) -> int | None:
    """An id as a number; None where it can't be one."""
    text = str(identifier)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
