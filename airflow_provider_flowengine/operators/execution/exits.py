"""Carry out the exit policy: what becomes of a try's run when the try ends before it does."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.operators.checkpoint import Phase
from airflow_provider_flowengine.operators.exit_policy import Action, Ending, exit_policy
from airflow_provider_flowengine.protocol.errors import FlowEngineError, RequestRejectedError, RunLostError
from airflow_provider_flowengine.protocol.flow import with_deadline
from airflow_provider_flowengine.protocol.stopping import stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_flowengine.operators.base import FlowEnginePipelineOperator
    from airflow_provider_flowengine.operators.checkpoint import CheckpointStore
    from airflow_provider_flowengine.operators.execution.report import RunReport
    from airflow_provider_flowengine.operators.exit_policy import Row
    from airflow_provider_flowengine.protocol.models import PipelineRun

log = logging.getLogger(__name__)

STOP_TIMEOUT = 60.0
"""Seconds to stop a run in when its task gives up."""

REQUEST_TIMEOUT = 30.0
"""Seconds that a request may take while a run is stopped."""

KILL_TIMEOUT = 4.0
"""Seconds to stop a run in when the task's process gets SIGTERM: Airflow kills it after 5."""

ACTIVE_STATES = (
    None,
    "running",
    "queued",
    "scheduled",
    "deferred",
    "up_for_retry",
    "up_for_reschedule",
    "awaiting_input",
)
"""States of a task that the user hasn't ended: its run is left to this or the next try."""


def was_ended_by_user(context: Context, store: CheckpointStore) -> bool:
    """
    Whether the user has ended the task, and this try is the one that owns the run.

    :param context: the task's context.
    :param store: the task's checkpoint, which Airflow lets only the current try write.
    """
    if not compat.can_ask_state(context):  # no Airflow is behind this call, so it is the user who interrupts it
        return True
    try:
        state = compat.fetch_task_state(context)
    except Exception:
        log.warning("Airflow cannot be asked whether the user has ended the task", exc_info=True)
        return False
    if state == "restarting":  # cleared while it ran: it has a new id already, and this process is the old one
        return True
    return state not in ACTIVE_STATES and store.is_current_try()


