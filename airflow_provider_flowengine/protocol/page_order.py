"""What the pages of a run history say of its order and of its end."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

    Runs = tuple[PipelineRun, ...]


class Order(StrEnum):
    """Which runs of a history come first."""

    NEWEST_FIRST = "newest first"
    OLDEST_FIRST = "oldest first"
    UNKNOWN = "unknown"


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
    ids, times = numeric_ids(ends), _times(ends)
    by_times = _direction(times, 2)
    ids_tell = _direction(numeric_ids(before), len(before)) is order
    if not ids_tell and by_times is not Order.UNKNOWN:
        return by_times is order
    return _direction(ids, 2) in (order, Order.UNKNOWN)


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
