"""
Stopping a run, and resuming one.

Clients in the wild show that FlowEngine checks little, and run ids are shared by all pipelines. So the run is read
before each request: only a run that the pipeline's history shows (or the one-run call with this pipeline's id) is
stopped or resumed, one that has ended or is stopping already is left alone, and what was rejected or went unanswered is
sent again only if the run still needs it.
"""

from __future__ import annotations

import logging
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.errors import (
    FlowEngineError,
    RequestRejectedError,
    RunNotFoundError,
    ServiceUnavailableError,
    UnexpectedResponseError,
    run_not_found,
)
from airflow_provider_flowengine.protocol.flow import Flow, Retry, Sleep
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.status import RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.http import Request
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Engine, PipelineRun

log = logging.getLogger(__name__)

_RETRY = Retry(first_delay=0.5, max_delay=5.0)
_TRANSIENT = (ServiceUnavailableError, UnexpectedResponseError, RequestRejectedError)


def stop(
    api: Api, pipeline_id: Identifier | None, run_id: Identifier, *, timeout: float = 60.0, assume_exists: bool = False
) -> Flow[bool]:
    """
    Stop a run, unless it has ended or is stopping already.

    :param api: the engine's API client.
    :param pipeline_id: its pipeline, whose history shows the run; None asks the one-run call instead, which may be
        missing: for a run that the user names without its pipeline.
    :param run_id: the run.
    :param timeout: seconds to try for while FlowEngine gives no usable answer, default 60.
    :param assume_exists: whether to wait for the run to appear in the history, until the timeout: one that was started
        just now may not show yet. It is never stopped unseen.
    :return: whether this call stopped it; False if there was nothing left to stop.
    :raises RunNotFoundError: if the history doesn't hold it, which may mean that it is another pipeline's.
    :raises RequestRejectedError: if FlowEngine refuses while the run is active.
    :raises ServiceUnavailableError: if there was no usable answer until the timeout.
    """

    def needs_no_stop(run: PipelineRun | None) -> bool:
        if run is None and pipeline_id is not None:
            raise run_not_found(pipeline_id, run_id)
        return run is not None and (run.state.is_final or run.is_stopping)

    transient = (*_TRANSIENT, RunNotFoundError) if assume_exists else _TRANSIENT
    run, was_unanswered = yield from _retry_until_settled(
        api, pipeline_id, run_id, endpoints.stop_run, needs_no_stop, timeout, transient
    )
    return run is None or (was_unanswered and run.state not in (RunState.SUCCEEDED, RunState.FAILED))


def resume(
    api: Api, pipeline_id: Identifier | None, run_id: Identifier, *, timeout: float = 60.0
) -> Flow[PipelineRun | None]:
    """
    Resume a failed or stopped run from where it ended; it keeps its id.

    :param api: the engine's API client.
    :param pipeline_id: its pipeline, whose history shows the run; None asks the one-run call instead, which may be
        missing.
    :param run_id: the run.
    :param timeout: seconds to try for while FlowEngine gives no usable answer, default 60; without a pipeline it is
        sent once, since its effect cannot be seen.
    :return: the run as it was before, or as it is if it is running already; None if it couldn't be seen.
    :raises RunNotFoundError: if the history doesn't hold it.
    :raises RequestRejectedError: if FlowEngine refuses.
    :raises ServiceUnavailableError: if there was no usable answer until the timeout.
    """
    before: PipelineRun | None = None

    def is_resumed(run: PipelineRun | None) -> bool:
        """Whether it needs no resume: it runs, or has ended anew since it was first seen."""
        nonlocal before
        if run is None:
            if pipeline_id is not None:
                raise run_not_found(pipeline_id, run_id)
            return False
        if run.is_stopping:
            raise ServiceUnavailableError(
                f"Run {run_id} is still stopping, and cannot be resumed yet.", may_have_been_processed=False
            )
        before = before or run
        ended_anew = before.state.is_final and (run.status, run.ended) != (before.status, before.ended)
        return ended_anew or run.state is RunState.RUNNING

    running, _ = yield from _retry_until_settled(
        api, pipeline_id, run_id, endpoints.resume_run, is_resumed, 0.0 if pipeline_id is None else timeout
    )
    if running:
        log.info("Run %s is running already.", run_id)
    return before


def active_runs(api: Api, pipeline_id: Identifier, limit: int = 100) -> Flow[list[PipelineRun]]:
    """
    Return the runs of a pipeline that have not ended, newest first: those that are stopping, and those of an
    unrecognized status, included.

    :param api: the engine's API client.
    :param pipeline_id: the pipeline.
    :param limit: how many of its newest runs are read, default 100.
    """
    latest = yield from History(api, pipeline_id).latest(limit)
    return [run for run in latest.runs if not run.state.is_final and (run.state is RunState.RUNNING or not run.ended)]


def _retry_until_settled(
    api: Api,
    pipeline_id: Identifier | None,
    run_id: Identifier,
    build: Callable[[Engine, Identifier], Request],
    is_settled: Callable[[PipelineRun | None], bool],
    timeout: float,
    transient: tuple[type[FlowEngineError], ...] = _TRANSIENT,
) -> Flow[tuple[PipelineRun | None, bool]]:
    """
    Send a request about a run until it is accepted, after reading the run each time.

    :param build: builds the request.
    :param is_settled: whether a run as it was read needs no such request any more.
    :param timeout: seconds to try for.
    :param transient: the errors after which the run is read again.
    :return: the run that needs no such request any more, and whether one that went unanswered may be why; None if the
        request was accepted.
    """
    read = partial(api.read_run, "") if pipeline_id is None else History(api, pipeline_id).find
    deadline, rejection, was_unanswered = api.now() + timeout, None, False
    for attempt in count(1):
        is_sent = False
        try:
            run = yield from read(run_id)
            if is_settled(run):
                return run, was_unanswered
            if rejection:
                raise rejection
            is_sent = True
            yield from api.call(lambda engine: build(engine, run_id))
            return None, False
        except transient as error:
            if error is rejection:
                raise
            if is_sent:
                was_unanswered = error.may_have_been_processed
                if isinstance(error, RequestRejectedError):
                    log.info("%s Reading run %s, which may have ended meanwhile.", error, run_id)
                    rejection = error
                    continue
            pause = _RETRY.delay(attempt, error.retry_after)
            if api.now() + pause >= deadline:
                raise
            log.warning("%s Reading run %s again in %.1f s.", error, run_id, pause)
        yield Sleep(pause)
    raise AssertionError("count never ends")
