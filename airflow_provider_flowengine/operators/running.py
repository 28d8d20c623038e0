"""
Waiting for a run inside a task: in the worker or deferred, killed or not, until it can be told how it ended.

What the operators that start and that resume a run have in common. How a run is waited for is decided in
:mod:`airflow_provider_flowengine.protocol.waiting`; here stands what Airflow adds: kills, deferral, XCom, tries.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.assets import attach_run_to_outlet_events
from airflow_provider_flowengine.links import FlowEngineRunLink, push_run_link
from airflow_provider_flowengine.operators.base import FlowEnginePipelineOperator, check, seconds
from airflow_provider_flowengine.operators.checkpoint import CheckpointStore, Phase
from airflow_provider_flowengine.operators.deferral import build_trigger, failure, is_deferrable
from airflow_provider_flowengine.operators.interrupt import Interrupt, Interrupted
from airflow_provider_flowengine.protocol.errors import (
    FlowEngineError,
    RunError,
    RunLostError,
    RunTimeoutError,
    StatusUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_flowengine.operators.base import Seconds
    from airflow_provider_flowengine.operators.checkpoint import Checkpoint
    from airflow_provider_flowengine.protocol.history import History
    from airflow_provider_flowengine.protocol.identifiers import Identifier
    from airflow_provider_flowengine.protocol.models import PipelineRun
    from airflow_provider_flowengine.protocol.waiting import PollOptions, RunMonitor

RUN_KEY = "flowengine_run"
"""The XCom that holds the run as soon as it is known: ``{"run_id", "pipeline_id", ...}``."""

KILL_TIMEOUT = 4.0
"""Seconds to stop a run in when the task is killed: Airflow kills the process after 5."""

_ENDED: tuple[type[BaseException], ...] = (Interrupted, *compat.TERMINATED)
"""What ends this part of a task from outside."""


class FlowEngineRunOperator(FlowEnginePipelineOperator):
    """
    The base of the operators that wait for a run.

    :param wait_for_completion: whether the task ends when the run has ended (default), or at once.
    :param deferrable: whether to wait in the triggerer, which costs no worker slot; default Airflow's
        ``[operators] default_deferrable``.
    :param poll_interval: seconds (or a timedelta) between two looks at most, default 30. A short run is looked at more
        often: the delay is a tenth of its length so far, at least a second.
    :param timeout: seconds (or a timedelta) that the run may take, counted from the try's start; default without end.
    :param cancel_on_kill: whether the run is stopped when a person ends the task, when it takes too long, and when the
        last try gives up; default True.
    :param durable: whether a later try goes on with the run of an earlier one, default True. Needs Airflow 3.3.
    :param unreachable_timeout: seconds (or a timedelta) that FlowEngine may give no usable answer, default 900.
    """

    operator_extra_links: Sequence[BaseOperatorLink] = (FlowEngineRunLink(),)
    ui_color = "#d6e4fa"

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: Seconds = 30,
        timeout: Seconds | None = None,
        cancel_on_kill: bool = True,
        durable: bool = True,
        unreachable_timeout: Seconds = 900,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check(
            self,
            poll_interval=poll_interval,
            timeout=timeout,
            unreachable_timeout=unreachable_timeout,
            wait_for_completion=wait_for_completion,
            cancel_on_kill=cancel_on_kill,
            durable=durable,
        )
        self.wait_for_completion = wait_for_completion
        self.deferrable = is_deferrable(deferrable)
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.cancel_on_kill = cancel_on_kill
        self.durable = durable
        self.unreachable_timeout = unreachable_timeout
        self._run: PipelineRun | None = None
        self._seen: PipelineRun | None = None
        self._run_url = ""
        self._context: Context | None = None
        self._ownership: CheckpointStore | None = None
        self._before: PipelineRun | None = None
        self._kill = Interrupt()

    def prepare_for_execution(self) -> Self:
        """Return the copy that one try runs, with a kill of its own."""
        copy = super().prepare_for_execution()
        copy._kill = Interrupt()
        return copy

    # --- the task -------------------------------------------------------------------------------------------------

    def obtain(self, context: Context, pipeline_id: Identifier) -> PipelineRun:
        """Return the run that this task is about: started, resumed, or an earlier try's."""
        raise NotImplementedError

    def goes_on_later(self, ownership: CheckpointStore) -> bool:
        """Whether a later try goes on with this one's run."""
        return ownership.is_persistent

    def find_unseen(self, patience: float, timeout: float) -> PipelineRun | None:
        """
        Return the run that this task has started without knowing it yet, where there can be one.

        :param patience: seconds that it may take to appear.
        :param timeout: seconds that FlowEngine may take to answer.
        """
        return None

    def execute(self, context: Context) -> Identifier | None:
        """
        Obtain the run, and wait for it.

        :return: the run's id.
        :raises RunFailedError: when it failed, with the failed nodes and what FlowEngine says of them.
        :raises RunStoppedError: when it was stopped.
        :raises RunTimeoutError: when it took longer than ``timeout``.
        """
        with self._executing(context) as ownership:
            # Whatever ends this try from here on decides about an earlier try's run too.
            self._run = _left_run(ownership.read())
            run = self.obtain(context, self.find_pipeline_id())
            self._make_known(context, run)
            if not self.wait_for_completion:
                self._kill.strike_if_asked()
                self._note(Phase.DELIVERED, run)
                self._tell_outlets(run)
                return run.id
            waiter = self._waiter(run)
            if run.state.is_final and self._before is None:
                return self._finish(run)
            if self.deferrable:
                return self._finish(self._look(waiter) or self._defer(run, waiter))
            return self._finish(self._wait(waiter))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Identifier | None:
        """
        Take over from the trigger, and tell how the run ended.

        :param event: what the trigger saw.
        :return: the run's id.
        :raises FlowEngineError: as :meth:`execute`.
        """
        from airflow_provider_flowengine.protocol.models import run_from_dict

        with self._executing(context) as ownership:
            if not isinstance(event, dict) or not isinstance(event.get("run"), dict):
                self._run = self._remembered(context, ownership)
                raise FlowEngineError(f"The trigger's event can't be read: {event!r}")
            run = run_from_dict(event["run"])
            self._run, self._seen, self._run_url = run, run, str(event.get("run_url") or "")
            try:
                ownership.read()
            except Exception:
                self.log.warning("What was noted of run %s can't be read", run.id, exc_info=True)
            self._note(Phase.POLLING, run)
            if event.get("outcome") == "ended":
                return self._finish(run)
            raise failure(event)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the deferral; where Airflow itself has ended that, treat it as a give-up of ours."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except compat.DEFERRAL_ERRORS as error:
            cause = error
        failure = (
            RunTimeoutError(
                "Airflow ended the deferral since its time was over; the trigger itself hasn't reported "
                "(is a triggerer running?)."
            )
            if compat.is_deferral_timeout(cause)
            else FlowEngineError(f"The trigger broke down: {cause}. The run itself may be going on.")
        )
        with self._executing(context) as ownership:
            self._run = self._remembered(context, ownership)
            raise failure from cause

    # --- waiting --------------------------------------------------------------------------------------------------

    def _limits(self) -> PollOptions:
        from airflow_provider_flowengine.protocol.waiting import PollOptions

        return PollOptions(
            poll_interval=seconds("poll_interval", self.poll_interval) or 30.0,
            deadline=self._deadline(),
            unreachable_timeout=seconds("unreachable_timeout", self.unreachable_timeout) or 900.0,
        )

    def _deadline(self) -> float | None:
        """
        When the wait is over: ``timeout`` after the try's start.

        Deferred, ``execution_timeout`` counts too, since Airflow doesn't enforce it then; in the worker Airflow does.
        """
        allowed = [seconds("timeout", self.timeout)]
        if self.deferrable and self.execution_timeout:
            allowed.append(self.execution_timeout.total_seconds())
        shortest = min((value for value in allowed if value is not None), default=None)
        if shortest is None:
            return None
        started = getattr(self._context and self._context.get("ti"), "start_date", None)
        return (started.timestamp() if started else self.hook.api.now()) + shortest

    def _waiter(self, run: PipelineRun) -> RunMonitor:
        from airflow_provider_flowengine.protocol.waiting import RunMonitor

        api = self.hook.api
        return RunMonitor(
            run.id,
            run.pipeline_id,
            self._limits(),
            began=api.now(),
            run_url=self._link(run),
            before=self._before,
            last=run,
        )

    def _history(self, pipeline_id: Identifier) -> History:
        from airflow_provider_flowengine.protocol.history import History

        return History(self.hook.api, pipeline_id)

    def _wait(self, waiter: RunMonitor) -> PipelineRun:
        """Wait in the worker; whatever ends the wait early decides about the run first."""
        from airflow_provider_flowengine.protocol.waiting import wait

        self.log.info("Waiting for run %s of pipeline %s. %s", waiter.run_id, waiter.pipeline_id, waiter.run_url)
        waiter.fetch_nodes = True
        flow = wait(self.hook.api, self._history(waiter.pipeline_id), waiter, poll_immediately=self._before is not None)
        with self._log_group(f"Progress of run {waiter.run_id}"), self._kill.strikes():
            return self.hook.client.run(flow)

    def _look(self, waiter: RunMonitor) -> PipelineRun | None:
        """Look once before deferring: a run that is over already needs no trigger."""
        from airflow_provider_flowengine.protocol.waiting import look

        with self._kill.strikes():
            return self.hook.client.run(look(self.hook.api, self._history(waiter.pipeline_id), waiter))

    def _defer(self, run: PipelineRun, waiter: RunMonitor) -> PipelineRun:
        self._note(Phase.DEFERRED, run)
        self._settle_end_before_deferral()
        self.log.info("Waiting for run %s of pipeline %s in the triggerer. %s", run.id, run.pipeline_id, waiter.run_url)
        trigger, timeout = build_trigger(self.hook, waiter, cancel_on_kill=self.cancel_on_kill)
        self.defer(trigger=trigger, method_name="execute_complete", timeout=timeout)
        raise AssertionError("defer raises")

    def _finish(self, run: PipelineRun) -> Identifier:
        """Tell how the run ended: its id, or the error that says why it isn't a success."""
        from airflow_provider_flowengine.protocol.waiting import check_success, describe_nodes

        self._kill.strike_if_asked()
        hook = self.hook
        if run.state != "succeeded":
            run = hook.fetch_node_details(run)
        nodes = describe_nodes(run)
        if nodes:
            with self._log_group(f"Nodes of run {run.id}"):
                self.log.info("%s", nodes)
        self._run, self._seen = None, run
        check_success(run, self._link(run))
        self.log.info("Run %s of pipeline %s succeeded.", run.id, run.pipeline_id)
        self._note(Phase.DELIVERED, run)
        self._tell_outlets(run)
        return run.id

    # --- what others see ------------------------------------------------------------------------------------------

    def _make_known(self, context: Context, run: PipelineRun) -> None:
        """Write the run down, then show it; once it is started, no side errand may fail the task."""
        self._run = self._seen = run
        self._note(Phase.POLLING, run)
        push_run_link(context, self._link(run))
        try:
            context["ti"].xcom_push(key=RUN_KEY, value=run.as_dict())
        except Exception:
            self.log.warning("Run %s could not be pushed to XCom", run.id, exc_info=True)

    def _note(self, phase: Phase, run: PipelineRun) -> None:
        """Note how far the task has come with its run: once there is one, a note that fails may not fail the task."""
        try:
            if self._ownership:
                self._ownership.note(phase, run.pipeline_id, run.id)
        except Exception:
            self.log.warning("Run %s could not be noted in the task state store", run.id, exc_info=True)

    def _tell_outlets(self, run: PipelineRun) -> None:
        if self._context and self.outlets:
            attach_run_to_outlet_events(self._context, self.outlets, {**run.as_dict(), "run_url": self._link(run)})

    @contextmanager
    def _log_group(self, title: str) -> Generator[None]:
        """Fold what is logged meanwhile under a title, as Airflow's page does."""
        self.log.info("::group::%s", title)
        try:
            yield
        finally:
            self.log.info("::endgroup::")

    def _link(self, run: PipelineRun) -> str:
        if not self._run_url:
            try:
                self._run_url = self.hook.run_url(run.pipeline_id, run.id)
            except FlowEngineError:
                self.log.debug("The address of the run's page can't be told", exc_info=True)
        return self._run_url

    def _remembered(self, context: Context, ownership: CheckpointStore) -> PipelineRun | None:
        """Return the run that an earlier part of this try has written down."""
        from airflow_provider_flowengine.protocol.models import run_from_dict

        record = ownership.read()
        if record and record.run_id is not None:
            return run_from_dict({"run_id": record.run_id, "pipeline_id": record.pipeline_id})
        ti = context["ti"]
        known = ti.xcom_pull(key=RUN_KEY, task_ids=self.task_id, map_indexes=getattr(ti, "map_index", -1))
        return run_from_dict(known) if isinstance(known, dict) else None

    # --- lineage --------------------------------------------------------------------------------------------------

    def get_openlineage_facets_on_start(self) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage which pipeline it is."""
        return self._lineage()

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage how the run went."""
        return self._lineage()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """Tell OpenLineage how the run went, as far as it is known."""
        return self._lineage()

    def _engine_name(self) -> str | None:
        """Return the engine's key as the task names it, or else its connection, where that can be read."""
        with suppress(Exception):
            return self.hook.api.engine_key
        return self.engine_key

    def _lineage(self) -> OperatorLineage[Any, Any] | None:
        """Tell what is known already, without asking anybody; lineage is no reason to fail a task."""
        try:
            from airflow_provider_flowengine.lineage import FlowEnginePipelineFacet, build_lineage

            names = (self._engine_name(), self.pipeline_id, self.pipeline_key, self.pipeline_name)
            pipeline = FlowEnginePipelineFacet(*(str(name) if name is not None else None for name in names))
            return build_lineage(pipeline, self._seen, self._run_url)
        except Exception:
            self.log.debug("Nothing is told to OpenLineage", exc_info=True)
            return None

    # --- ends before the run's ------------------------------------------------------------------------------------

    @contextmanager
    def _executing(self, context: Context) -> Generator[CheckpointStore]:
        """Decide about the run when this part of the task ends before it does."""
        self._context = context
        ownership = self._ownership = CheckpointStore(context, self.durable)
        with self._kill.expected():
            try:
                yield ownership
            except AirflowTaskTimeout:
                self._give_up("The task's execution_timeout is over")
                raise
            except _ENDED:
                self._settle_kill()
                raise compat.TaskInterrupted(
                    "The task was ended before its run; see the log above for what became of the run"
                ) from None
            except RunTimeoutError as error:
                if not isinstance(error, StatusUnavailableError):
                    self._give_up("The time for the run is over")
                else:
                    self._stop_on_last_try(error)
                raise
            except RunLostError as error:
                if self._run and error.gone:
                    self._note(Phase.LOST, self._run)
                self._stop_on_last_try(error)
                raise
            except Exception as error:
                if not isinstance(error, RunError):
                    self._stop_on_last_try(error)
                raise

    def _give_up(self, why: str, **limits: float) -> None:
        """Stop the run, unless this try was thought dead and another one has taken the run over."""
        if self._is_owner():
            self._stop(why, **limits)
        elif self._run:
            self.log.warning("%s, but run %s may be another try's by now: it is left as it is.", why, self._run.id)
            self._run = None

    def _is_owner(self) -> bool:
        """Whether this try is still the task's own; where Airflow can't be asked, it isn't."""
        try:
            return self._ownership is None or self._ownership.is_current_try()
        except Exception:
            self.log.warning("Airflow can't be asked whether this try is still the task's own", exc_info=True)
            return False

    def _stop_on_last_try(self, error: Exception | None = None, **limits: float) -> None:
        fails = error is not None and self._context is not None and compat.is_non_retryable(self._context, error)
        if self._ownership is None or self._ownership.is_last_try or fails:
            self._give_up("The last try gives up", **limits)
        elif not self.goes_on_later(self._ownership):
            self._give_up("The next try can't know of this run, and would start another one beside it", **limits)
        elif self._run:
            self.log.warning("Run %s is left as it is; the next try goes on with it.", self._run.id)

    def _stop(self, why: str, patience: float = 60.0, timeout: float = 30.0) -> None:
        """Stop the run where ``cancel_on_kill`` says so; what comes of it is logged, and never hides why."""
        from airflow_provider_flowengine.protocol.stopping import stop

        run, self._run = self._run or self.find_unseen(patience / 2, timeout), None
        if run is None:
            return
        if not self.cancel_on_kill:
            self.log.warning("%s; run %s goes on, since cancel_on_kill is off. %s", why, run.id, self._link(run))
            return
        self.log.info("%s: stopping run %s of pipeline %s.", why, run.id, run.pipeline_id)
        try:
            api = self.hook.api.without_retries(timeout)
            from airflow_provider_flowengine.protocol.history import History

            stopped = self.hook.client.run(
                stop(api, History(api, run.pipeline_id), run.id, patience=patience, unseen=True)
            )
            self.log.info("Run %s: %s.", run.id, "stop sent" if stopped else "it needs no stop any more")
        except Exception:
            self.log.exception("Run %s could not be stopped and may be going on: %s", run.id, self._link(run))

    # --- kills ----------------------------------------------------------------------------------------------------

    def on_kill(self) -> None:
        """
        Stop the run if a person ended the task; leave it to the next try if the worker is being shut down.

        Airflow calls this in a signal's handler while :meth:`execute` waits, and after its ``execution_timeout``.
        """
        if self._kill.ask():
            self._settle_kill()
        elif self._context is None and (context := compat.context_of_overdue_task(self)):
            with suppress(AirflowTaskTimeout), self._executing(context) as ownership:
                self._run = self._remembered(context, ownership)
                raise AirflowTaskTimeout

    def _settle_end_before_deferral(self) -> None:
        """Act on a person's ending of the task of which nobody has told this process: no trigger will be told of it."""
        self._kill.strike_if_asked()
        if self._context and compat.can_ask_state(self._context) and self._is_wanted_dead(self._context):
            raise Interrupted

    def _settle_kill(self) -> None:
        if self._context is None:
            return
        limits = {"patience": KILL_TIMEOUT, "timeout": KILL_TIMEOUT / 2}
        if self._is_wanted_dead(self._context):
            self._stop("The task was ended", **limits)
        else:
            self.log.warning("The task's process is being ended, but nobody has ended the task.")
            self._stop_on_last_try(None, **limits)
            self._run = None

    def _is_wanted_dead(self, context: Context) -> bool:
        """Whether a person has ended this task, and this try is the one that owns the run."""
        if not compat.can_ask_state(context):
            return True
        try:
            state = compat.fetch_task_state(context)
        except Exception:
            self.log.warning("Airflow can't be asked whether the task was ended by a person", exc_info=True)
            return False
        if state == "restarting":  # cleared while it ran: it has a new id already, and this process is the old one
            return True
        return state not in _ALIVE and self._is_owner()


def _left_run(record: Checkpoint | None) -> PipelineRun | None:
    """Return the run that an earlier try has left, where this one is to see to it: not one that was handed on."""
    if record is None or record.run_id is None or record.phase is Phase.DELIVERED:
        return None
    from airflow_provider_flowengine.protocol.models import run_from_dict

    return run_from_dict({"run_id": record.run_id, "pipeline_id": record.pipeline_id})


_ALIVE = (None, "running", "queued", "scheduled", "deferred", "up_for_retry", "up_for_reschedule", "awaiting_input")
"""States of a task that nobody has ended: its run is left to this or the next try."""
