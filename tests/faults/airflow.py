"""
What Airflow does to a task, as far as an operator can notice: tries, kills, deferrals, and what survives them.

A model of Airflow 3.3, with the facts that matter here:

- Every new try has a new id, by retry and by clear alike. The task state store outlives tries and clears; a process
  whose id is gone reads nothing there, and can't write.
- A person's clear sets ``max_tries`` to the tries so far plus the task's retries; but a *running* task only becomes
  ``restarting``, and is tried again once its process has ended.
- A process learns that it was ended by a heartbeat: SIGTERM, which calls ``on_kill`` in the midst of ``execute``, and
  SIGKILL 5 s later. An eviction sends SIGTERM too, while the task is ``running`` all the same.
- A process that dies, or that gives no sign of life, is noticed after a while; then the task is tried again.
- A trigger's ``on_kill`` is called for what a person does, and for nothing else. A deferral that takes longer than its
  timeout, or whose trigger breaks down, comes back as ``__fail__``.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowTaskTimeout, TaskDeferred

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunTrigger

from .clock import Loop
from .flowengine import FlowEngine, TriggererLine, WorkerLine

if TYPE_CHECKING:
    from collections.abc import Callable

    from .case import Case
    from .clock import Clock
    from .oracle import Judge

NEVER = float("inf")
SIGKILL_AFTER = 5.0
SIGKILL_AFTER_EVICTION = 30.0
NO_SIGN_OF_LIFE = 300.0
MOST_LEGS = 60


@dataclass(frozen=True)
class Strike:
    """
    What strikes a task, or what a person does to it; each is counted from the one before.

    :param kind: ``crash``, ``evict`` or ``freeze`` its process; ``fail``, ``succeed`` or ``clear`` it, by a person;
        ``deaf``: the task state store fails once; ``forget``: the user deletes what it holds;
        ``end run``: somebody stops its run on FlowEngine's page; and while
        it is deferred ``break``: the trigger breaks down, ``no triggerer``: none is there any more.
    :param at: at the next boundary whose name begins so.
    :param nth: or at the nth boundary.
    :param seconds: or after so many seconds.
    :param delay: seconds until the process is told, or a new triggerer goes on.
    :param wakes: how many boundaries of later tries pass before a frozen process, or a late triggerer, acts.
    """

    kind: str
    at: str = ""
    nth: int = 0
    seconds: float = 0.0
    delay: float = 2.0
    wakes: int = 0


class Strikes:
    """The strikes that are still to come, one after the other."""

    def __init__(self, strikes: tuple[Strike, ...], clock: Clock) -> None:
        self.left = list(strikes)
        self.struck = 0
        self._clock = clock
        self._arm()

    def _arm(self) -> None:
        self._armed, self._passed = self._clock.now, 0

    @property
    def next_moment(self) -> float:
        """When the next one strikes, where that is a matter of time."""
        if not self.left or self.left[0].at or self.left[0].nth:
            return NEVER
        return self._armed + self.left[0].seconds

    def due(self, boundary: str) -> Strike | None:
        """Return the one that strikes at this boundary."""
        if not self.left:
            return None
        self._passed += 1
        strike = self.left[0]
        hit = (
            boundary.startswith(strike.at)
            if strike.at
            else self._passed >= strike.nth
            if strike.nth
            else self._clock.now >= self.next_moment
        )
        return self.take() if hit else None

    def take(self) -> Strike:
        """Let the next one strike, whether it is due or not."""
        strike = self.left.pop(0)
        self.struck += 1
        self._arm()
        return strike


# --- a task in Airflow's database -------------------------------------------------------------------------------------


@dataclass
class Deferral:
    """A deferred task: its trigger as it is kept, and when Airflow ends the deferral."""

    kwargs: dict[str, Any]
    method: str
    ends: float


@dataclass
class Task:
    """The one task."""

    retries: int
    max_tries: int
    id: int = 1
    try_number: int = 0
    state: str | None = None
    start_date: datetime | None = None
    returned: Any = None
    clears: int = 0
    next_method: str = ""
    next_kwargs: dict[str, Any] = field(default_factory=dict)
    deferral: Deferral | None = None
    store: dict[str, str] = field(default_factory=dict)
    xcom: dict[str, Any] = field(default_factory=dict)

    @property
    def has_retries_left(self) -> bool:
        """Whether a try that fails now is followed by another one."""
        return self.state == "restarting" or (self.max_tries != 0 and self.try_number <= self.max_tries)


class NotFound(Exception):
    """What the task state store says to a process whose task instance id is gone."""


class Deaf(Exception):
    """What a process gets from the task state store while Airflow's API server doesn't answer."""


class StateStore:
    """The task state store as one process sees it."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def get(self, key: str, default: Any = None) -> Any:
        rows = self._rows("read")
        return json.loads(rows[key]) if rows and key in rows else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        what = "run" if value["phase"] in ("polling", "deferred") else value["phase"]
        self._own_rows(f"write {what}")[key] = json.dumps(value)
        if what == "run":
            self._process.airflow.judge.run_watched(value["run_id"], self._process)
        self._process.boundary(f"wrote {what}")

    def delete(self, key: str) -> None:
        self._own_rows("delete").pop(key, None)

    def _rows(self, boundary: str) -> dict[str, str] | None:
        process, task = self._process, self._process.airflow.task
        process.boundary(boundary)
        if process.is_deaf:
            process.is_deaf, process.was_deaf = False, True
            raise Deaf("Airflow's API server doesn't answer")
        return task.store if task.id == process.ti.id else None

    def _own_rows(self, boundary: str) -> dict[str, str]:
        rows = self._rows(boundary)
        if rows is None:
            raise NotFound(f"Task instance {self._process.ti.id} not found")
        return rows


