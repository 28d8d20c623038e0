"""
Finding runs in a pipeline's history without ever reading the whole of it.

Installations hold up to 100,000 runs of a pipeline, and the history's order isn't guaranteed (clients in the wild sort
it by id). The newest generation pages it; the older one returns it whole (the vendor's older client). So: the first
page usually holds what is asked for; if not, the page grows, the run is asked for by its id, and at last its page is
searched for by bisection, since ids grow.

A paged history may begin with its newest run or with its oldest, and its pages may be shorter than they were asked
for, so a short page proves no end: only the next page does, if it adds nothing. If a page tells no order, the history
is read on until it does, or ends. If neither happens within a few pages, its newest run cannot be determined, and a
start is refused.

Whatever a server does, one poll makes at most :data:`MAX_REQUESTS` requests: pages may wrap, repeat, or never end, and
``total`` may lie. A page that adds nothing new ends a search.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_flowengine.protocol.errors import AmbiguousRunError, UnexpectedResponseError
from airflow_provider_flowengine.protocol.flow import Step, supervise
from airflow_provider_flowengine.protocol.http import Request
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.models import HistoryPage, PipelineRun, newest_first
from airflow_provider_flowengine.protocol.page_order import (
    FIRST_SIZE,
    Order,
    continues,
    ids_are_ordered,
    ids_of,
    order_of,
)
from airflow_provider_flowengine.protocol.page_search import last_page_before, last_page_of, read_until_ordered
from airflow_provider_flowengine.protocol.pages import unless_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.page_order import Runs
    from airflow_provider_flowengine.protocol.settings import Settings

log = logging.getLogger(__name__)

MIN_PAGE_SIZE = 2
GROWN_SIZE = 100
MAX_REQUESTS = 128
"""How many requests one poll of a history makes at most."""

_SIZES = (MIN_PAGE_SIZE, 5, FIRST_SIZE, GROWN_SIZE, 200, 500, 1000)
_MAX_RUNS_BACK = 5_000
_MAX_PAGES_BACK = 80
_MAX_SEEN = 1_000
"""How many runs are kept, at about, whose rows needn't be read again while they are as they were."""

_MAX_NEW_SEARCHES = 3
"""How many older runs are searched for in one poll, of those whose page isn't known yet."""

_MAX_KNOWN_PAGES = 20
"""How many pages are read in one poll for older runs that were on them at the last one."""

T = TypeVar("T")


@dataclass(frozen=True)
class LatestRuns:
    """
    The newest runs of a history.

    :param runs: the runs, newest first.
    :param is_complete: whether the history holds no others.
    :param is_ordered: whether their ids came in an order.
    :param server_time: what the server's clock said; None if it sent no ``Date``.
    :param pages: how many pages from the history's begin on they are.
    """

    runs: list[PipelineRun]
    is_complete: bool = False
    is_ordered: bool = True
    server_time: datetime | None = None
    pages: int = 1


