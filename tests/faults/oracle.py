"""
What may come of a case, and what may not.

Three things must never be (each has a test in :mod:`.test_checkpoint_table` too):

- A **duplicate**: a run is started while an earlier one of the task goes on, or has succeeded and nobody has handed its
  result on.
- A **loss**: a run is left running that nobody watches; or the task's outcome isn't its run's.
- A **wrong stop**: a run is stopped that is somebody else's, or that nobody has ended.

What can't be told apart, or that nobody is there to do, is excused. Each excuse is named where it is made, and counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

from airflow_provider_flowengine.protocol.errors import (
    AmbiguousRunError,
    FlowEngineError,
    RunFailedError,
    RunLostError,
    RunStoppedError,
    RunTimeoutError,
    StartUnconfirmedError,
    StatusUnavailableError,
)

from .airflow import Deaf, Died, NotFound, Process, Returned

if TYPE_CHECKING:
    from .airflow import Airflow, Task
    from .case import Case
    from .flowengine import FlowEngine


@dataclass
class Judge:
    """
    Watches one case.

    :param case: the case.
    :param flowengine: the FlowEngine, whose starts and stops it is told.
    :param violations: what must never be, and was: its kind, and what happened.
    :param excuses: what is excused, and why.
    """

    case: Case
    flowengine: FlowEngine
    violations: list[tuple[str, str]] = field(default_factory=list)
    excuses: Counter[str] = field(default_factory=Counter)
    deferral_timed_out: bool = False
    stop_failed: bool = False
    airflow: Airflow = field(init=False)
    _acted_on: set[int] = field(default_factory=set)
    _ended_by_person: set[int] = field(default_factory=set)
    _told: list[Process] = field(default_factory=list)
    _handed_on: list[int] = field(default_factory=list)
    _unfenced: bool = False
    _unattended: bool = False
    _unnoted: bool = False
    _marked: bool = False
    _last: Process | None = None

    def __post_init__(self) -> None:
        self.flowengine.on_start = self.run_started
        self.flowengine.on_stop = self.stop_asked

    def note(self, kind: str, text: str) -> None:
        """Note what must never be; what follows from a start that no client can prevent is excused."""
        if self._unfenced:
            self.excuses["a process froze between its last look and its start"] = 1
            return
        self.violations.append((kind, text))
        self.airflow.tell(f"!!! {kind}: {text}")

    # --- while it goes on -----------------------------------------------------------------------------------------

    def run_started(self, run_id: int) -> None:
        """A start of the task's has made a run: all earlier ones must be over and done with."""
        self.airflow.tell(f"FlowEngine: run {run_id} is started")
        actor, marked = self.airflow.acting, self.airflow.task.state in ("failed", "success", "restarting")
        if actor in self._told or (marked and isinstance(actor, Process)):
            self._ended_by_person.add(run_id)
            self._acted_on.add(run_id)
        self._unfenced = self._unfenced or self._is_past_fencing()
        for earlier in self.flowengine.ours[:-1]:
            state = self.flowengine.state(earlier)
            if self.flowengine.is_alive(earlier):
                if earlier in self._handed_on and not self.case.wait_for_completion:
                    self.excuses["the task doesn't wait for its run"] += 1
                elif not self.case.cancel_on_kill and earlier in self._ended_by_person:
                    self.excuses["cancel_on_kill is off, and a person has cleared the task"] += 1
                else:
                    self.note("duplicate", f"run {run_id} is started while run {earlier} goes on")
            elif state == "succeeded" and earlier not in {*self._handed_on, *self._ended_by_person}:
                if earlier in self.flowengine.gone:
                    self.excuses["a run was pruned before its result could be seen"] += 1
                else:
                    self.note("duplicate", f"run {run_id} is started though run {earlier} has succeeded")

    def _is_past_fencing(self) -> bool:
        """
        Whether the one who starts is a process that was thought dead, frozen after its last look at its ownership.

        No client can close that gap: between the look and the request there is always a moment.
        """
        process = self.airflow.acting
        return (
            isinstance(process, Process)
            and process.ti.id != self.airflow.task.id
            and process.froze_at in ("wrote starting", "send start pipeline", "sent start pipeline")
        )

    def stop_asked(self, run_id: int) -> None:
        """A stop is sent: there must be a reason."""
        self.airflow.tell(f"FlowEngine: a stop of run {run_id} (which is {self.flowengine.state(run_id)})")
        if not self._reason_to_stop(run_id):
            whose = "" if run_id in self.flowengine.ours else ", which is somebody else's"
            self.note("wrong stop", f"run {run_id} is stopped{whose}")

    def _reason_to_stop(self, run_id: int) -> str:
        """Why this run may be stopped now; empty where it may not."""
        actor, task, limit = self.airflow.acting, self.airflow.task, self.case.time_limit
        if run_id not in self.flowengine.ours or not self.case.cancel_on_kill:
            return ""
        if run_id in self._acted_on:
            return "a person has ended or cleared the task while it was the task's run"
        if isinstance(actor, Process) and actor.ti.id != task.id:
            return ""  # a process thought dead owns nothing
        if limit and task.start_date and self.airflow.clock.now + 1 >= task.start_date.timestamp() + limit:
            return "its time is over"
        if self.deferral_timed_out:
            return "Airflow has ended the deferral"
        if isinstance(actor, Process) and not task.has_retries_left:
            return "the last try gives up"
        return ""

    def person_acts(self, kind: str, attended: bool) -> None:
        """A person marks the task, or clears it. A clear of what has failed ends nothing: it is a retry."""
        state, ours = self.airflow.task.state, self.flowengine.ours
        attended = attended and state != "restarting"  # a process that was cleared already doesn't hear of a mark, too
        self._marked = kind != "clear"
        self._acted_on.update(ours)
        if kind != "clear" or state not in ("failed", "up_for_retry", None):
            self._ended_by_person.update(ours)
        if attended and self.airflow.process:
            self._told.append(self.airflow.process)  # a start that is under way makes a run that is ended already
        self._unattended = not attended and any(map(self.flowengine.is_alive, ours))

    def run_watched(self, run_id: int, process: Process) -> None:
        """A try goes on with a run: whatever a person has ended before, this run isn't ended any more."""
        if self.airflow.task.state == "running":
            self._ended_by_person.discard(run_id)
            self._acted_on.discard(run_id)

    def process_ended(self, process: Process) -> None:
        """A process of the task has ended, or gives no sign of life."""
        self._last = process
        ending = process.ending
        known = FlowEngineError | AirflowTaskTimeout | TaskDeferred | Deaf | Died | Returned | None
        stale = process.ti.id != self.airflow.task.id and isinstance(ending, NotFound)
        if not isinstance(ending, known) and not stale:
            self.note("fault of our own", f"try {process.ti.try_number} ended in {ending!r}")
        if isinstance(ending, AmbiguousRunError):
            self.note("loss", f"the run wasn't told apart from others: {ending}")

    def task_succeeded(self, returned: object) -> None:
        """The task has ended well: with a run of its own, that has succeeded, and whose result wasn't handed on yet."""
        run_id = int(str(returned)) if str(returned).isdigit() else -1
        if run_id not in self.flowengine.ours:
            self.note("loss", f"the task returned {returned!r}, which is no run of its own")
        elif self.case.wait_for_completion and self.flowengine.state(run_id) != "succeeded":
            self.note("loss", f"the task succeeded, but its run {run_id} is {self.flowengine.state(run_id)}")
        elif run_id in self._handed_on and self._unnoted:
            self.excuses["Airflow's store failed when it was to note that the result was delivered"] += 1
        elif run_id in self._handed_on:
            self.note("loss", f"a person cleared the task, and it handed run {run_id} on once more")
        self._handed_on.append(run_id)
        self._unnoted = self._last is not None and self._last.was_deaf

    # --- at the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Judge how it all ended."""
        task = self.airflow.task
        for run_id in self.flowengine.ours:
            if self.flowengine.is_alive(run_id):
                excuse = self._excuse_for_running(run_id, task)
                if excuse:
                    self.excuses[excuse] += 1
                else:
                    self.note("loss", f"run {run_id} is left running, and nobody watches it")
        if task.state == "failed" and not self._marked:
            self._judge_failure()

    def _excuse_for_running(self, run_id: int, task: Task) -> str:
        ending = self._last.ending if self._last else None
        if not self.case.cancel_on_kill:
            return "cancel_on_kill is off"
        if not self.case.wait_for_completion and (task.state == "success" or isinstance(ending, Returned)):
            return "the task doesn't wait for its run"
        if run_id in self._ended_by_person and self._unattended:
            return "a person ended the task while no process of it was there to be told"
        if ending is None or isinstance(ending, Died):
            return "the task's last process was killed by force"
        if isinstance(ending, StartUnconfirmedError):
            return "the last try never saw its run"
        run = self.flowengine.run(run_id)
        if run and self._last and max(run.visible_at, self._last.began) > self.flowengine.last_look:
            return "the history hadn't shown the run to the task's last process"
        if self._last and self._last.was_deaf:
            return "Airflow gave no answer to the task's last process"
        if self.stop_failed:
            return "FlowEngine gave no answer while the run was to be stopped"
        return ""

    def _judge_failure(self) -> None:
        """The task failed, and nobody has marked it: its run failed, or the last try gave up for a reason."""
        ours, case = self.flowengine.ours, self.case
        ending = self._last.ending if self._last else None
        state = self.flowengine.state(ours[-1]) if ours else "never started"
        if isinstance(ending, RunFailedError | RunStoppedError):
            wanted = "failed" if isinstance(ending, RunFailedError) else "stopped"
            if state != wanted:
                self.note("loss", f"the task says that its run {wanted}, but it is {state}")
            return
        if state in ("failed", "stopped", "never started"):
            return  # the task's outcome is its run's, whatever kept the last try from seeing it
        name = type(ending).__name__
        timed = case.time_limit is not None or self.deferral_timed_out
        if not case.is_patient:
            self.excuses[f"the last try of few gave up: {name}"] += 1
        elif isinstance(ending, StartUnconfirmedError) and case.shape.get("history_delay", 0) > 30:
            self.excuses["each run shows later than start_confirmation_timeout"] += 1
        elif isinstance(ending, RunLostError) and case.prunings:
            self.excuses["the run was pruned"] += 1
        elif (
            isinstance(ending, RunTimeoutError | AirflowTaskTimeout)
            and timed
            and not isinstance(ending, StatusUnavailableError)
        ):
            self.excuses["each try took longer than it may"] += 1
        else:
            self.note("loss", f"the task failed in spite of all its tries: {ending!r}; its run is {state}")
