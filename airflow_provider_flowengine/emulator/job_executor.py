"""
Runs whose jobs really run: order, wiring, retries, time limits, hooks, stop and resume.

SHELL and PYTHON3 nodes with a script run; all others are simulated and say so. The hooks of a node run as the vendor's
documentation says: ``onPreStart`` before it, ``onComplete`` after it succeeded, ``onError`` after it failed,
``onTimeout`` after it took too long. Their output goes to the node's log. What a hook looks like is inference: an
object with ``indexType`` and ``indexSource`` like a node's, or the text of a shell script. A failed ``onPreStart``
fails the node; the other hooks change nothing. ``onCondition`` is described nowhere and has no effect.
"""

from __future__ import annotations

import contextlib
import re
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .jobs import COMMANDS, Ended, Script, run_job
from .simulation import simulated_duration, simulated_outcome, times_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .definition import Definition, Node
    from .engine import Engine
    from .files import Files
    from .models import NodeRun, Run

_TICK = 0.5  # seconds between two checks of the schedules
_RUNS_AT_ONCE = 32  # further ones wait
_AT_ONCE = 8  # nodes of one run
_AFTER = {"succeeded": "onComplete", "failed": "onError", "timed out": "onTimeout"}


class JobExecutor:
    """
    Runs the jobs of an engine; threads of this process wait for them.

    :param engine: the engine, which gets the results.
    :param files: the jobs' folders.
    """

    def __init__(self, engine: Engine, files: Files) -> None:
        self._engine = engine
        self._files = files
        self._stops: dict[int, threading.Event] = {}
        self._runs = ThreadPoolExecutor(_RUNS_AT_ONCE, "flowengine-run")
        self._under_way: dict[int, Future[None]] = {}
        self._closed = threading.Event()
        self._clockwork = threading.Thread(target=self._tick, name="flowengine-schedule", daemon=True)
        self._clockwork.start()

    def begin(self, run: Run, definition: Definition) -> None:
        """Run the nodes of a run that haven't succeeded."""
        with contextlib.suppress(OSError):  # without the folder, its jobs fail and say so
            self._files.make("runs")
            if not any(node.attempts for node in run.nodes):
                self._files.forget_run(run.id)
            self._files.make("runs", str(run.id))
        stop = self._stops[run.id] = threading.Event()
        self._under_way[run.id] = self._runs.submit(self._run, run, definition, stop)

    def stop(self, run_id: int) -> None:
        """End the jobs of a run; waiting ones never start."""
        with self._engine.lock:
            if run_id in self._stops:
                self._stops[run_id].set()
                if self._under_way[run_id].cancel():  # it hasn't started yet
                    self._end(run_id, "failed")

    def close(self) -> None:
        """End all jobs for good and wait until they have."""
        self._closed.set()
        self._clockwork.join()
        self.end_all()
        self._runs.shutdown()

    def end_all(self) -> None:
        """End all jobs and wait until they have."""
        under_way = list(self._under_way.items())
        for run_id, _ in under_way:
            self.stop(run_id)
        wait(future for _, future in under_way)

    def _tick(self) -> None:
        """Start scheduled runs on time: simulated ones can wait for the next request, real ones can't."""
        while not self._closed.wait(_TICK):
            self._engine.catch_up()

    def _run(self, run: Run, definition: Definition, stop: threading.Event) -> None:
        outcome = "failed"
        try:
            outcome = self._run_nodes(run, definition, stop)
        finally:
            self._end(run.id, outcome)

    def _end(self, run_id: int, outcome: str) -> None:
        with self._engine.lock:
            del self._stops[run_id], self._under_way[run_id]
            self._engine.report_end(run_id, outcome)

    def _run_nodes(self, run: Run, definition: Definition, stop: threading.Event) -> str:
        """Run the nodes of a run, each once those before it have succeeded; return the outcome."""
        states = {node.node_id: node for node in run.nodes}
        waiting = {number: node for number, node in enumerate(definition.nodes) if not states[node.id].succeeded}
        under_way: dict[Future[NodeRun], str] = {}
        with ThreadPoolExecutor(_AT_ONCE, f"flowengine-run-{run.id}") as pool:
            while True:
                for number in [] if stop.is_set() else _ready(waiting, states):
                    node = waiting.pop(number)
                    future = pool.submit(self._node, run, number, node, dict(states), stop)
                    under_way[future] = node.id
                if not under_way:
                    break
                for done in wait(under_way, return_when=FIRST_COMPLETED).done:
                    states[under_way.pop(done)] = done.result()
        return "succeeded" if _all_succeeded(states.values()) else "failed"

    def _node(self, run: Run, number: int, node: Node, states: dict[str, NodeRun], stop: threading.Event) -> NodeRun:
        now = self._engine.clock.now
        values = node.values(run.params) | {wire.key: states[wire.source].output for wire in node.wires}
        state = replace(states[node.id], start=now(), end=None, outcome="", message="", output="", params=values)
        ended = Ended("stopped")
        for again in range(node.retries + 1):
            if stop.wait(node.retry_gap if again else 0):
                ended = Ended("stopped")
                break
            state = replace(state, attempts=state.attempts + 1)
            self._engine.report_node(run.id, state)
            try:
                ended = self._attempt(run, number, node, state, stop)
            except Exception as error:  # a job may do anything to its folder; its run must still end
                ended = Ended("failed", f"the emulator can't run it: {error}")
            if ended.outcome in ("succeeded", "stopped"):
                break
        outcome = "failed" if ended.outcome == "timed out" else ended.outcome
        state = replace(state, end=now(), outcome=outcome, message=ended.message, output=ended.output)
        self._engine.report_node(run.id, state)
        return state

    def _attempt(self, run: Run, number: int, node: Node, state: NodeRun, stop: threading.Event) -> Ended:
        script = Script(node.job_type, node.source)
        if node.type != "TASK" or not script.executable:
            return self._simulate(node, state, stop)
        for param in node.params:
            if param.type == "FILE" and not Path(state.params[param.key]).is_file():
                return Ended("failed", f"param {param.key}: there is no file {state.params[param.key]!r}")
        folder = self._files.job(run.id, number, node.id)
        values = self._system_params() | state.params
        prepared = self._hook(node, "onPreStart", values, folder, stop)
        if prepared:
            if prepared.outcome != "succeeded":
                return replace(prepared, message=f"onPreStart: {prepared.message}") if prepared.message else prepared
            script = replace(script, heading=node.job_type)
        ended = run_job(script, values, folder, folder / "log.txt", node.limit, stop)
        if ended.outcome in _AFTER:
            self._hook(node, _AFTER[ended.outcome], values, folder, stop)
        return ended

    def _hook(self, node: Node, name: str, values: dict[str, str], folder: Path, stop: threading.Event) -> Ended | None:
        """Run one of a node's hooks, in a folder of its own; return how it ended, or None if there is none."""
        script = Script(*node.hooks.get(name, ("", "")), heading=name)
        if not script.executable:
            return None
        return run_job(script, values, folder / name, folder / "log.txt", node.limit, stop)

    def _system_params(self) -> dict[str, str]:
        """Params that every job has. Source: a script on the vendor's page."""
        options = self._engine.options
        instance = re.search(r"/(\d+)(?:/|$)", options.engine_url)
        return {"engineKey": options.engine_key, "instanceId": instance[1] if instance else ""}

    def _simulate(self, node: Node, state: NodeRun, stop: threading.Event) -> Ended:
        """Let time pass as a simulated node does."""
        duration = simulated_duration(node, state.params, self._engine.options.node_seconds)
        if times_out(node, duration):
            late = Ended("timed out", f"timed out after {node.limit:g} s")
            return Ended("stopped") if stop.wait(node.limit) else late
        if stop.wait(duration):
            return Ended("stopped")
        kind = node.job_type if node.type == "TASK" else node.type
        if kind in COMMANDS:
            kind += " without a script"
        why = f"{kind} is simulated here"
        said = state.params.get("message", "") or ("" if node.type == "START" else why)
        return Ended(simulated_outcome(state.params, state.attempts), said)


def _ready(waiting: Mapping[int, Node], states: Mapping[str, NodeRun]) -> list[int]:
    """Return the numbers of the nodes before which all have succeeded."""
    return [number for number, node in waiting.items() if _all_succeeded(map(states.__getitem__, node.upstream))]


def _all_succeeded(states: Iterable[NodeRun]) -> bool:
    return all(state.succeeded for state in states)
