"""What the pages of a run history say of its order and of its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import HistoryPage, PipelineRun

    Runs = tuple[PipelineRun, ...]

FIRST_SIZE = 20
"""How many runs a first page is asked for; a server's pages are taken to be that long at least."""


def holds_all(page: HistoryPage, size: int) -> bool:
    """
    Whether a first page is the whole history: by the server's own count, or since it isn't as long as a page.

    :param page: the page.
    :param size: how many runs it was asked for.
    """
    held = len(page.runs)
    if page.total is not None and page.total >= held:
        return page.total == held
    # A page that is shorter than asked for may be as long as this server's pages get.
    return held < min(size, FIRST_SIZE) or held > size


def ascends(runs: Runs) -> bool:
    """Whether a page begins with its oldest run: by the ids if these are in order, else by the start times."""
    ids = _numbers(runs)
    if len(ids) == len(runs) and _is_ordered(ids):
        return len(ids) > 1 and ids[0] < ids[-1]
    times = [run.started.timestamp() for run in runs if run.started]
    return len(times) == len(runs) and len(times) > 1 and times == sorted(times) and times[0] < times[-1]


def ids_are_ordered(runs: Runs) -> bool:
    """Whether the ids of a page, those that are numbers, are in order, so that a run can be searched for by its id."""
    return _is_ordered(_numbers(runs))


def continues(before: Runs, there: Runs) -> bool:
    """Whether a page can be a later one than another: it is not empty, not the same, and goes on in the same order."""
    if not there or ids_of(there) == ids_of(before):
        return False
    ids, later = _numbers(before), _numbers(there)
    if len(ids) < 2 or not later or not _is_ordered(ids):
        return True
    return later[0] > ids[0] if ids[0] < ids[-1] else later[0] < ids[0]


def ids_of(runs: Iterable[PipelineRun]) -> set[Identifier]:
    """Return the ids of runs."""
    return {run.id for run in runs}


def _numbers(runs: Runs) -> list[int]:
    return [run.id for run in runs if isinstance(run.id, int)]


def _is_ordered(numbers: Sequence[int]) -> bool:
    return list(numbers) in (sorted(numbers), sorted(numbers, reverse=True))
