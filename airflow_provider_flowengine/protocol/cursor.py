"""
Which runs of a pipeline have ended since a watcher last polled, whoever started them.

Runs end in another order than they start in, so the latest run's id alone would lose an older run that ends after it.
A watcher's :class:`Cursor` holds the latest run that it has seen, the runs up to it that had not ended then, and how
the newest of the others ended: a run that is resumed and ends again is reported again. It stays small, however long
the history is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from airflow_provider_flowengine.protocol.errors import ConfigurationError, known
from airflow_provider_flowengine.protocol.history_pages import ids_of, numeric_ids
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.models import newest_first
from airflow_provider_flowengine.protocol.status import RunState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.history import History
    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)

OUTCOMES = (RunState.SUCCEEDED, RunState.FAILED, RunState.STOPPED)
"""The ends that a run can come to."""

MAX_OPEN_RUNS = 500
"""How many runs under way a cursor remembers; of more, the oldest are given up."""

MAX_ENDS = 100
"""Of how many runs a cursor remembers how they ended: of the newest that a snapshot shows."""

_POLLS_TO_RESTART = 3
"""How many polls must show only ids below a cursor before it starts anew."""


@dataclass(frozen=True)
class Cursor:
    """
    How far a watcher has come with a pipeline's history.

    :param latest: the highest run id that it has seen; 0 if there was no run yet.
    :param open: the runs up to that one that had not ended when they were last seen.
    :param known: the runs of the last snapshot whose ids are not numbers, which tell nothing of their order.
    :param ends: runs of the last snapshot that had ended, each as ``(id, its end)``; a run whose end differs from what
        stands here was resumed meanwhile.
    """

    latest: int = 0
    open: frozenset[Identifier] = frozenset()
    known: frozenset[Identifier] = frozenset()
    ends: frozenset[tuple[Identifier, str]] = frozenset()

    def has_seen(self, run: PipelineRun) -> bool:
        """Whether the watcher has seen a run before."""
        return run.id <= self.latest if isinstance(run.id, int) else run.id in self.known

    def is_beyond(self, snapshot: Snapshot) -> bool:
        """Whether a snapshot shows only runs with ids below the latest one: the database may have been restored."""
        return self.latest > 0 and all(isinstance(run.id, int) and run.id < self.latest for run in snapshot.runs)

    def as_dict(self) -> dict[str, Json]:
        """Return the cursor as plain JSON values."""
        ends: list[Json] = [[run_id, end] for run_id, end in sorted(self.ends, key=str)]
        return {
            "latest": self.latest,
            "open": sorted(self.open, key=str),
            "known": sorted(self.known, key=str),
            "ends": ends,
        }

    @classmethod
    def from_dict(cls, content: Json) -> Self | None:
        """Return the cursor that :meth:`as_dict` wrote; None if it can't be parsed."""
        if not isinstance(content, dict):
            return None
        try:
            ends = _parse_list(content.get("ends"))
            return cls(
                latest=int(str(content.get("latest"))),
                open=frozenset(map(_parse_id, _parse_list(content.get("open")))),
                known=frozenset(map(_parse_id, _parse_list(content.get("known")))),
                ends=frozenset((_parse_id(run_id), str(end)) for run_id, end in map(_parse_list, ends)),
            )
        except ValueError:
            return None


