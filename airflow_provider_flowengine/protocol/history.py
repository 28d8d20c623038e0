"""
Finding runs in a pipeline's history without ever reading the whole of it.

Installations hold up to 100,000 runs of a pipeline, and the history's order isn't guaranteed (clients in the wild sort
it by id). The newest generation pages it; the older one returns it whole (the vendor's older client). So: the first
page usually holds what is asked for; if not, the page grows, the run is asked for by its id, and at last its page is
searched for by bisection, since ids grow.

A paged history may begin with its newest run or with its oldest. One that is paged in no order at all, and is longer
than a page, can't be searched without reading it whole: of that, what its first page shows is taken for the newest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import AmbiguousRunError
from airflow_provider_flowengine.protocol.models import HistoryPage, PipelineRun, newest_first

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from datetime import datetime

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.settings import Settings

MIN_PAGE_SIZE = 2
FIRST_SIZE = 20
GROWN_SIZE = 100
_SIZES = (MIN_PAGE_SIZE, 5, FIRST_SIZE, GROWN_SIZE, 200, 500, 1000)
_MOST_PAGES = 1 << 16
_MOST_RUNS_BACK = 5_000

Runs = tuple[PipelineRun, ...]


@dataclass
class History:
    """
    One pipeline's run history, read sparingly.

    It remembers how the server has behaved so far (its order, where the newest page is, which page size held what was
    asked for), so a later look costs one request.

    :param api: the engine's view.
    :param pipeline_id: the pipeline.
    :param size: how many runs a look asks for: to begin with, then as many as were needed.
    """

    api: Api
    pipeline_id: Identifier
    size: int = FIRST_SIZE
    _last_page: int | None = None  # of a history that begins with its oldest run
    _whole: bool = False  # whether the last look at the newest runs has shown all there are
    _found_on: dict[Identifier, int] = field(default_factory=dict)
    _seen: dict[Identifier, PipelineRun] = field(default_factory=dict)
    _seen_by: Settings | None = None

    # --- finding --------------------------------------------------------------------------------------------------

    def newest(self) -> Flow[list[PipelineRun]]:
        """Return the newest runs, newest first: as many as the last search needed."""
        size = self.size
        self._whole = False
        if self._last_page is not None:
            tail = yield from self._tail(size, self._last_page)
            if tail:
                return newest_first(tail)
            self._last_page = None
        first = yield from self._page(1, size)
        self._whole = _holds_all(first, size)
        if self._whole or not _ascends(first.runs):
            return newest_first(first.runs)
        if size < FIRST_SIZE:  # short pages are for what comes first, and here that is the oldest
            self.size = FIRST_SIZE
            return (yield from self.newest())
        size = len(first.runs)
        if first.total:
            last = -(-first.total // size)
        else:
            last, _ = yield from self._last_page_before(lambda rows: False, 1, first.runs, size)
        if last == 1:
            self._whole = True
            return newest_first(first.runs)
        self.size = size
        return newest_first((yield from self._tail(size, last)) or first.runs)

    def newest_of(self, number: int) -> Flow[list[PipelineRun]]:
        """
        Return so many of the newest runs at least, where there are so many, newest first.

        :param number: how many; in one request, unless this server's pages are shorter than that.
        """
        if self._last_page is None:
            self.size = number
        runs, _ = yield from self._back_to(lambda run: False, number)
        return runs

    def find(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return one run, or None when the history doesn't hold it; in a few requests, however long it is."""
        return (yield from self.find_all([run_id])).get(run_id)

    def find_all(self, run_ids: Collection[Identifier]) -> Flow[dict[Identifier, PipelineRun]]:
        """
        Return those of some runs that the history holds, by id; in one request where its first page holds them all.

        :param run_ids: the runs.
        """
        wanted = set(run_ids)
        newest = yield from self._grown(lambda runs: wanted <= {run.id for run in runs})
        found = {run.id: run for run in newest if run.id in wanted}
        if found and self._last_page is None:
            # Ask next time for no more than what holds the oldest run that was found now.
            needed = 1 + max(place for place, run in enumerate(newest) if run.id in found)
            self.size = next((size for size in _SIZES if size >= needed), _SIZES[-1])
        if not self._whole:
            for run_id in sorted(wanted - found.keys(), key=str):
                run = yield from self.search(run_id)
                if run:
                    found[run_id] = run
        return found

    def search(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return a run that the newest page doesn't hold: by its id, or by bisection."""
        run = None if run_id in self._found_on else (yield from self.api.read_run(self.pipeline_id, run_id))
        if run or not isinstance(run_id, int):
            return run
        return (yield from self._bisect(run_id))

    def since(self, moment: datetime | None) -> Flow[list[PipelineRun]]:
        """
        Return the newest runs, as many as are needed to hold all that started at or after a moment.

        :param moment: the moment; None is content with the newest.
        :raises AmbiguousRunError: when there are more than can be looked through.
        """
        runs, reached = yield from self._back_to(
            lambda run: moment is None or (run.started is not None and run.started < moment)
        )
        if not reached:
            raise self._too_many(runs, moment, "came first. Give a later started_after, or run_id.")
        return runs

    def recent(self, is_known: Callable[[PipelineRun], bool]) -> Flow[tuple[list[PipelineRun], bool]]:
        """
        Return the newest runs, a hundred at least where there are so many, back to one that is known already.

        :param is_known: whether a run is known already.
        :return: the runs, newest first, and whether they reach back to a known one, or to the history's begin.
        """
        if self._last_page is None:
            self.size = GROWN_SIZE
        return (yield from self._back_to(is_known))

    def newer_than(self, newest: Identifier | None, known: frozenset[Identifier]) -> Flow[list[PipelineRun]]:
        """
        Return the runs that came after a baseline, all of them, newest first.

        :param newest: the newest run's id at the time, or None when there was none.
        :param known: the ids that were known at the time, for ids that are no numbers.
        :raises AmbiguousRunError: when there are more than can be looked through.
        """
        runs, reached = yield from self._back_to(lambda run: not is_newer(run, newest, known))
        new = [run for run in runs if is_newer(run, newest, known)]
        if not reached:
            advice = "is this task's. Look at its runs in FlowEngine, then clear this task to begin anew."
            raise self._too_many(new, f"run {newest}", advice)
        return new

    def _too_many(self, runs: list[PipelineRun], since: object, advice: str) -> AmbiguousRunError:
        return AmbiguousRunError(
            f"Pipeline {self.pipeline_id} has run more than {len(runs)} times since {since}: too often to tell which "
            f"run {advice}",
            pipeline_id=self.pipeline_id,
            candidates=runs,
        )

    def _grown(self, enough: Callable[[list[PipelineRun]], bool]) -> Flow[list[PipelineRun]]:
        """Return the newest runs, of a page that grows until it holds enough, or all, or as many as it can."""
        runs = yield from self.newest()
        for size in _SIZES:
            if self._whole or self._last_page is not None or enough(runs):
                break
            if size > self.size:
                held, self.size = len(runs), size
                runs = yield from self.newest()
                if len(runs) <= held:
                    break
        return runs

    def _back_to(
        self, reached: Callable[[PipelineRun], bool], most: int = _MOST_RUNS_BACK
    ) -> Flow[tuple[list[PipelineRun], bool]]:
        """Return the newest runs back to one that is reached, and whether it was, or the history's begin."""
        newest = yield from self._grown(lambda runs: len(runs) >= most or any(map(reached, runs)))
        runs = {run.id: run for run in newest}
        rows: Runs = ()
        page, step = (self._last_page, -1) if self._last_page else (1, 1)
        more = not self._whole and not any(map(reached, newest))
        while more and len(runs) < most:
            page += step
            before, rows = rows, (yield from self._page(page, self.size)).runs if page else ()
            runs |= {run.id: run for run in rows}
            over = not rows or (step > 0 and _ids(rows) == _ids(before))
            more = not over and not any(map(reached, rows))
        return newest_first(runs.values()), not more

    # --- pages ----------------------------------------------------------------------------------------------------

    def _page(self, page: int, size: int) -> Flow[HistoryPage]:
        settings = self.api.settings
        if settings is not self._seen_by:  # other words or another zone read the same rows differently
            self._seen, self._seen_by = {}, settings
        answer = yield from self.api.list_runs(self.pipeline_id, page, size, seen=self._seen)
        self._seen = {run.id: run for run in answer.runs}
        return answer

    def _tail(self, size: int, page: int) -> Flow[list[PipelineRun]]:
        """Read the end of a history that begins with its oldest run: its last page, and what has come since."""
        runs: dict[Identifier, PipelineRun] = {}
        rows = (yield from self._page(page, size)).runs
        while rows and rows[-1].id not in runs:
            runs |= {run.id: run for run in rows}
            self._last_page = page
            if len(rows) < size:
                break
            page += 1
            rows = (yield from self._page(page, size)).runs
        if runs and len(runs) < size and self._last_page and self._last_page > 1:
            rows = (yield from self._page(self._last_page - 1, size)).runs
            runs = {run.id: run for run in rows} | runs
        return list(runs.values())

    def _bisect(self, run_id: int) -> Flow[PipelineRun | None]:
        """Find the page that holds a run by its id, in either order; the next time, begin where it was found."""
        ascends = self._last_page is not None

        def is_beyond(rows: Runs) -> bool:
            ids = [run.id for run in rows if isinstance(run.id, int)]
            return not ids or (min(ids) > run_id if ascends else max(ids) < run_id)

        page = self._found_on.pop(run_id, 1)
        rows = (yield from self._page(page, GROWN_SIZE)).runs
        if page > 1 and is_beyond(rows):
            page, rows = 1, (yield from self._page(1, GROWN_SIZE)).runs
        if not is_beyond(rows) and not pick(rows, run_id):
            page, rows = yield from self._last_page_before(is_beyond, page, rows, GROWN_SIZE)
        run = pick(rows, run_id)
        if run:
            self._found_on[run_id] = page
        return run

    def _last_page_before(
        self, is_beyond: Callable[[Runs], bool], page: int, rows: Runs, size: int
    ) -> Flow[tuple[int, Runs]]:
        """
        Return the last page that isn't beyond what is looked for, and its rows: by doubling, then by halving.

        A page beyond the history's end is empty, or the one before it over again: there are servers that give the last
        page for it, and some give all runs for every page.

        :param is_beyond: whether a page is beyond.
        :param page: a page that isn't.
        :param rows: its rows.
        :param size: how many runs a page holds.
        """
        step, beyond = 1, _MOST_PAGES
        while page + 1 < beyond:
            step, probe = (step * 2, page + step) if beyond == _MOST_PAGES else (step, (page + beyond) // 2)
            if probe >= _MOST_PAGES:
                break
            there = (yield from self._page(probe, size)).runs
            if not there or _ids(there) == _ids(rows) or is_beyond(there):
                beyond = probe
            else:
                page, rows = probe, there
        return page, rows


def pick(runs: Iterable[PipelineRun], run_id: Identifier) -> PipelineRun | None:
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


def _holds_all(page: HistoryPage, size: int) -> bool:
    """Whether a first page is the whole history: by the server's own count, or since it isn't as long as a page."""
    held = len(page.runs)
    if page.total is not None and page.total >= held:
        return page.total == held
    # A page that is shorter than asked for may be as long as this server's pages get.
    return held < min(size, FIRST_SIZE) or held > size


def _ascends(runs: Runs) -> bool:
    """Whether a page begins with its oldest run."""
    ids = [run.id for run in runs if isinstance(run.id, int)]
    times = [run.started for run in runs if run.started]
    keys = next((keys for keys in (ids, times) if len(keys) == len(runs)), [])
    return len(keys) > 1 and keys == sorted(keys) and keys[0] != keys[-1]


def _ids(runs: Runs) -> list[Identifier]:
    return [run.id for run in runs]
