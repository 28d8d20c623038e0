"""
The pages of a pipeline's run history: their order, how one is read or searched for, and how many requests a poll makes.

A page beyond the history's end is empty, or refused, or one of those before it over again: there are servers that give
the last page for it, some give all runs for every page, and some begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import UnexpectedResponseError
from airflow_provider_flowengine.protocol.flow import Step, supervise, unless_refused
from airflow_provider_flowengine.protocol.http import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.flow import Flow, T
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

    Runs = tuple[PipelineRun, ...]

MAX_REQUESTS = 128
"""How many requests one poll of a history makes at most."""

_MAX_PAGE = 1 << 16


class Order(StrEnum):
    """Which runs of a history come first."""

    NEWEST_FIRST = "newest first"
    OLDEST_FIRST = "oldest first"
    UNKNOWN = "unknown"


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

    def read(self, page: int, size: int, wanted: Collection[Identifier] = ()) -> Flow[Runs]:
        """
        Return the runs of a page, in the server's order; none if it is beyond the history's end.

        :param page: its number, from 1.
        :param size: how many runs it is asked for.
        :param wanted: runs that are enough: if the first page shows them all, a row that can't be parsed is left out.
        :raises UnexpectedResponseError: if a row of it can't be parsed: it may be any run.
        """
        if page == 1:
            first = yield from self._ask(1, size, wanted)
            self._first = {run.id: run for run in first}
            return first
        rows = yield from unless_refused(self._ask(page, size))
        if rows is None:
            yield from self._ask(1, size)  # a server that is busy refuses this too: then nothing is known of the end
            rows = yield from unless_refused(self._ask(page, size))
        return rows or ()

    def _ask(self, page: int, size: int, wanted: Collection[Identifier] = ()) -> Flow[Runs]:
        return (yield from self.api.list_runs(self.pipeline_id, page, size, seen=self._first, wanted=wanted)).runs

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
        step, beyond = 1, _MAX_PAGE
        while page + 1 < beyond:
            step, probe = (step * 2, page + step) if beyond == _MAX_PAGE else (step, (page + beyond) // 2)
            if probe >= _MAX_PAGE:
                break
            there = yield from self.read(probe, size)
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


# --- what a page shows of the order -----------------------------------------------------------------------------------

_MIN_RUNS_TO_TELL_ORDER = 6
"""So many runs in no order look as if they were in one once in 360 times."""


def order_of(runs: Runs) -> Order:
    """Return the order of a page: by the ids if these are in order, else by the start times; unknown of a few runs."""
    if len(runs) < _MIN_RUNS_TO_TELL_ORDER:
        return Order.UNKNOWN
    by_ids = _direction(numeric_ids(runs), len(runs))
    return _direction(_times(runs), len(runs)) if by_ids is Order.UNKNOWN else by_ids


def ids_are_ordered(runs: Runs) -> bool:
    """Whether the ids of a page, those that are numbers, are in order, so that a run can be searched for by its id."""
    numbers = numeric_ids(runs)
    return numbers in (sorted(numbers), sorted(numbers, reverse=True))


def continues(before: Runs, there: Runs, order: Order) -> bool:
    """
    Whether a page can be a later one than another: it is not empty, not the same, and continues in the same order.

    :param before: the rows of the earlier page.
    :param there: the rows of the page that may be a later one.
    :param order: the history's order.
    """
    if not there or ids_of(there) <= ids_of(before):
        return False
    ends = (before[0], there[0])
    by_times = _direction(_times(ends), 2)
    ids_tell = _direction(numeric_ids(before), len(before)) is order
    if not ids_tell and by_times is not Order.UNKNOWN:
        return by_times is order
    return _direction(numeric_ids(ends), 2) in (order, Order.UNKNOWN)


def ids_of(runs: Iterable[PipelineRun]) -> set[Identifier]:
    """Return the ids of runs."""
    return {run.id for run in runs}


def numeric_ids(runs: Iterable[PipelineRun]) -> list[int]:
    """Return the ids of runs that are numbers, in the runs' order."""
    return [run.id for run in runs if isinstance(run.id, int)]


def _times(runs: Runs) -> list[float]:
    return [run.started.timestamp() for run in runs if run.started]


def _direction(values: Sequence[float], number: int) -> Order:
    """Return the order of values, of which there must be so many, and at least two that differ."""
    if len(values) < max(number, 2) or values[0] == values[-1]:
        return Order.UNKNOWN
    if all(earlier >= later for earlier, later in pairwise(values)):
        return Order.NEWEST_FIRST
    if all(earlier <= later for earlier, later in pairwise(values)):
        return Order.OLDEST_FIRST
    return Order.UNKNOWN
