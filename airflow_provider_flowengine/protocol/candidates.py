"""
Which runs of a history a start can have made.

A start's answer may be lost, so its run is recognized by comparison with an :class:`Intent`: what was known just before
the start was sent. Each run that the history shows later is judged (:func:`judge`):

- It must be new: not among the runs known before, and with a greater id if this pipeline's ids grow.
- It must not have started before the start was sent, by the server's clock, within :data:`CLOCK_SKEW_TOLERANCE`. A run
  without a start time counts only if ids grow.
- It must not say that a schedule triggered it, or that it was given other parameters.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from airflow_provider_flowengine.protocol.http import YEARS, is_real
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.reply import local_start

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.job_params import JobParams
    from airflow_provider_flowengine.protocol.latest_runs import LatestRuns
    from airflow_provider_flowengine.protocol.models import PipelineRun

CLOCK_SKEW_TOLERANCE = timedelta(seconds=30)
"""How much earlier than its start was sent a run may say that it began: clocks differ, and ``Date`` is in seconds."""

MAX_BASELINE_IDS = 100
"""How many ids an intent holds, for pipelines whose ids don't grow."""

_ZONE_STEP = 15 * 60.0
"""Seconds that time zones differ by, or multiples of them."""

_MAX_ZONE_DIFFERENCE = 26 * 3600.0
_START_DURATION = 60.0
"""Seconds after it was sent that a start begins its run in at most, if time zones are to explain its start time."""

_EPOCH = datetime.fromtimestamp(0, UTC)
_LATEST_TIME = datetime(YEARS[-1], 1, 1, tzinfo=UTC).timestamp()
_MIN_RUNS_TO_TELL_ORDER = 5
_SCHEDULE_WORDS = "cron schedul period loop interval message auto 定时 周期 循环 消息 自动".split()


class Verdict(StrEnum):
    """What a run is to a start."""

    POSSIBLE = "possible"
    POSSIBLE_BY_ZONE = "possible by zone"  # it seems to begin in the future, which a time zone explains
    UNCERTAIN = "uncertain"  # only a wrong clock could explain its start time, or a zone one that seems too early
    FOREIGN = "foreign"


