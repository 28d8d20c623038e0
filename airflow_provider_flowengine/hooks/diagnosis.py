"""What the connection form's "Test" reports about a connection that works."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import FlowEngineError
from airflow_provider_flowengine.protocol.zone import DEFAULT_ZONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.flow import Flow
    from airflow_provider_flowengine.protocol.models import HistoryPage, Pipeline

log = logging.getLogger(__name__)

_MAX_HISTORIES = 3
_CLOCK_TOLERANCE = timedelta(minutes=15)


def describe_connection(api: Api) -> Flow[str]:
    """
    Return which engine answers, of which generation, and in which zone its times are read.

    :param api: the engine's API client.
    :raises FlowEngineError: if the connection doesn't work.
    """
    engine = yield from api.resolve()
    pipelines = yield from api.list_pipelines()
    number = f"{len(pipelines)} pipeline{'s' if len(pipelines) != 1 else ''}"
    zone = yield from _describe_zone(api, pipelines)
    return (
        f"FlowEngine answers: engine {engine.id} at {engine.url} ({engine.version.root}, {engine.version.name}), "
        f"{number}. {zone}"
    )


def _describe_zone(api: Api, pipelines: Iterable[Pipeline]) -> Flow[str]:
    named = api.settings.timezone
    zone = f"Times without a zone are read as {named or DEFAULT_ZONE}"
    for pipeline in list(pipelines)[:_MAX_HISTORIES]:
        try:
            page = yield from api.list_runs(pipeline.id)
        except FlowEngineError as error:
            log.debug("No runs of pipeline %s: %s", pipeline.id, error)
            continue
        ahead = _ahead(page)
        if ahead:
            return (
                f"{zone}, which is wrong: a run of pipeline {pipeline.id} seems to be "
                f"{ahead.total_seconds() / 3600:.1f} hours ahead of FlowEngine's clock. Set timezone to the zone of "
                "FlowEngine's times, e.g. Asia/Shanghai."
            )
    return f"{zone}{'' if named else ' until a run that a task starts shows their zone: timezone is not set'}."


def _ahead(page: HistoryPage) -> timedelta | None:
    """Return how far ahead of the server's clock a run has started or ended; None if none is."""
    moments = [moment for run in page.runs for moment in (run.started, run.ended) if moment]
    if not moments or page.server_time is None:
        return None
    ahead = max(moments) - page.server_time
    return ahead if ahead > _CLOCK_TOLERANCE else None
