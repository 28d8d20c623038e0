"""
A task's tries against an odd server, by the functions that the operator uses, and what may never come of them.

What no client can tell apart is excused; each excuse is named, and counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.api import Api
from airflow_provider_flowengine.protocol.errors import (
    AmbiguousRunError,
    FlowEngineError,
    RunError,
    RunTimeoutError,
    StatusUnavailableError,
)
from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor
from airflow_provider_flowengine.protocol.outcomes import check_success
from airflow_provider_flowengine.protocol.settings import Settings
from airflow_provider_flowengine.protocol.starting import find_started_run, start_once
from airflow_provider_flowengine.protocol.stopping import stop
from airflow_provider_flowengine.protocol.waiting import poll_until_done

from .server_world import BEGIN, LOST, NAMES_NONE, NAMES_RUN, PIPELINE, REJECTED, Server

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.candidates import Intent
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

    from .server_world import Run, World

PARAMS = {"train": {"x": 7}}
TOLERANCE = 30.0  # seconds, said in the docs: a run that began so little before the start may be taken for its run
SETTLE_TIME = 3.0
POLL_SLACK = 6.0
MAX_REQUEST_SECONDS = 30.0  # a poll's first page may be so much older than its last, in an outage
LATE = 10.0  # seconds that a wait may end after its time: a request is under way then
LIKE_RUN = "somebody's like run was there, and ours was not"
MAX_REQUESTS_IN_A_ROW = 300  # two polls, one after the other


class Died(Exception):
    """The task's process was killed."""