@dataclass(frozen=True)
class Intent:
    """
    What is known before a start is sent: enough to recognize its run afterwards.

    :param pipeline_id: the pipeline.
    :param baseline_run_id: its newest run's id, or None if it has none.
    :param baseline_ids: ids of its newest runs, if ids are not known to grow, and of the task's own earlier run.
    :param ids_grow: whether newer runs of this pipeline have greater ids; None if its history doesn't show it.
    :param server_time: what the server's clock said when the start was first sent; None if that isn't known.
    :param latest_start: when the last of the runs known before began, by the clock of all runs; None if none says.
    :param recorded_at: when the start was about to be sent by our own clock, in seconds since the epoch.
    :param send_duration: seconds from its first request to the last, where an earlier one may have been processed.
    """

    pipeline_id: Identifier
    baseline_run_id: Identifier | None = None
    baseline_ids: frozenset[Identifier] = field(default_factory=frozenset)
    ids_grow: bool | None = None
    server_time: datetime | None = None
    latest_start: datetime | None = None
    recorded_at: float = 0.0
    send_duration: float = 0.0

    @classmethod
    def from_baseline(
        cls,
        pipeline_id: Identifier,
        latest: LatestRuns,
        now: float,
        server_time: datetime | None,
        known_runs: Iterable[Identifier] = (),
    ) -> Self:
        """
        Return the intent to start a pipeline.

        :param pipeline_id: the pipeline.
        :param latest: its newest runs.
        :param now: our own time, in seconds since the epoch.
        :param server_time: what the server's clock says now; None if it doesn't say.
        :param known_runs: ids of further runs that were there before, whether or not the history shows them yet.
        """
        runs = latest.runs
        grow = _ids_grow(runs) if latest.is_complete or latest.is_ordered else False
        by_start = sorted(runs, key=lambda run: run.started or _EPOCH, reverse=True)
        known_ids = [run.id for run in by_start if not grow or not isinstance(run.id, int)]
        return cls(
            pipeline_id=pipeline_id,
            baseline_run_id=runs[0].id if runs else None,
            baseline_ids=frozenset((*known_ids[:MAX_BASELINE_IDS], *known_runs)),
            ids_grow=grow,
            server_time=server_time,
            latest_start=by_start[0].started if by_start else None,
            recorded_at=now,
        )

    def sent_at(self, now: float) -> Self:
        """Return the same intent for a start that is sent later, while every earlier one was surely not processed."""
        passed = timedelta(seconds=max(now - self.recorded_at, 0.0))
        return replace(self, server_time=self.server_time and self.server_time + passed, recorded_at=now)

    def sent_again_at(self, now: float) -> Self:
        """Return the same intent for a start that is sent again, while an earlier one may have been processed."""
        passed = max(now - self.recorded_at, 0.0)
        return replace(self, recorded_at=now, send_duration=self.send_duration + passed)

    @property
    def earliest_start(self) -> datetime | None:
        """
        The earliest time at which its run may say that it began; None if nothing is known of the time.

        The server's ``Date``, or later: if runs known before began later than that, their clock is ahead of it at least
        so much. Without a ``Date`` our own clock takes its place.
        """
        sent, latest = self.earliest_by_date, self.latest_start
        return max(sent, latest - CLOCK_SKEW_TOLERANCE) if sent and latest else sent

    @property
    def earliest_by_date(self) -> datetime | None:
        """The same by the server's ``Date`` alone."""
        first = self.recorded_at - self.send_duration
        own_time = datetime.fromtimestamp(first, UTC) if first > 0 else None
        sent = self.server_time or own_time
        return sent - CLOCK_SKEW_TOLERANCE if sent else None

    def is_new(self, run: PipelineRun) -> bool:
        """Whether a run came after the baseline."""
        if run.id in self.baseline_ids:
            return False
        if not (isinstance(run.id, int) and isinstance(self.baseline_run_id, int)) or run.id > self.baseline_run_id:
            return True
        return self._is_new_by_its_start(run)

    def _is_new_by_its_start(self, run: PipelineRun) -> bool:
        """Whether a run whose id is not greater than the baseline's came after it all the same."""
        earliest = self.earliest_start
        if self.ids_grow is True or earliest is None or run.started is None:
            return False
        if not self.server_time:  # its clock may be behind ours: then only the runs known before tell the time
            earliest = (self.latest_start or run.started) - CLOCK_SKEW_TOLERANCE
        return run.started >= earliest or self.zone_explains(run)

    def zone_explains(self, run: PipelineRun) -> bool:
        """Whether a run's start time would be right in another time zone than the connection's."""
        earliest = self.earliest_by_date
        if earliest is None or run.started is None or local_start(run.content) is None:
            return False
        seconds = run.started.timestamp() - earliest.timestamp()
        latest = self.send_duration + _START_DURATION + CLOCK_SKEW_TOLERANCE.total_seconds()
        may_be_own = seconds % _ZONE_STEP <= latest
        return may_be_own and abs(seconds) <= _MAX_ZONE_DIFFERENCE

    def as_dict(self) -> dict[str, Json]:
        """Return the intent as plain JSON values."""
        return {
            **vars(self),
            "baseline_ids": sorted(self.baseline_ids, key=str),
            "server_time": self.server_time.isoformat() if self.server_time else "",
            "latest_start": self.latest_start.isoformat() if self.latest_start else "",
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Json]) -> Self:
        """Return the intent that :meth:`as_dict` wrote; a value that cannot be parsed counts as missing."""
        listed, ids_grow = content.get("baseline_ids"), content.get("ids_grow")
        pipeline_id = identifier(content.get("pipeline_id"))
        ids = map(identifier, listed) if isinstance(listed, list) else ()
        return cls(
            pipeline_id=pipeline_id if pipeline_id is not None else "",
            baseline_run_id=identifier(content.get("baseline_run_id")),
            baseline_ids=frozenset(each for each in ids if each is not None),
            ids_grow=ids_grow if isinstance(ids_grow, bool) else None,
            server_time=_moment(content.get("server_time")),
            latest_start=_moment(content.get("latest_start")),
            recorded_at=_seconds(content.get("recorded_at")),
            send_duration=_seconds(content.get("send_duration")),
        )


