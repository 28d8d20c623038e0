"""
One try's work with its run: acquire it, poll or defer, finish; and when the try ends early, decide about the run.

How a run is waited for is decided in :mod:`airflow_provider_flowengine.protocol.monitor`, what becomes of it when the
try ends before it in :mod:`airflow_provider_flowengine.operators.exit_policy`. Here stands what Airflow adds:
interrupts, deferral, tries.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.operators.checkpoint import CheckpointStore, Phase
from airflow_provider_flowengine.operators.deferral import (
    build_trigger,
    error_from_deferral,
    error_from_event,
    parse_event,
)
from airflow_provider_flowengine.operators.execution.exits import RunExit, was_ended_by_user
from airflow_provider_flowengine.operators.execution.report import RunReport
from airflow_provider_flowengine.operators.exit_policy import Ending, classify_ending
from airflow_provider_flowengine.operators.interrupt import Interrupt, Interrupted
from airflow_provider_flowengine.protocol.errors import FlowEngineError, RunError, sentence, with_page
from airflow_provider_flowengine.protocol.flow import Sleep
from airflow_provider_flowengine.protocol.history import History
from airflow_provider_flowengine.protocol.models import run_from_dict
from airflow_provider_flowengine.protocol.monitor import PollOptions, RunMonitor
from airflow_provider_flowengine.protocol.outcomes import check_success, took
from airflow_provider_flowengine.protocol.progress import run_from_progress
from airflow_provider_flowengine.protocol.status import RunState
from airflow_provider_flowengine.protocol.waiting import poll_once, polled_history
from airflow_provider_flowengine.retry import fail_at_once

if TYPE_CHECKING:
    from collections.abc import Generator

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.hooks.flowengine import FlowEngineHook
    from airflow_provider_flowengine.operators.base import FlowEnginePipelineOperator
    from airflow_provider_flowengine.operators.checkpoint import Checkpoint
    from airflow_provider_flowengine.operators.execution.options import RunOptions
    from airflow_provider_flowengine.protocol.flow import Flow, T
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)


@dataclass(eq=False, repr=False)
class RunTask(ABC):
    """
    What one process does for one try of a task.

    :param operator: what the DAG declares, its templates rendered.
    :param context: the task's context.
    :param options: how the task waits for its run, and whether it stops it.
    """

    operator: FlowEnginePipelineOperator
    context: Context
    options: RunOptions

    retry_stopped = False
    """Whether Airflow retries the task after its run was stopped in FlowEngine."""

    def __post_init__(self) -> None:
        self.log = self.operator.log
        self.store = CheckpointStore(self.context, self.options.durable)
        self.report = RunReport(self.operator, self.context)
        self.interrupt = Interrupt()
        self._exit_lock = threading.Lock()
        self._is_exit_decided = False
        self._was_deferred = False
        self.owned_run: PipelineRun | None = None
        """The run that this try decides about if it ends before it."""
        self.pre_resume_run: PipelineRun | None = None
        """The run as it was before this try resumed it, whose end doesn't count."""

    @property
    def hook(self) -> FlowEngineHook:
        """The operator's hook."""
        return self.operator.hook

    @abstractmethod
    def acquire(self, pipeline_id: Identifier) -> PipelineRun:
        """Return the run that this task is about: started, resumed, or an earlier try's."""

    @property
    @abstractmethod
    def reconnects(self) -> bool:
        """Whether a later try, by retry or by clear, reconnects to the run of this one."""

    @property
    def knows_definition(self) -> bool:
        """Whether this try has read the pipeline's definition, which the run's progress shows."""
        return False

    def find_unconfirmed_run(self, timeout: float, request_timeout: float) -> PipelineRun | None:
        """
        Return the run that this task has started without knowing it yet, if there can be one.

        :param timeout: seconds that it may take to appear.
        :param request_timeout: seconds that a request may take.
        """
        return None

    # --- the parts of a try -------------------------------------------------------------------------------------------

    def execute(self) -> Identifier | None:
        """
        Acquire the run, and wait for it here or in the triggerer.

        :return: the run's id.
        """
        with self._deciding_at_exit():
            if self.store.follows_another_try:
                # Whatever ends this try from here on decides about an earlier try's run too.
                self.owned_run = _undelivered_run(self.store.read())
                self.store.record_earlier_try()
            self.hook.get_conn()  # asks Airflow for the connection, which must not be interrupted later on
            self.report.pipeline = pipeline = self.operator.find_pipeline()
            run = self.acquire(pipeline.id)
            self._own(run)
            if not self.options.wait_for_completion:
                self.interrupt.checkpoint()
                return self._deliver(run)
            if self._has_ended(run):
                return self._finish(run)
            monitor = self._monitor(run)
            if self.options.deferrable:
                self._defer(monitor)
            return self._finish(self._poll_until_done(monitor))

    def execute_after_wait(self, event: object) -> Identifier | None:
        """
        Execute, now that the run that was already running has ended (``if_running="wait"``).

        :param event: the trigger's event about that run.
        :return: the run's id.
        """
        if isinstance(event, dict) and event.get("outcome") not in ("ended", "lost"):
            with self._deciding_at_exit():
                raise error_from_event(event)
        return self.execute()

    def complete(self, event: object, progress: JsonObject | None) -> Identifier:
        """
        Take over from the trigger.

        :param event: the trigger's event.
        :param progress: the run's progress before the deferral.
        :return: the run's id.
        """
        with self._deciding_at_exit():
            try:
                event = parse_event(self.hook, event)
            except FlowEngineError:
                self._restore()
                raise
            run = run_from_progress(event["run"])
            self._restore_report(run, event, progress)
            self.store.restore(Phase.DEFERRED, run.pipeline_id, run.id)
            self.owned_run, self._was_deferred = run, True
            if event.get("outcome") == "ended":
                return self._finish(run)
            # If the task is cleared now, its run was not waited for in the triggerer.
            self.store.save(Phase.POLLING, run.pipeline_id, run.id)
            raise error_from_event(event)

    def _restore_report(self, run: PipelineRun, event: dict[str, Any], progress: JsonObject | None) -> None:
        """Continue the run's progress as the XCom shows it, else as it was before the deferral."""
        is_published = bool(event.get("published"))
        if progress is None and self.knows_definition and not is_published:  # dag.test() passes the event alone
            progress = self.report.read_xcom()
        shown = event["run"] if is_published else progress or event["run"]
        self.report.restore(run, shown, str(event.get("run_url") or ""), is_published=is_published)

    def fail_deferral(self, cause: Exception) -> NoReturn:
        """
        Give up, since Airflow itself has ended the deferral.

        :param cause: what Airflow raised.
        """
        with self._deciding_at_exit():
            self._restore()
            raise error_from_deferral(cause) from cause
        raise AssertionError("the block above raises")

    def time_out(self) -> None:
        """Act on an ``execution_timeout`` that was over before the deferred task was resumed (Airflow 2.11)."""
        with suppress(AirflowTaskTimeout), self._deciding_at_exit():
            self._restore()
            raise AirflowTaskTimeout

    def kill(self) -> None:
        """Interrupt the task; if it executes in another thread, decide about its run here."""
        if self.interrupt.request():
            self._apply_exit_policy(Ending.INTERRUPTED, Interrupted())

    # --- waiting ------------------------------------------------------------------------------------------------------

    def _own(self, run: PipelineRun) -> None:
        """
        Save the run, then show it.

        Recovery on retry: the next try reconnects to this run. If the task defers at once, that saves the run itself;
        until then the next try would recover it by the intent.
        """
        self.owned_run = run
        waits = self.options.wait_for_completion and not self._has_ended(run)
        if not (waits and self.options.deferrable):
            self.store.save(Phase.POLLING, run.pipeline_id, run.id)
        self.report.publish(run, waits_here=waits and not self.options.deferrable)

    def _has_ended(self, run: PipelineRun) -> bool:
        return run.state.is_final and self.pre_resume_run is None

    def _monitor(self, run: PipelineRun) -> RunMonitor:
        return RunMonitor(
            run.id,
            run.pipeline_id,
            self._poll_options(),
            started_at=self.hook.api.now(),
            run_url=self.report.link(run),
            pre_resume_run=self.pre_resume_run,
            last=run,
            fetch_nodes=not self.options.deferrable,
        )

    def _poll_options(self) -> PollOptions:
        """Return how the run is waited for: at most ``timeout`` after the try's start."""
        started = getattr(self.context.get("ti"), "start_date", None)
        return self.options.poll_options(started.timestamp() if started else self.hook.api.now())

    def _run(self, flow: Flow[T]) -> T:
        """Drive a flow that an interrupt may break off at any moment."""
        with self.interrupt.interruptible():
            return self.hook.client.run(flow)

    def _find(self, pipeline_id: Identifier, run_id: Identifier) -> PipelineRun | None:
        return self._run(History(self.hook.api, pipeline_id).find(run_id))

    def _poll(self, history: History, monitor: RunMonitor) -> PipelineRun | None:
        """Poll once; return the run if it has ended."""
        return self._run(poll_once(history, monitor))

    def _poll_until_done(self, monitor: RunMonitor) -> PipelineRun:
        """Wait in the worker until the run has ended, and show each change."""
        history = polled_history(self.hook.api, monitor.pipeline_id)
        if self.pre_resume_run is None:
            self._sleep(monitor)
        while (ended := self._poll(history, monitor)) is None:
            if monitor.last:
                self.report.update(monitor.last)
            self._sleep(monitor)
        return ended

    def _sleep(self, monitor: RunMonitor) -> None:
        self._run(_pause(monitor.delay(self.hook.api.now())))

    def _defer(self, monitor: RunMonitor) -> NoReturn:
        """Wait in the triggerer."""
        # User actions: the run is stopped by its trigger then, and if that doesn't come to it, by the next try.
        if self.owned_run:
            self.store.save(Phase.DEFERRED, self.owned_run.pipeline_id, self.owned_run.id)
        self._interrupt_if_ended()
        self.log.info("Waiting in the triggerer.")
        self._hand_over(monitor, "execute_complete", is_own_run=True)

    def _interrupt_if_ended(self) -> None:
        """
        Interrupt the task if the user has ended it just now.

        User actions: Airflow calls on_kill neither in this process, which is about to end, nor in the triggerer, which
        has no trigger yet.
        """
        self.interrupt.checkpoint()
        if compat.can_ask_state(self.context) and was_ended_by_user(self.context, self.store):
            raise Interrupted

    def _hand_over(self, monitor: RunMonitor, method: str, *, is_own_run: bool) -> NoReturn:
        """Defer to the trigger; only the task's own run is shown in its XCom, and stopped with it."""
        trigger, timeout = build_trigger(
            self.hook,
            monitor,
            self.report.pipeline,
            cancel_on_kill=is_own_run and self.options.cancel_on_kill,
            writes_progress=is_own_run,
        )
        # The progress so far goes along: the resumed task has nothing else if the trigger cannot read the XCom.
        kwargs = {"progress": self.report.progress} if is_own_run else None
        self.operator.defer(trigger=trigger, method_name=method, kwargs=kwargs, timeout=timeout)
        raise AssertionError("defer raises")

    def _finish(self, run: PipelineRun) -> Identifier:
        """Return the id of a run that has succeeded, or raise the error that says why it hasn't."""
        self.interrupt.checkpoint()
        if run.nodes or self._was_deferred or run.state is not RunState.SUCCEEDED:
            run = self.hook.fetch_final_nodes(run)
        self.owned_run = None
        self.report.update(run)
        check_success(run, self.report.link(run))
        after = f" after {took(run)}" if took(run) else ""
        self.log.info("%s succeeded%s.", sentence(self.report.name(run)), after)
        return self._deliver(run)

    def _deliver(self, run: PipelineRun) -> Identifier:
        # User actions: who clears a succeeded task wants a new run, while a retry takes this one's result.
        self.store.save(Phase.DELIVERED, run.pipeline_id, run.id)
        self.report.attach_to_outlet_events(run)
        return run.id

    def _restore(self) -> None:
        """Take over the run that an earlier part of this try has saved."""
        checkpoint = self.store.read()
        if checkpoint and checkpoint.run_id is not None:
            self.owned_run = run_from_dict(checkpoint.run_fields)
        else:
            shown = self.report.read_xcom()
            self.owned_run = run_from_dict(shown) if shown else None
        if self.owned_run:
            self.store.save(Phase.POLLING, self.owned_run.pipeline_id, self.owned_run.id)  # it isn't deferred any more

    # --- ends before the run's ----------------------------------------------------------------------------------------

    @contextmanager
    def _deciding_at_exit(self) -> Generator[None]:
        """Decide about the run when this part of the task ends before it does."""
        with self.interrupt.armed():
            try:
                yield
            except BaseException as error:
                if isinstance(error, FlowEngineError):
                    fail_at_once(error, retry_stopped=self.retry_stopped)
                ending, run = classify_ending(error), self.owned_run or self.report.run
                aftermath = self._apply_exit_policy(ending, error) if ending else ""
                if isinstance(error, RunError):
                    error.aftermath = aftermath
                if ending is Ending.INTERRUPTED:
                    text = "The task was ended before its run." if run else "The task was ended before it had a run."
                    raise compat.TaskInterrupted(with_page(text, self.report.url, aftermath)) from None
                if isinstance(error, AirflowTaskTimeout):
                    state = f"{self.report.name(run)} was still running" if run else "the task had no run yet"
                    text = f"The {self.options.execution_limit} is over: {state}."
                    raise AirflowTaskTimeout(with_page(text, self.report.url, aftermath)) from None
                raise

    def _apply_exit_policy(self, ending: Ending, error: BaseException) -> str:
        """Do about the run what the exit policy says; return what became of it, as a sentence."""
        with self._exit_lock:  # the thread that executes the task, and the one that calls on_kill, may both be here
            if self._is_exit_decided:
                return ""
            self._is_exit_decided = ending is not Ending.RUN_ENDED
            run_exit = RunExit(
                run=self.owned_run,
                context=self.context,
                operator=self.operator,
                store=self.store,
                report=self.report,
                cancel_on_kill=self.options.cancel_on_kill,
                reconnects=self.reconnects,
                find_unconfirmed_run=self.find_unconfirmed_run,
            )
            return run_exit.apply_policy(ending, error)


def _pause(delay: float) -> Flow[None]:
    yield Sleep(delay)


def _undelivered_run(checkpoint: Checkpoint | None) -> PipelineRun | None:
    """Return the run that an earlier try has left, unless its result was returned."""
    if checkpoint is None or checkpoint.run_id is None or checkpoint.phase is Phase.DELIVERED:
        return None
    return run_from_dict(checkpoint.run_fields)
