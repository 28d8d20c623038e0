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

from airflow_provider_flowengine.protocol.models import HistoryPage, newest_first
from airflow_provider_flowengine.protocol.page_order import (
    FIRST_SIZE,
    Order,
    continues,
    ids_are_ordered,
    ids_of,
    order_of,
)
from airflow_provider_flowengine.protocol.page_search import last_page_of, read_until_ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.history_pages import HistoryPages
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.page_order import Runs

MIN_PAGE_SIZE = 2
GROWN_SIZE = 100
MAX_RUNS_BACK = 5_000

_SIZES = (MIN_PAGE_SIZE, 5, FIRST_SIZE, GROWN_SIZE, 200, 500, 1000)
_MAX_PAGES_BACK = 80


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


def page_size_for(number: int) -> int:
    """Return the page size to ask for so many runs: one of a few."""
    return next((size for size in _SIZES if size >= number), _SIZES[-1])


@dataclass
class LatestRunsReader:
    """
    Reads the newest runs of a history.

    :param pages: the history's pages.
    :param size: how many runs a page is asked for: to begin with, then as many as were needed.
    :param last_page: the history's last page as it was last seen, if it begins with its oldest run; else None.
    :param longest_page: how long the pages of such a history get: a shorter one is its last.
    """

    pages: HistoryPages
    size: int = FIRST_SIZE
    last_page: int | None = None
    longest_page: int = 0

    @property
    def order(self) -> Order:
        """The order of the history's pages, as far as is known: newest first unless they proved otherwise."""
        return Order.NEWEST_FIRST if self.last_page is None else Order.OLDEST_FIRST

    def request_size(self, size: int) -> None:
        """Set how many runs a page is asked for; of pages that begin with the oldest run, the size stays."""
        if self.last_page is None:
            self.size = size

    def read(self, wanted: Collection[Identifier] | None = None) -> Flow[LatestRuns]:
        """
        Return the newest runs.

        :param wanted: runs that are looked for: a page that holds them is enough, and if the order cannot be
            determined, so is what was read. None demands the newest.
        :raises UnexpectedResponseError: if they cannot be determined.
        """
        if self.last_page is not None:
            tail = yield from self._read_last_pages(self.last_page)
            if tail.runs:
                return tail
            self.last_page = None
        return (yield from self._latest_from_first_page(wanted))

    def _latest_from_first_page(self, wanted: Collection[Identifier] | None) -> Flow[LatestRuns]:
        first = yield from self.pages.read_first(self.size, wanted or ())
        latest = LatestRuns(
            newest_first(first.runs),
            is_complete=not first.runs or len(first.runs) > self.size,
            is_ordered=ids_are_ordered(first.runs),
        )
        if latest.is_complete or _holds(first.runs, wanted):
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
            first = yield from self.pages.read(1, self.size)
        start = yield from read_until_ordered(self.pages.read, first, self.size)
        if is_required and start.problem:
            raise self.pages.error(f"which of its runs are the newest cannot be determined: {start.problem}")
        runs = newest_first(start.runs)
        is_ordered = ids_are_ordered(start.runs)
        return LatestRuns(runs, start.is_complete, is_ordered, start.pages), start.order

    def _latest_of_ascending(self, first: HistoryPage, latest: LatestRuns) -> Flow[LatestRuns]:
        """Return the newest runs of a history that begins with its oldest."""
        self.longest_page = len(first.runs)
        last = yield from last_page_of(self.pages.read, first, self.size)
        if last == 1:
            return replace(latest, is_complete=True)
        tail = yield from self._read_last_pages(last)
        if not tail.runs:
            self.last_page = None
            raise self.pages.error(f"its last page, number {last}, was empty when it was read again")
        return tail

    def _read_last_pages(self, page: int) -> Flow[LatestRuns]:
        """Read the end of a history that begins with its oldest run: its last page, and what has come since."""
        size, last = self.size, page
        rows = yield from self.pages.read(page, size)
        runs = {run.id: run for run in rows.runs}
        there = rows.runs
        while there and len(there) >= self.longest_page:
            self.longest_page = len(there)
            next_rows = (yield from self.pages.read(last + 1, size)).runs
            if not continues(there, next_rows, Order.OLDEST_FIRST):
                break
            there, last = next_rows, last + 1
            runs |= {run.id: run for run in there}
        self.last_page = last
        if runs and len(runs) < self.longest_page:
            before = yield from self.pages.read(last - 1, size)
            runs = {run.id: run for run in before.runs} | runs
        return LatestRuns(newest_first(runs.values()))

    def grow_page_until(
        self, enough: Callable[[list[PipelineRun]], bool], wanted: Collection[Identifier] | None = None
    ) -> Flow[LatestRuns]:
        """
        Return the newest runs, of a page that grows until it holds enough, or all, or as many as it can.

        :param wanted: as :meth:`read`.
        """
        latest = yield from self.read(wanted)
        for size in _SIZES:
            if latest.is_complete or self.last_page is not None or enough(latest.runs):
                break
            if len(latest.runs) < self.size:  # its end, or as long as this server's pages get
                after = (yield from self.pages.read(latest.pages + 1, self.size)).runs
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
        for page in self._older_pages(latest):
            if is_reached or len(runs) >= number:
                break
            rows = yield from self._read_older(page, runs.keys())
            runs |= {run.id: run for run in rows}
            is_reached = not rows or any(map(reached, rows))
        return newest_first(runs.values()), is_reached

    def _read_older(self, page: int, known: Collection[Identifier]) -> Flow[Runs]:
        """Return a page of older runs; nothing if the history had begun before it."""
        rows = (yield from self.pages.read(page, self.size)).runs if page else ()
        is_repeated = self.order is Order.NEWEST_FIRST and ids_of(rows) <= set(known)
        return () if is_repeated else rows

    def _older_pages(self, latest: LatestRuns) -> Iterable[int]:
        """Return the numbers of the pages that follow, from newer runs to older ones; 0 is beyond the end."""
        if self.last_page is None:
            return range(latest.pages + 1, latest.pages + 1 + _MAX_PAGES_BACK)
        return range(self.last_page - 1, max(self.last_page - 1 - _MAX_PAGES_BACK, -1), -1)


def _holds(runs: Iterable[PipelineRun], wanted: Collection[Identifier] | None) -> bool:
    return bool(wanted) and ids_of(runs) >= set(wanted or ())
