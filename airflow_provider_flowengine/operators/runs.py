"""Runs: started exactly once, resumed, stopped."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.operators.base import (
    FlowEnginePipelineOperator,
    check,
    rendered_flag,
    rendered_id,
    rendered_mapping,
    seconds,
)
from airflow_provider_flowengine.operators.checkpoint import RECORD_KEY, CheckpointStore, Next, Phase, decide
from airflow_provider_flowengine.operators.running import FlowEngineRunOperator
from airflow_provider_flowengine.protocol.errors import (
    AmbiguousRunError,
    ConfigurationError,
    FlowEngineError,
    RequestRejectedError,
    RunLostError,
    RunNotFoundError,
    StartUnconfirmedError,
    sentence,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.operators.base import Seconds
    from airflow_provider_flowengine.operators.checkpoint import Checkpoint
    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.starting import Intent

RetryMode = Literal["restart", "resume"]

_METRICS = {
    Next.RECONNECT: "resumable_job.reconnect_success",
    Next.TAKE: "resumable_job.already_succeeded",
    Next.START: "resumable_job.terminal_resubmit",
}
_SAYS = {
    Next.START: "Starting a new run.",
    Next.RECONNECT: "Going on with it.",
    Next.TAKE: "Taking its result.",
    Next.RESUME: "Resuming it.",
    Next.REPLACE: "The task was cleared: stopping it, then starting a new run.",
}
_DECISIONS = {Next.RECONNECT: "reconnect", Next.TAKE: "already_succeeded", Next.START: "terminal_resubmit"}


class FlowEngineStartPipelineOperator(FlowEngineRunOperator):
    """
    Start a pipeline, exactly once whatever breaks, and wait for its run.

    A task that is tried again goes on with the run that an earlier try started; what it does in each case stands in
    the reliability page. That needs Airflow 3.3; before, ``reuse_running_run`` is the nearest there is.

    :param pipeline_id: the pipeline, by its id; or by one of the next two (templated, as all that names something).
    :param pipeline_key: by its ``pipelineKey``.
    :param pipeline_name: by its name.
    :param job_params: what nodes are given: ``{node: {key: value}}``, a node named by its id or, where that is
        unambiguous, its name. Unknown nodes and keys are refused before anything starts.
    :param wait_for_completion: whether the task ends when the run has ended (default), or once it is started.
    :param deferrable: whether to wait in the triggerer; default Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at most, default 30.
    :param timeout: seconds that the run may take, counted from the try's start; default without end.
    :param cancel_on_kill: whether the run is stopped when a person ends the task, when it takes too long, and when the
        last try gives up; default True.
    :param durable: whether a later try goes on with an earlier one's run, default True.
    :param retry_mode: what a retry does about a run that failed: ``"restart"`` (default) starts a new one, ``"resume"``
        goes on with it from its failed nodes.
    :param reuse_running_run: whether to go on with a run of the pipeline that is running already, whoever started it,
        instead of starting another one; default False.
    :param start_confirmation_timeout: seconds that a started run may take to appear in the history, default 30.
    :param unreachable_timeout: seconds that FlowEngine may give no usable answer while it is waited for, default 900.
    :param flowengine_conn_id: the connection, default ``flowengine_default``.
    :param engine_key: the engine; default the connection's.
    :return: the run's id.
    """

    template_fields: Sequence[str] = ("job_params", *FlowEngineRunOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"job_params": "json"}

    def __init__(
        self,
        *,
        job_params: Mapping[str, Mapping[str, Any]] | str | None = None,
        retry_mode: RetryMode = "restart",
        reuse_running_run: bool = False,
        start_confirmation_timeout: Seconds = 30,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if retry_mode not in get_args(RetryMode):
            raise ConfigurationError(f"Task {self.task_id}: retry_mode {retry_mode!r} must be restart or resume")
        check(
            self,
            deferrable=self.deferrable,
            job_params=job_params,
            reuse_running_run=reuse_running_run,
            start_confirmation_timeout=start_confirmation_timeout,
        )
        self.job_params = job_params
        self.retry_mode = retry_mode
        self.reuse_running_run = reuse_running_run
        self.start_confirmation_timeout = start_confirmation_timeout
        self._sent_params: dict[str, dict[str, Json]] | None = None

    def obtain(self, context: Context, pipeline_id: Identifier) -> PipelineRun:
        """Return the run: an earlier try's where there is one to go on with, a new one otherwise."""
        ownership = self._ownership or CheckpointStore(context, self.durable)
        record = ownership.record
        if record and record.pipeline_id != pipeline_id:
            self.log.warning(
                "An earlier try was about pipeline %s, this one is about %s: starting anew. Run %s is left as it is.",
                record.pipeline_id,
                pipeline_id,
                record.run_id,
            )
            record = self._run = None
        with compat.decision_span(type(self).__name__, RECORD_KEY) as span:
            if not ownership.is_persistent:
                span["resumable.decision"] = "no_task_state_store"
            run = self._earlier_run(ownership, record, span)
        return run or self._running_run(pipeline_id) or self._start(ownership, pipeline_id)

    def goes_on_later(self, ownership: CheckpointStore) -> bool:
        """Whether a later try goes on with this one's run: by its record, or since it takes any that is running."""
        return ownership.is_persistent or self.reuse_running_run

    def _earlier_run(
        self, ownership: CheckpointStore, record: Checkpoint | None, span: dict[str, str]
    ) -> PipelineRun | None:
        """Return the run of an earlier try that this one goes on with, or None to start a new one."""
        if record is None:
            span.setdefault("resumable.decision", "fresh_submit")
            self._count("resumable_job.fresh_submit" if ownership.is_persistent else None)
            return None
        self._count("resumable_job.reconnect_attempt")
        from airflow_provider_flowengine.protocol.models import run_from_dict

        known: dict[str, Json] = {"run_id": record.run_id, "pipeline_id": record.pipeline_id}
        run, tried = self._find(record), record.try_number
        decision = decide(record, run, cleared=ownership.was_cleared, resume=self.retry_mode == "resume")
        if decision is Next.LOOK:
            run = self._look_for_intended(ownership, record)
            if run:
                record = ownership.record or record
                decision = decide(record, run, cleared=ownership.was_cleared, resume=self.retry_mode == "resume")
            else:
                decision = Next.START
        span["resumable.external_id"] = str(run.id if run else record.run_id)
        span["resumable.prior_status"] = run.status if run else ""
        span["resumable.decision"] = _DECISIONS.get(decision, decision.value)
        self._count(_METRICS.get(decision))
        self.log.info("Try %d left %s. %s", tried, _describe(record, run), _SAYS[decision])
        resumed = self._resume(run) if decision is Next.RESUME and run else None
        if decision is Next.REPLACE and run:
            self._stop_replaced(run)
        self._run = None
        if decision in (Next.RECONNECT, Next.TAKE):
            # A result is handed on for a success only, so a run that has been pruned since can still be taken for one.
            return run or run_from_dict({**known, "state": "succeeded"} if decision is Next.TAKE else known)
        return resumed

    def _find(self, record: Checkpoint) -> PipelineRun | None:
        if record.run_id is None:
            return None
        return self.hook.client.run(self._history(record.pipeline_id).find(record.run_id))

    def _look_for_intended(self, ownership: CheckpointStore, record: Checkpoint) -> PipelineRun | None:
        from airflow_provider_flowengine.protocol.starting import Intent, look_for

        self.log.info("Try %d may have started the pipeline; looking for its run.", record.try_number)
        api, intent = self.hook.api, Intent.from_dict(record.intent)
        # The other worker's clock may be ahead: this waits no longer than if the start had been sent just now.
        until = min(intent.noted, api.now()) + api.settings.timeout + self._confirmation_timeout()
        try:
            run = self.hook.client.run(look_for(api, intent, self._matched_params(record.pipeline_id), until=until))
        except AmbiguousRunError as error:
            if not ownership.was_cleared or not all(run.state.is_final for run in error.candidates):
                raise
            self.log.warning("%s The task was cleared since, and none of them goes on.", error)
            return None
        if run:
            self._note(Phase.POLLING, run)
        return run

    def find_unseen(self, patience: float, timeout: float) -> PipelineRun | None:
        """Look for the run of a start whose outcome isn't known; nothing is hidden by what goes wrong with that."""
        from airflow_provider_flowengine.protocol.starting import Intent, look_for

        record = self._ownership and self._ownership.record
        if not record or record.phase is not Phase.STARTING:
            return None
        api, intent = self.hook.api.without_retries(timeout), Intent.from_dict(record.intent)
        try:
            job_params = self._matched_params(record.pipeline_id)
            flow = look_for(api, intent, job_params, until=api.now() + patience, forgiving=True)
            run = self.hook.client.run(flow)
        except FlowEngineError:
            self.log.exception("Pipeline %s may have been started; its run can't be told", record.pipeline_id)
            return None
        if run is None:
            self.log.warning("Pipeline %s may have been started; no run of it can be seen", record.pipeline_id)
        return run

    def _stop_replaced(self, run: PipelineRun) -> None:
        """Stop the run of before a person's clear; where that fails so does this try, not to have two runs at once."""
        from airflow_provider_flowengine.protocol.stopping import stop

        if self.cancel_on_kill:
            self.hook.client.run(stop(self.hook.api, self._history(run.pipeline_id), run.id))
            self.log.info("The task was cleared: stopped %s.", run)
        else:
            self.log.warning("The task was cleared; %s goes on, since cancel_on_kill is off.", run)

    def _resume(self, run: PipelineRun) -> PipelineRun | None:
        """Resume a failed run; where FlowEngine refuses, say so and return None, so that a new one is started."""
        from airflow_provider_flowengine.protocol.stopping import resume

        try:
            self.hook.client.run(resume(self.hook.api, self._history(run.pipeline_id), run.id))
        except RequestRejectedError as error:
            self.log.warning("%s Starting a new run instead.", error)
            return None
        self._before = run
        self.log.info("Resumed %s.", run)
        return run

    def _running_run(self, pipeline_id: Identifier) -> PipelineRun | None:
        if not self.reuse_running_run:
            return None
        from airflow_provider_flowengine.protocol.stopping import running_runs

        runs = self.hook.client.run(running_runs(self._history(pipeline_id)))
        running = [run for run in runs if run.state == "running" and not run.is_stopping]
        if not running:
            return None
        self.log.warning(
            "%s is running already (started %s, %s): going on with it instead of starting another one, since "
            "reuse_running_run is on. It may be somebody else's.",
            sentence(running[0]),
            running[0].started or "at an unknown time",
            running[0].trigger or "unknown by what",
        )
        return running[0]

    def _start(self, ownership: CheckpointStore, pipeline_id: Identifier) -> PipelineRun:
        from airflow_provider_flowengine.protocol.starting import start_once

        hook, job_params = self.hook, self._matched_params(pipeline_id)
        intended: list[Intent] = []

        def remember(intent: Intent) -> None:
            with self._kill.waits():
                ownership.intend(pipeline_id, intent.as_dict())
                intended.append(intent)

        def forget() -> None:
            """Nothing was started, so whatever ends this try, another's run isn't to be taken for its."""
            with self._kill.waits():
                ownership.forget()

        flow = start_once(
            hook.api,
            pipeline_id,
            job_params,
            remember=remember,
            forget=forget,
            confirmation_timeout=self._confirmation_timeout(),
        )
        try:
            with self._kill.strikes():
                return hook.client.run(flow)
        except StartUnconfirmedError:
            with suppress(Exception):  # its run has had its time to appear: the next try need not give it that again
                ownership.intend(pipeline_id, replace(intended[-1], noted=0.0).as_dict())
            raise

    def _matched_params(self, pipeline_id: Identifier) -> dict[str, dict[str, Json]]:
        """Return the job params as they are sent: checked, nodes named by their ids."""
        if self._sent_params is None:
            job_params = rendered_mapping("job_params", self.job_params)
            self._sent_params = self.hook.resolve_job_params(pipeline_id, job_params)
        return self._sent_params

    def _confirmation_timeout(self) -> float:
        return seconds("start_confirmation_timeout", self.start_confirmation_timeout) or 30.0

    def _count(self, metric: str | None) -> None:
        if metric:
            compat.count(metric, {"operator": type(self).__name__})


