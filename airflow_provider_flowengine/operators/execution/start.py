"""Start a pipeline, exactly once: reconnect to an earlier try's run, recover it, or submit a new one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_flowengine.operators.arguments import rendered_mapping
from airflow_provider_flowengine.operators.checkpoint import Decision, Phase, decide
from airflow_provider_flowengine.operators.execution.task import RunTask
from airflow_provider_flowengine.protocol.candidates import Intent
from airflow_provider_flowengine.protocol.errors import (
    AmbiguousRunError,
    FlowEngineError,
    PipelineBusyError,
    RequestRejectedError,
    RunLostError,
    sentence,
)
from airflow_provider_flowengine.protocol.job_params import resolve_job_params
from airflow_provider_flowengine.protocol.models import run_from_dict
from airflow_provider_flowengine.protocol.monitor import RunMonitor
from airflow_provider_flowengine.protocol.starting import find_started_run, start_once
from airflow_provider_flowengine.protocol.status import RunState
from airflow_provider_flowengine.protocol.stopping import active_runs, resume, stop
from airflow_provider_flowengine.protocol.waiting import polled_history

if TYPE_CHECKING:
    from airflow_provider_flowengine.operators.arguments import IfRunning
    from airflow_provider_flowengine.operators.checkpoint import Checkpoint
    from airflow_provider_flowengine.protocol.http import Json
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

DECISION_MESSAGES = {
    Decision.SUBMIT: "Starting a new run.",
    Decision.RECONNECT: "Reconnecting to it.",
    Decision.ALREADY_SUCCEEDED: "Taking its result.",
    Decision.RESUME: "Resuming it.",
    Decision.REPLACE: "Stopping it, then starting a new run.",
}


@dataclass(eq=False, repr=False, kw_only=True)
class StartTask(RunTask):
    """
    One try of a task that starts a pipeline.

    :param operator: what the DAG declares, its templates rendered.
    :param context: the task's context.
    :param options: how the task waits for its run, and whether it stops it.
    :param job_params: ``{node: {key: value}}``.
    :param resume_failed: whether a failed run is resumed instead of started anew.
    :param retry_stopped: whether a new run replaces one that was stopped in FlowEngine.
    :param if_running: what to do about a run that is already running.
    :param confirmation_timeout: seconds that a started run may take to appear in the history.
    """

    job_params: object
    resume_failed: bool
    retry_stopped: bool
    if_running: IfRunning
    confirmation_timeout: float
    _params: dict[str, dict[str, Json]] | None = None

    @property
    def knows_definition(self) -> bool:
        """Whether the pipeline was read, to check the job params."""
        return bool(self.job_params)

    @property
    def reconnects(self) -> bool:
        """Whether a later try reconnects to the run: by its checkpoint, or since it reuses any that is running."""
        return self.store.is_persistent or self.if_running == "reuse"

    def acquire(self, pipeline_id: Identifier) -> PipelineRun:
        """Return the run: an earlier try's if there is one to reconnect to, a new one otherwise."""
        checkpoint = self._checkpoint_of(pipeline_id)
        run = self._follow_up(checkpoint) if checkpoint else None
        if run:
            return run
        self.owned_run = None
        left = self.store.checkpoint if checkpoint else None  # a recovery may have found its run since
        own_run_id = left.run_id if left else None
        if checkpoint is None and self.store.follows_another_try and self.if_running == "start":
            self._warn_of_unrecorded_runs(pipeline_id)
        return self._use_active_run(pipeline_id, own_run_id) or self._submit(pipeline_id, own_run_id)

    # --- what an earlier try has left ---------------------------------------------------------------------------------

    def _checkpoint_of(self, pipeline_id: Identifier) -> Checkpoint | None:
        """Return what an earlier try has left, unless it was about another pipeline."""
        checkpoint = self.store.checkpoint
        if checkpoint is None or checkpoint.pipeline_id == pipeline_id:
            return checkpoint
        self.log.warning(
            "An earlier try was about pipeline %s, this one is about %s: starting a new run. Leaving run %s as it is.",
            checkpoint.pipeline_id,
            pipeline_id,
            checkpoint.run_id,
        )
        self.owned_run = None
        return None

    def _follow_up(self, checkpoint: Checkpoint) -> PipelineRun | None:
        """Return the run of an earlier try that this one reconnects to, or None to submit a new one."""
        tried, run_id = checkpoint.try_number, checkpoint.run_id
        run = None if run_id is None else self._find(checkpoint.pipeline_id, run_id)
        # What the recovery below saves is this try's own checkpoint, which no clear comes after.
        decide_now = partial(
            decide,
            cleared=self.store.was_cleared,
            resume_failed=self.resume_failed,
            retry_stopped=self.retry_stopped or self.store.may_have_been_cleared,
        )
        decision = decide_now(checkpoint, run)
        if decision is Decision.RECOVER:
            run = self._recover_unconfirmed_start(checkpoint)
            checkpoint = (self.store.checkpoint or checkpoint) if run else checkpoint
            decision = decide_now(checkpoint, run) if run else Decision.SUBMIT
        self.log.info("Try %d left %s. %s", tried, self._describe(checkpoint, run), DECISION_MESSAGES[decision])
        return self._carry_out(decision, checkpoint, run)

    def _carry_out(self, decision: Decision, checkpoint: Checkpoint, run: PipelineRun | None) -> PipelineRun | None:
        """Return the run that this try reconnects to, or None to submit a new one."""
        match decision:
            case Decision.RECONNECT:
                return run or run_from_dict(checkpoint.run_fields)
            case Decision.ALREADY_SUCCEEDED:
                # A result is delivered for a success only, so a run that was pruned since can still be taken for one.
                return run or run_from_dict({**checkpoint.run_fields, "state": RunState.SUCCEEDED.value})
            case Decision.RESUME if run:
                return self._resume(run)
            case Decision.REPLACE if run:
                self._cancel_superseded_run(run)
        return None

    def _recover_unconfirmed_start(self, checkpoint: Checkpoint) -> PipelineRun | None:
        self.log.info("Try %d may have started the pipeline; looking for its run.", checkpoint.try_number)
        api, intent = self.hook.api, Intent.from_dict(checkpoint.intent)
        job_params = self._resolved_params(checkpoint.pipeline_id)
        flow = find_started_run(api, intent, job_params, confirmation_timeout=self.confirmation_timeout)
        try:
            run = self._run(flow)
        except AmbiguousRunError as error:
            if not self.store.was_cleared or not all(run.state.is_final for run in error.candidates):
                raise
            self.log.warning("%s The task was cleared since, and none of them is running.", error)
            return None
        if run:
            self.store.save(Phase.POLLING, run.pipeline_id, run.id)
        return run

    def find_unconfirmed_run(self, timeout: float, request_timeout: float) -> PipelineRun | None:
        """Look for the run of a start whose outcome isn't known; errors are logged: the try ends for another reason."""
        checkpoint = self.store.checkpoint
        if not checkpoint or checkpoint.phase is not Phase.STARTING:
            return None
        api, intent = self.hook.api.without_retries(request_timeout), Intent.from_dict(checkpoint.intent)
        try:
            job_params = self._resolved_params(checkpoint.pipeline_id)
            flow = find_started_run(api, intent, job_params, deadline=api.now() + timeout, ignore_errors=True)
            run = self.hook.client.run(flow)
        except FlowEngineError:
            self.log.exception("Pipeline %s may have been started; its run is unknown", checkpoint.pipeline_id)
            return None
        if run is None:
            self.log.warning("Pipeline %s may have been started; no run of it is visible", checkpoint.pipeline_id)
        return run

    def _cancel_superseded_run(self, run: PipelineRun) -> None:
        """Stop the run that a new one replaces; if that fails, this try fails too: never two runs at once."""
        if self.options.cancel_on_kill:
            self._run(stop(self.hook.api, run.pipeline_id, run.id))
            self.log.info("Requested cancellation of run %s.", run.id)
        else:
            self.log.warning("%s is left running, since cancel_on_kill is off.", sentence(run))

    def _resume(self, run: PipelineRun) -> PipelineRun | None:
        """Resume a failed run; if FlowEngine refuses, say so and return None, so that a new one is started."""
        try:
            self._run(resume(self.hook.api, run.pipeline_id, run.id))
        except RequestRejectedError as error:
            self.log.warning("%s Starting a new run instead.", error)
            return None
        self.pre_resume_run = run
        self.log.info("Resumed %s.", run)
        return run

    def _describe(self, checkpoint: Checkpoint, run: PipelineRun | None) -> str:
        """Say for the log what an earlier try has left."""
        if checkpoint.run_id is None and run is None:
            return (
                f"a start of pipeline {checkpoint.pipeline_id} whose outcome wasn't known; "
                "the history shows no run of it"
            )
        name = str(run or f"run {checkpoint.run_id} of pipeline {checkpoint.pipeline_id}")
        status = f"status {run.status}" if run else "not in the history"
        return f"{name} ({status}{', its result delivered' if checkpoint.phase is Phase.DELIVERED else ''})"

    # --- runs that are already running ------------------------------------------------------------------------------

    def _active_runs(self, pipeline_id: Identifier, own_run_id: Identifier | None) -> list[PipelineRun]:
        """Return the pipeline's active runs, newest first, without the earlier try's own."""
        runs = self._run(active_runs(self.hook.api, pipeline_id))
        return [run for run in runs if run.id != own_run_id]

    def _warn_of_unrecorded_runs(self, pipeline_id: Identifier) -> None:
        """Warn of active runs that an earlier try without a checkpoint may have started."""
        try:
            runs = [run for run in self._active_runs(pipeline_id, None) if not run.is_stopping]
        except FlowEngineError as error:
            self.log.debug("Whether a run is active is unknown: %s", error)
            return
        for run in runs:
            self.log.warning(
                "%s is running (%s) and may be an earlier try's, which has left no checkpoint; starting another one "
                "beside it. Stop it in FlowEngine if it is not wanted. %s",
                sentence(run),
                _origin(run),
                self.hook.run_url(pipeline_id, run.id),
            )

    def _use_active_run(self, pipeline_id: Identifier, own_run_id: Identifier | None) -> PipelineRun | None:
        """Do what ``if_running`` says about active runs; return the one to reuse, or None to start one."""
        how = self.if_running
        runs = self._active_runs(pipeline_id, own_run_id) if how != "start" else []
        if not runs:
            return None
        if how == "reuse":
            return self._reuse(runs)
        found = f"{sentence(runs[0])} is running ({_origin(runs[0])})"
        reason = f"The pipeline is running already, and if_running is {how}: {runs[0]}, {_origin(runs[0])}"
        if how == "skip":
            raise AirflowSkipException(reason)
        if how == "fail":
            raise PipelineBusyError(reason, runs=runs)
        if how == "stop":
            self.log.info("%s: stopping it first, since if_running is stop.", found)
            for run in runs:
                self._run(stop(self.hook.api, pipeline_id, run.id))
        else:
            self.log.info("%s: waiting until it has ended, since if_running is wait.", found)
        while runs := self._active_runs(pipeline_id, own_run_id):
            self._wait_for_other_run(runs[0])
        return None

    def _reuse(self, runs: list[PipelineRun]) -> PipelineRun | None:
        running = [run for run in runs if run.state is RunState.RUNNING and not run.is_stopping]
        if not running:
            return None
        self.log.warning(
            "%s is running already (%s): reconnecting to it instead of starting another one, since if_running is "
            "reuse. It may be somebody else's.",
            sentence(running[0]),
            _origin(running[0]),
        )
        return running[0]

    def _wait_for_other_run(self, run: PipelineRun) -> None:
        """Wait until another starter's run has ended, in the triggerer if the task is deferrable."""
        url = self.hook.run_url(run.pipeline_id, run.id)
        monitor = RunMonitor(
            run.id, run.pipeline_id, self._poll_options(), started_at=self.hook.api.now(), run_url=url, last=run
        )
        if self.options.deferrable:
            self._interrupt_if_ended()
            self._hand_over(monitor, "execute_after_wait", is_own_run=False)
        history = polled_history(self.hook.api, run.pipeline_id)
        with suppress(RunLostError):  # what has vanished isn't running
            while self._poll(history, monitor) is None:
                self._sleep(monitor)

    # --- a new run ----------------------------------------------------------------------------------------------------

    def _submit(self, pipeline_id: Identifier, own_run_id: Identifier | None) -> PipelineRun:
        job_params = self._resolved_params(pipeline_id)

        def save_intent(intent: Intent) -> None:
            # Exactly-once start: without this, a crash after the POST would make the next try start a second run.
            with self.interrupt.shielded():
                self.store.record_intent(pipeline_id, intent.as_dict())

        def discard_intent() -> None:
            """Nothing was started, so no run in the history may be taken for this try's."""
            with self.interrupt.shielded():
                self.store.clear()

        flow = start_once(
            self.hook.api,
            pipeline_id,
            job_params,
            save_intent=save_intent,
            discard_intent=discard_intent,
            known_runs=() if own_run_id is None else (own_run_id,),
            confirmation_timeout=self.confirmation_timeout,
        )
        run = self._run(flow)
        self.log.info("Started %s. %s", self.report.name(run), self.report.link(run))
        return run

    def _resolved_params(self, pipeline_id: Identifier) -> dict[str, dict[str, Json]]:
        """Return the job params as they are sent: checked, nodes named by their ids."""
        if self._params is None:
            job_params = rendered_mapping("job_params", self.job_params)
            if job_params:
                self.report.pipeline = self.hook.get_pipeline(pipeline_id)
                self._params = resolve_job_params(self.report.pipeline, job_params)
            else:
                self._params = {}
        return self._params


def _origin(run: PipelineRun) -> str:
    """Say when a run was started, and what triggered it."""
    return f"started {run.started or 'at an unknown time'}, {run.trigger or 'trigger unknown'}"
