"""
News of a pipeline: which of its runs have ended since a watcher last looked, whoever started them.

Runs end in another order than they start in, so a mark of the newest run alone would lose an older one that ends after
it. A watcher's :class:`Cursor` holds the newest run that it has seen, and those up to it that went on then: what is in
neither has been dealt with. It stays small, however long the history is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from airflow_provider_flowengine.protocol.errors import ConfigurationError, known
from airflow_provider_flowengine.protocol.history import is_newer
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
"""How many runs that go on a cursor remembers; of more, the oldest are given up."""

_MOST_SEARCHES = 3
"""How many older runs, which no page holds, a look asks for one by one; others have their turn at the next looks."""


@dataclass(frozen=True)
class Cursor:
    """
    How far a watcher has come with a pipeline's history.

    :param newest: the highest run id that it has seen; 0 where there was no run yet.
    :param open: the runs up to that one that hadn't ended when they were last seen.
    :param known: the runs of the last look whose ids are no numbers, which tell nothing of their order.
    """

    newest: int = 0
    open: frozenset[Identifier] = frozenset()
    known: frozenset[Identifier] = frozenset()

    def is_past(self, run: PipelineRun) -> bool:
        """Whether the watcher has seen a run before."""
        return not is_newer(run, self.newest, self.known)

    def as_dict(self) -> dict[str, Json]:
        """Return the cursor as plain JSON values."""
        return {"newest": self.newest, "open": sorted(self.open, key=str), "known": sorted(self.known, key=str)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Json]) -> Self:
        """Return the cursor that :meth:`as_dict` wrote."""
        newest = identifier(content.get("newest"))
        return cls(
            newest=newest if isinstance(newest, int) else 0,
            open=_identifiers(content.get("open")),
            known=_identifiers(content.get("known")),
        )


def _identifiers(values: Json) -> frozenset[Identifier]:
    found = map(identifier, values) if isinstance(values, list) else ()
    return frozenset(each for each in found if each is not None)


@dataclass(frozen=True)
class Look:
    """
    What one look at a history has shown.

    :param runs: the runs, newest first.
    :param asked: the cursors that it was made to satisfy.
    :param gone: runs that were asked for and that the history doesn't hold any more.
    """

    runs: tuple[PipelineRun, ...]
    asked: frozenset[Cursor] = frozenset()
    gone: frozenset[Identifier] = field(default=frozenset())

    def satisfies(self, cursor: Cursor) -> bool:
        """Whether it shows all that has come since a cursor: it reaches back to it, or as far as a look can."""
        return cursor in self.asked or any(map(cursor.is_past, self.runs))


def outcomes_of(wanted: str | Iterable[str]) -> frozenset[RunState]:
    """
    Return the outcomes that an argument names.

    :param wanted: ``succeeded``, ``failed``, ``stopped``, several of them, or ``all``.
    :raises ConfigurationError: when it names none, or another.
    """
    words = {wanted} if isinstance(wanted, str) else set(wanted)
    if words == {"all"}:
        return frozenset(OUTCOMES)
    if not words or not words <= {outcome.value for outcome in OUTCOMES}:
        names = (*(outcome.value for outcome in OUTCOMES), "all")
        raise ConfigurationError(f"outcomes: {wanted!r} can't be watched for; {known('outcomes', names)}")
    return frozenset(map(RunState, words))


def look(history: History, cursors: Collection[Cursor], turn: int = 0) -> Flow[Look]:
    """
    Look at a history once, as far back as some watchers need: in one request where its first page holds that.

    :param history: the pipeline's history.
    :param cursors: how far the watchers have come; of none, the newest runs are enough.
    :param turn: which look this is, so that each of many older runs has its turn.
    """
    runs, reached = yield from history.recent(lambda run: all(cursor.is_past(run) for cursor in cursors))
    if not reached:
        log.warning(
            "Pipeline %s has run more than %d times since the last look; what ended before run %s isn't told.",
            history.pipeline_id,
            len(runs),
            runs[-1].id,
        )
    going_on = {run_id for cursor in cursors for run_id in cursor.open}
    older, gone = [], set()
    for run_id in _some(sorted(going_on - {run.id for run in runs}, key=str), turn):
        run = yield from history.search(run_id)
        if run:
            older.append(run)
        else:
            gone.add(run_id)
    return Look((*runs, *older), frozenset(cursors), frozenset(gone))


def _some(run_ids: list[Identifier], turn: int) -> list[Identifier]:
    start = turn * _MOST_SEARCHES % len(run_ids) if run_ids else 0
    return (run_ids[start:] + run_ids[:start])[:_MOST_SEARCHES]


def begin(seen: Look, outcomes: Collection[RunState], *, with_last: bool) -> tuple[Cursor, list[PipelineRun]]:
    """
    Return a new watcher's cursor, and what is news to it: nothing, or the last run that has ended.

    :param seen: its first look.
    :param outcomes: the ends that it watches for.
    :param with_last: whether the last run that came to such an end is news.
    """
    cursor, ended = news(Cursor(), seen, outcomes)
    return cursor, ended[-1:] if with_last else []


def news(cursor: Cursor, seen: Look, outcomes: Collection[RunState]) -> tuple[Cursor, list[PipelineRun]]:
    """
    Return the runs that have ended since, oldest first, and the cursor that holds them for dealt with.

    A run that ended before and goes on again, since somebody has resumed it, is watched anew: its next end is news.

    :param cursor: how far the watcher has come.
    :param seen: a look that satisfies it.
    :param outcomes: the ends that it watches for.
    """
    still_open, ended = set(cursor.open - seen.gone), []
    for run in seen.runs:
        if not run.state.is_final:
            still_open.add(run.id)
        elif run.id in still_open or not cursor.is_past(run):
            still_open.discard(run.id)
            ended.append(run)
    if len(still_open) > MAX_OPEN_RUNS:
        kept = sorted(still_open, key=_age)[-MAX_OPEN_RUNS:]
        log.warning("%d runs go on at once; the oldest are watched no longer.", len(still_open))
        still_open = set(kept)
    ids = [run.id for run in seen.runs]
    moved = Cursor(
        newest=max([cursor.newest, *(run_id for run_id in ids if isinstance(run_id, int))]),
        open=frozenset(still_open),
        known=frozenset(run_id for run_id in ids if not isinstance(run_id, int)),
    )
    return moved, [run for run in reversed(newest_first(ended)) if run.state in outcomes]


def _age(run_id: Identifier) -> tuple[int, str]:
    return (run_id, "") if isinstance(run_id, int) else (0, run_id)
