"""
Older runs of a history, which its newest page doesn't hold: by the one-run call, or by bisection, since ids grow.

Of many such runs only some are looked up in one poll, and the others in the next ones.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import UnexpectedResponseError
from airflow_provider_flowengine.protocol.history_pages import Order, ids_are_ordered, ids_of, numeric_ids
from airflow_provider_flowengine.protocol.identifiers import identifier
from airflow_provider_flowengine.protocol.latest_runs import GROWN_SIZE

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.history_pages import HistoryPages, Runs
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)

_MAX_SEARCHES = 3
"""How many older runs are searched for in one poll; what their pages show besides costs nothing."""

_MAX_KNOWN_PAGES = 20
"""How many pages are read in one poll for older runs that were on them at the last one: a request each."""


@dataclass
class OlderRunsReader:
    """
    Looks up older runs, and remembers on which page each was found.

    :param pages: the history's pages.
    """

    pages: HistoryPages
    _found_on: dict[Identifier, int] = field(default_factory=dict)
    _next: int = 0  # whose turn it is, of the runs that are looked up
    _has_warned: bool = False

    def read_own_run(self, run_id: Identifier) -> Flow[PipelineRun | None]:
        """Return a run by the one-run call, if it says that it is this pipeline's: ids are shared by all pipelines."""
        pipeline_id = self.pages.pipeline_id
        run = yield from self.pages.api.read_run(pipeline_id, run_id)
        return run if run and identifier(run.content.get("pipelineId")) == pipeline_id else None

    def find(self, run_ids: Collection[Identifier]) -> Flow[dict[Identifier, PipelineRun | None]]:
        """
        Look up runs that the newest page doesn't hold: some of them, and the others at the next polls.

        :param run_ids: the runs.
        :return: each run that was looked up, by its id; None for one that the history doesn't hold.
        """
        missing = sorted(run_ids, key=str)
        start = self._next % len(missing) if missing else 0
        found: dict[Identifier, PipelineRun | None] = {}
        searches = known_pages = 0
        for place, run_id in enumerate(missing[start:] + missing[:start]):
            if run_id in found:
                continue
            if run_id in self._found_on:
                known_pages += 1
            else:
                searches += 1
            if searches > _MAX_SEARCHES or known_pages > _MAX_KNOWN_PAGES:
                self._next = start + place
                self._warn_once(len(missing))
                break
            rows = yield from self._read_page_of(run_id, by_id=len(missing) <= _MAX_SEARCHES)
            found[run_id] = None
            found |= {run.id: run for run in rows if run.id in run_ids}
        return found

    def _warn_once(self, number: int) -> None:
        if not self._has_warned:
            log.warning(
                "%d runs of pipeline %s that are polled are older than the newest page of its history. Each poll looks "
                "up some of them, so their ends are noticed later.",
                number,
                self.pages.pipeline_id,
            )
        self._has_warned = True

    def _read_page_of(self, run_id: Identifier, *, by_id: bool) -> Flow[Runs]:
        """Return runs among which an older run is, if there is such a run: it alone by its id, or its page."""
        by_id = run_id not in self._found_on and (by_id or not isinstance(run_id, int))
        run = (yield from self.read_own_run(run_id)) if by_id else None
        if run:
            return (run,)
        if not isinstance(run_id, int):
            return ()
        rows, failure = yield from self._search(run_id)
        if run_id not in ids_of(rows) and not by_id:  # a few ids may have overtaken each other
            run = yield from self.read_own_run(run_id)
        if run:
            return (*rows, run)
        if failure:
            raise failure
        return rows

    def _search(self, run_id: int) -> Flow[tuple[Runs, UnexpectedResponseError | None]]:
        """Return the page on which a run is by its id, or why it cannot be found so."""
        try:
            page, rows = yield from self._bisect(run_id)
        except UnexpectedResponseError as error:
            return (), error
        self._found_on |= dict.fromkeys(ids_of(rows), page)
        return rows, None

    def _bisect(self, run_id: int) -> Flow[tuple[int, Runs]]:
        """
        Find the page on which a run is by its id; the next time, begin where it was found.

        :param run_id: the run.
        :return: the page and its rows.
        :raises UnexpectedResponseError: if the pages are in no order of ids, so that a run cannot be found.
        """
        order = self.pages.order

        def is_beyond(rows: Runs) -> bool:
            ids = numeric_ids(rows)
            return not ids or (min(ids) > run_id if order is Order.OLDEST_FIRST else max(ids) < run_id)

        page = self._found_on.pop(run_id, 1)
        rows = yield from self.pages.read(page, GROWN_SIZE)
        if page > 1 and is_beyond(rows):
            page, rows = 1, (yield from self.pages.read(1, GROWN_SIZE))
        if is_beyond(rows) or run_id in ids_of(rows):
            return page, rows
        if not ids_are_ordered(rows):
            if ids_of((yield from self.pages.read(page + 1, GROWN_SIZE))) <= ids_of(rows):
                return page, rows  # it isn't paged at all
            raise self.pages.error(f"run {run_id} is not on its first page, and its pages are in no order of ids")
        return (yield from self.pages.last_page_before(is_beyond, page, rows, GROWN_SIZE, order))
