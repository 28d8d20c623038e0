"""
Finding runs in a pipeline's history without ever reading the whole of it.

Installations hold up to 100,000 runs of a pipeline, and the history's order isn't guaranteed (clients in the wild sort
it by id). The newest generation pages it; the older one returns it whole (the vendor's older client). So: the first
page usually holds what is asked for; if not, the page grows, the run is asked for by its id, and at last its page is
searched for by bisection, since ids grow.

Whatever a server does, one poll makes at most :data:`~.history_pages.MAX_REQUESTS` requests: pages may wrap, repeat, or
never end, and ``total`` may lie. A page that adds nothing new ends a search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import AmbiguousRunError
from airflow_provider_flowengine.protocol.history_pages import HistoryPages, Order, ids_of
from airflow_provider_flowengine.protocol.identifiers import Identifier, identifier
from airflow_provider_flowengine.protocol.latest_runs import (
    FIRST_SIZE,
    GROWN_SIZE,
    MAX_RUNS_BACK,
    LatestRuns,
    LatestRunsReader,
)
from airflow_provider_flowengine.protocol.models import newest_first
from airflow_provider_flowengine.protocol.older_runs import OlderRunsReader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.models import PipelineRun


class History:
    """
    One pipeline's run history, read sparingly.

    It remembers how the server has behaved so far (its order, where the newest page is, which page size held what was
    asked for), so a later poll costs one request.

    :param api: the engine's API client.
    :param pipeline_id: the pipeline.
    :param size: how many runs a poll asks for: to begin with, then as many as were needed.
    """

    def __init__(self, api: Api, pipeline_id: Identifier, size: int = FIRST_SIZE) -> None:
        self._pages = HistoryPages(api, _normalize(pipeline_id))
        self._newest = LatestRunsReader(self._pages, size)
        self._older = OlderRunsReader(self._pages)

    @property
    def api(self) -> Api:
        """The engine's API client; one that is set later, such as one without retries, is used from then on."""
        return self._pages.api

    @api.setter
    def api(self, api: Api) -> None:
        self._pages.api = api

    @property
    def pipeline_id(self) -> Identifier:
        """The pipeline."""
        return self._pages.pipeline_id

    def latest(self, number: int = 0) -> Flow[LatestRuns]:
        """
        Return the newest runs, newest first: as many as the last search needed.

        :param number: return so many at least, if there are so many; in one request, unless the server's pages are
            shorter than that.
        """
        if not number:
            return (yield from self._pages.limited(self._newest.read()))
        self._newest.request_size(number)
        runs, reached_end = yield from self._scan_back_until(lambda run: False, number)
        return LatestRuns(runs, reached_end)

    def find(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return one run, or None if the history doesn't hold it; in a few requests, however long it is."""
        return (yield from self.find_all([run_id])).get(_normalize(run_id))

    def find_all(self, run_ids: Collection[Identifier]) -> Flow[dict[Identifier, PipelineRun | None]]:
        """
        Look some runs up, in one request if the first page holds them all.

        Of many runs that are far down the history only some are looked up in one poll, the others in the next ones.

        :param run_ids: the runs.
        :return: each run that was looked up, by its id; None for one that the history doesn't hold.
        """
        return (yield from self._pages.limited(self._find_all(set(map(_normalize, run_ids)))))

    def find_older(self, run_ids: Collection[Identifier]) -> Flow[dict[Identifier, PipelineRun | None]]:
        """Look up runs that the newest page doesn't hold, as :meth:`find_all`: by their ids, or by bisection."""
        return self._pages.limited(self._older.find(run_ids))

    def read_own_run(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return a run by the one-run call, if it says that it is this pipeline's: ids are shared by all pipelines."""
        return self._older.read_own_run(run_id)

    def started_since(self, moment: datetime | None) -> Flow[list[PipelineRun]]:
        """
        Return the newest runs, as many as are needed to hold all that started at or after a moment.

        :param moment: the moment; None is content with the newest.
        :raises AmbiguousRunError: if there are more than can be looked through.
        """
        runs, reached = yield from self._scan_back_until(
            lambda run: moment is None or (run.start_range is not None and run.start_range[1] < moment)
        )
        if not reached:
            raise self._too_many(runs, moment, "came first. Give a later started_after, or run_id")
        return runs

    def latest_until(self, is_known: Callable[[PipelineRun], bool]) -> Flow[tuple[list[PipelineRun], bool]]:
        """
        Return the newest runs, a hundred at least if there are so many, back to one that is known already.

        :param is_known: whether a run is known already.
        :return: the runs, newest first, and whether they reach back to a known one, or to the history's begin.
        """
        self._newest.request_size(GROWN_SIZE)
        return (yield from self._scan_back_until(is_known))

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
        if wanted is not None and self._pages.order is Order.NEWEST_FIRST:
            first = yield from self._pages.read(1, self._newest.size, [wanted])
            if wanted in ids_of(first):
                return [run for run in newest_first(first) if is_new(run)]
        runs, reached = yield from self._scan_back_until(lambda run: not is_new(run))
        new = [run for run in runs if is_new(run)]
        if not reached:
            advice = (
                "this task started. Look at the pipeline's runs in FlowEngine, then clear this task to start a new one"
            )
            raise self._too_many(new, f"run {baseline_run_id}", advice)
        return new

    def _scan_back_until(
        self, reached: Callable[[PipelineRun], bool], number: int = MAX_RUNS_BACK
    ) -> Flow[tuple[list[PipelineRun], bool]]:
        return self._pages.limited(self._newest.scan_back_until(reached, number))

    def _find_all(self, wanted: set[Identifier]) -> Flow[dict[Identifier, PipelineRun | None]]:
        latest = yield from self._newest.grow_page_until(lambda runs: wanted <= ids_of(runs), wanted)
        found: dict[Identifier, PipelineRun | None] = {run.id: run for run in latest.runs if run.id in wanted}
        if found:
            # Ask next time for no more than what holds the oldest run that was found now.
            needed = 1 + max(place for place, run in enumerate(latest.runs) if run.id in found)
            self._newest.request_size(needed)
        missing = wanted - found.keys()
        return found | (dict.fromkeys(missing) if latest.is_complete else (yield from self._older.find(missing)))

    def _too_many(self, runs: list[PipelineRun], since: object, advice: str) -> AmbiguousRunError:
        return AmbiguousRunError(
            f"It cannot be determined which run {advice}: pipeline {self.pipeline_id} has more than {len(runs)} runs "
            f"since {since}.",
            pipeline_id=self.pipeline_id,
            candidates=runs,
        )


def _normalize(an_id: Identifier) -> Identifier:
    """Return an id in its one form: the text "7" is the number 7."""
    normal = identifier(an_id)
    return an_id if normal is None else normal