def judge(
    run: PipelineRun, intent: Intent, job_params: JobParams | None, latest_start: datetime, *, is_confirmed: bool
) -> Verdict:
    """
    Return what a new run is to a start.

    :param run: the run, newer than the intent's baseline.
    :param intent: what was known before the start.
    :param job_params: what the start was given, nodes named by their ids.
    :param latest_start: the time by the server's clock: a run that says that it began later tells the time by another.
    :param is_confirmed: whether the start surely was processed, so that there is a run of it.
    """
    if _is_scheduled(run) or _params_differ(run, job_params):
        return Verdict.FOREIGN
    if run.started is None:
        ids_count = isinstance(run.id, int) and intent.ids_grow is not False
        return Verdict.POSSIBLE if ids_count else Verdict.FOREIGN
    return _judge_by_start(run, run.started, intent, latest_start, is_confirmed=is_confirmed)


def _judge_by_start(
    run: PipelineRun, started: datetime, intent: Intent, latest_start: datetime, *, is_confirmed: bool
) -> Verdict:
    earliest = intent.earliest_start
    if earliest is None:
        return Verdict.UNCERTAIN
    zone_explains = intent.zone_explains(run)
    if started < earliest:
        return Verdict.UNCERTAIN if zone_explains or not intent.server_time else Verdict.FOREIGN
    is_in_time = started <= latest_start + CLOCK_SKEW_TOLERANCE
    if is_in_time or (is_confirmed and local_start(run.content) is None):
        return Verdict.POSSIBLE
    return Verdict.POSSIBLE_BY_ZONE if zone_explains else Verdict.UNCERTAIN


def _ids_grow(runs: Iterable[PipelineRun]) -> bool | None:
    """Whether runs that began later have greater ids, but for a few that overtook each other; None if too few tell."""
    in_order = sorted((run.started, run.id) for run in runs if run.started and isinstance(run.id, int))
    if len(in_order) < _MIN_RUNS_TO_TELL_ORDER:
        return None
    inverted = sum(earlier > later for (_, earlier), (_, later) in pairwise(in_order))
    return inverted * 4 < len(in_order)


def _moment(value: Json) -> datetime | None:
    """Return the time that ISO 8601 text with a zone names; None if it is none."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo and is_real(moment) else None


def _seconds(value: Json) -> float:
    """Return a time in seconds since the epoch; 0 if it is none."""
    return float(value) if isinstance(value, int | float) and 0 <= value <= _LATEST_TIME else 0.0


def _is_scheduled(run: PipelineRun) -> bool:
    kind = run.trigger.casefold()
    return any(word in kind for word in _SCHEDULE_WORDS)


def _params_differ(run: PipelineRun, job_params: JobParams | None) -> bool:
    """Whether a run tells of parameters of its own that surely differ from what was sent."""
    own = next((run.content[name] for name in ("params", "jobParams", "startParams") if run.content.get(name)), None)
    if not isinstance(own, dict):
        return False
    for node, params in (job_params or {}).items():
        theirs = own.get(node)
        if isinstance(theirs, dict) and any(key in theirs and _differ(theirs[key], params[key]) for key in params):
            return True
    return False


def _differ(theirs: Json, ours: Json) -> bool:
    """Whether two values surely differ: a server may keep numbers and booleans as text, and objects as it likes."""
    plain = [_plain(value) for value in (theirs, ours)]
    return theirs != ours and None not in plain and plain[0] != plain[1]


def _plain(value: Json) -> str | float | None:
    if not isinstance(value, str | int | float):
        return None
    text = value if isinstance(value, str) else json.dumps(value)
    try:
        return float(text)
    except ValueError:
        return text.strip().casefold()