@dataclass(frozen=True)
class RunExit:
    """
    The end of a try, and the run that it owns.

    :param run: the run; None if the try owns none, or doesn't know it yet.
    :param context: the task's context.
    :param operator: the task's operator; its hook is made only if it is needed, since its connection may be wrong.
    :param store: the task's checkpoint.
    :param report: what others see of the run.
    :param cancel_on_kill: whether a run is stopped at all.
    :param reconnects: whether a later try, by retry or by clear, reconnects to the run.
    :param find_unconfirmed_run: :meth:`.RunTask.find_unconfirmed_run`.
    """

    run: PipelineRun | None
    context: Context
    operator: FlowEnginePipelineOperator
    store: CheckpointStore
    report: RunReport
    cancel_on_kill: bool
    reconnects: bool
    find_unconfirmed_run: Callable[[float, float], PipelineRun | None]

    def apply_policy(self, ending: Ending, error: BaseException) -> str:
        """
        Do about the run what the exit policy says.

        :param ending: why the try ends.
        :param error: what it raises.
        :return: what became of the run, as a sentence; empty if nothing was to be decided.
        """
        if isinstance(error, RunLostError) and error.gone and self.run:
            self.store.save(Phase.LOST, self.run.pipeline_id, self.run.id)
        if ending is Ending.RUN_ENDED or not self._may_own_a_run():
            return ""
        by_user = ending is Ending.INTERRUPTED and self._was_ended_by_user()
        row = self._policy_row(ending, error, by_user=by_user)
        if row.action is Action.LEAVE:
            return self._leave(row)
        if by_user or self.store.is_current_try():
            aftermath = self._stop(row)
            self._show_last_state()
            return aftermath
        return self._leave_to_newer_try(row)

    def _show_last_state(self) -> None:
        if self.report.run:
            self.report.update(self.report.run, at_once=True)  # no later part of this try shows it

    def _may_own_a_run(self) -> bool:
        is_starting = self.store.checkpoint is not None and self.store.checkpoint.phase is Phase.STARTING
        return self.run is not None or is_starting

    def _was_ended_by_user(self) -> bool:
        by_user = was_ended_by_user(self.context, self.store)
        if not by_user:
            log.warning("The task's process was told to end, but the user hasn't ended the task.")
        return by_user

    def _policy_row(self, ending: Ending, error: BaseException, *, by_user: bool) -> Row:
        """Apply the exit policy; the task's retry policy is asked only if its answer decides."""
        is_last = self.store.is_last_try or isinstance(error, AirflowFailException)
        row, row_of_last = (
            exit_policy(ending, by_user=by_user, last_try=last, reconnects=self.reconnects) for last in (is_last, True)
        )
        decides = row.action is not row_of_last.action and self.cancel_on_kill
        return row_of_last if decides and compat.is_non_retryable(self.context, error) else row

    def _leave(self, row: Row) -> str:
        what = f"Leaving {self.report.name(self.run)} running" if self.run else "Leaving the start as it is"
        log.warning("%s; %s. %s", what, row.reason, self.report.link(self.run) if self.run else "")
        return f"The run was left running; {row.reason}."

    def _leave_to_newer_try(self, row: Row) -> str:
        if self.run:
            log.warning("%s, but a newer try may own %s; not cancelling it.", row.reason, self.report.name(self.run))
        return "A newer try may own the run, so it was not stopped."

    def _stop(self, row: Row) -> str:
        """Stop the run if ``cancel_on_kill`` says so; log and return the result. Errors of the stop are only logged."""
        timeout, request_timeout = STOP_TIMEOUT, REQUEST_TIMEOUT
        if row.ending is Ending.INTERRUPTED:
            timeout, request_timeout = KILL_TIMEOUT, KILL_TIMEOUT / 2
        deadline = self.operator.hook.api.now() + timeout
        run = self.run or self.find_unconfirmed_run(timeout / 2, request_timeout)
        if run is None:
            return "It is not known whether a run was started: the log says more."
        name, url = self.report.name(run), self.report.link(run)
        if not self.cancel_on_kill:
            log.warning("%s; %s is left running, since cancel_on_kill is off. %s", row.reason, name, url)
            return "The run is left running, since cancel_on_kill is off."
        log.info("%s: stopping %s. %s", row.reason, name, url)
        if row.ending is not Ending.INTERRUPTED:  # a retry must not take it for stopped in FlowEngine
            self.store.save(Phase.CANCELLED, run.pipeline_id, run.id)
        try:
            is_stopped = self._request_stop(run, deadline, request_timeout)
        except Exception as error:
            is_unforeseen = not isinstance(error, FlowEngineError)
            message = "Run %s could not be stopped and may still be running: %s %s"
            log.error(message, run.id, error, url, exc_info=is_unforeseen)
            if isinstance(error, RequestRejectedError):  # it is still running, so a retry reconnects to it
                self.store.save(Phase.POLLING, run.pipeline_id, run.id)
            return "The run could not be stopped and may still be running: the log says why."
        if not is_stopped:
            log.info("Run %s had already finished.", run.id)
            return "The run had already finished."
        log.info("Requested cancellation of run %s.", run.id)
        return "The run was stopped."

    def _request_stop(self, run: PipelineRun, deadline: float, request_timeout: float) -> bool:
        """Stop the run; return False if it had ended already."""
        api = self.operator.hook.api.without_retries(request_timeout)
        flow = stop(api, run.pipeline_id, run.id, timeout=deadline - api.now(), assume_exists=True)
        return bool(self.operator.hook.client.run(with_deadline(flow, deadline, api.now)))
