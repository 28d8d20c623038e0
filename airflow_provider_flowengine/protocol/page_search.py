"""Searching the pages of a run history: for its end, for its order, for the page of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.page_order import Order, continues, ids_of, order_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.models import HistoryPage
    from airflow_provider_flowengine.protocol.page_order import Runs

    ReadPage = Callable[[int, int], Flow[HistoryPage]]

_MAX_PAGES = 1 << 16
_MAX_UNORDERED_PAGES = 20
"""How many pages are read of a history that tells no order."""


@dataclass(frozen=True)
class HistoryStart:
    """
    The first pages of a history whose first page tells no order.

    :param runs: their runs, as they came.
    :param pages: how many pages they are.
    :param order: the order that they show.
    :param is_complete: whether they are the whole history.
    :param problem: why neither is known; empty if one is.
    """

    runs: Runs
    pages: int
    order: Order
    is_complete: bool = False
    problem: str = ""


def read_until_ordered(read: ReadPage, first: HistoryPage, size: int) -> Flow[HistoryStart]:
    """
    Read a history until its order or its end is known, or a few pages show neither.

    :param read: reads a page.
    :param first: the first page.
    :param size: how many runs a page is asked for.
    """
    runs = first.runs
    for page in range(1, _MAX_UNORDERED_PAGES):
        order = order_of(runs)
        if order is not Order.UNKNOWN:
            return HistoryStart(runs, page, order)
        there = (yield from read(page + 1, size)).runs
        if ids_of(there) <= ids_of(runs):
            return HistoryStart(runs, page, order, is_complete=True)
        if not ids_of(there).isdisjoint(ids_of(runs)):
            problem = "its pages overlap, and are in no order of ids or start times"
            return HistoryStart(runs, page, order, problem=problem)
        runs += there
    problem = f"its first {_MAX_UNORDERED_PAGES} pages are in no order of ids or start times"
    return HistoryStart(runs, _MAX_UNORDERED_PAGES, Order.UNKNOWN, problem=problem)


def last_page_of(read: ReadPage, first: HistoryPage, size: int) -> Flow[int]:
    """
    Return the last page of a history that begins with its oldest run: as its total says, if that is true.

    :param read: reads a page.
    :param first: the first page.
    :param size: how many runs a page is asked for.
    """
    last = -(-(first.total or 0) // len(first.runs))
    if 0 < last < _MAX_PAGES:
        rows = first.runs if last == 1 else (yield from read(last, size)).runs
        after = (yield from read(last + 1, size)).runs
        # Pages that begin anew after the last one are never empty: then this number says nothing.
        if rows and not after:
            return last
    last, _ = yield from last_page_before(read, lambda rows: False, 1, first.runs, size, Order.OLDEST_FIRST)
    return last


def last_page_before(
    read: ReadPage, is_beyond: Callable[[Runs], bool], page: int, rows: Runs, size: int, order: Order
) -> Flow[tuple[int, Runs]]:
    """
    Return the last page that isn't beyond what is looked for, and its rows: by doubling, then by halving.

    A page beyond the history's end is empty, or one of those before it over again: there are servers that give the
    last page for it, some give all runs for every page, and some begin anew.

    :param read: reads a page.
    :param is_beyond: whether a page is beyond.
    :param page: a page that isn't.
    :param rows: its rows.
    :param size: how many runs a page is asked for.
    :param order: the history's order.
    """
    step, beyond = 1, _MAX_PAGES
    while page + 1 < beyond:
        step, probe = (step * 2, page + step) if beyond == _MAX_PAGES else (step, (page + beyond) // 2)
        if probe >= _MAX_PAGES:
            break
        there = (yield from read(probe, size)).runs
        if not continues(rows, there, order) or is_beyond(there):
            beyond = probe
        else:
            page, rows = probe, there
    return page, rows