def _describe(record: Checkpoint, run: PipelineRun | None) -> str:
    """Say for the log what an earlier try has left."""
    if record.run_id is None and run is None:
        return f"a start of pipeline {record.pipeline_id} whose outcome wasn't known; the history shows no run of it"
    name = str(run or f"run {record.run_id} of pipeline {record.pipeline_id}")
    status = f"status {run.status}" if run else "not in the history"
    return f"{name} ({status}{', its result handed on' if record.phase is Phase.DELIVERED else ''})"


class FlowEngineResumePipelineRunOperator(FlowEngineRunOperator):
    """
    Go on with a failed or stopped run from where it ended, and wait for it; it keeps its id.

    A run that goes on already is only waited for.

    :param run_id: the run (templated).
    :param pipeline_id: its pipeline, by its id; or by ``pipeline_key`` or ``pipeline_name``.
    :return: the run's id.

    The other parameters are those of :class:`.FlowEngineRunOperator`.
    """

    template_fields: Sequence[str] = ("run_id", *FlowEngineRunOperator.template_fields)

    def __init__(self, *, run_id: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        check(self, deferrable=self.deferrable, run_id=run_id)
        self.run_id = run_id

    def obtain(self, context: Context, pipeline_id: Identifier) -> PipelineRun:
        """Return the run, resumed where it doesn't go on already."""
        from airflow_provider_flowengine.protocol.stopping import resume

        run_id = rendered_id("run_id", self.run_id)
        ownership = self._ownership or CheckpointStore(context, self.durable)
        record = ownership.record
        if record and (record.pipeline_id, record.run_id) != (pipeline_id, run_id):
            record = self._run = None
        history = self._history(pipeline_id)
        if record and record.run_id == run_id and not ownership.was_cleared:
            # An earlier try has resumed it; how it has ended since is this try's result, unless it failed again.
            seen = self.hook.client.run(history.find(run_id))
            if seen and (seen.state == "succeeded" or seen.state == "running"):
                return seen
        run = self.hook.client.run(resume(self.hook.api, history, run_id))
        if run is None:
            raise RunLostError(f"Run {run_id} of pipeline {pipeline_id} can't be seen")
        self._before = run if run.state.is_final else None
        if self._before:
            self.log.info("Resumed %s.", run)
        return run

    def goes_on_later(self, ownership: CheckpointStore) -> bool:
        """Whether a later try goes on with the run: always, since it is named."""
        return True


_ALL = 1000
"""Among how many of a pipeline's newest runs those that go on are looked for, to stop them all."""


class FlowEngineStopPipelineRunOperator(FlowEnginePipelineOperator):
    """
    Stop one run of a pipeline, or all that are running.

    :param run_id: the run (templated); default all that are running.
    :param all_running: whether all runs that go on are stopped where no ``run_id`` is given, default True; they are
        looked for among the newest thousand. Mapped over run ids, give False: there None can't be told from none given.
    :param wait_for_completion: whether the task ends when the runs have ended (default), or once they are told to.
    :param poll_interval: seconds (or a timedelta) between two looks at most, default 30.
    :param timeout: seconds (or a timedelta) that the runs may take to stop, default 600; None is without end.
    :param pipeline_id: the pipeline, by its id; or by ``pipeline_key`` or ``pipeline_name``.
    :return: the ids of the runs that were stopped; a run that had ended already isn't among them.
    """

    template_fields: Sequence[str] = ("run_id", "all_running", *FlowEnginePipelineOperator.template_fields)

    def __init__(
        self,
        *,
        run_id: int | str | None = None,
        all_running: bool | str = True,
        wait_for_completion: bool = True,
        poll_interval: Seconds = 30,
        timeout: Seconds | None = 600,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check(
            self,
            all_running=all_running,
            wait_for_completion=wait_for_completion,
            poll_interval=poll_interval,
            timeout=timeout,
        )
        if run_id is not None:
            check(self, run_id=run_id)
        if run_id is None and all_running is False:
            raise ConfigurationError(f"Task {self.task_id}: give run_id, or leave all_running on")
        self.run_id = run_id
        self._names_run = run_id is not None  # what is named may render to nothing, and then doesn't mean all runs
        self.all_running = all_running
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.timeout = timeout

    def execute(self, context: Context) -> list[Identifier]:
        """Stop the runs, and wait until they have ended."""
        from airflow_provider_flowengine.protocol.history import History
        from airflow_provider_flowengine.protocol.stopping import running_runs
        from airflow_provider_flowengine.protocol.waiting import PollOptions, RunMonitor, wait

        hook, pipeline_id = self.hook, self.find_pipeline_id()
        history = History(hook.api, pipeline_id)
        if self._names_run:
            run_ids = [rendered_id("run_id", self.run_id)]
        elif rendered_flag("all_running", self.all_running):
            run_ids = [run.id for run in hook.client.run(running_runs(history, _ALL))]
        else:
            raise ConfigurationError("Give run_id, or leave all_running on")
        stopped: list[Identifier] = []
        refused: dict[Identifier, RequestRejectedError | RunNotFoundError] = {}
        for run_id in run_ids:
            try:
                if hook.stop_run(run_id, pipeline_id):
                    stopped.append(run_id)
                    url = hook.run_url(pipeline_id, run_id)
                    self.log.info("Told run %s of pipeline %s to stop. %s", run_id, pipeline_id, url)
            except (RequestRejectedError, RunNotFoundError) as error:  # which says nothing of the others
                self.log.error("%s", error)
                refused[run_id] = error
        if refused:
            self.log.error("Not stopped: runs %s of pipeline %s.", ", ".join(map(str, refused)), pipeline_id)
            raise next(iter(refused.values()))
        if not stopped:
            self.log.info("No run of pipeline %s needs a stop.", pipeline_id)
        if self.wait_for_completion:
            began, allowed = hook.api.now(), seconds("timeout", self.timeout)
            limits = PollOptions(
                poll_interval=seconds("poll_interval", self.poll_interval) or 30.0,
                deadline=None if allowed is None else began + allowed,
            )
            for run_id in run_ids:  # those too that somebody else had told to stop
                waiter = RunMonitor(run_id, pipeline_id, limits, began, hook.run_url(pipeline_id, run_id))
                hook.client.run(wait(hook.api, history, waiter))  # which logs how it ends
        return stopped
