"""Reading the pages of a pipeline's run history: how a page is asked for, and how many requests a poll may make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_flowengine.protocol.errors import UnexpectedResponseError
from airflow_provider_flowengine.protocol.flow import Step, supervise
from airflow_provider_flowengine.protocol.http import Request
from airflow_provider_flowengine.protocol.models import HistoryPage
from airflow_provider_flowengine.protocol.pages import unless_refused

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.settings import Settings

MAX_REQUESTS = 128
"""How many requests one poll of a history makes at most."""

_MAX_SEEN = 1_000
"""How many runs are kept, at about, whose rows needn't be read again while they are as they were."""

T = TypeVar("T")


@dataclass
class HistoryPages:
    """
    The pages of one pipeline's history.

    :param api: the engine's API client.
    :param pipeline_id: the pipeline.
    """

    api: Api
    pipeline_id: Identifier
    _seen: dict[Identifier, PipelineRun] = field(default_factory=dict)
    _seen_by: Settings | None = None

    def read(self, page: int, size: int) -> Flow[HistoryPage]:
        """
        Return a page; an empty one if it is beyond the history's end.

        :param page: its number, from 1.
        :param size: how many runs it is asked for.
        :raises UnexpectedResponseError: if a row of it can't be parsed: it may be any run.
        """
        return (yield from self._remember(self._ask(1, size) if page == 1 else self._ask_further(page, size)))

    def read_first(self, size: int, wanted: Collection[Identifier]) -> Flow[HistoryPage]:
        """
        Return the first page. If it shows all runs that are wanted, a row that can't be parsed is left out.

        :param size: how many runs it is asked for.
        :param wanted: the runs that are enough.
        """
        return (yield from self._remember(self._ask(1, size, wanted)))

    def _remember(self, page: Flow[HistoryPage]) -> Flow[HistoryPage]:
        settings = self.api.settings
        if settings is not self._seen_by:  # other words or another zone read the same rows differently
            self._seen, self._seen_by = {}, settings
        response = yield from page
        fresh = {run.id: run for run in response.runs}
        self._seen = fresh if len(self._seen) > _MAX_SEEN else self._seen | fresh
        return response

    def _ask(self, page: int, size: int, wanted: Collection[Identifier] = ()) -> Flow[HistoryPage]:
        return (yield from self.api.list_runs(self.pipeline_id, page, size, seen=self._seen, wanted=wanted))

    def _ask_further(self, page: int, size: int) -> Flow[HistoryPage]:
        """Return a page after the first. It is beyond the end if it is refused twice, and the first isn't meanwhile."""
        response = yield from unless_refused(self._ask(page, size))
        if response is None:
            yield from self._ask(1, size)  # a server that is busy refuses this too: then nothing is known of the end
            response = yield from unless_refused(self._ask(page, size))
        return response or HistoryPage(())

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
