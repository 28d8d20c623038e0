"""What a DAG declares about any task that waits for a run; what the task does stands in ``execution/task.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.links import FlowEngineRunLink
from airflow_provider_flowengine.operators.arguments import validate_arguments
from airflow_provider_flowengine.operators.base import FlowEnginePipelineOperator
from airflow_provider_flowengine.operators.deferral import is_deferrable
from airflow_provider_flowengine.protocol.arguments import Seconds, seconds, seconds_if_given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_flowengine.operators.execution.options import RunOptions
    from airflow_provider_flowengine.operators.execution.task import RunTask
    from airflow_provider_flowengine.protocol.http import JsonObject
    from airflow_provider_flowengine.protocol.identifiers import Identifier


class FlowEngineRunOperator(FlowEnginePipelineOperator):
    """
    The base of the operators that wait for a run.

    Its arguments, and what they are by default, stand in each operator's own signature and docstring.
    """

    operator_extra_links: Sequence[BaseOperatorLink] = (FlowEngineRunLink(),)
    ui_color = "#d6e4fa"
    _task: RunTask | None = None
    _is_killed = False

    def __init__(
        self,
        *,
        wait_for_completion: bool,
        deferrable: bool | None,
        poll_interval: Seconds,
        timeout: Seconds | None,
        cancel_on_kill: bool,
        durable: bool,
        unreachable_timeout: Seconds,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        validate_arguments(
            self,
            wait_for_completion=wait_for_completion,
            deferrable=deferrable,
            poll_interval=poll_interval,
            timeout=timeout,
            cancel_on_kill=cancel_on_kill,
            durable=durable,
            unreachable_timeout=unreachable_timeout,
        )
        self.wait_for_completion = wait_for_completion
        self.deferrable = is_deferrable(deferrable)
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.cancel_on_kill = cancel_on_kill
        self.durable = durable
        self.unreachable_timeout = unreachable_timeout

    def execute(self, context: Context) -> Identifier | None:
        """
        Acquire the run, and wait for it.

        :return: the run's id.
        :raises RunFailedError: when it failed, with the failed nodes and what FlowEngine says of them.
        :raises RunStoppedError: when it was stopped.
        :raises RunTimeoutError: when it took longer than ``timeout``.
        """
        return self._begin(context).execute()

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, progress: JsonObject | None = None
    ) -> Identifier | None:
        """
        Resume after the trigger: return the run's id, or fail as the run did.

        :param event: the trigger's event.
        :param progress: the run's progress before the deferral.
        :return: the run's id.
        :raises FlowEngineError: as :meth:`execute`.
        """
        return self._begin(context).complete(event, progress)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral; if Airflow itself has ended that, treat it as a give-up of ours."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except compat.DEFERRAL_ERRORS as error:
            cause = error
        return self._begin(context).fail_deferral(cause)

    def on_kill(self) -> None:
        """
        Stop the run if the user ended the task; leave it to the next try if the worker is being shut down.

        Airflow calls this from a signal handler while :meth:`execute` waits, and after its ``execution_timeout``.
        """
        self._is_killed = True
        if self._task:
            self._task.kill()
        elif context := compat.context_of_overdue_task(self):
            self._begin(context).time_out()

    def build_task(self, context: Context) -> RunTask:
        """Return one try's work."""
        raise NotImplementedError

    def run_options(self) -> RunOptions:
        """Return the options of the wait, parsed."""
        from airflow_provider_flowengine.operators.execution.options import RunOptions

        return RunOptions(
            wait_for_completion=self.wait_for_completion,
            deferrable=self.deferrable,
            poll_interval=seconds("poll_interval", self.poll_interval),
            timeout=seconds_if_given("timeout", self.timeout),
            execution_timeout=self.execution_timeout.total_seconds() if self.execution_timeout else None,
            cancel_on_kill=self.cancel_on_kill,
            durable=self.durable,
            unreachable_timeout=seconds("unreachable_timeout", self.unreachable_timeout),
        )

    def _begin(self, context: Context) -> RunTask:
        task = self._task = self.build_task(context)
        if self._is_killed:  # on_kill came before there was a task to interrupt
            self._is_killed = False
            task.kill()
        return task

    # --- lineage ------------------------------------------------------------------------------------------------------

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any] | None:
        """Report to OpenLineage what is known already; an error in it never fails the task."""
        try:
            from airflow_provider_flowengine.operators.execution.report import lineage_of

            return lineage_of(self, self._task.report if self._task else None)
        except Exception:
            self.log.debug("Nothing is reported to OpenLineage", exc_info=True)
            return None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Report to OpenLineage how the run ended."""
        return self.get_openlineage_facets_on_start()