def _parse_list(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def _parse_id(value: Json) -> Identifier:
    run_id = identifier(value)
    if run_id is None:
        raise ValueError("not an id")
    return run_id


@dataclass(frozen=True)
class Snapshot:
    """
    What one poll of a history has shown.

    :param runs: the runs, newest first.
    :param requested: the cursors that it was to reach back to.
    :param missing: runs that were searched for and that the history doesn't hold any more.
    """

    runs: tuple[PipelineRun, ...]
    requested: frozenset[Cursor] = frozenset()
    missing: frozenset[Identifier] = frozenset()

    def covers(self, cursor: Cursor) -> bool:
        """Whether it shows all that has come since a cursor: it reaches back to it, or as far as a snapshot can."""
        return cursor in self.requested or any(map(cursor.has_seen, self.runs))


def outcomes_of(wanted: str | Iterable[str]) -> frozenset[RunState]:
    """
    Return the outcomes that an argument names.

    :param wanted: ``succeeded``, ``failed``, ``stopped``, several of them, or ``all``.
    :raises ConfigurationError: when it names none, or another.
    """
    words = {wanted} if isinstance(wanted, str) else set(wanted)
    if words == {"all"}:
        return frozenset(OUTCOMES)
    if not words or not words <= set(OUTCOMES):
        raise ConfigurationError(f"outcomes: {wanted!r} can't be watched for; {known('outcomes', (*OUTCOMES, 'all'))}")
    return frozenset(map(RunState, words))


def take_snapshot(history: History, cursors: Collection[Cursor]) -> Flow[Snapshot]:
    """
    Poll a history once, as far back as some watchers need: in one request if its first page reaches back to them.

    :param history: the pipeline's history.
    :param cursors: how far the watchers have come; without any, the newest runs are enough.
    """
    runs, reached = yield from history.latest_until(lambda run: all(cursor.has_seen(run) for cursor in cursors))
    if not reached:
        log.warning(
            "Pipeline %s has run more than %d times since the last poll; what ended before run %s is not reported.",
            history.pipeline_id,
            len(runs),
            runs[-1].id,
        )
    under_way = {run_id for cursor in cursors for run_id in cursor.open}
    older = yield from history.find_older(under_way - ids_of(runs))
    found = [run for run in older.values() if run]
    missing = frozenset(run_id for run_id, run in older.items() if run is None)
    return Snapshot((*runs, *found), frozenset(cursors), missing)


def initial_cursor(
    snapshot: Snapshot, outcomes: Collection[RunState], *, with_last: bool
) -> tuple[Cursor, list[PipelineRun]]:
    """
    Return a new watcher's cursor, and what it reports: nothing, or the last run that has ended.

    :param snapshot: its first snapshot.
    :param outcomes: the ends that it watches for.
    :param with_last: whether the last run that came to such an end is reported.
    """
    cursor, ended = completed_since(Cursor(), snapshot, outcomes)
    return cursor, ended[-1:] if with_last else []


def restart_cursor(
    cursor: Cursor, snapshot: Snapshot, outcomes: Collection[RunState], *, with_last: bool
) -> tuple[Cursor, list[PipelineRun]]:
    """
    Return a cursor for a history whose ids have begun again below the cursor, and what is reported at once.

    Runs that were under way stay open, so that their ends are reported even if they have ended meanwhile.

    :param cursor: the cursor that lies beyond every id.
    :param snapshot: the first snapshot that showed it.
    :param outcomes: the ends that are watched for.
    :param with_last: whether the last run that came to such an end is reported.
    """
    restarted, runs = initial_cursor(snapshot, outcomes, with_last=with_last)
    open_still = (cursor.open & {run.id for run in snapshot.runs}) - {run.id for run in runs}
    ends = frozenset((run_id, end) for run_id, end in restarted.ends if run_id not in open_still)
    return replace(restarted, open=restarted.open | open_still, ends=ends), runs


@dataclass
class RestartDetector:
    """
    Notices that a history's ids have begun again, as after the restore of a database.

    A single snapshot proves nothing: a replica may lag behind. So several in a row must lie below the cursor.
    """

    _seen: int = 0
    _restarted: tuple[Cursor, list[PipelineRun]] | None = None

    def check(
        self, cursor: Cursor, snapshot: Snapshot, outcomes: Collection[RunState], *, with_last: bool
    ) -> tuple[Cursor, list[PipelineRun]]:
        """
        Take a snapshot into account that lies below the cursor.

        :return: the cursor to continue with, and what is reported: the same, and nothing, while nothing has restarted
            for sure.
        """
        # The first snapshot counts, since what ends from then on is to be reported.
        self._restarted = self._restarted or restart_cursor(cursor, snapshot, outcomes, with_last=with_last)
        self._seen += bool(snapshot.runs)  # an empty history alone may be a server that is starting
        if self._seen < _POLLS_TO_RESTART:
            return cursor, []
        log.warning("Every run id is below %d, the latest one seen: was FlowEngine's database restored?", cursor.latest)
        restarted, first = self._restarted
        self.reset()
        moved, runs = completed_since(restarted, snapshot, outcomes)
        return moved, [*first, *runs]

    def reset(self) -> None:
        """Forget the snapshots: one has reached up to the cursor."""
        self._seen, self._restarted = 0, None


def completed_since(
    cursor: Cursor, snapshot: Snapshot, outcomes: Collection[RunState]
) -> tuple[Cursor, list[PipelineRun]]:
    """
    Return the runs that have ended since, oldest first, and the cursor after them.

    A run that had ended and is under way again, since it was resumed, is watched again; one that was resumed and has
    ended again between two polls is reported if its end or its state differs from what the cursor holds.

    :param cursor: how far the watcher has come.
    :param snapshot: a snapshot that covers it.
    :param outcomes: the ends that are watched for.
    """
    over = {run.id: _end(run) for run in snapshot.runs if run.state.is_final}
    ends = dict(cursor.ends)
    ended = [run for run in snapshot.runs if run.id in over and _has_ended_since(run, cursor, ends)]
    ends |= over
    under_way = ids_of(snapshot.runs) - over.keys()
    newest = newest_first(snapshot.runs)[:MAX_ENDS]
    moved = Cursor(
        latest=max([cursor.latest, *numeric_ids(snapshot.runs)]),
        open=_limit_open((cursor.open | under_way) - snapshot.missing - over.keys()),
        known=frozenset(ids_of(snapshot.runs)).difference(numeric_ids(snapshot.runs)),
        ends=frozenset((run.id, ends[run.id]) for run in newest if run.id in ends),
    )
    return moved, [run for run in reversed(newest_first(ended)) if run.state in outcomes]


def _has_ended_since(run: PipelineRun, cursor: Cursor, ends: Mapping[Identifier, str]) -> bool:
    """Whether the end of a run isn't the one that the cursor knows; without a time, any end of an open run is new."""
    if run.id in ends and (run.ended or run.id not in cursor.open):
        return ends[run.id] != _end(run)
    return run.id in cursor.open or not cursor.has_seen(run)


def _end(run: PipelineRun) -> str:
    """Return a run's state and when it ended, as the server's clock shows it: no edited time zone changes that."""
    return f"{run.state.value} {run.ended:%Y-%m-%dT%H:%M:%S.%f}" if run.ended else run.state.value


def _limit_open(run_ids: frozenset[Identifier]) -> frozenset[Identifier]:
    if len(run_ids) > MAX_OPEN_RUNS:
        log.warning("%d runs are under way at once; the oldest are watched no longer.", len(run_ids))
    return frozenset(sorted(run_ids, key=_age)[-MAX_OPEN_RUNS:])


def _age(run_id: Identifier) -> tuple[int, str]:
    return (run_id, "") if isinstance(run_id, int) else (0, run_id)
