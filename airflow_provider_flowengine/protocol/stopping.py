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
    ApiRefusedError,
    CannotReachError,
    RunNotFoundError,
    UnexpectedAnswerError,
)
from airflow_provider_flowengine.protocol.flows import Api, Flow, Retry, Sleep
from airflow_provider_flowengine.protocol.status import RunState, is_stopping

if TYPE_CHECKING:
    from airflow_provider_flowengine.protocol.history import History
    from airflow_provider_flowengine.protocol.models import Identifier, PipelineRun

log = logging.getLogger(__name__)

_UNCLEAR = (CannotReachError, UnexpectedAnswerError)


def stop(api: Api, history: History | None, run_id: Identifier, *, patience: float = 60.0) -> Flow[bool]:
    """
    Stop a run, unless it has ended or is stopping already.

    :param api: the engine's view.
    :param history: the pipeline's history; None asks the one-run call instead, which may be missing.
    :param run_id: the run.
    :param patience: seconds to try for while FlowEngine gives no usable answer, default 60.
    :return: whether this call stopped it; False where there was nothing left to stop.
    :raises ApiRefusedError: when FlowEngine refuses while the run goes on.
    :raises CannotReachError: when there was no usable answer for longer than the patience.
    """
    pauses, deadline, sent = Retry(first_delay=0.5, longest_delay=5.0), api.now() + patience, False
    attempt = 0
    while True:
        attempt += 1
        try:
            run = yield from _look(api, history, run_id)
            if run and _needs_no_stop(run):
                return sent
            engine = yield from api.resolve()
            sent = True
            yield from api.send(endpoints.stop_run(engine, run_id))
            return True
        except ApiRefusedError as error:
            run = yield from _look(api, history, run_id)
            if run and _needs_no_stop(run):
                log.info("Run %s needs no stop any more: %s", run_id, error.msg)
                return False
            raise
        except _UNCLEAR as error:
            pause = pauses.delay(attempt, getattr(error, "retry_after", None))
            if api.now() + pause >= deadline:
                raise
            log.warning("%s Looking at run %s again in %.1f s.", error, run_id, pause)
        yield Sleep(pause)


def resume(
    api: Api, history: History | None, run_id: Identifier, *, patience: float = 60.0
) -> Flow[PipelineRun | None]:
    """
    Go on with a failed or stopped run from where it ended; it keeps its id.

    :param api: the engine's view.
    :param history: the pipeline's history; None asks the one-run call instead, which may be missing.
    :param run_id: the run.
    :param patience: seconds to try for while FlowEngine gives no usable answer, default 60.
    :return: the run as it was seen before, or while it goes on already; None where it couldn't be seen.
    :raises RunNotFoundError: when the history doesn't hold it.
    :raises ApiRefusedError: when FlowEngine refuses.
    :raises CannotReachError: when there was no usable answer for longer than the patience.
    """
    pauses, deadline = Retry(first_delay=0.5, longest_delay=5.0), api.now() + patience
    attempt = 0
    while True:
        attempt += 1
        try:
            run = yield from _look(api, history, run_id)
            if run is None and history:
                raise RunNotFoundError(
                    f"The history of pipeline {history.pipeline_id} has no run {run_id}: pruned, or another's?"
                )
            if run and run.state is RunState.RUNNING and not is_stopping(run.status):
                log.info("%s goes on already.", str(run).capitalize())
                return run
            engine = yield from api.resolve()
            yield from api.send(endpoints.resume_run(engine, run_id))
            return run
        except _UNCLEAR as error:
            pause = pauses.delay(attempt, getattr(error, "retry_after", None))
            if api.now() + pause >= deadline:
                raise
            log.warning("%s Looking at run %s again in %.1f s.", error, run_id, pause)
        yield Sleep(pause)


def _look(api: Api, history: History | None, run_id: Identifier) -> Flow[PipelineRun | None]:
    return (yield from history.find(run_id) if history else api.read_run("", run_id))


def _needs_no_stop(run: PipelineRun) -> bool:
    return run.state.is_final or is_stopping(run.status)


def running_runs(history: History) -> Flow[list[PipelineRun]]:
    """Return the runs of a pipeline that go on, newest first, as far as a grown page of its history shows."""
    runs = yield from history.newest(100)
    return [run for run in runs if run.state is RunState.RUNNING]
