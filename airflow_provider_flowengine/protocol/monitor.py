"""
What waiting for a run decides: how long until the next poll, and if the run is over, lost, out of reach or too late.

:class:`RunMonitor` decides and does nothing else: it is given what a poll has shown, and when. The operator, the
sensor, the hook and the triggerer's shared poll all use one, so they behave alike.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from airflow_provider_flowengine.protocol.errors import (
    ConfigurationError,
    FlowEngineError,
    RunLostError,
    RunTimeoutError,
    StatusUnavailableError,
    sentence,
)
from airflow_provider_flowengine.protocol.flow import Retry
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.models import newest_first
from airflow_provider_flowengine.protocol.outcomes import closed, duration, log_node
from airflow_provider_flowengine.protocol.status import RunState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)

MIN_DELAY = 1.0
ABSOLUTE_MIN_DELAY = 0.05
"""Seconds between two polls at least, whatever the poll interval: Airflow allows a sensor one of 0."""

GRACE = 120.0
"""Seconds that a run may be missing from the history, or have a status that says nothing, before it counts as lost."""

_MIN_POLL_TIME = 5.0
"""Seconds that a poll is given, also if the time is over already: the run may have ended in time."""

_RETRY = Retry(first_delay=1.0, max_delay=30.0, jitter=0.0)


@dataclass(frozen=True)
class PollOptions:
    """
    How a run is waited for.

    :param poll_interval: seconds between two polls at most, default 30.
    :param deadline: when the wait is over, in seconds since the epoch; None waits without end.
    :param limit: which limit sets the deadline, for the error (:func:`describe_limit`).
    :param unreachable_timeout: seconds that FlowEngine may give no usable answer, default 900.
    """

    poll_interval: float = 30.0
    deadline: float | None = None
    unreachable_timeout: float = 900.0
    limit: str = ""

    def limited(self, name: str, seconds: float | None, since: float) -> Self:
        """
        Return these options with a deadline.

        :param name: the argument that sets it.
        :param seconds: its value; None waits without end.
        :param since: from when it counts, in seconds since the epoch.
        """
        if seconds is None:
            return self
        return replace(self, deadline=since + seconds, limit=describe_limit(name, seconds))


def describe_limit(name: str, seconds: float) -> str:
    """
    Say which limit a wait has.

    :param name: the argument that sets it.
    :param seconds: its value.
    :return: e.g. ``"timeout of 2 h 0 min"``.
    """
    return f"{name} of {duration(seconds)}"


def delay(elapsed: float, poll_interval: float) -> float:
    """
    Return the seconds until the next poll: a tenth of the run's length so far, within 1 s and the poll interval.

    So a short run is noticed within a second, a long one within ``poll_interval``, and none later than a tenth of its
    length.

    :param elapsed: seconds since the run began.
    :param poll_interval: seconds between two polls at most.
    """
    return max(min(elapsed / 10, poll_interval), min(MIN_DELAY, poll_interval), ABSOLUTE_MIN_DELAY)


@dataclass
class RunMonitor:
    """
    One wait for one run.

    :param run_id: the run; None until one is found that started at or after ``started_after``.
    :param pipeline_id: its pipeline.
    :param options: how it is waited for.
    :param started_at: when the run started, as far as is known here, in seconds since the epoch.
    :param run_url: the address of the run's page, for errors; may hold ``{run_id}`` while the run isn't known.
    :param pre_resume_run: the run before it was resumed: that end of it doesn't count, for the grace's length.
    :param started_after: for a wait without ``run_id``: the run is the first that started at or after this.
    :param fetch_nodes: whether to poll the run itself, by the one-run call, as long as that tells of its nodes; the
        history need not.
    :param last: the run as it was last seen.
    :param failures: how many polls have failed since the last answer.
    :param unavailable_since: when the first of them failed, in seconds since the epoch.
    :param suspect_since: since when the run is missing, or has a status that says nothing, likewise.
    """

    run_id: Identifier | None
    pipeline_id: Identifier
    options: PollOptions
    started_at: float
    run_url: str = ""
    pre_resume_run: PipelineRun | None = None
    started_after: datetime | None = None
    fetch_nodes: bool = False
    last: PipelineRun | None = None
    failures: int = 0
    unavailable_since: float | None = None
    suspect_since: float | None = None
    _retry_after: float | None = None
    _logged: dict[str, RunState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run_id = identifier(self.run_id)

    def observe_lookup(self, found: Mapping[Identifier, PipelineRun | None], now: float) -> PipelineRun | None:
        """
        Record what a poll has shown of some runs; one that it did not look up is neither there nor missing.

        :param found: the runs that were looked up, by their ids; None for one that the history doesn't hold.
        :param now: the time of the poll.
        :return: as :meth:`observe`.
        """
        if self.run_id is not None and self.run_id in found:
            return self.observe(found[self.run_id], now)
        self._answered()
        self._check_deadline(now)
        return None

    def observe(self, run: PipelineRun | None, now: float) -> PipelineRun | None:
        """
        Record what a poll has shown.

        :param run: the run, or None when the history doesn't hold it.
        :param now: the time of the poll.
        :return: the run when it has ended, None while it is running.
        :raises RunLostError: when it has been missing, or of a status that says nothing, for longer than the grace.
        :raises RunTimeoutError: when it is still running at the deadline.
        """
        self._answered()
        if run:
            self._log_changes(run)
            self.last = run
            if run.state.is_final and not self._is_old_end(run, now):
                return run
        self._check_suspicion(run, now)
        self._check_deadline(now)
        return None

    def observe_any(self, runs: Iterable[PipelineRun], now: float) -> PipelineRun | None:
        """
        Record what a poll has shown while the run isn't known yet: take the first that fits, if there is one.

        :param runs: the runs that the poll has shown.
        :param now: the time of the poll.
        :return: as :meth:`observe`.
        :raises ConfigurationError: if only the zone of FlowEngine's times could tell whether a run fits.
        """
        fitting = [(run.started, run) for run in reversed(newest_first(runs)) if run.started and self._fits(run)]
        if fitting:
            started, first = min(fitting, key=lambda pair: pair[0])
            self.run_id = first.id
            self.run_url = self.run_url.replace("{run_id}", str(first.id))
            self.started_at = min(started.timestamp(), now)
            return self.observe(first, now)
        self._answered()
        self._check_deadline(now)
        return None

    def _fits(self, run: PipelineRun) -> bool:
        """Whether a run started at or after the moment that is waited for."""
        if not self.started_after or not run.start_range:
            return True
        earliest, latest = run.start_range
        if earliest < self.started_after <= latest:
            raise ConfigurationError(
                "Set timezone in the connection's extra: FlowEngine gives times without a zone and the connection "
                f"names none, so it cannot be determined whether {run} (started {run.started:%Y-%m-%d %H:%M:%S} by "
                f"FlowEngine's clock) started at or after {self.started_after}."
            )
        return earliest >= self.started_after

    def record_failure(self, error: FlowEngineError, now: float, since: float | None = None) -> None:
        """
        Record a poll that failed.

        :param error: what it ended in.
        :param now: the time of the poll.
        :param since: when it began, default now.
        :raises StatusUnavailableError: when there was no usable answer for longer than ``unreachable_timeout``.
        :raises RunTimeoutError: when the deadline has passed.
        """
        self.failures += 1
        self._retry_after = error.retry_after
        if self.unavailable_since is None:
            self.unavailable_since = now if since is None else since
        silent = now - self.unavailable_since
        level = logging.WARNING if self.failures == 1 else logging.INFO
        log.log(level, "Status poll failed (attempt %d): %s", self.failures, error)
        if silent >= self.options.unreachable_timeout:
            raise StatusUnavailableError(
                f"FlowEngine gives no usable answer: {closed(str(error))} {sentence(self.name)} may still be running; "
                f"no answer for {duration(silent)} (unreachable_timeout).",
                run=self.last,
                run_url=self.known_url,
            ) from error
        self._check_deadline(now)

    def delay(self, now: float) -> float:
        """Return the seconds until the next poll: more after failures or as the server asks; not past the deadline."""
        seconds = delay(now - self.started_at, self.options.poll_interval)
        if self.suspect_since is not None:
            seconds = min(seconds, max(GRACE / 4, MIN_DELAY))
        if self.failures:
            seconds = max(seconds, _RETRY.delay(self.failures, self._retry_after))
        if self.options.deadline is not None:
            seconds = min(seconds, max(self.options.deadline - now, 0.0))
        return seconds

    def poll_deadline(self, now: float) -> float:
        """Return when a poll that begins now must be over, so that the wait ends in time whatever the server does."""
        silent_since = now if self.unavailable_since is None else self.unavailable_since
        ends = silent_since + self.options.unreachable_timeout
        if self.options.deadline is not None:
            ends = min(ends, self.options.deadline)
        return max(ends, now + _MIN_POLL_TIME)

    def _is_old_end(self, run: PipelineRun, now: float) -> bool:
        old = self.pre_resume_run
        return old is not None and (run.status, run.ended) == (old.status, old.ended) and now - self.started_at < GRACE

    def _answered(self) -> None:
        self.failures, self.unavailable_since = 0, None

    def _check_suspicion(self, run: PipelineRun | None, now: float) -> None:
        reason = self._suspicion_about(run)
        if not reason:
            self.suspect_since = None
            return
        if self.suspect_since is None:
            self.suspect_since = now
            log.warning("%s: %s. Waiting %g s for it to clear up.", reason, self.name, GRACE)
        if now - self.suspect_since >= GRACE:
            raise RunLostError(
                f"{reason}: {self.name}, for {GRACE:g} s now.",
                run=self.last,
                run_url=self.known_url,
                gone=run is None,
            )

    def _check_deadline(self, now: float) -> None:
        if self.options.deadline is not None and now >= self.options.deadline:
            raise RunTimeoutError(
                self.describe_timeout(self.options.limit or "time for it"), run=self.last, run_url=self.known_url
            )

    def describe_timeout(self, limit: str) -> str:
        """
        Say how the run was when its time was over.

        :param limit: which limit it is (:func:`describe_limit`).
        :return: a sentence for the error.
        """
        if self.last:
            state = f"{self.name} was still running (status {self.last.status})"
        elif self.run_id is not None:
            state = f"{self.name} had not been seen to end"
        else:
            state = f"there was no run of pipeline {self.pipeline_id} that started at or after {self.started_after}"
        return f"The {limit} is over: {state}."

    def _log_changes(self, run: PipelineRun) -> None:
        """Log each change of the run's status before its end, which is for the caller to log, and each node's end."""
        is_found = self.last is None and self.started_after is not None
        is_changed = self.last is not None and self.last.status != run.status
        if is_found or (is_changed and not run.state.is_final):
            log.info("%s: %s", sentence(run), run.status or "no status")
        for node in run.nodes:
            if node.state.is_final and self._logged.get(node.id) is not node.state:
                log_node(log, node)
                self._logged[node.id] = node.state

    def _suspicion_about(self, run: PipelineRun | None) -> str:
        """Say what is odd about a run that hasn't ended, or nothing."""
        if run is None:
            return "The run is not in its pipeline's history (pruned, or not there yet); look for it in FlowEngine"
        if run.state is RunState.UNKNOWN:
            word = f"unrecognized status {run.status!r}" if run.status else "no status"
            return f"The run has {word}; say what it means by status_words in the connection's extra"
        if run.ended and not run.is_stopping and not self._is_earlier_end(run.ended, run.started):
            return f"The run has ended at {run.ended}, but its status is still {run.status!r}; look at it in FlowEngine"
        return ""

    def _is_earlier_end(self, ended: datetime, started: datetime | None) -> bool:
        """Whether a run that was resumed still tells when it had ended before."""
        resumed = self.pre_resume_run
        return (resumed is not None and ended == resumed.ended) or (started is not None and ended < started)

    @property
    def name(self) -> str:
        """What is polled, for messages."""
        if self.run_id is None:
            return f"a run of pipeline {self.pipeline_id} started at or after {self.started_after}"
        return f"run {self.run_id} of pipeline {self.pipeline_id}"

    @property
    def known_url(self) -> str:
        """The address of the run's page; empty while the run isn't known."""
        return self.run_url if self.run_id is not None else ""
