"""
Finding runs in a pipeline's history without ever reading the whole of it.

Installations hold up to 100,000 runs of a pipeline, and the history's order isn't guaranteed (clients in the wild sort
it by id). The newest generation pages it; the older one returns it whole (the vendor's older client). So: the first
page usually holds what is asked for; if not, the page grows, the run is asked for by its id, and at last its page is
searched for by bisection, since ids grow.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.models import Identifier, PipelineRun, newest_first

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from airflow_provider_flowengine.protocol.flows import Api, Flow

log = logging.getLogger(__name__)

FIRST_SIZE = 20
GROWN_SIZE = 100
_SIZES = (FIRST_SIZE, GROWN_SIZE, 200, 500, 1000)
_MOST_SEARCHES = 5
_MOST_PAGES = 1 << 16


@dataclass
class History:
    """
    One pipeline's run history, read sparingly.

    It remembers how the server has behaved so far (its order, where the newest page is, which page size held what was
    asked for), so a later look costs one request.

    :param api: the engine's view.
    :param pipeline_id: the pipeline.
    """

    api: Api
    pipeline_id: Identifier
    _size: int = FIRST_SIZE
    _last_page: int | None = None
    _seen: dict[Identifier, PipelineRun] = field(default_factory=dict)

    def newest(self, size: int | None = None) -> Flow[list[PipelineRun]]:
        """
        Return the newest runs, newest first.

        :param size: how many at least, where there are so many; default what the last search needed.
        """
        size = size or self._size
        if self._last_page is not None and size == self._size:
            tail = yield from self._tail(size, self._last_page)
            if tail:
                return newest_first(tail)
        first = yield from self._page(1, size)
        if len(first) != size or not _ascends(first):
            return newest_first(first)
        second = yield from self._page(2, size)
        if not second or second[0].id == first[0].id:
            return newest_first({run.id: run for run in (*first, *second)}.values())
        self._size = size
        last = yield from self._find_last_page(size)
        return newest_first((yield from self._tail(size, last)))

    def find(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return one run, or None when the history doesn't hold it; in a few requests, however long it is."""
        return (yield from self.find_all([run_id])).get(run_id)

    def find_all(self, run_ids: Collection[Identifier]) -> Flow[dict[Identifier, PipelineRun]]:
        """
        Return those of some runs that the history holds, by id; in one request where its first page holds them all.

        :param run_ids: the runs; of those that are beyond the longest page only a few are searched for at a time.
        """
        wanted = set(run_ids)
        newest = yield from self.newest()
        found = {run.id: run for run in newest if run.id in wanted}
        for size in _SIZES:
            if len(found) == len(wanted) or len(newest) < self._size or self._last_page is not None:
                break
            if size > self._size:
                self._size = size
                newest = yield from self.newest()
                found = {run.id: run for run in newest if run.id in wanted}
        self._fit(newest, found)
        if len(newest) >= FIRST_SIZE:  # not ">= size": a server may hold its pages shorter than it is asked
            for run_id in sorted(wanted - found.keys(), key=str, reverse=True)[:_MOST_SEARCHES]:
                run = yield from self.search(run_id)
                if run:
                    found[run_id] = run
        return found

    def since(self, moment: datetime | None) -> Flow[list[PipelineRun]]:
        """Return the newest runs, as many as are needed to hold all that started at or after a moment."""
        newest = yield from self.newest()
        for size in _SIZES:
            reached = any(moment and run.started and run.started < moment for run in newest)
            if reached or moment is None or len(newest) < self._size or self._last_page is not None:
                break
            if size > self._size:
                self._size = size
                newest = yield from self.newest()
        return newest

    def search(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return a run that the newest page doesn't hold: by its id, or by bisection."""
        run = yield from self.api.read_run(self.pipeline_id, run_id)
        if run or not isinstance(run_id, int):
            return run
        return (yield from self._bisect(run_id))

    def _fit(self, newest: list[PipelineRun], found: Mapping[Identifier, PipelineRun]) -> None:
        """Ask next time for no more than what holds the oldest run that was found now."""
        if found and self._last_page is None:
            needed = 1 + max(place for place, run in enumerate(newest) if run.id in found)
            self._size = next((size for size in _SIZES if size >= needed), _SIZES[-1])

    def newer_than(self, newest: Identifier | None, known: frozenset[Identifier]) -> Flow[list[PipelineRun]]:
        """
        Return the runs that came after a baseline, newest first; at least those of one grown page.

        :param newest: the newest run's id at the time, or None when there was none.
        :param known: the ids that were known at the time, for ids that are no numbers.
        """
        runs = yield from self.newest()
        new = [run for run in runs if is_newer(run, newest, known)]
        if len(new) == len(runs) >= self._size:
            self._size = GROWN_SIZE
            runs = yield from self.newest()
            new = [run for run in runs if is_newer(run, newest, known)]
        return new

    # --- pages ----------------------------------------------------------------------------------------------------

    def _page(self, page: int, size: int) -> Flow[tuple[PipelineRun, ...]]:
        runs = (yield from self.api.list_runs(self.pipeline_id, page, size, seen=self._seen)).runs
        self._seen = {run.id: run for run in runs}
        return runs

    def _tail(self, size: int, page: int) -> Flow[list[PipelineRun]]:
        """Read an ascending history's end: from a page that was the last one, as far as it has grown since."""
        runs: list[PipelineRun] = []
        rows = yield from self._page(page, size)
        while rows:
            runs += rows
            self._last_page = page
            if len(rows) < size:
                break
            page += 1
            rows = yield from self._page(page, size)
        else:
            if not runs:
                self._last_page = None
        if runs and len(runs) < size and self._last_page and self._last_page > 1:
            runs += yield from self._page(self._last_page - 1, size)
        return runs

    def _find_last_page(self, size: int) -> Flow[int]:
        """Find an ascending history's last page: by doubling, then by halving."""
        held, empty = 2, 4
        while empty < _MOST_PAGES and (yield from self._page(empty, size)):
            held, empty = empty, empty * 2
        while empty - held > 1:
            middle = (held + empty) // 2
            if (yield from self._page(middle, size)):
                held = middle
            else:
                empty = middle
        return held

    def _bisect(self, run_id: int) -> Flow[PipelineRun | None]:
        """Find the page that holds a run by its id, in either order: by doubling, then by halving."""
        size, descends = GROWN_SIZE, self._last_page is None
        before, beyond = 0, 1
        while beyond < _MOST_PAGES:
            rows = yield from self._page(beyond, size)
            run = pick(rows, run_id)
            if run:
                return run
            if _beyond(rows, run_id, descends):
                break
            before, beyond = beyond, beyond * 2
        while beyond - before > 1:
            middle = (before + beyond) // 2
            rows = yield from self._page(middle, size)
            run = pick(rows, run_id)
            if run:
                return run
            if _beyond(rows, run_id, descends):
                beyond = middle
            else:
                before = middle
        return None


def pick(runs: list[PipelineRun] | tuple[PipelineRun, ...], run_id: Identifier) -> PipelineRun | None:
    """Return the run of this id among some."""
    return next((run for run in runs if run.id == run_id), None)


def is_newer(run: PipelineRun, newest: Identifier | None, known: frozenset[Identifier]) -> bool:
    """
    Whether a run came after a baseline.

    :param run: the run.
    :param newest: the newest run's id at the time, or None when there was none.
    :param known: the ids known at the time: what decides where ids are no numbers.
    """
    if isinstance(run.id, int) and isinstance(newest, int):
        return run.id > newest
    return run.id not in known


def _ascends(runs: tuple[PipelineRun, ...]) -> bool:
    ids = [run.id for run in runs]
    numbers = [run_id for run_id in ids if isinstance(run_id, int)]
    return len(numbers) == len(ids) > 1 and numbers == sorted(numbers)


def _beyond(rows: tuple[PipelineRun, ...], run_id: int, descends: bool) -> bool:
    """Whether a page lies beyond the one that would hold a run."""
    ids = [run.id for run in rows if isinstance(run.id, int)]
    if not ids:
        return True
    return max(ids) < run_id if descends else min(ids) > run_id