class TaskInstance:
    """The task instance in a process's context: how the task was when the process began."""

    dag_id, task_id, run_id, map_index = "dag", "task", "run", -1

    def __init__(self, airflow: Airflow) -> None:
        task = airflow.task
        self._airflow = airflow
        self.id, self.try_number, self.max_tries, self.start_date = (
            task.id,
            task.try_number,
            task.max_tries,
            task.start_date,
        )

    def xcom_push(self, key: str, value: Any) -> None:
        self._airflow.task.xcom[key] = json.loads(json.dumps(value))

    def xcom_pull(self, task_ids: Any = None, *, key: str = "return_value", **_: Any) -> Any:
        return self._airflow.task.xcom.get(key)

    def get_task_states(self, dag_id: str, task_ids: Any = None, run_ids: Any = None, **_: Any) -> dict[str, Any]:
        return {self.run_id: {self.task_id: self._airflow.task.state}}


# --- a worker's process -----------------------------------------------------------------------------------------------


class Died(BaseException):
    """The process is gone: killed by force."""


@dataclass(frozen=True)
class Returned:
    """What a process ended with that ended well."""

    value: Any


class Process:
    """
    A worker's process for one part of a try: from the beginning, or from the end of a deferral, to its end.

    It lives in a thread of its own, and only one thread ever goes on: so a process can stand still in the midst of its
    work while a later try runs, and then wake up.
    """

    def __init__(self, airflow: Airflow) -> None:
        task, case = airflow.task, airflow.case
        self.airflow = airflow
        self.ti = TaskInstance(airflow)
        self.operator = airflow.build_operator()
        self.operator.hook.client = WorkerLine(airflow.flowengine, self)  # type: ignore[assignment]  # a third transport
        self.ending: Returned | BaseException | None = None
        self.began = airflow.clock.now
        self.froze_at = ""
        self.is_leaving = self.is_deaf = self.was_deaf = False
        self._next_method, self._next_kwargs = task.next_method, task.next_kwargs
        self._signal_at = self._kill_at = self._alarm_at = NEVER
        self._execution_timeout = case.execution_timeout
        self._go, self._halt = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._live, daemon=True)

    # What others do with it

    def run(self) -> None:
        """Let it run to its end, or until it freezes."""
        self._thread.start()
        self._halt.acquire()

    def wake(self, delay: float) -> None:
        """Let a frozen one go on to its end; it is told after a while that it isn't wanted any more."""
        self.terminate(delay)
        self._go.release()
        self._halt.acquire()

    def terminate(self, delay: float, killed_after: float = SIGKILL_AFTER) -> None:
        """Send SIGTERM after a while, and then SIGKILL."""
        self._signal_at = min(self._signal_at, self.airflow.clock.now + delay)
        self._kill_at = min(self._kill_at, self._signal_at + killed_after)

    def freeze(self) -> None:
        """Stand still, in the midst of whatever it does."""
        self._halt.release()
        self._go.acquire()

    # What it lives through

    def _leave(self, name: str) -> None:
        self.is_leaving = True
        self.boundary(name)

    def boundary(self, name: str) -> None:
        """Pass a point at which something may strike."""
        self.airflow.tell(f"try {self.ti.try_number}: {name}")
        self._feel()
        if self.airflow.process is self:
            self.airflow.wake_others()
            strike = self.airflow.strikes.due(name)
            if strike and strike.kind == "freeze":
                self.froze_at = name
            if strike:
                self.airflow.strike_process(strike, self)
        self._feel()
        self.airflow.acting = self

    def sleep(self, seconds: float) -> None:
        """Let time pass; what comes meanwhile comes in its midst."""
        clock, strikes = self.airflow.clock, self.airflow.strikes
        until = clock.now + seconds
        while clock.now < until:
            next_strike = strikes.next_moment if self.airflow.process is self else NEVER
            moment = min(until, next_strike, self._signal_at, self._kill_at, self._alarm_at)
            clock.advance(max(moment - clock.now, 0.0))
            self._feel()
            if clock.now >= next_strike:
                self.boundary("sleep")

    def _feel(self) -> None:
        now = self.airflow.clock.now
        if now >= self._kill_at:
            raise Died
        if now >= self._signal_at:
            self._signal_at, self.is_leaving = NEVER, True
            self.airflow.tell(f"try {self.ti.try_number}: SIGTERM")
            self.operator.on_kill()
        if now >= self._alarm_at:
            self._alarm_at = NEVER
            raise AirflowTaskTimeout("Timeout")

    # Its own life

    def _live(self) -> None:
        try:
            self.ending = Returned(self._execute())
            self._leave("report")
        except BaseException as ending:
            self.ending = ending
        self._halt.release()

    def _execute(self) -> Any:
        from airflow.sdk.bases.operator import ExecutorSafeguard

        ExecutorSafeguard.tracker.set(self.operator)
        context: Any = {
            "ti": self.ti,
            "task_instance": self.ti,
            "task_state_store": StateStore(self),
            "task": self.operator,
            "dag_run": SimpleNamespace(clear_number=self.airflow.task.clears),
        }
        if self._execution_timeout:
            self._alarm_at = self.airflow.clock.now + self._execution_timeout
        try:
            if self._next_method:
                self.boundary("resume")
                return self.operator.resume_execution(self._next_method, self._next_kwargs, context)
            self.boundary("begin")
            return self.operator.execute(context)
        except AirflowTaskTimeout:
            self.operator.on_kill()
            raise
        except TaskDeferred:
            self._alarm_at = NEVER
            self._leave("defer")
            raise
        finally:
            self._alarm_at = NEVER


