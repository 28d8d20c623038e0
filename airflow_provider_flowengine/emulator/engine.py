"""The engine: it creates, changes and starts pipelines, and stops and resumes their runs."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .definition import Definition, RequestRejected, check_job_params, read_definition, wrap_definition
from .models import NodeRun, Pipeline, Run, key_of, number_of, past
from .schedule import TRIGGER_OF_MODE, check_schedule, first_fire, listens_to, next_fire
from .simulation import cut_short, ending, finished, lost, node_run, nodes_to_execute, plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .clock import Clock
    from .executor import Executor
    from .options import Options
    from .store import Store

# How many missed runs the schedules start at once at most, and in how many seconds: the others are skipped.
MAX_FIRED, _MAX_CATCH_UP = 10_000, 5.0


class Engine:
    """
    The engine's pipelines and runs. Every method may be called from any thread.

    :param store: the database.
    :param clock: the time.
    :param options: how they behave.
    """

    def __init__(self, store: Store, clock: Clock, options: Options) -> None:
        self.store = store
        self.clock = clock
        self.options = options
        self.lock = threading.RLock()
        self.executor: Executor | None = None
        self.key_needed = False  # whether the access key must stay set: without it, others could run jobs here

    @contextmanager
    def _locked_now(self) -> Iterator[float]:
        """Lock the engine and return the time; runs that its schedules start by then are started first."""
        with self.lock:
            now = self.clock.now()
            self._fire_due(now)
            yield now

    def _read(self, body: dict[str, Any]) -> Definition:
        return read_definition(body, self.options.defaults)

    # Pipelines

    def create_pipeline(self, body: dict[str, Any]) -> Pipeline:
        """
        Create a pipeline; an id in it has no effect.

        :param body: the object of the create call, or the definition in it alone, as it stands in a file.
        :raises RequestRejected: when the definition is wrong, or the key is taken and ``duplicate_keys`` says no.
        """
        body = wrap_definition(body)
        check_schedule(self._read(body).config)
        key = key_of(body)
        with self._locked_now() as now:
            self._check_key(key)
            return self._pipeline(self.store.add_pipeline(body, key, now))

    def update_pipeline(self, body: dict[str, Any]) -> Pipeline:
        """
        Replace the object of the pipeline with its id; runs under way keep the old one.

        :raises RequestRejected: when there is no such pipeline, or the definition or its schedule is wrong.
        """
        with self._locked_now() as now:
            pipeline = self._pipeline(body.get("id"))
            definition = self._read(body)
            check_schedule(definition.config)
            key = key_of(body)
            self._check_key(key, pipeline.id)
            fires = first_fire(definition.config, now, self.options.timezone) if pipeline.scheduled else None
            self.store.change_pipeline(pipeline.id, body, key)
            self.store.schedule(pipeline.id, pipeline.scheduled, fires)
            return self._pipeline(pipeline.id)

    def delete_pipeline(self, pipeline_id: object) -> None:
        """
        Delete a pipeline with its runs, as a user in FlowEngine's database does; jobs under way are ended.

        :raises RequestRejected: when there is no such pipeline.
        """
        with self._locked_now():
            found = self._pipeline(pipeline_id).id
            self._delete_runs(found, 0, 2**62)
            self.store.delete_pipeline(found)

    def _check_key(self, key: str, other_than: int = 0) -> None:
        if self.options.duplicate_keys == "refuse" and key and self.store.has_key(key, other_than):
            raise RequestRejected(f"pipelineKey {key} exists already")

    def pipeline(self, pipeline_id: object) -> Pipeline:
        """
        Return one pipeline.

        :param pipeline_id: its id, as a number or as digits.
        :raises RequestRejected: when there is none.
        """
        with self._locked_now():
            return self._pipeline(pipeline_id)

    def _pipeline(self, pipeline_id: object) -> Pipeline:
        number = number_of(pipeline_id)
        pipeline = self.store.pipeline(number) if number is not None else None
        if pipeline is None:
            raise RequestRejected(f"pipeline {pipeline_id} does not exist")
        return pipeline

    def pipelines(self) -> list[Pipeline]:
        """Return all pipelines, oldest first."""
        with self._locked_now():
            return self.store.pipelines()

    # Runs

    def start(self, pipeline_id: object, job_params: object = None, trigger: str = "manual") -> Run:
        """
        Start a run now.

        :param pipeline_id: the pipeline's id.
        :param job_params: ``{nodeId: {key: value}}``.
        :param trigger: what starts it: manual, interval, cron or message.
        :raises RequestRejected: when there is no such pipeline, or the params name a node it doesn't have.
        """
        with self._locked_now() as now:
            pipeline = self._pipeline(pipeline_id)
            definition = self._read(pipeline.body)
            params = check_job_params(definition, job_params)
            return self._add_run(pipeline, definition, params, trigger, now)

    def _add_run(
        self, pipeline: Pipeline, definition: Definition, params: dict[str, dict[str, str]], trigger: str, at: float
    ) -> Run:
        visible_at = at + self.options.history_delay
        run = Run(0, pipeline.id, pipeline.version, trigger, params, at, visible_at, None, "", ())
        run = self.store.add_run(self._under_way(run, definition, at))
        self._begin_jobs(run, definition)
        return run

    def _under_way(self, run: Run, definition: Definition, at: float) -> Run:
        """Return a run that begins, or resumes what hasn't succeeded: planned in advance, or waiting for its jobs."""
        earlier = {node.node_id: node for node in run.nodes}
        if self.executor:
            nodes = nodes_to_execute(definition, run.params, earlier)
            ends_at, outcome = None, ""
        else:
            nodes = plan(definition, run.params, at, self.options.node_seconds, earlier)
            ends_at, outcome = ending(nodes, at)
        executed = self.executor is not None
        return replace(run, stopping=None, ends_at=ends_at, outcome=outcome, executed=executed, nodes=nodes)

    def _begin_jobs(self, run: Run, definition: Definition) -> None:
        if self.executor:
            self.executor.begin(run, definition)

    def run(self, run_id: object) -> Run:
        """
        Return one run with its nodes, whether it shows in the history yet or not.

        :param run_id: its id, as a number or as digits.
        :raises RequestRejected: when there is none, or it was pruned.
        """
        with self._locked_now():
            return self._run(run_id)

    def _run(self, run_id: object) -> Run:
        number = number_of(run_id)
        run = self.store.run(number) if number is not None else None
        if run is None:
            raise RequestRejected(f"pipeline run {run_id} does not exist")
        return run

    def runs(
        self, pipeline_id: object, *, page: int = 1, size: int = -1, ascending: bool = False
    ) -> tuple[list[Run], int]:
        """
        Return a page of a pipeline's history.

        :param pipeline_id: the pipeline's id.
        :param page: which page, from 1.
        :param size: runs a page; -1 for all.
        :param ascending: oldest first.
        :return: the runs, without their nodes, and how many there are in all.
        :raises RequestRejected: when there is no such pipeline.
        """
        with self._locked_now() as now:
            number = number_of(pipeline_id)
            if number is None or self.store.run_count(number) is None:
                raise RequestRejected(f"pipeline {pipeline_id} does not exist")
            offset = (page - 1) * size if size > 0 else 0
            return self.store.runs(number, now, ascending=ascending, size=size, offset=offset)

    def stop(self, run_id: object) -> Run:
        """
        Stop a run; it is stopping for ``stop_seconds`` first, or until its jobs have ended.

        :raises RequestRejected: when there is no such run, or it isn't running.
        """
        with self._locked_now() as now:
            run = self._run(run_id)
            if run.state(now) != "running":
                raise RequestRejected(
                    f"pipeline run {run.id} is not running (status {self.options.word(run.state(now))})"
                )
            if run.executed:
                run = replace(run, stopping=now)
            else:
                end = now + self.options.stop_seconds
                nodes = cut_short(run.nodes, now, end)
                run = replace(run, stopping=now, ends_at=end, outcome="stopped", nodes=nodes)
            self.store.change_run(run)
            if run.executed and self.executor:
                self.executor.stop(run.id)
            return run

    def resume(self, run_id: object) -> Run:
        """
        Resume a failed or stopped run, under its own id, from the nodes that didn't succeed.

        :raises RequestRejected: when there is no such run, or it neither failed nor was stopped.
        """
        with self._locked_now() as now:
            run = self._run(run_id)
            if run.state(now) not in ("failed", "stopped"):
                raise RequestRejected(
                    f"pipeline run {run.id} can't be resumed (status {self.options.word(run.state(now))})"
                )
            definition = self._read(self.store.version(run.version))
            run = self._under_way(run, definition, now)
            self.store.change_run(run)
            self._begin_jobs(run, definition)
            return run

    def finish(self, run_id: object, outcome: str = "succeeded", message: str = "") -> Run:
        """
        End a simulated run that is under way at once, for tests.

        :param run_id: the run.
        :param outcome: succeeded, failed or stopped; what is running ends so.
        :param message: what the nodes that failed say.
        :raises RequestRejected: when there is no such run, it has ended, or its jobs really run.
        """
        with self._locked_now() as now:
            run = self._run(run_id)
            if run.executed:
                raise RequestRejected(f"pipeline run {run.id} really runs: it ends when its jobs do")
            if run.has_ended(now):
                raise RequestRejected(
                    f"pipeline run {run.id} has ended already (status {self.options.word(run.outcome)})"
                )
            nodes = tuple(finished(node, now, outcome, message) for node in run.nodes)
            run = replace(run, ends_at=now, outcome=outcome, nodes=nodes)
            self.store.change_run(run)
            return run

    # What the jobs of executed runs report; ignored if the run was pruned meanwhile
    def report_node(self, run_id: int, node: NodeRun) -> None:
        """Save the state of a node of an executed run."""
        with self.lock:
            if run := self.store.run(run_id):
                nodes = tuple(node if each.node_id == node.node_id else each for each in run.nodes)
                self.store.change_run(replace(run, nodes=nodes))

    def report_end(self, run_id: int, outcome: str) -> None:
        """Save that an executed run has ended; one that was stopping is stopped now."""
        with self.lock:
            if run := self.store.run(run_id):
                outcome = outcome if run.stopping is None else "stopped"
                self.store.change_run(replace(run, ends_at=self.clock.now(), outcome=outcome))

    # What users do in FlowEngine's database

    def prune(self, pipeline_id: object, up_to: int) -> int:
        """
        Delete a pipeline's old runs. Source: the vendor's documentation.

        :param pipeline_id: the pipeline.
        :param up_to: the newest run id to delete.
        :return: how many were deleted; jobs under way are ended.
        """
        with self._locked_now():
            return self._delete_runs(self._pipeline(pipeline_id).id, 0, up_to)

    def forget(self, run_id: int) -> None:
        """
        Delete one run, as if it had been pruned.

        :raises RequestRejected: when there is no such run.
        """
        with self._locked_now():
            run = self._run(run_id)
            self._delete_runs(run.pipeline_id, run.id, run.id)

    def _delete_runs(self, pipeline_id: int, first: int, last: int) -> int:
        for run in self.store.open_runs():
            if self.executor and run.pipeline_id == pipeline_id and first <= run.id <= last:
                self.executor.stop(run.id)
        return self.store.delete_runs(pipeline_id, first, last)

    def clear(self) -> None:
        """Delete everything, and end jobs under way."""
        if self.executor:
            self.executor.end_all()
        with self.lock:
            self.store.clear()

    def add_history(self, pipeline_id: object, moments: Iterable[float]) -> None:
        """
        Give a pipeline runs that succeeded in the past, for tests of long histories.

        :param pipeline_id: the pipeline.
        :param moments: when each ran, oldest first.
        """
        with self._locked_now() as now:
            pipeline = self._pipeline(pipeline_id)
            nodes = tuple(
                node_run(node, outcome="succeeded", attempts=1, params=node.values({}))
                for node in self._read(pipeline.body).nodes
            )
            run = Run(0, pipeline.id, pipeline.version, "manual", {}, now, now, now, "succeeded", nodes)
            self.store.add_history(run, moments)

    # Schedule

    def set_schedule(self, pipeline_id: object, enabled: bool) -> Pipeline:
        """
        Turn a pipeline's own schedule on or off.

        :raises RequestRejected: when there is no such pipeline, or its schedule is wrong.
        """
        with self._locked_now() as now:
            pipeline = self._pipeline(pipeline_id)
            fires = first_fire(self._read(pipeline.body).config, now, self.options.timezone) if enabled else None
            self.store.schedule(pipeline.id, enabled, fires)
            return self._pipeline(pipeline.id)

    def publish(self, topic: str) -> list[Run]:
        """
        Send a message: it starts every pipeline whose schedule is on and listens to its topic.

        :param topic: FlowEngine's ``trigger``, e.g. ModelTrainFinishEvent.
        :return: the runs it started.
        """
        with self._locked_now() as now:
            scheduled = [(each, self._read(each.body)) for each in self.store.pipelines() if each.scheduled]
            return [
                self._add_run(pipeline, definition, {}, "message", now)
                for pipeline, definition in scheduled
                if listens_to(definition.config, topic)
            ]

    def catch_up(self) -> None:
        """Start the runs that the schedules start by now; every other method does so first."""
        with self._locked_now():
            pass

    def restart(self) -> None:
        """Restart the kernel: executed runs have failed, and what schedules missed is skipped."""
        with self.lock:
            now = self.clock.now()
            for run in self.store.open_runs():
                if run.executed:
                    nodes = tuple(lost(node, now) for node in run.nodes)
                    self.store.change_run(replace(run, ends_at=now, outcome="failed", nodes=nodes))
            while pipeline := self.store.due(now):
                self._skip(pipeline, now)

    def _next_fire(self, definition: Definition, after: float) -> float | None:
        return next_fire(definition.config, after, self.options.timezone)

    def _skip(self, pipeline: Pipeline, now: float) -> None:
        self.store.schedule(pipeline.id, True, self._next_fire(self._read(pipeline.body), now))

    def _fire_due(self, now: float) -> None:
        fired, deadline = 0, time.monotonic() + _MAX_CATCH_UP
        while pipeline := self.store.due(now):
            fired += 1
            at = pipeline.next_fire
            if fired > MAX_FIRED or at is None or time.monotonic() > deadline:
                self._skip(pipeline, now)
                continue
            definition = self._read(pipeline.body)
            following = self._next_fire(definition, at)
            if self.executor and past(following, now):
                # Real jobs can't run in the past: for all that was missed, one run starts now.
                at, following = now, self._next_fire(definition, now)
            self._add_run(pipeline, definition, {}, TRIGGER_OF_MODE[definition.config["runMode"]], at)
            self.store.schedule(pipeline.id, True, following)
