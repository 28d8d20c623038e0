"""
The newest runs of a history, however its pages are ordered.

A paged history may begin with its newest run or with its oldest, and its pages may be shorter than they were asked
for, so a short page proves no end: only the next page does, if it adds nothing. If a page tells no order, the history
is read on until it does, or ends. If neither happens within a few pages, its newest run cannot be determined, and a
start is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.history_pages import Order, continues, ids_are_ordered, ids_of, order_of
from airflow_provider_flowengine.protocol.models import newest_first

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.history_pages import HistoryPages, Runs
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

MIN_SIZE = 2
"""How many runs a first page is asked for by who waits for a run: it is likely to be the newest."""

FIRST_SIZE = 20
"""How many runs a first page is asked for. A server's pages may be shorter than that."""

GROWN_SIZE = 100
MAX_RUNS_BACK = 5_000

_SIZES = (MIN_SIZE, 5, FIRST_SIZE, GROWN_SIZE, 200, 500, 1000)
_MAX_PAGES_BACK = 80
_MAX_UNORDERED_PAGES = 20
"""How many pages are read of a history that tells no order."""


@dataclass(frozen=True)
class LatestRuns:
    """
    The newest runs of a history.

    :param runs: the runs, newest first.
    :param is_complete: whether the history holds no others.
    :param is_ordered: whether their ids came in an order.
    :param pages: how many pages from the history's begin on they are.
    """

    runs: list[PipelineRun]
    is_complete: bool = False
    is_ordered: bool = True
    pages: int = 1


