"""
Stopping a run, and going on with one.

Clients in the wild show that FlowEngine checks little, so a look at the run comes first: a run that has ended, or is
stopping already, is left alone; what was refused or went unanswered is looked at again before it is sent again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.errors import (
    RequestRejectedError,
    RunNotFoundError,
    ServiceUnavailableError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.flow import Flow, Retry, Sleep
from airflow_provider_flowengine.protocol.status import RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.history import History
    from airflow_provider_flowengine.protocol.http import Request
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import Engine, PipelineRun

log = logging.getLogger(__name__)

_PAUSES = Retry(first_delay=0.5, longest_delay=5.0)


def stop(
    api: Api, history: History | None, run_id: Identifier, *, patience: float = 60.0, unseen: bool = False
) -> Flow[bool]:
    """
    Stop a run, unless it has ended or is stopping already.

    :param api: the engine's view.
    :param history: the pipeline's history; None asks the one-run call instead, which may be missing.
    :param run_id: the run.
    :param patience: seconds to try for while FlowEngine gives no usable answer, default 60.
    :param unseen: whether to stop it though the history doesn't hold it: what was started just now may not show yet.
    :return: whether this call stopped it; False where there was nothing left to stop.
    :raises RunNotFoundError: when the history doesn't hold it, which may mean that it is another pipeline's.
    :raises RequestRejectedError: when FlowEngine refuses while the run goes on.
    :raises ServiceUnavailableError: when there was no usable answer for longer than the patience.
    """

    def needs_no_stop(run: PipelineRun | None) -> bool:
        if run is None:
            if history and not unseen:
                raise _not_found(history, run_id)
            return False
        return run.state.is_final or run.is_stopping

    run, unanswered = yield from _insist(api, history, run_id, endpoints.stop_run, needs_no_stop, patience)
    return run is None or (unanswered and run.state not in (RunState.SUCCEEDED, RunState.FAILED))


def resume(
    api: Api, history: History | None, run_id: Identifier, *, patience: float = 60.0
) -> Flow[PipelineRun | None]:
    """
    Go on with a failed or stopped run from where it ended; it keeps its id.

    :param api: the engine's view.
    :param history: the pipeline's history; None asks the one-run call instead, which may be missing.
    :param run_id: the run.
    :param patience: seconds to try for while FlowEngine gives no usable answer, default 60; without a history there is
        one try, since what came of it can't be seen.
    :return: the run as it was seen before, or while it goes on already; None where it couldn't be seen.
    :raises RunNotFoundError: when the history doesn't hold it.
    :raises RequestRejectedError: when FlowEngine refuses.
    :raises ServiceUnavailableError: when there was no usable answer for longer than the patience.
    """
    before: PipelineRun | None = None

    def goes_on(run: PipelineRun | None) -> bool:
        """Whether it needs no resume: it runs, or has ended anew since it was first seen."""
        nonlocal before
        if run is None:
            if history:
                raise _not_found(history, run_id)
            return False
        if run.is_stopping:
            raise ServiceUnavailableError(
                f"Run {run_id} is still stopping, and can't be resumed yet.", may_have_been_processed=False
            )
        before = before or run
        ended_anew = before.state.is_final and (run.status, run.ended) != (before.status, before.ended)
        return ended_anew or run.state is RunState.RUNNING

    run, _ = yield from _insist(api, history, run_id, endpoints.resume_run, goes_on, patience if history else 0.0)
    if run:
        log.info("Run %s goes on already.", run_id)
    return before


def _not_found(history: History, run_id: Identifier) -> RunNotFoundError:
    return RunNotFoundError(f"The history of pipeline {history.pipeline_id} has no run {run_id}: pruned, or another's?")


def _insist(
    api: Api,
    history: History | None,
    run_id: Identifier,
    build: Callable[[Engine, Identifier], Request],
    is_settled: Callable[[PipelineRun | None], bool],
    patience: float,
) -> Flow[tuple[PipelineRun | None, bool]]:
    """
    Send a call about a run until it is taken, after a look at the run each time.

    :param build: makes the call.
    :param is_settled: whether a run as it was seen needs no such call any more.
    :param patience: seconds to try for.
    :return: the run that needs no such call, or None when the call was taken; and whether one went unanswered.
    """
    deadline, attempt, unanswered = api.now() + patience, 0, False
    refusal: RequestRejectedError | None = None
    while True:
        attempt += 1
        try:
            run = yield from history.find(run_id) if history else api.read_run("", run_id)
            if is_settled(run):
                if refusal:
                    log.info("Run %s needs it no more: %s", run_id, refusal.msg)
                return run, unanswered and not refusal
            if refusal:
                raise refusal
            yield from api.call(lambda engine: build(engine, run_id))
            return None, False
        except (ServiceUnavailableError, UnexpectedResponseError, RequestRejectedError) as error:
            if error is refusal:
                raise
            sent = api.engine is not None and error.request == build(api.engine, run_id)
            if sent and isinstance(error, RequestRejectedError):
                refusal = error  # a look decides whether it matters
                continue
            if sent:
                unanswered = getattr(error, "may_have_been_processed", True)
            pause = _PAUSES.delay(attempt, getattr(error, "retry_after", None))
            if api.now() + pause >= deadline:
                raise
            log.warning("%s Looking at run %s again in %.1f s.", error, run_id, pause)
        yield Sleep(pause)


def running_runs(history: History, among: int = 100) -> Flow[list[PipelineRun]]:
    """
    Return the runs of a pipeline that go on, newest first: those that are stopping, and those of a status that nobody
    knows, included.

    :param history: the pipeline's history.
    :param among: how many of its newest runs are looked at, default 100.
    """
    runs = yield from history.newest_of(among)
    return [run for run in runs if not run.state.is_final and (run.state is RunState.RUNNING or not run.ended)]
