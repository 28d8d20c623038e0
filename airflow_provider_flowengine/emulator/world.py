"""What there is in a FlowEngine, and what can be done to it: pipelines, their runs, and the clock they follow.

A run's state isn't kept anywhere: it follows from its row and the clock.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from .definition import Definition, Refused, check_job_params, read_definition
from .schedule import TRIGGER_OF_MODE, listens_to, next_fire
from .simulation import NodeRun, cut_short, ending, node_run, plan, to_be_executed, unreached
from .store import Store, dump_nodes, load_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .clock import Clock
    from .options import Options

# How a run came about, as FlowEngine's page says it. 手动触发 is the vendor's; the others are inference.
TRIGGERS = {"manual": "手动触发", "interval": "周期触发", "cron": "定时触发", "message": "消息触发"}

# How many runs the schedules start at once at most, when time is advanced far: what is missed then is skipped.
MOST_FIRED = 10_000


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


class Executor(Protocol):
    """What really runs jobs, see :mod:`.execution`; without one, runs are simulated."""

    def begin(self, run: Run, definition: Definition) -> None:
        """Run the nodes of a run that haven't succeeded."""

    def stop(self, run_id: int) -> None:
        """End the jobs of a run."""

    def log(self, run: Run, node_id: str) -> str:
        """What a node wrote."""

    def end_all(self) -> None:
        """End all jobs and wait until they have."""


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
        self.executor: Executor | None = None

    @contextmanager
    def _present(self) -> Iterator[float]:
        """Hold the world still at a moment, with all done that its schedules have to do by then."""
        with self.lock:
            now = self.clock.now()
            self._fire_due(now)
            yield now

    # Pipelines

    def create_pipeline(self, body: dict[str, Any]) -> Pipeline:
        """Create a pipeline from the object of the create call; an id in it has no effect.

        :raises Refused: when the definition is wrong, or the key is taken and ``duplicate_keys`` says no.
        """
        read_definition(body)
        key = str(body.get("pipelineKey") or "")
        with self._present() as now:
            self._check_key(key)
            return self._pipeline(self.store.add_pipeline(json.dumps(body, ensure_ascii=False), key, now))

    def update_pipeline(self, body: dict[str, Any]) -> Pipeline:
        """Give the pipeline that the object names by its id this object; runs under way keep theirs.

        :raises Refused: when there is no such pipeline, or the definition or a schedule that is on makes no sense.
        """
        with self._present() as now:
            pipeline = self._pipeline(body.get("id"))
            definition = read_definition(body)
            key = str(body.get("pipelineKey") or "")
            self._check_key(key, pipeline.id)
            fires = self._next_fire(definition, now) if pipeline.scheduled else None
            self.store.change_pipeline(pipeline.id, json.dumps(body, ensure_ascii=False), key)
            self.store.schedule(pipeline.id, pipeline.scheduled, fires)
            return self._pipeline(pipeline.id)

    def _check_key(self, key: str, other_than: int = 0) -> None:
        if self.options.duplicate_keys == "refuse" and key and self.store.has_key(key, other_than):
            raise Refused(f"pipelineKey {key} exists already")

    def pipeline(self, pipeline_id: object) -> Pipeline:
        """One pipeline.

        :param pipeline_id: its id, as a number or as digits.
        :raises Refused: when there is none.
        """
        with self._present():
            return self._pipeline(pipeline_id)

    def _pipeline(self, pipeline_id: object) -> Pipeline:
        number = _number(pipeline_id)
        row = self.store.pipeline(number) if number is not None else None
        if row is None:
            raise Refused(f"pipeline {pipeline_id} does not exist")
        return _pipeline(row)

    def pipelines(self) -> list[Pipeline]:
        """All pipelines, oldest first."""
        with self._present():
            return [_pipeline(row) for row in self.store.pipelines()]

    # Runs

    def start(self, pipeline_id: object, job_params: object = None, trigger: str = "manual") -> Run:
        """Start a run now.

        :param pipeline_id: the pipeline's id.
        :param job_params: ``{nodeId: {key: value}}``.
        :param trigger: one of :data:`TRIGGERS`.
        :raises Refused: when there is no such pipeline, or the params name a node it doesn't have.
        """
        with self._present() as now:
            pipeline = self._pipeline(pipeline_id)
            definition = read_definition(pipeline.body)
            params = check_job_params(definition, job_params)
            return self._add_run(pipeline, definition, params, trigger, now)

    def _add_run(
        self, pipeline: Pipeline, definition: Definition, params: dict[str, dict[str, str]], trigger: str, at: float
    ) -> Run:
        nodes = self._plan(definition, params, at)
        settles, outcome = (None, "") if self.executor else ending(nodes, at)
        run_id = self.store.add_run(
            pipeline.id,
            pipeline.version,
            trigger,
            json.dumps(params, ensure_ascii=False),
            at,
            at + self.options.history_delay,
            settles,
            outcome,
            self.executor is not None,
            dump_nodes(nodes),
        )
        run = self._run(run_id)
        if self.executor:
            self.executor.begin(run, definition)
        return run

    def _plan(
        self,
        definition: Definition,
        params: dict[str, dict[str, str]],
        at: float,
        earlier: dict[str, NodeRun] | None = None,
    ) -> tuple[NodeRun, ...]:
        """The nodes of a run that begins or goes on: all that will come, or, where jobs really run, what is known."""
        if not self.executor:
            return plan(definition, params, at, self.options.node_seconds, earlier)
        return to_be_executed(definition, params, earlier)

    def run(self, run_id: object) -> Run:
        """One run with its nodes, whether it shows in the history yet or not.

        :param run_id: its id, as a number or as digits.
        :raises Refused: when there is none, or it was pruned.
        """
        with self._present():
            return self._run(run_id)

    def _run(self, run_id: object) -> Run:
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
        with self._present() as now:
            number = _number(pipeline_id)
            if number is None or self.store.run_count(number) is None:
                raise Refused(f"pipeline {pipeline_id} does not exist")
            offset = (page - 1) * size if size > 0 else 0
            rows, total = self.store.runs(number, now, ascending=ascending, size=size, offset=offset)
            return [_run(row) for row in rows], total

    def stop(self, run_id: object) -> Run:
        """Stop a run; it is stopping for ``stop_seconds`` first, or until its jobs have ended.

        :raises Refused: when there is no such run, or it isn't running.
        """
        with self._present() as now:
            run = self._run(run_id)
            if run.state(now) != "running":
                raise Refused(f"pipeline run {run.id} is not running (status {self.options.word(run.state(now))})")
            if run.executed and self.executor:
                self._change(run, stopping=now, settles=None, outcome="", nodes=run.nodes)
                self.executor.stop(run.id)
            else:
                end = now + self.options.stop_seconds
                self._change(run, stopping=now, settles=end, outcome="stopped", nodes=cut_short(run.nodes, now, end))
            return self._run(run.id)

    def resume(self, run_id: object) -> Run:
        """Go on with a failed or stopped run, under its own id, from the nodes that didn't succeed.

        :raises Refused: when there is no such run, or it neither failed nor was stopped.
        """
        with self._present() as now:
            run = self._run(run_id)
            if run.state(now) not in ("failed", "stopped"):
                raise Refused(f"pipeline run {run.id} can't be resumed (status {self.options.word(run.state(now))})")
            definition = read_definition(json.loads(self.store.version(run.version)))
            nodes = self._plan(definition, run.params, now, {node.node_id: node for node in run.nodes})
            settles, outcome = (None, "") if self.executor else ending(nodes, now)
            self._change(run, stopping=None, settles=settles, outcome=outcome, nodes=nodes)
            run = self._run(run.id)
            if self.executor:
                self.executor.begin(run, definition)
            return run

    def _change(
        self, run: Run, *, stopping: float | None, settles: float | None, outcome: str, nodes: tuple[NodeRun, ...]
    ) -> None:
        self.store.change_run(
            run.id,
            stopping=stopping,
            settles=settles,
            outcome=outcome,
            nodes=dump_nodes(nodes),
            executed=bool(self.executor),
        )

    def finish(self, run_id: object, outcome: str = "succeeded", message: str = "") -> Run:
        """End a simulated run that is under way at once, for tests.

        :param run_id: the run.
        :param outcome: succeeded, failed or stopped; what is running ends so.
        :param message: what the nodes that failed say.
        :raises Refused: when there is no such run, it has ended, or its jobs really run.
        """
        with self._present() as now:
            run = self._run(run_id)
            if run.settled(now) or run.executed:
                why = "really runs" if run.executed else f"has ended already (status {self.options.word(run.outcome)})"
                raise Refused(f"pipeline run {run.id} {why}")
            nodes = tuple(_finished(node, now, outcome, message) for node in run.nodes)
            self._change(run, stopping=run.stopping, settles=now, outcome=outcome, nodes=nodes)
            return self._run(run.id)

    # What the jobs of executed runs report

    def report_node(self, run_id: int, node: NodeRun) -> None:
        """Note how a node of an executed run stands; nothing, if the run was pruned."""
        with self.lock:
            if row := self.store.run(run_id):
                run = _run(row)
                nodes = tuple(node if each.node_id == node.node_id else each for each in run.nodes)
                self._change(run, stopping=run.stopping, settles=None, outcome="", nodes=nodes)

    def report_end(self, run_id: int, outcome: str) -> None:
        """Note that an executed run has ended; one that was being stopped is stopped now."""
        with self.lock:
            if row := self.store.run(run_id):
                run = _run(row)
                outcome = outcome if run.stopping is None else "stopped"
                self._change(run, stopping=run.stopping, settles=self.clock.now(), outcome=outcome, nodes=run.nodes)

    def prune(self, pipeline_id: object, up_to: int) -> int:
        """Delete a pipeline's old runs, as installations do by hand. Source: the vendor's documentation.

        :param pipeline_id: the pipeline.
        :param up_to: the newest run id to go.
        :returns: how many went.
        """
        with self._present():
            return self.store.delete_runs(self._pipeline(pipeline_id).id, 0, up_to)

    def forget(self, run_id: int) -> None:
        """Delete one run, as if it had been pruned.

        :raises Refused: when there is no such run.
        """
        with self._present():
            run = self._run(run_id)
            self.store.delete_runs(run.pipeline_id, run.id, run.id)

    def clear(self) -> None:
        """Forget everything, jobs under way included."""
        if self.executor:
            self.executor.end_all()
        with self.lock:
            self.store.clear()

    def add_history(self, pipeline_id: object, moments: Iterable[float]) -> None:
        """Give a pipeline runs that succeeded in the past, for tests of long histories.

        :param pipeline_id: the pipeline.
        :param moments: when each ran, oldest first.
        """
        with self._present():
            pipeline = self._pipeline(pipeline_id)
            definition = read_definition(pipeline.body)
            nodes = dump_nodes(node_run(node) for node in definition.nodes)
            self.store.add_runs(pipeline.id, pipeline.version, "manual", moments, nodes)

    # Schedule

    def set_schedule(self, pipeline_id: object, enabled: bool) -> Pipeline:
        """Turn a pipeline's own schedule on or off.

        :raises Refused: when there is no such pipeline, or its schedule makes no sense.
        """
        with self._present() as now:
            pipeline = self._pipeline(pipeline_id)
            fires = self._next_fire(read_definition(pipeline.body), now) if enabled else None
            self.store.schedule(pipeline.id, enabled, fires)
            return self._pipeline(pipeline.id)

    def publish(self, topic: str) -> list[Run]:
        """Send a message: it starts every pipeline whose schedule is on and listens to its topic.

        :param topic: FlowEngine's ``trigger``, e.g. ModelTrainFinishEvent.
        :returns: the runs it started.
        """
        with self._present() as now:
            return [
                self._add_run(pipeline, definition, {}, "message", now)
                for pipeline in map(_pipeline, self.store.pipelines())
                if pipeline.scheduled and listens_to((definition := read_definition(pipeline.body)).execution, topic)
            ]

    def catch_up(self) -> None:
        """Start what the schedules have to start by now; every other method does so first."""
        with self._present():
            pass

    def restart(self) -> None:
        """Do what a restarted kernel does: executed runs have failed, and what schedules missed is skipped."""
        with self.lock:
            now = self.clock.now()
            for run in map(_run, self.store.open_runs()):
                if run.executed:
                    nodes = tuple(_lost(node, now) for node in run.nodes)
                    self._change(run, stopping=run.stopping, settles=now, outcome="failed", nodes=nodes)
            while due := self.store.due(now):
                self._skip(due["id"], now)

    def _next_fire(self, definition: Definition, after: float) -> float | None:
        return next_fire(definition.execution, after, self.options.timezone)

    def _skip(self, pipeline_id: int, now: float) -> None:
        definition = read_definition(self._pipeline(pipeline_id).body)
        self.store.schedule(pipeline_id, True, self._next_fire(definition, now))

    def _fire_due(self, now: float) -> None:
        fired = 0
        while due := self.store.due(now):
            fired += 1
            if fired > MOST_FIRED:
                self._skip(due["id"], now)
                continue
            pipeline, at = self._pipeline(due["id"]), due["next_fire"]
            definition = read_definition(pipeline.body)
            self._add_run(pipeline, definition, {}, TRIGGER_OF_MODE[definition.execution["runMode"]], at)
            self.store.schedule(pipeline.id, True, self._next_fire(definition, at))


def _lost(node: NodeRun, now: float) -> NodeRun:
    if node.start is None or node.end is not None:
        return node
    return replace(node, end=now, outcome="failed", message="the kernel was restarted")


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