# --- a triggerer ------------------------------------------------------------------------------------------------------


class Trigger(FlowEnginePipelineRunTrigger):
    """The real trigger, whose line leads to the FlowEngine of the case."""

    line: TriggererLine

    def connect(self, settings: Any) -> Any:
        return self.line


class Triggerer:
    """What runs the trigger of a deferred task, until the deferral is over."""

    def __init__(self, airflow: Airflow, deferral: Deferral) -> None:
        self._airflow = airflow
        self._deferral = deferral
        self._line = TriggererLine(airflow.flowengine, self)
        self._struck: asyncio.Future[Strike] | None = None

    def run(self) -> None:
        """Run it."""
        with closing(Loop(self._airflow.clock)) as loop:
            loop.run_until_complete(self._watch())

    async def boundary(self, name: str) -> None:
        """Pass a point at which something may strike."""
        airflow = self._airflow
        airflow.tell(f"triggerer: {name}")
        airflow.acting = self
        if self._struck is None:
            return
        airflow.wake_others()
        airflow.acting = self
        strike = airflow.strikes.due(name)
        if strike:
            self._struck.set_result(strike)
            self._struck = None
            if strike.kind in ("crash", "evict", "freeze", "break", "no triggerer"):
                await asyncio.Event().wait()

    def _trigger(self) -> Trigger:
        trigger = Trigger(**self._deferral.kwargs)
        trigger.line = self._line
        return trigger

    async def _watch(self) -> None:
        airflow, ends = self._airflow, self._deferral.ends
        trigger = self._trigger()
        event = asyncio.create_task(_first(trigger))
        while airflow.task.state == "deferred":
            self._struck = struck = asyncio.get_running_loop().create_future()
            limit = min(airflow.strikes.next_moment, ends) - airflow.clock.now
            await asyncio.wait(
                {event, struck},
                timeout=None if limit == NEVER else max(limit, 0.0),
                return_when=asyncio.FIRST_COMPLETED,
            )
            self._struck = None
            strike = struck.result() if struck.done() else None
            if strike is None and event.done():
                airflow.resume(self._deferral.method, {"event": event.result()})
                return
            if strike is None and airflow.clock.now >= ends:
                await _end(event)
                airflow.judge.deferral_timed_out = True
                airflow.resume("__fail__", {"error": "Trigger timeout"})
                return
            strike = strike or airflow.strikes.due("time")
            if strike and await self._strike(strike, trigger, event):
                trigger = self._trigger()
                event = asyncio.create_task(_first(trigger))
        await _end(event)

    async def _strike(self, strike: Strike, trigger: Trigger, event: asyncio.Task[Any]) -> bool:
        """Let something strike, and return whether another triggerer takes over."""
        airflow = self._airflow
        airflow.tell(f"triggerer: {strike}")
        match strike.kind:
            case "crash" | "evict" | "freeze":
                await _end(event)
                await asyncio.sleep(strike.delay)
                return True
            case "break":
                await _end(event)
                airflow.resume("__fail__", {"error": "Trigger failure", "traceback": ["RuntimeError: broken"]})
            case "no triggerer":
                await _end(event)
                await asyncio.sleep(min(self._deferral.ends - airflow.clock.now, 7200.0))
                return True
            case "end run":
                airflow.flowengine.end()
            case "forget":
                airflow.task.store.clear()
            case "fail" | "succeed" | "clear":
                airflow.act(strike.kind, attended=True)
                await asyncio.wait({event}, timeout=strike.delay)
                if event.cancel():
                    if strike.wakes:
                        airflow.later(strike.wakes, lambda: _in_thread(self._kill_late))
                    else:
                        await self._kill(trigger)
        return False

    def _kill_late(self) -> None:
        self._struck = None
        with closing(Loop(self._airflow.clock)) as loop:
            loop.run_until_complete(self._kill(self._trigger()))

    async def _kill(self, trigger: Trigger) -> None:
        self._airflow.tell("triggerer: on_kill")
        try:
            await asyncio.wait_for(trigger.on_kill(), 30.0)
        except Exception as error:
            self._airflow.tell(f"triggerer: on_kill ended in {error!r}")


