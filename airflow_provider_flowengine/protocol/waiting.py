"""Waiting for a run: it is polled until it has ended, as its :class:`~.monitor.RunMonitor` decides."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol.errors import (
    EngineNotFoundError,
    FlowEngineError,
    PipelineNotFoundError,
    RequestRejectedError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.flow import NO_RETRY, Flow, Sleep, with_deadline
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.status import RunState

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.monitor import RunMonitor

log = logging.getLogger(__name__)

TRANSIENT_ERRORS = (ServiceUnavailableError, UnexpectedResponseError, RequestRejectedError, EngineNotFoundError)
"""A poll that fails with one of these says nothing about the run, which may still be running."""


def poll_until_done(api: Api, monitor: RunMonitor) -> Flow[PipelineRun]:
    """
    Wait until a run has ended, however it ended.

    :param api: the engine's API client.
    :param monitor: what decides.
    :return: the run as it ended.
    :raises RunError: when it can't be waited for any longer; see :class:`~.monitor.RunMonitor`.
    """
    history = polled_history(api, monitor.pipeline_id)
    while True:
        run = yield from poll_once(history, monitor)
        if run:
            return run
        yield Sleep(monitor.delay(api.now()))


def polled_history(api: Api, pipeline_id: Identifier) -> History:
    """
    Return a pipeline's history for all polls of a wait: it learns how the server behaves, and sends each request once.

    :param api: the engine's API client.
    :param pipeline_id: the pipeline.
    """
    return History(replace(api, retry=NO_RETRY), pipeline_id)  # the next poll is the retry


def poll_once(history: History, monitor: RunMonitor) -> Flow[PipelineRun | None]:
    """
    Poll a run once; return it if it has ended.

    :param history: the pipeline's history, as :func:`polled_history` returns it.
    :param monitor: what decides.
    :raises RunError: when it can't be waited for any longer.
    """
    api, started = history.api, history.api.now()
    try:
        return (yield from with_deadline(_poll(history, monitor), monitor.poll_deadline(started), api.now))
    except TRANSIENT_ERRORS as error:
        if isinstance(error, RequestRejectedError) and monitor.last is None and not monitor.failures:
            yield from _check_pipeline(api, monitor.pipeline_id)
        monitor.record_failure(error, api.now(), since=started)
        return None


def _poll(history: History, monitor: RunMonitor) -> Flow[PipelineRun | None]:
    now = history.api.now
    if monitor.run_id is None:
        runs = yield from history.started_since(monitor.started_after)
        return monitor.observe_any(runs, now())
    if monitor.fetch_nodes and not monitor.failures:
        run = yield from _poll_run_itself(history, monitor, monitor.run_id)
        return monitor.observe(run, now()) if run else None
    found = yield from history.find_all([monitor.run_id])
    return monitor.observe_lookup(found, now())


def _check_pipeline(api: Api, pipeline_id: Identifier) -> Flow[None]:
    """Raise PipelineNotFoundError where FlowEngine surely has no such pipeline: waiting would be in vain."""
    try:
        yield from api.get_pipeline(pipeline_id)
    except PipelineNotFoundError:
        raise
    except FlowEngineError as error:
        log.debug("Whether there is a pipeline %s isn't known: %s", pipeline_id, error)


def _poll_run_itself(history: History, monitor: RunMonitor, run_id: Identifier) -> Flow[PipelineRun | None]:
    """
    Poll the run itself; if that tells nothing of its nodes, poll the history from then on.

    Only the vendor's older client has the one-run call, so a server need not. It takes the place of a poll of the
    history, and costs no request more.
    """
    monitor.fetch_nodes = bool(monitor.last and monitor.last.nodes)  # if the call fails
    run = yield from (
        history.api.read_run(monitor.pipeline_id, run_id) if monitor.last else history.read_own_run(run_id)
    )
    monitor.fetch_nodes = bool(run and run.nodes and run.started and run.state is not RunState.UNKNOWN)
    return run if monitor.fetch_nodes else None
