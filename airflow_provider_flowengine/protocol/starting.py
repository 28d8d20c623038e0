"""
A run is started exactly once.

Start is not idempotent, its answer may be lost, and the API does not guarantee that it contains the run's id. So:

1. Read the newest runs of the pipeline, and save what is known as an :class:`~.candidates.Intent`, before anything is
   sent.
2. Send the start once. A rejection is final, but for a proxy's own page. What surely was not processed may be sent
   again. After anything else it is unknown whether it was.
3. Find the run in the history: :mod:`.candidates` says which runs it can be. The id in the answer helps, but is
   believed only once the history of this pipeline, or the one-run call with this pipeline's id, shows it. If another
   candidate may still appear, the first one is not taken yet; of several that nothing tells apart none is taken.
4. 429 and 503 may come from a proxy after the server has processed the start. It is sent again only if no run has
   appeared in the meantime, and at most :data:`MAX_STARTS` times.
5. A start that stays unknown ends in :class:`~.errors.StartUnconfirmedError` and is not sent again. A retry of the task
   looks for its run first, by :func:`find_started_run`.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, count, repeat
from typing import TYPE_CHECKING, NoReturn

from airflow_provider_flowengine.protocol import endpoints
from airflow_provider_flowengine.protocol.candidates import Intent, Verdict, judge
from airflow_provider_flowengine.protocol.errors import (
    AmbiguousRunError,
    FlowEngineError,
    RequestRejectedError,
    ServiceUnavailableError,
    StartUnconfirmedError,
    UnexpectedResponseError,
)
from airflow_provider_flowengine.protocol.flow import MAX_RETRY_AFTER, Flow, Sleep
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.models import newest_first
from airflow_provider_flowengine.protocol.offset import learn_offset
from airflow_provider_flowengine.protocol.outcomes import closed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from airflow_provider_flowengine.protocol.api import Api
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.job_params import JobParams
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.reply import Reply

log = logging.getLogger(__name__)

CONFIRMATION_TIMEOUT = 30.0
"""Seconds that a started run may take to appear in the history."""

SETTLE_TIME = 3.0
"""Seconds that another candidate may take to appear after the first, though all the time for the run is over."""

MAX_STARTS = 3
"""How often a start is sent at most that 429 or 503 answered."""

_OVERLOADED = (429, 503)
_POLL_DELAYS = (0.5, 1.0, 2.0, 3.0, 5.0)
_MAX_LISTED = 20
_PIPELINE_NAMES = {"nodes", "engineTemplateId", "data"}
"""What a pipeline's object has, and a run's record has not."""


def start_once(
    api: Api,
    pipeline_id: Identifier,
    job_params: JobParams | None = None,
    *,
    save_intent: Callable[[Intent], None] = lambda intent: None,
    discard_intent: Callable[[], None] = lambda: None,
    known_runs: Iterable[Identifier] = (),
    confirmation_timeout: float = CONFIRMATION_TIMEOUT,
) -> Flow[PipelineRun]:
    """
    Start a pipeline, once, and return its run.

    :param api: the engine's API client.
    :param pipeline_id: the pipeline.
    :param job_params: ``{node id: {key: value}}``, checked already.
    :param save_intent: is given the intent each time before the start is sent; what it raises prevents the start.
    :param discard_intent: is called each time the start surely was not processed.
    :param known_runs: ids of runs that were there before: the history may not show yet what an earlier try started.
    :param confirmation_timeout: seconds that the run may take to appear in the history, default 30.
    :raises RequestRejectedError: if FlowEngine rejects it; nothing was started.
    :raises ServiceUnavailableError: if the start surely was not processed; nothing was started.
    :raises StartUnconfirmedError: if it cannot be determined whether it was processed.
    :raises AmbiguousRunError: if several runs could be the one.
    """
    history = History(api, pipeline_id)
    latest = yield from history.latest()
    intent = Intent.from_baseline(pipeline_id, latest, api.now(), api.server_time, known_runs)
    body: JsonObject = {node: dict(params) for node, params in (job_params or {}).items()}
    history.api = api.without_retries(max(confirmation_timeout, 1.0))
    for attempt in count(1):
        outcome = yield from _send_start(api, body, intent, save_intent, discard_intent, may_be_processed=attempt > 1)
        search = _Search(history, outcome.intent, job_params, outcome.reported, is_confirmed=not outcome.reason)
        deadline = api.now() + confirmation_timeout
        run = yield from search.poll_until_found(deadline, outcome.settled_at(deadline))
        if run:
            log.debug("Started %s.", run)  # the caller logs it, with the pipeline's name
            seen_at = history.api.server_time
            return run if outcome.reason else learn_offset(api, run, outcome.intent.server_time, seen_at)
        intent = outcome.intent
        if outcome.resend_after is None or search.error or attempt == MAX_STARTS:
            break
        log.warning("No new run of pipeline %s appeared. Starting it again (attempt %d).", pipeline_id, attempt + 1)
        yield Sleep(max(outcome.resend_after - confirmation_timeout, 0.0))
    raise _unconfirmed(outcome, confirmation_timeout, search.error)


def find_started_run(
    api: Api,
    intent: Intent,
    job_params: JobParams | None = None,
    *,
    confirmation_timeout: float = CONFIRMATION_TIMEOUT,
    deadline: float | None = None,
    ignore_errors: bool = False,
) -> Flow[PipelineRun | None]:
    """
    Return the run that an earlier start of unknown outcome made, or None if there is none.

    That start may have been sent a moment ago, by a process that has died since. So the history is polled until the run
    has had the time that it may take to appear: for the whole ``confirmation_timeout`` from now at least.

    :param api: the engine's API client.
    :param intent: what was saved before that start.
    :param job_params: what it was started with, nodes named by their ids.
    :param confirmation_timeout: seconds that a started run may take to appear in the history, default 30.
    :param deadline: when to give up, in seconds since the epoch, if not after that time: a task that is being killed
        has less of it.
    :param ignore_errors: whether a history that cannot be read counts as one without the run: for callers that start
        nothing in that case.
    :raises AmbiguousRunError: if several runs could be the one.
    :raises FlowEngineError: if the last poll failed: there may be a run.
    """
    now = api.now()
    sent_at = min(intent.recorded_at, now)  # another worker's clock may be ahead
    if deadline is None:
        deadline = max(now, sent_at + api.settings.timeout) + confirmation_timeout
    settle_time = min(SETTLE_TIME, confirmation_timeout)
    search = _Search(History(api, intent.pipeline_id), intent, job_params)
    run = yield from search.poll_until_found(
        deadline, lambda first_seen: max(sent_at + confirmation_timeout, first_seen + settle_time)
    )
    if run is None and search.error and not ignore_errors:
        raise search.error
    return run


# --- sending ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Outcome:
    """
    What is known after a start was sent.

    :param intent: the intent that it was sent with.
    :param reason: why it is unknown whether it was processed; empty if it surely was.
    :param answered_at: when it was answered, if it surely was processed.
    :param reported: the run that the answer names.
    :param resend_after: seconds until it may be sent again, if the answer was 429 or 503 and no run appears.
    """

    intent: Intent
    reason: str = ""
    answered_at: float = 0.0
    reported: PipelineRun | None = None
    resend_after: float | None = None

    def settled_at(self, deadline: float) -> Callable[[float], float]:
        """
        Return from when on no further candidate is expected, as a function of when the first one appeared.

        If it is unknown whether the start was processed, its run may appear until the deadline. Otherwise the server
        has made it by now, and it appears at most as long after the first candidate as that took to appear.
        """
        if self.reason:
            return lambda first_seen: deadline
        return lambda first_seen: first_seen + max(SETTLE_TIME, first_seen - self.answered_at)


def _send_start(
    api: Api,
    body: JsonObject,
    intent: Intent,
    save_intent: Callable[[Intent], None],
    discard_intent: Callable[[], None],
    *,
    may_be_processed: bool,
) -> Flow[_Outcome]:
    """
    Send a start, again only while it surely was not processed.

    :param may_be_processed: whether an earlier start with this intent may have been: its run may be the one.
    :raises RequestRejectedError: if FlowEngine rejects it.
    :raises ServiceUnavailableError: if it surely was not processed.
    """
    sent = intent

    @contextmanager
    def sending() -> Iterator[None]:
        nonlocal sent
        sent = intent.sent_again_at(api.now()) if may_be_processed else intent.sent_at(api.now())
        save_intent(sent)
        try:
            yield
        except FlowEngineError as error:
            if not (may_be_processed or error.may_have_been_processed):
                discard_intent()
            raise

    try:
        reply = yield from api.call(lambda engine: endpoints.start_pipeline(engine, intent.pipeline_id, body), sending)
    except (ServiceUnavailableError, UnexpectedResponseError, RequestRejectedError) as error:
        is_overloaded = error.http_status in _OVERLOADED
        is_final = isinstance(error, RequestRejectedError) or not (may_be_processed or is_overloaded)
        if is_final and not error.may_have_been_processed:
            raise
        log.warning("%s It is unknown whether the start was processed; looking for its run in the history.", error)
        resend_after = min(error.retry_after or 0.0, MAX_RETRY_AFTER) if is_overloaded else None
        return _Outcome(sent, str(error), resend_after=resend_after)
    return _Outcome(sent, answered_at=api.now(), reported=_reported_run(reply, sent))


def _reported_run(reply: Reply, intent: Intent) -> PipelineRun | None:
    """
    Return the run that a start's answer names, if it can be one.

    ``data.status`` is ``running`` on success (a client in the wild), so ``data`` looks like the run's record; whether
    its ``id`` is the run's isn't documented. It may be if it has a status and no part of a pipeline's object, and is
    newer than every run before.
    """
    data = reply.data
    if not isinstance(data, dict) or not data.get("status") or not _PIPELINE_NAMES.isdisjoint(data):
        return None
    try:
        run = reply.run(data, intent.pipeline_id)
    except UnexpectedResponseError:
        return None
    first_ever = intent.baseline_run_id is None and not intent.baseline_ids
    is_pipeline = run.id == intent.pipeline_id or (first_ever and not run.started)
    return run if intent.is_new(run) and not is_pipeline else None


def _unconfirmed(
    outcome: _Outcome, confirmation_timeout: float, error: FlowEngineError | None
) -> StartUnconfirmedError:
    pipeline_id = outcome.intent.pipeline_id
    if outcome.reported:
        what = (
            f"FlowEngine answered the start of pipeline {pipeline_id} with id {outcome.reported.id}, which its history "
            f"did not show within {confirmation_timeout:g} s. It may be another pipeline's, so it is neither waited "
            "for nor stopped."
        )
    elif error:
        what = (
            f"The runs of pipeline {pipeline_id} could not be read within {confirmation_timeout:g} s: "
            f"{closed(str(error))}"
        )
    else:
        what = (
            f"No new run of pipeline {pipeline_id} appeared in its history within {confirmation_timeout:g} s. "
            f"{closed(outcome.reason) or 'FlowEngine accepted the start, but its answer names no new run.'}"
        )
    return StartUnconfirmedError(
        "It cannot be determined whether the pipeline was started; look at its runs in FlowEngine. "
        f"{what} It was not started again, since a slow server may still do it. A retry of the task looks for the run "
        "first, if Airflow keeps the task's state (3.3 and later, durable on). Raise start_confirmation_timeout if "
        "this FlowEngine is slow.",
        pipeline_id=pipeline_id,
    )


# --- finding ----------------------------------------------------------------------------------------------------------


@dataclass
class _Search:
    """
    The search for the run of one start, through several polls.

    :param history: the pipeline's history.
    :param intent: what was known before the start.
    :param job_params: what it was given.
    :param reported: the run that its answer names.
    :param is_confirmed: whether it surely was processed.
    :param error: why the last poll failed, or None.
    """

    history: History
    intent: Intent
    job_params: JobParams | None
    reported: PipelineRun | None = None
    is_confirmed: bool = False
    error: FlowEngineError | None = None

    def poll_until_found(self, deadline: float, settled_at: Callable[[float], float]) -> Flow[PipelineRun | None]:
        """
        Poll the history until it shows the run.

        :param deadline: when the last poll is made.
        :param settled_at: from when on a single candidate is taken, given when it was first seen.
        :raises AmbiguousRunError: if several runs could be the one, or one that only wrong clocks could explain.
        """
        now = self.history.api.now
        seen: dict[Identifier, PipelineRun] = {}
        first_seen: float | None = None
        for pause in chain(_POLL_DELAYS, repeat(_POLL_DELAYS[-1])):
            yield from self._poll(seen)
            if self.reported and self.reported.id in seen:
                return seen[self.reported.id]
            # After a poll that failed, another candidate may be there without having been seen.
            wake = deadline
            if not self.reported and not self.error and self._possible(seen.values()):
                first_seen = now() if first_seen is None else first_seen
                wake = min(deadline, settled_at(first_seen))
            left = wake - now()
            if left <= 0:
                break
            yield Sleep(min(pause, left))
        return (yield from self._conclude(seen))

    def _poll(self, seen: dict[Identifier, PipelineRun]) -> Flow[None]:
        """Add the new runs that the history shows now; a poll that fails says nothing about the start."""
        try:
            wanted = self.reported.id if self.reported else None
            runs = yield from self.history.after_baseline(self.intent.is_new, self.intent.baseline_run_id, wanted)
        except AmbiguousRunError:
            raise
        except FlowEngineError as error:
            log.log(logging.INFO if self.error else logging.WARNING, "Could not look for the run: %s", error)
            self.error = error
        else:
            self.error = None
            seen.update({run.id: run for run in runs})

    def _possible(self, runs: Iterable[PipelineRun]) -> list[PipelineRun]:
        """Return the runs that can be the one. If only a time zone explains one, a wrong clock may explain another."""
        judged = self._judged(runs)
        by_zone = judged[Verdict.POSSIBLE_BY_ZONE]
        possible = [*judged[Verdict.POSSIBLE], *by_zone, *(judged[Verdict.UNCERTAIN] if by_zone else ())]
        if len(possible) > 1:
            self._fail(possible, "newer than the start of this task")
        return possible

    def _judged(self, runs: Iterable[PipelineRun]) -> dict[Verdict, list[PipelineRun]]:
        api = self.history.api
        now = api.server_time or datetime.fromtimestamp(api.now(), UTC)
        judged: dict[Verdict, list[PipelineRun]] = {verdict: [] for verdict in Verdict}
        for run in runs:
            judged[judge(run, self.intent, self.job_params, now, is_confirmed=self.is_confirmed)].append(run)
        return judged

    def _conclude(self, seen: dict[Identifier, PipelineRun]) -> Flow[PipelineRun | None]:
        """Decide when no other candidate is expected to appear."""
        if self.reported:
            log.warning("FlowEngine answered with %s, but its history does not show it.", self.reported)
            run = yield from self.history.read_own_run(self.reported.id)
            if run:
                return run
        if self.error:
            return None
        possible = self._possible(seen.values())
        if possible:
            return possible[0]
        uncertain = self._judged(seen.values())[Verdict.UNCERTAIN]
        if uncertain:
            self._fail(
                uncertain,
                "that started at another time than this task's start, unless FlowEngine's clocks differ or the "
                "connection's timezone is wrong",
            )
        return None

    def _fail(self, runs: list[PipelineRun], problem: str) -> NoReturn:
        runs = newest_first(runs)
        number = "one run" if len(runs) == 1 else f"{len(runs)} runs"
        listed = "; ".join(map(_describe, runs[:_MAX_LISTED]))
        raise AmbiguousRunError(
            "It cannot be determined which run this task started. Stop in FlowEngine what should not run; when all "
            f"have ended, clear this task to start a new one: pipeline {self.intent.pipeline_id} has {number} "
            f"{problem}: {listed}.",
            pipeline_id=self.intent.pipeline_id,
            candidates=runs,
        )


def _describe(run: PipelineRun) -> str:
    trigger = f", {run.trigger}" if run.trigger else ""
    return f"run {run.id} ({run.status or 'no status'}, started {run.started or 'unknown'}{trigger})"