async def _first(trigger: Trigger) -> Any:
    async for event in trigger.run():
        return json.loads(json.dumps(event.payload))
    raise RuntimeError("The trigger fired no event")


async def _end(event: asyncio.Task[Any]) -> None:
    event.cancel()
    await asyncio.wait({event})


def _in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


# --- scheduler --------------------------------------------------------------------------------------------------------


class Airflow:
    """
    The scheduler, and what there is around the task.

    :param case: what the task is like, and what strikes it.
    :param clock: the clock.
    :param flowengine: the FlowEngine.
    :param judge: is told what happens.
    """

    def __init__(self, case: Case, clock: Clock, flowengine: FlowEngine, judge: Judge) -> None:
        self.case, self.clock, self.flowengine, self.judge = case, clock, flowengine, judge
        self.task = Task(retries=case.retries, max_tries=case.retries)
        self.strikes = Strikes(case.strikes, clock)
        self.process: Process | None = None
        self.acting: Process | Triggerer | None = None
        self.story: list[str] = []
        self._random = random.Random(case.seed + 1)
        self._others: list[tuple[int, Callable[[], None]]] = []
        self._began = clock.now

    def tell(self, line: str) -> None:
        """Write a line of the story."""
        self.story.append(f"{self.clock.now - self._began:9.1f}  {line}")

    def hear(self, line: str) -> None:
        """Hear what is logged."""
        self.tell(line)
        if "could not be stopped" in line:
            self.judge.stop_failed = True

    def build_operator(self) -> FlowEngineStartPipelineOperator:
        """Return the operator as a DAG file would make it: anew in each process."""
        case = self.case
        return FlowEngineStartPipelineOperator(
            task_id="task",
            pipeline_id=self.flowengine.pipeline_id,
            job_params=case.job_params,
            deferrable=case.deferrable,
            wait_for_completion=case.wait_for_completion,
            poll_interval=case.poll_interval,
            timeout=case.timeout,
            execution_timeout=timedelta(seconds=case.execution_timeout) if case.execution_timeout else None,
            cancel_on_kill=case.cancel_on_kill,
            durable=case.durable,
            retry_mode=case.retry_mode,
            retry_stopped=case.retry_stopped,
            unreachable_timeout=case.unreachable_timeout,
        )

    # The task's life

    def play(self) -> None:
        """Let the task live until it has ended, and nothing is left to strike it."""
        legs = 0
        while self.task.state not in ("success", "failed") or self._strikes_again():
            legs += 1
            if legs > MOST_LEGS:
                self.judge.note("never ends", f"the task is {self.task.state} after {legs} parts")
                break
            if self.task.state == "deferred" and self.task.deferral:
                Triggerer(self, self.task.deferral).run()
            elif self.task.state == "scheduled":
                self._idle(self._random.uniform(0.5, 5.0))
                if self.task.state == "scheduled":
                    self._run_process()
            else:
                self._idle(self.case.retry_delay if self.task.state == "up_for_retry" else 1.0)
                if self.task.state in (None, "up_for_retry"):
                    self._begin_try()
        while self._others:
            self._others.pop(0)[1]()

    def _strikes_again(self) -> bool:
        """Let a person clear the task that has ended, if one is to."""
        while self.strikes.left and self.strikes.left[0].kind != "clear":
            self.strikes.left.pop(0)  # it comes too late to strike anything
        if not self.strikes.left:
            return False
        self.clock.advance(self.strikes.take().seconds or 60.0)
        self.act("clear", attended=True)
        return True

    def _begin_try(self) -> None:
        task = self.task
        task.try_number += 1
        task.start_date = datetime.fromtimestamp(self.clock.now, UTC)
        task.next_method, task.next_kwargs, task.xcom = "", {}, {}
        self._run_process()

    def _run_process(self) -> None:
        self.task.state = "running"
        self.process = process = Process(self)
        self.tell(f"try {process.ti.try_number} of {process.ti.max_tries + 1}: a process")
        process.run()
        self._settle(process)

    def _settle(self, process: Process) -> None:
        """Take note of how a process has ended, as far as Airflow listens to it."""
        ending, task = process.ending, self.task
        self.judge.process_ended(process)
        self.tell(f"try {process.ti.try_number}: {'no sign of life' if ending is None else repr(ending)}")
        self.process = None
        if ending is None or isinstance(ending, Died):
            self._idle(NO_SIGN_OF_LIFE if ending is None else self._random.choice((0.5, NO_SIGN_OF_LIFE)))
        if task.state == "restarting":
            task.state = "up_for_retry"
        elif task.state != "running" or task.id != process.ti.id:
            return  # a person has ended it meanwhile
        elif isinstance(ending, Returned):
            task.state, task.returned = "success", ending.value
            self.judge.task_succeeded(ending.value)
        elif isinstance(ending, TaskDeferred):
            self._defer(ending)
        elif task.has_retries_left and not isinstance(ending, AirflowFailException):
            task.id, task.state = task.id + 1, "up_for_retry"
        else:
            task.state = "failed"
        self.tell(f"the task is {task.state}")

    def _defer(self, deferred: TaskDeferred) -> None:
        _, kwargs = deferred.trigger.serialize()
        ends = NEVER if deferred.timeout is None else self.clock.now + deferred.timeout.total_seconds()
        self.task.deferral = Deferral(json.loads(json.dumps(kwargs)), deferred.method_name, ends)
        self.task.state = "deferred"

    def resume(self, method: str, kwargs: dict[str, Any]) -> None:
        """End a deferral: the task goes on in a worker, unless it isn't deferred any more."""
        if self.task.state == "deferred":
            self.task.state, self.task.next_method, self.task.next_kwargs = "scheduled", method, kwargs
            self.tell(f"the deferral is over: {method} {kwargs}")

    # What happens to it

    def _idle(self, seconds: float) -> None:
        """Let time pass while no process of the task runs."""
        state, until = self.task.state, self.clock.now + seconds
        while self.task.state == state:
            self.wake_others()
            strike = self.strikes.due("idle")
            if strike:
                self.tell(f"idle: {strike}")
                if strike.kind in ("fail", "succeed", "clear"):
                    self.act(strike.kind, attended=False)
                elif strike.kind == "end run":
                    self.flowengine.end()
            elif self.clock.now >= until:
                return
            else:
                self.clock.advance(max(min(until, self.strikes.next_moment) - self.clock.now, 0.0))

    def act(self, kind: str, *, attended: bool) -> None:
        """
        Let a person mark the task, or clear it.

        :param attended: whether there is a process or a trigger that is told.
        """
        task = self.task
        self.judge.person_acts(kind, attended)
        if kind != "clear":
            task.state = {"fail": "failed", "succeed": "success"}[kind]
        else:
            task.id += 1
            task.clears += 1
            if task.state == "running":
                task.state = "restarting"
            else:
                task.state, task.max_tries = None, task.try_number + task.retries
        self.tell(f"a person has made the task {task.state}")

    def strike_process(self, strike: Strike, process: Process) -> None:
        """Let something strike a worker's process."""
        self.tell(f"try {process.ti.try_number}: {strike}")
        match strike.kind:
            case "crash":
                raise Died
            case "evict":
                process.terminate(0.0, SIGKILL_AFTER_EVICTION)
            case "freeze":
                self.later(strike.wakes, lambda: process.wake(strike.delay))
                process.freeze()
            case "end run":
                self.flowengine.end()
            case "deaf":
                process.is_deaf = True
            case "forget":
                self.task.store.clear()
            case "fail" | "succeed" | "clear":
                # Whoever acts when a process is at its end already comes too late for it to notice.
                self.act(strike.kind, attended=not process.is_leaving)
                process.terminate(strike.delay)

    def later(self, boundaries: int, what: Callable[[], None]) -> None:
        """Have something happen after so many boundaries of whoever runs then."""
        self._others.append((boundaries, what))

    def wake_others(self) -> None:
        """Let those act whose time has come: processes thought dead, triggerers that are late."""
        self._others = [(left - 1, what) for left, what in self._others]
        due = [what for left, what in self._others if left < 0]
        self._others = [(left, what) for left, what in self._others if left >= 0]
        for what in due:
            self.tell("somebody thought gone acts")
            what()