@dataclass
class Task:
    """
    One task, all of its tries.

    :param world: the case.
    :param violations: what must never be, and was.
    :param excuses: what no client could have told apart.
    """

    world: World
    violations: list[str] = field(default_factory=list)
    excuses: Counter[str] = field(default_factory=Counter)
    error: Exception | None = None
    succeeded: bool = False
    tries: int = 0
    _intent: Intent | None = None
    _run: PipelineRun | None = None
    _last_id: Identifier | None = None
    _adopted_at: float = 0.0
    _dying: bool = False
    _gave_up: bool = False
    _first_sent: int = 0  # which of the requests to start was the first of the start that is looked for
    _left: set[int | str] = field(default_factory=set)  # runs of the task that it has lost, with an excuse
    _seems_to_grow: bool = False  # whether the random ids of the few runs before the last start did so by chance

    def __post_init__(self) -> None:
        self.server = Server(self.world)
        self.server.on_start, self.server.on_stop = self._run_started, self._stop_sent
        self._dying = self.world.dies_after_start
        settings = Settings.build(fl_url="http://gw:31101", engine_key="demo")
        self.api = Api(settings, now=lambda: self.server.now)

    # --- the tries ------------------------------------------------------------------------------------------------

    def play(self) -> Task:
        """Play all tries, and judge the end."""
        for _ in range(self.world.retries + 1):
            self.tries += 1
            try:
                self._try()
                break
            except Died as death:
                self.error = death
            except FlowEngineError as error:
                self.error = error
                if isinstance(error, AmbiguousRunError) and not error.candidates:
                    self.violations.append("an error names no candidates")
            self._dying = False
            if self.tries <= self.world.retries:
                self.server.sleep(self.world.retry_delay)
        if not self.succeeded:
            self._give_up()
        self._close()
        return self

    def _try(self) -> None:
        began = self.server.now
        run = self._run or self._find() or self._start()
        self._run, self._intent, self._adopted_at = run, None, self._adopted_at or self.server.now
        self._last_id = run.id
        deadline = began + self.world.timeout if self.world.timeout else None
        try:
            ended = self._wait(run, deadline)
        except StatusUnavailableError:
            raise
        except RunTimeoutError:
            self._stop(run)
            raise
        if ended.state.is_final:
            self._run, adopted_at, self._adopted_at = None, self._adopted_at, 0.0
            check_success(ended)
            self._succeed(ended, adopted_at)

    def _find(self) -> PipelineRun | None:
        if self._intent is None:
            return None
        self._seems_to_grow = self.world.ids == "random" and bool(self._intent.ids_grow)
        timeout = self.world.confirmation_timeout
        return self.server.drive(find_started_run(self.api, self._intent, PARAMS, confirmation_timeout=timeout))

    def _start(self) -> PipelineRun:
        self._first_sent = len(self.server.sent)
        return self.server.drive(
            start_once(
                self.api,
                PIPELINE,
                PARAMS,
                save_intent=lambda intent: setattr(self, "_intent", intent),
                discard_intent=lambda: setattr(self, "_intent", None),
                known_runs=() if self._last_id is None else (self._last_id,),
                confirmation_timeout=self.world.confirmation_timeout,
            )
        )

    def _wait(self, run: PipelineRun, deadline: float | None) -> PipelineRun:
        world, began = self.world, self.server.now
        options = PollOptions(world.poll_interval, deadline, world.unreachable_timeout)
        monitor = RunMonitor(run.id, PIPELINE, options, began, last=run)
        try:
            return self.server.drive(poll_until_done(self.api, monitor))
        finally:
            if deadline is not None and self.server.now > max(deadline, began) + LATE:
                self.violations.append(f"a wait ended {self.server.now - deadline:.0f} s after its timeout")

    def _stop(self, run: PipelineRun) -> None:
        """Stop a run. The next try reconnects to one that could not be stopped, or had already ended."""
        try:
            is_stopped = self.server.drive(stop(self.api, PIPELINE, run.id, timeout=60.0, assume_exists=True))
        except FlowEngineError as error:
            self.excuses[f"a run could not be stopped: {type(error).__name__}"] += 1
        else:
            if is_stopped:
                self._run, self._adopted_at = None, 0.0

    def _give_up(self) -> None:
        """The last try has failed: its run is stopped if it is known, or can be found."""
        self._gave_up, run = True, self._run
        if run is None and self._intent is not None:
            self._adopted_at = self.server.now
            deadline = self.server.now + 30.0
            try:
                flow = find_started_run(self.api, self._intent, PARAMS, deadline=deadline, ignore_errors=True)
                run = self.server.drive(flow)
            except FlowEngineError:
                return
            self._adopted_at = self.server.now
        if run and not run.state.is_final:
            self._stop(run)

    # --- what really happened -------------------------------------------------------------------------------------

    def _run_started(self, run: Run) -> None:
        server = self.server
        for earlier in server.ours[:-1]:
            is_left = earlier.stopped_at is None and earlier.state(server.now) in ("running", "succeeded")
            if is_left and earlier.id not in self._left:
                excuse = self._excuse_for_second(min(earlier, run, key=lambda each: each.posted))
                self._violation(f"run {run.id} is started beside run {earlier.id}", excuse)
                self._left.add(earlier.id)
        if self._dying and self._run is None and self._intent is not None and self.tries == 1 and not self._gave_up:
            self._dying = False
            raise Died

    def _excuse_for_second(self, earlier: Run) -> str:
        world, server = self.world, self.server
        taken = server.find(self._last_id)
        if self.excuses[LIKE_RUN] and taken and taken.owner != "task":
            return "somebody's like run was taken before, and its own left"
        if server.shows_since(earlier) > earlier.posted + world.confirmation_timeout:
            return "a run showed later than start_confirmation_timeout"
        if self._seems_to_grow:
            return "ids don't grow, but those of a few runs did by chance"
        return self._unrecognizable()

    def _unrecognizable(self) -> str:
        world = self.world
        if world.ids != "grow" and world.times == "none":
            return "ids don't grow, and runs tell no start time"
        if self._looks_ordered_by_chance():
            return "ids don't grow, and a history's short pages look ordered by chance"
        pages = world.paging != "whole" and world.older + len(world.others) + 3 > min(world.page_size, 20)
        return (
            "a history in no order whose pages look ordered or repeated by chance"
            if world.order == "any" and pages
            else ""
        )

    def _looks_ordered_by_chance(self) -> bool:
        world = self.world
        return world.ids == "random" and world.order == "oldest" and world.paging != "whole" and world.page_size < 6

    def _stop_sent(self, run_id: str) -> None:
        run = self.server.find(run_id)
        if run is None or run.owner != "task":
            self._violation(f"run {run_id} is stopped, which is somebody else's", self._excuse_for(run))

    def _succeed(self, ended: PipelineRun, adopted_at: float) -> None:
        self.succeeded, self._adopted_at = True, adopted_at
        run = self.server.find(ended.id)
        if run is None or run.owner != "task":
            self._violation(f"success by run {ended.id}, which is somebody else's", self._excuse_for(run))
        elif run.state(self.server.now) != "succeeded":
            self._violation(f"success by run {ended.id}, which is {run.state(self.server.now)}")

    def _excuse_for(self, other: Run | None) -> str:
        """Why somebody else's run may have been taken for the task's: nothing told them apart, and ours didn't show."""
        world, server = self.world, self.server
        if other is None or other.trigger or other.x not in (None, 7) or len(server.sent) <= self._first_sent:
            return ""
        if world.order == "any" and self._unrecognizable():
            return self._unrecognizable()
        sent = server.sent[self._first_sent]
        if world.ids == "random" and world.times == "none" and (world.page_size < 6 or self._looks_newest(other, sent)):
            return self._unrecognizable()
        answer = world.starts[min(self._first_sent, len(world.starts) - 1)].answer
        showing = self._adopted_at - POLL_SLACK - (MAX_REQUEST_SECONDS if world.outages else 0.0)
        if answer in (NAMES_NONE, NAMES_RUN):
            showing = min(showing, max(server.shows_since(other), sent) + SETTLE_TIME)
        if any(run.posted >= sent and server.shows_since(run) <= showing for run in server.ours):
            return ""
        if other.created >= sent - TOLERANCE - 1:
            return LIKE_RUN
        if world.times == "none":
            return "runs tell no start time, and the baseline missed an older one"
        if not world.has_date:
            return "the server tells no time, and the baseline missed an older run"
        off = (other.created - sent) % 900
        if world.zone and world.times == "text" and (off <= 100 or off >= 900 - TOLERANCE - 1):
            return "the time zone is wrong by what an older run is older"
        return ""

    def _looks_newest(self, other: Run, sent: float) -> bool:
        """Whether a run's id is by chance the greatest of those that a reading before the start surely showed."""
        before = [run.id for run in self.server.runs if self.server.shows_since(run) <= sent]
        return all(int(other.id) > int(run_id) for run_id in before)

    def _violation(self, what: str, excuse: str = "") -> None:
        if excuse:
            self.excuses[excuse] += 1
        else:
            self.violations.append(f"at {self.server.now - BEGIN:.1f} s: {what}")

    # --- the end --------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        server = self.server
        if server.most_in_a_row > MAX_REQUESTS_IN_A_ROW:
            self.violations.append(f"{server.most_in_a_row} requests in a row without a pause")
        if server.now - BEGIN > self._time_limit():
            self.violations.append(f"it took {server.now - BEGIN:.0f} s")
        for run in server.ours[:-1] if self.succeeded else ():
            if run.state(server.now) == "running" and run.stopped_at is None and not self.excuses:
                self.violations.append(f"run {run.id} is left running while the task has succeeded")
        if self._must_succeed() and not self.succeeded:
            self.violations.append(f"the task failed without a need: {self.error!r}")
        if isinstance(self.error, RunError | FlowEngineError | Died) or self.succeeded:
            return
        self.violations.append(f"ended in {self.error!r}")

    def _time_limit(self) -> float:
        world = self.world
        sends = 3 * (30 + world.confirmation_timeout + 2 * 35) + 60
        looks = 30 + world.confirmation_timeout + 200
        waits = world.timeout or world.duration * 2 + world.unreachable_timeout + 300
        silence = sum(end - begin for begin, end in world.outages)
        return (world.retries + 1) * (sends + looks + waits + world.retry_delay + 150) + silence + 300

    def _must_succeed(self) -> bool:
        """Whether nothing stands in the task's way: what fails then fails for no reason."""
        world, start = self.world, self.world.starts[0]
        likes = [other for other in world.others if not other.is_scheduled and other.x in (None, 7)]
        shows_in_time = (
            start.takes + start.shows_after + max(world.replicas) <= world.confirmation_timeout - 2 * POLL_SLACK
        )
        is_named = start.answer == NAMES_RUN and not world.dies_after_start  # who died has read no answer
        is_new = world.ids != "random" or world.times != "none"  # a smaller id may be an older run's
        recognizable = (is_named and is_new) or (
            (world.ids == "grow" or world.times != "none")
            and not (world.zone < 0 and world.times == "text")
            and (world.has_date or not world.skew)
        )
        readable = world.paging == "whole" or (world.order != "any" and (world.ids == "grow" or world.times != "none"))
        simple = world.paging != "endless" and not self._looks_ordered_by_chance()
        return (
            len(world.starts) == 1
            and start.is_processed
            and start.answer in (NAMES_RUN, NAMES_NONE, LOST)
            and (start.answer != REJECTED)
            and not likes
            and shows_in_time
            and recognizable
            and readable
            and simple
            and not world.outages
            and world.outcomes == ("succeeded",)
            and (world.timeout is None or world.timeout > 60 + world.duration + world.confirmation_timeout)
            and world.retries > 0
        )