@dataclass
class LatestRunsReader:
    """
    Reads the newest runs of a history.

    :param pages: the history's pages.
    :param size: how many runs a page is asked for: to begin with, then as many as were needed.
    :param longest_page: how long the pages of a history get that begins with its oldest run: a shorter one is its last.
    """

    pages: HistoryPages
    size: int = FIRST_SIZE
    longest_page: int = 0

    def request_size(self, number: int) -> None:
        """Ask for so many runs a page, rounded up to one of a few sizes; if the oldest come first, the size stays."""
        if self.pages.last_page is None:
            self.size = next((size for size in _SIZES if size >= number), _SIZES[-1])

    def read(self, wanted: Collection[Identifier] = ()) -> Flow[LatestRuns]:
        """
        Return the newest runs.

        :param wanted: runs that are looked for: a page that holds them is enough, and if the order cannot be
            determined, so is what was read. Without any it demands the newest.
        :raises UnexpectedResponseError: if they cannot be determined.
        """
        if self.pages.last_page is not None:
            latest = yield from self._read_last_pages(self.pages.last_page)
            if latest.runs:
                return latest
            self.pages.last_page = None
        return (yield from self._read_first_pages(wanted))

    def _read_first_pages(self, wanted: Collection[Identifier]) -> Flow[LatestRuns]:
        runs = yield from self.pages.read(1, self.size, wanted)
        order = order_of(runs)
        latest = LatestRuns(
            newest_first(runs), is_complete=not runs or len(runs) > self.size, is_ordered=ids_are_ordered(runs)
        )
        if latest.is_complete or order is Order.NEWEST_FIRST or (wanted and ids_of(runs) >= set(wanted)):
            return latest
        larger = self._size_that_tells_more(order, len(runs))
        if larger > self.size:
            self.size = larger
            return (yield from self._read_first_pages(wanted))
        if order is Order.UNKNOWN:
            latest, order = yield from self._read_until_ordered(runs, is_required=not wanted)
        if order is Order.OLDEST_FIRST and not latest.is_complete:
            return (yield from self._latest_of_ascending(runs, latest, wanted))
        return latest

    def _size_that_tells_more(self, order: Order, length: int) -> int:
        """Return the size of a page that may tell the order: short pages are for what comes first, maybe the oldest."""
        if self.size < FIRST_SIZE:
            return FIRST_SIZE
        return _SIZES[-1] if order is Order.UNKNOWN and length == self.size else self.size

    def _read_until_ordered(self, runs: Runs, *, is_required: bool) -> Flow[tuple[LatestRuns, Order]]:
        """
        Read a history whose first page tells no order, until its order or its end is known.

        :param runs: the runs of its first page.
        :param is_required: whether to fail if neither becomes known.
        """
        problem = f"its first {_MAX_UNORDERED_PAGES} pages are in no order of ids or start times"
        pages, order, is_complete = 1, Order.UNKNOWN, False
        while order is Order.UNKNOWN and pages < _MAX_UNORDERED_PAGES:
            there = yield from self.pages.read(pages + 1, self.size)
            is_complete = ids_of(there) <= ids_of(runs)
            if is_complete:
                break
            if not ids_of(there).isdisjoint(ids_of(runs)):
                problem = "its pages overlap, and are in no order of ids or start times"
                break
            runs, pages = runs + there, pages + 1
            order = order_of(runs)
        if is_required and order is Order.UNKNOWN and not is_complete:
            raise self.pages.error(f"which of its runs are the newest cannot be determined: {problem}")
        return LatestRuns(newest_first(runs), is_complete, ids_are_ordered(runs), pages), order

    def _latest_of_ascending(self, first: Runs, latest: LatestRuns, wanted: Collection[Identifier]) -> Flow[LatestRuns]:
        """Return the newest runs of a history that begins with its oldest; its total is not believed."""
        last, _ = yield from self.pages.last_page_before(lambda rows: False, 1, first, self.size, Order.OLDEST_FIRST)
        if last == 1:
            return replace(latest, is_complete=True)
        self.longest_page, self.pages.last_page = len(first), last
        return (yield from self.read(wanted))

    def _read_last_pages(self, page: int) -> Flow[LatestRuns]:
        """Read the end of a history that begins with its oldest run: its last page, and what has come since."""
        there = yield from self.pages.read(page, self.size)
        runs = {run.id: run for run in there}
        last = page
        while there and len(there) >= self.longest_page:
            self.longest_page = len(there)
            next_rows = yield from self.pages.read(last + 1, self.size)
            if not continues(there, next_rows, Order.OLDEST_FIRST):
                break
            there, last = next_rows, last + 1
            runs |= {run.id: run for run in there}
        self.pages.last_page = last
        if runs and len(runs) < self.longest_page:
            before = yield from self.pages.read(last - 1, self.size)
            runs = {run.id: run for run in before} | runs
        return LatestRuns(newest_first(runs.values()))

    def grow_page_until(
        self, enough: Callable[[list[PipelineRun]], bool], wanted: Collection[Identifier] = ()
    ) -> Flow[LatestRuns]:
        """
        Return the newest runs, of a page that grows until it holds enough, or all, or as many as it can.

        :param wanted: as :meth:`read`.
        """
        latest = yield from self.read(wanted)
        for size in _SIZES:
            if latest.is_complete or self.pages.last_page is not None or enough(latest.runs):
                break
            if len(latest.runs) < self.size:  # its end, or as long as this server's pages get
                after = yield from self.pages.read(latest.pages + 1, self.size)
                return replace(latest, is_complete=ids_of(after) <= ids_of(latest.runs))
            if size > self.size:
                self.size = size
                latest = yield from self.read(wanted)
        return latest

    def scan_back_until(
        self, reached: Callable[[PipelineRun], bool], number: int = MAX_RUNS_BACK
    ) -> Flow[tuple[list[PipelineRun], bool]]:
        """
        Return the newest runs back to one that is reached.

        :param reached: whether a run is far enough back.
        :param number: so many runs are enough, reached or not.
        :return: the runs, newest first, and whether one was reached, or the history's begin.
        """
        latest = yield from self.grow_page_until(lambda runs: len(runs) >= number or any(map(reached, runs)))
        runs = {run.id: run for run in latest.runs}
        is_reached = latest.is_complete or any(map(reached, latest.runs))
        last = self.pages.last_page
        page, step = (latest.pages, 1) if last is None else (last, -1)
        for _ in range(_MAX_PAGES_BACK):
            if is_reached or len(runs) >= number:
                break
            page += step
            rows = yield from self._read_older(page, runs.keys())
            is_reached = not rows or any(map(reached, rows))
            runs |= {run.id: run for run in rows}
        return newest_first(runs.values()), is_reached

    def _read_older(self, page: int, known: Collection[Identifier]) -> Flow[Runs]:
        """Return a page of older runs; nothing if the history had begun before it: before page 1, or with it again."""
        rows = (yield from self.pages.read(page, self.size)) if page else ()
        is_repeated = self.pages.last_page is None and ids_of(rows) <= set(known)
        return () if is_repeated else rows