@dataclass
class History:
    """
    One pipeline's run history, read sparingly.

    It remembers how the server has behaved so far (its order, where the newest page is, which page size held what was
    asked for), so a later poll costs one request.

    :param api: the engine's API client.
    :param pipeline_id: the pipeline.
    :param size: how many runs a poll asks for: to begin with, then as many as were needed.
    """

    api: Api
    pipeline_id: Identifier
    size: int = FIRST_SIZE
    _last_page: int | None = None  # of a history that begins with its oldest run
    _longest_page: int = 0  # of such a history: a shorter page is its last
    _found_on: dict[Identifier, int] = field(default_factory=dict)
    _next_search: int = 0  # whose turn it is, of the older runs that are searched for
    _warned: bool = False
    _seen: dict[Identifier, PipelineRun] = field(default_factory=dict)
    _seen_by: Settings | None = None

    def __post_init__(self) -> None:
        self.pipeline_id = _normalize(self.pipeline_id)

    # --- finding --------------------------------------------------------------------------------------------------

    def latest(self, number: int = 0) -> Flow[LatestRuns]:
        """
        Return the newest runs, newest first: as many as the last search needed.

        :param number: return so many at least, if there are so many; in one request, unless the server's pages are
            shorter than that.
        """
        if not number:
            return (yield from self._limited(self._latest()))
        if self._last_page is None:
            self.size = number
        runs, reached_end = yield from self._limited(self._scan_back_until(lambda run: False, number))
        return LatestRuns(runs, reached_end)

    def find(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return one run, or None if the history doesn't hold it; in a few requests, however long it is."""
        run_id = _normalize(run_id)
        return (yield from self.find_all([run_id])).get(run_id)

    def find_all(self, run_ids: Collection[Identifier]) -> Flow[dict[Identifier, PipelineRun | None]]:
        """
        Look some runs up, in one request if the first page holds them all.

        Of many runs that are far down the history only some are looked up in one poll, the others in the next ones.

        :param run_ids: the runs.
        :return: each run that was looked up, by its id; None for one that the history doesn't hold.
        """
        return (yield from self._limited(self._find_all(set(map(_normalize, run_ids)))))

    def find_older(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return a run that the newest page doesn't hold: by its id, or by bisection."""
        run_id = _normalize(run_id)
        return (yield from self._limited(self._search([run_id]))).get(run_id)

    def read_own_run(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return a run by the one-run call, if it says that it is this pipeline's: ids are shared by all pipelines."""
        run = yield from self.api.read_run(self.pipeline_id, run_id)
        return run if run and identifier(run.content.get("pipelineId")) == self.pipeline_id else None

    def started_since(self, moment: datetime | None) -> Flow[list[PipelineRun]]:
        """
        Return the newest runs, as many as are needed to hold all that started at or after a moment.

        :param moment: the moment; None is content with the newest.
        :raises AmbiguousRunError: if there are more than can be looked through.
        """
        runs, reached = yield from self._limited(
            self._scan_back_until(lambda run: moment is None or (run.started is not None and run.started < moment))
        )
        if not reached:
            raise self._too_many(runs, moment, "came first. Give a later started_after, or run_id.")
        return runs

    def latest_until(self, is_known: Callable[[PipelineRun], bool]) -> Flow[tuple[list[PipelineRun], bool]]:
        """
        Return the newest runs, a hundred at least if there are so many, back to one that is known already.

        :param is_known: whether a run is known already.
        :return: the runs, newest first, and whether they reach back to a known one, or to the history's begin.
        """
        if self._last_page is None:
            self.size = GROWN_SIZE
        return (yield from self._limited(self._scan_back_until(is_known)))

    def after_baseline(
        self,
        is_new: Callable[[PipelineRun], bool],
        baseline_run_id: Identifier | None,
        wanted: Identifier | None = None,
    ) -> Flow[list[PipelineRun]]:
        """
        Return the runs that came after a baseline, all of them, newest first.

        :param is_new: whether a run came after it.
        :param baseline_run_id: the newest run of the baseline, for the error.
        :param wanted: a run that is enough if the first page shows it.
        :raises AmbiguousRunError: if there are more than can be looked through.
        """
        if wanted is not None and self._last_page is None:
            first = yield from self._page(1, self.size)
            if pick(first.runs, wanted):
                return [run for run in newest_first(first.runs) if is_new(run)]
        runs, reached = yield from self._limited(self._scan_back_until(lambda run: not is_new(run)))
        new = [run for run in runs if is_new(run)]
        if not reached:
            advice = "is this task's. Look at its runs in FlowEngine, then clear this task to start a new one."
            raise self._too_many(new, f"run {baseline_run_id}", advice)
        return new

    def _too_many(self, runs: list[PipelineRun], since: object, advice: str) -> AmbiguousRunError:
        return AmbiguousRunError(
            f"Pipeline {self.pipeline_id} has run more than {len(runs)} times since {since}: too often to tell which "
            f"run {advice}",
            pipeline_id=self.pipeline_id,
            candidates=runs,
        )

    # --- the newest runs ------------------------------------------------------------------------------------------

    def _latest(self, wanted: Collection[Identifier] | None = None) -> Flow[LatestRuns]:
        """
        Return the newest runs.

        :param wanted: runs that are looked for: a page that holds them is enough, and if the order cannot be
            determined, so is what was read. None demands the newest.
        :raises UnexpectedResponseError: if they cannot be determined.
        """
        if self._last_page is not None:
            tail = yield from self._read_last_pages(self._last_page)
            if tail.runs:
                return tail
            self._last_page = None
        return (yield from self._latest_from_first_page(wanted))

    def _latest_from_first_page(self, wanted: Collection[Identifier] | None) -> Flow[LatestRuns]:
        first = yield from self._page(1, self.size)
        latest = LatestRuns(
            newest_first(first.runs),
            is_complete=not first.runs or len(first.runs) > self.size,
            is_ordered=ids_are_ordered(first.runs),
            server_time=first.server_time,
        )
        if latest.is_complete or (wanted and ids_of(first.runs) >= set(wanted)):
            return latest
        order = order_of(first.runs)
        if order is Order.NEWEST_FIRST:
            return latest
        if self.size < FIRST_SIZE:  # short pages are for what comes first, and here that may be the oldest
            self.size = FIRST_SIZE
            return (yield from self._latest_from_first_page(wanted))
        if order is Order.UNKNOWN:
            latest, order = yield from self._read_until_ordered(first, is_required=wanted is None)
        if order is Order.OLDEST_FIRST and not latest.is_complete:
            return (yield from self._latest_of_ascending(first, latest))
        return latest

    def _read_until_ordered(self, first: HistoryPage, *, is_required: bool) -> Flow[tuple[LatestRuns, Order]]:
        """
        Read a history whose first page tells no order, until its order or its end is known.

        :param first: its first page.
        :param is_required: whether to fail if neither becomes known.
        """
        if len(first.runs) == self.size and self.size < _SIZES[-1]:
            self.size = _SIZES[-1]
            first = yield from self._page(1, self.size)
        start = yield from read_until_ordered(self._page, first, self.size)
        if is_required and start.problem:
            raise self._odd(f"which of its runs are the newest cannot be determined: {start.problem}")
        runs = newest_first(start.runs)
        is_ordered = ids_are_ordered(start.runs)
        return LatestRuns(runs, start.is_complete, is_ordered, first.server_time, start.pages), start.order

    def _latest_of_ascending(self, first: HistoryPage, latest: LatestRuns) -> Flow[LatestRuns]:
        """Return the newest runs of a history that begins with its oldest."""
        self._longest_page = len(first.runs)
        last = yield from last_page_of(self._page, first, self.size)
        if last == 1:
            return replace(latest, is_complete=True)
        tail = yield from self._read_last_pages(last)
        if not tail.runs:
            self._last_page = None
            raise self._odd(f"its last page, number {last}, was empty when it was read again")
        return tail

    def _read_last_pages(self, page: int) -> Flow[LatestRuns]:
        """Read the end of a history that begins with its oldest run: its last page, and what has come since."""
        size, last = self.size, page
        rows = yield from self._page(page, size)
        runs = {run.id: run for run in rows.runs}
        there = rows.runs
        while there and len(there) >= self._longest_page:
            self._longest_page = len(there)
            next_rows = (yield from self._page(last + 1, size)).runs
            if not continues(there, next_rows, Order.OLDEST_FIRST):
                break
            there, last = next_rows, last + 1
            runs |= {run.id: run for run in there}
        self._last_page = last
        if runs and len(runs) < self._longest_page and last > 1:
            before = yield from self._page(last - 1, size)
            runs = {run.id: run for run in before.runs} | runs
        return LatestRuns(newest_first(runs.values()), server_time=rows.server_time)

    def _grow_page_until(
        self, enough: Callable[[list[PipelineRun]], bool], wanted: Collection[Identifier] | None = None
    ) -> Flow[LatestRuns]:
        """
        Return the newest runs, of a page that grows until it holds enough, or all, or as many as it can.

        :param wanted: as :meth:`_latest`.
        """
        latest = yield from self._latest(wanted)
        for size in _SIZES:
            if latest.is_complete or self._last_page is not None or enough(latest.runs):
                break
            if len(latest.runs) < self.size:  # its end, or as long as this server's pages get
                after = (yield from self._page(latest.pages + 1, self.size)).runs
                return replace(latest, is_complete=ids_of(after) <= ids_of(latest.runs))
            if size > self.size:
                self.size = size
                latest = yield from self._latest(wanted)
        return latest

    def _scan_back_until(
        self, reached: Callable[[PipelineRun], bool], most: int = _MAX_RUNS_BACK
    ) -> Flow[tuple[list[PipelineRun], bool]]:
        """Return the newest runs back to one that is reached, and whether it was, or the history's begin."""
        latest = yield from self._grow_page_until(lambda runs: len(runs) >= most or any(map(reached, runs)))
        runs = {run.id: run for run in latest.runs}
        page, step = (self._last_page, -1) if self._last_page else (latest.pages, 1)
        more = not latest.is_complete and not any(map(reached, latest.runs))
        for _ in range(_MAX_PAGES_BACK):
            if not more or len(runs) >= most:
                break
            page += step
            rows = (yield from self._page(page, self.size)).runs if page else ()
            is_over = not rows or (step > 0 and ids_of(rows) <= runs.keys())
            runs |= {run.id: run for run in rows}
            more = not is_over and not any(map(reached, rows))
        return newest_first(runs.values()), not more

    # --- older runs -----------------------------------------------------------------------------------------------

    def _find_all(self, wanted: set[Identifier]) -> Flow[dict[Identifier, PipelineRun | None]]:
        latest = yield from self._grow_page_until(lambda runs: wanted <= ids_of(runs), wanted)
        found: dict[Identifier, PipelineRun | None] = {run.id: run for run in latest.runs if run.id in wanted}
        if found and self._last_page is None:
            # Ask next time for no more than what holds the oldest run that was found now.
            needed = 1 + max(place for place, run in enumerate(latest.runs) if run.id in found)
            self.size = next((size for size in _SIZES if size >= needed), _SIZES[-1])
        missing = sorted(wanted - found.keys(), key=str, reverse=True)
        if latest.is_complete:
            return found | dict.fromkeys(missing)
        return found | (yield from self._search(missing))

    def _search(self, missing: list[Identifier]) -> Flow[dict[Identifier, PipelineRun | None]]:
        """
        Look up runs that the newest page doesn't hold: some of them, and the others at the next polls.

        :return: as :meth:`find_all`.
        """
        start = self._next_search % len(missing) if missing else 0
        found: dict[Identifier, PipelineRun | None] = {}
        searches = pages = 0
        for run_id in missing[start:] + missing[:start]:
            if run_id in found:
                continue
            searches, pages = (searches, pages + 1) if run_id in self._found_on else (searches + 1, pages)
            if searches > _MAX_NEW_SEARCHES or pages > _MAX_KNOWN_PAGES:
                self._warn_of_searches(len(missing))
                break
            rows = yield from self._read_page_of(run_id, by_id=len(missing) <= _MAX_NEW_SEARCHES)
            found[run_id] = None
            found |= {run.id: run for run in rows if run.id in missing}
            self._next_search += 1
        return found

    def _warn_of_searches(self, number: int) -> None:
        if not self._warned:
            log.warning(
                "%d runs of pipeline %s that are polled are older than the newest page of its history. Each poll looks "
                "up some of them, so their ends are noticed later.",
                number,
                self.pipeline_id,
            )
        self._warned = True

    def _read_page_of(self, run_id: Identifier, *, by_id: bool) -> Flow[Iterable[PipelineRun]]:
        """Return runs among which an older run is, if there is such a run: it alone by its id, or its page."""
        if by_id and run_id not in self._found_on:
            run = yield from self.read_own_run(run_id)
            if run:
                return (run,)
        if not isinstance(run_id, int):
            return ()
        page, rows = yield from self._bisect(run_id)
        for run in rows:
            self._found_on[run.id] = page
        return rows

    # --- pages ----------------------------------------------------------------------------------------------------

    def _page(self, page: int, size: int) -> Flow[HistoryPage]:
        settings = self.api.settings
        if settings is not self._seen_by:  # other words or another zone read the same rows differently
            self._seen, self._seen_by = {}, settings
        response = yield from (self._ask(1, size) if page == 1 else self._further_page(page, size))
        fresh = {run.id: run for run in response.runs}
        self._seen = fresh if len(self._seen) > _MAX_SEEN else self._seen | fresh
        return response

    def _ask(self, page: int, size: int) -> Flow[HistoryPage]:
        return self.api.list_runs(self.pipeline_id, page, size, seen=self._seen)

    def _further_page(self, page: int, size: int) -> Flow[HistoryPage]:
        """Return a page after the first. It is beyond the end if it is refused twice, and the first isn't meanwhile."""
        response = yield from unless_refused(self._ask(page, size))
        if response is None:
            yield from self._ask(1, size)  # a server that is busy refuses this too: then nothing is known of the end
            response = yield from unless_refused(self._ask(page, size))
        return response or HistoryPage(())

    def _limited(self, flow: Flow[T]) -> Flow[T]:
        """
        Let a poll make :data:`MAX_REQUESTS` requests at most.

        :raises UnexpectedResponseError: if these were not enough.
        """
        left = MAX_REQUESTS

        def count(step: Step) -> Step:
            nonlocal left
            left -= isinstance(step, Request)
            if left < 0:
                raise self._odd(f"{MAX_REQUESTS} requests did not reach its end: its pages may repeat, or never end")
            return step

        return supervise(flow, count)

    def _odd(self, problem: str) -> UnexpectedResponseError:
        return UnexpectedResponseError(f"Could not search the history of pipeline {self.pipeline_id}: {problem}.")

    def _bisect(self, run_id: int) -> Flow[tuple[int, Runs]]:
        """
        Find the page on which a run is by its id, in either order; the next time, begin where it was found.

        :return: the page and its rows.
        :raises UnexpectedResponseError: if the pages are in no order of ids, so that a run cannot be found.
        """
        ascends = self._last_page is not None

        def is_beyond(rows: Runs) -> bool:
            ids = [run.id for run in rows if isinstance(run.id, int)]
            return not ids or (min(ids) > run_id if ascends else max(ids) < run_id)

        page = self._found_on.pop(run_id, 1)
        rows = (yield from self._page(page, GROWN_SIZE)).runs
        if page > 1 and is_beyond(rows):
            page, rows = 1, (yield from self._page(1, GROWN_SIZE)).runs
        if is_beyond(rows) or pick(rows, run_id):
            return page, rows
        if not ids_are_ordered(rows):
            if ids_of((yield from self._page(page + 1, GROWN_SIZE)).runs) <= ids_of(rows):
                return page, rows  # it isn't paged at all
            raise self._odd(f"run {run_id} is not on its first page, and its pages are in no order of ids")
        order = Order.OLDEST_FIRST if ascends else Order.NEWEST_FIRST
        return (yield from last_page_before(self._page, is_beyond, page, rows, GROWN_SIZE, order))


def pick(runs: Iterable[PipelineRun], run_id: Identifier) -> PipelineRun | None:
    """Return the run of this id among some."""
    return next((run for run in runs if run.id == run_id), None)


def is_newer(run: PipelineRun, baseline_run_id: Identifier | None, baseline_ids: frozenset[Identifier]) -> bool:
    """
    Whether a run came after a baseline.

    :param run: the run.
    :param baseline_run_id: the newest run's id at the time, or None if there was none.
    :param baseline_ids: the ids known at the time: what decides if ids are no numbers.
    """
    if isinstance(run.id, int) and isinstance(baseline_run_id, int):
        return run.id > baseline_run_id
    return run.id not in baseline_ids


def _normalize(an_id: Identifier) -> Identifier:
    """Return an id in its one form: the text "7" is the number 7."""
    normal = identifier(an_id)
    return an_id if normal is None else normal
