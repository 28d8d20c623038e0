"""
The pages of a pipeline's run history: how one is read, how one is searched for, and how many requests a poll may make.

A page beyond the history's end is empty, or refused, or one of those before it over again: there are servers that give
the last page for it, some give all runs for every page, and some begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import UnexpectedResponseError
from airflow_provider_flowengine.protocol.flow import Step, supervise
from airflow_provider_flowengine.protocol.http import Request
from airflow_provider_flowengine.protocol.models import HistoryPage
from airflow_provider_flowengine.protocol.page_order import Order, continues
from airflow_provider_flowengine.protocol.pipeline_pages import unless_refused

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.flow import Flow, T
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.page_order import Runs

MAX_REQUESTS = 128
"""How many requests one poll of a history makes at most."""

MAX_PAGE_NUMBER = 1 << 16


@dataclass
class HistoryPages:
    """
    The pages of one pipeline's history.

    :param api: the engine's API client.
    :param pipeline_id: the pipeline.
    :param last_page: the last page as it was last seen, if the history begins with its oldest run; else None.
    """

    api: Api
    pipeline_id: Identifier
    last_page: int | None = None
    _first: dict[Identifier, PipelineRun] = field(default_factory=dict)  # rows that needn't be parsed again

    @property
    def order(self) -> Order:
        """The order of the pages, as far as is known: newest first unless they proved otherwise."""
        return Order.NEWEST_FIRST if self.last_page is None else Order.OLDEST_FIRST

    def read(self, page: int, size: int, wanted: Collection[Identifier] = ()) -> Flow[HistoryPage]:
        """
        Return a page; an empty one if it is beyond the history's end.

        :param page: its number, from 1.
        :param size: how many runs it is asked for.
        :param wanted: runs that are enough: if the first page shows them all, a row that can't be parsed is left out.
        :raises UnexpectedResponseError: if a row of it can't be parsed: it may be any run.
        """
        if page == 1:
            first = yield from self._ask(1, size, wanted)
            self._first = {run.id: run for run in first.runs}
            return first
        response = yield from unless_refused(self._ask(page, size))
        if response is None:
            yield from self._ask(1, size)  # a server that is busy refuses this too: then nothing is known of the end
            response = yield from unless_refused(self._ask(page, size))
        return response or HistoryPage(())

    def _ask(self, page: int, size: int, wanted: Collection[Identifier] = ()) -> Flow[HistoryPage]:
        return self.api.list_runs(self.pipeline_id, page, size, seen=self._first, wanted=wanted)

    def last_page_before(
        self, is_beyond: Callable[[Runs], bool], page: int, rows: Runs, size: int, order: Order
    ) -> Flow[tuple[int, Runs]]:
        """
        Return the last page that isn't beyond what is looked for, and its rows: by doubling, then by halving.

        :param is_beyond: whether a page is beyond.
        :param page: a page that isn't.
        :param rows: its rows.
        :param size: how many runs a page is asked for.
        :param order: the history's order.
        """
        step, beyond = 1, MAX_PAGE_NUMBER
        while page + 1 < beyond:
            step, probe = (step * 2, page + step) if beyond == MAX_PAGE_NUMBER else (step, (page + beyond) // 2)
            if probe >= MAX_PAGE_NUMBER:
                break
            there = (yield from self.read(probe, size)).runs
            if not continues(rows, there, order) or is_beyond(there):
                beyond = probe
            else:
                page, rows = probe, there
        return page, rows

    def limited(self, flow: Flow[T]) -> Flow[T]:
        """
        Let a poll make :data:`MAX_REQUESTS` requests at most.

        :param flow: the poll.
        :raises UnexpectedResponseError: if these were not enough.
        """
        left = MAX_REQUESTS

        def count(step: Step) -> Step:
            nonlocal left
            left -= isinstance(step, Request)
            if left < 0:
                raise self.error(f"{MAX_REQUESTS} requests did not reach its end: its pages may repeat, or never end")
            return step

        return supervise(flow, count)

    def error(self, problem: str) -> UnexpectedResponseError:
        """Return the error that says why the history could not be searched."""
        return UnexpectedResponseError(f"Could not search the history of pipeline {self.pipeline_id}: {problem}.")
