"""
What differs between the versions of Airflow, each with the version that lets it go.

Everything else is imported through ``airflow.providers.common.compat.sdk``, which knows where each version has them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, conf

from airflow_provider_flowengine.protocol.errors import TaskInterruptedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_provider_flowengine.protocol.http import Json

    class StateStore(Protocol):
        """The task state store of Airflow 3.3 and later: values that survive a task's tries and clears."""

        def get(self, key: str) -> Json:
            """Return a value, or None if there is none or this isn't the task's current try any more."""

        def set(self, key: str, value: Json) -> None:
            """Write a value; fails if this isn't the task's current try any more."""

        def delete(self, key: str) -> None:
            """Remove a value."""

    class AssetStateStore(Protocol):
        """An asset's state store in Airflow 3.3 and later, for triggers."""

        async def aget(self, key: str) -> Json:
            """Return a value, or None if there is none."""

        async def aset(self, key: str, value: Json) -> None:
            """Write a value."""


try:
    from airflow.sdk.exceptions import TaskDeferralError, TaskDeferralTimeout

    DEFERRAL_ERRORS: tuple[type[Exception], ...] = (TaskDeferralError, TaskDeferralTimeout)
except ImportError:  # TODO: remove when dropping 3.1
    from airflow import exceptions

    DEFERRAL_ERRORS = tuple(
        getattr(exceptions, name) for name in ("TaskDeferralError", "TaskDeferralTimeout") if hasattr(exceptions, name)
    )
"""What Airflow raises in a task whose deferral it has ended itself."""

# What ends a task besides its on_kill, and what a task that was ended fails with.
try:
    import airflow.sdk  # noqa: F401 - from Airflow 3 on

    TERMINATED: tuple[type[BaseException], ...] = ()
    TaskInterrupted = TaskInterruptedError
except ImportError:  # TODO: remove when dropping 2.11
    from airflow.exceptions import AirflowTaskTerminated

    TERMINATED = (AirflowTaskTerminated,)

    class TaskInterrupted(TaskInterruptedError, AirflowException):  # type: ignore[no-redef]  # the other one is 3's
        """Airflow 2.11 keeps the state that the user has set only if the task fails with an AirflowException."""


TRIGGERS_WRITE_XCOM = find_spec("airflow.sdk") is not None  # TODO: remove when dropping 2.11
"""Whether a trigger can write its task's XCom."""


def allow_in_xcom(classes: Iterable[type]) -> None:
    """
    Let tasks take values of these classes from XCom; before Airflow 3.3 only a deployment's configuration can.

    :param classes: the classes.
    """
    try:
        from airflow.sdk.serde import allow_class
    except ImportError:  # TODO: remove when dropping Airflow 3.2
        return
    for each in classes:
        allow_class(each)


def has_custom_xcom_backend() -> bool:
    """Whether Airflow is configured with another XCom backend than its own, which is BaseXCom in every version."""
    path: str = conf.get_mandatory_value("core", "xcom_backend")
    return path.rpartition(".")[2] != "BaseXCom"


def has_tabs() -> bool:
    """Whether a plugin can add tabs to Airflow's page, which it can from Airflow 3.1 on."""
    from airflow.providers.common.compat.sdk import AirflowPlugin

    return hasattr(AirflowPlugin, "react_apps")  # TODO: remove when dropping Airflow 3.0


def is_deferral_timeout(error: Exception) -> bool:
    """Whether Airflow ended a deferral because its time was over; before Airflow 3 only the error's text shows it."""
    return "timeout" in str(error).lower()


def task_state_store(context: Context) -> StateStore | None:
    """Return the task's state store; None before Airflow 3.3, which have none."""
    store: StateStore | None = context.get("task_state_store")
    return store


def asset_state_stores(trigger: object) -> list[AssetStateStore]:
    """
    Return the state stores of the assets that an event trigger watches for; none before Airflow 3.3.

    A trigger that is given to several assets has a store for each, which Airflow offers no public way to list.
    """
    stores = getattr(trigger, "asset_state_store", None)
    by_name: dict[str, AssetStateStore] = getattr(stores, "_by_name", {})
    return [by_name[name] for name in sorted(by_name)]


def can_ask_state(context: Context) -> bool:
    """Whether there is an Airflow behind this context that knows the task's state."""
    ti = context.get("ti")
    return hasattr(ti, "get_task_states") or hasattr(ti, "current_state")


def fetch_task_state(context: Context) -> str | None:
    """
    Ask Airflow for the task's state: only so does a running try learn what the user did to the task.

    :param context: the task's context.
    :return: the state, e.g. ``running``, ``failed``, ``restarting``; None for a task that waits to be scheduled.
    :raises Exception: whatever Airflow raises when it can't answer.
    """
    ti = context["ti"]
    if not hasattr(ti, "get_task_states"):  # TODO: remove when dropping 2.11
        state = ti.current_state()  # type: ignore[attr-defined]  # 2.11's TaskInstance
        return str(state) if state else None
    map_index = getattr(ti, "map_index", -1)
    states = ti.get_task_states(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=map_index if map_index >= 0 else None
    )
    of_run = states.get(ti.run_id) or {}
    state = of_run.get(ti.task_id) or of_run.get(f"{ti.task_id}_{map_index}")
    return str(getattr(state, "value", state)) if state else None


def first_poke_date(context: Context) -> datetime | None:
    """Return when a rescheduled sensor's try polled first; None if this poll is the first."""
    ti: Any = context["ti"]
    first: datetime | None
    if hasattr(ti, "get_first_reschedule_date"):
        first = ti.get_first_reschedule_date(context)
    else:  # TODO: remove when dropping 2.11, whose sensors ask the database themselves
        from airflow.sensors.base import _orig_start_date  # type: ignore[import-not-found]  # only 2.11 has it

        tries_before = ti.max_tries - (ti.task.retries or 0)
        first = _orig_start_date(ti.dag_id, ti.task_id, ti.run_id, ti.map_index, tries_before + 1)
    return first


def is_non_retryable(context: Context, error: BaseException) -> bool:
    """
    Whether Airflow fails a task for an error, whatever retries are left: the error says so, or the task's policy.

    A policy is the user's code and may have side effects. So its answer is kept for Airflow, which asks for it next.

    :param context: the task's context.
    :param error: what the task fails with.
    """
    if isinstance(error, AirflowFailException):
        return True
    ti: Any = context.get("ti")
    task: Any = getattr(ti, "task", None)
    policy = getattr(task, "retry_policy", None)  # before Airflow 3.3 there is none
    if policy is None or not isinstance(error, Exception):
        return False
    task.retry_policy = answered = _AnsweredPolicy(policy, error)
    try:
        decision = answered.evaluate(error, try_number=ti.try_number, max_tries=ti.max_tries, context=context)
    except Exception:  # Airflow retries then too
        return False
    return bool(decision.action.value == "fail")


class _AnsweredPolicy:
    """A retry policy that is asked about one error only once, and gives the same answer from then on."""

    def __init__(self, policy: Any, error: BaseException) -> None:
        self._policy = policy
        self._error = error
        self._answer: Any = None

    def evaluate(self, exception: BaseException, **about_the_try: Any) -> Any:
        """Return the policy's decision, or raise what it raised."""
        if exception is not self._error:
            return self._policy.evaluate(exception=exception, **about_the_try)
        if self._answer is None:
            try:
                self._answer = self._policy.evaluate(exception=exception, **about_the_try)
            except Exception as failure:
                self._answer = failure
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def context_of_overdue_task(task: BaseOperator) -> Context | None:
    """
    Return the context of a deferred task whose ``execution_timeout`` was over before it was resumed.

    Airflow 2.11 resumes no such task: it only calls its ``on_kill``. None in any other case.
    """
    if not TERMINATED:
        return None
    from airflow.providers.common.compat.sdk import get_current_context

    context = get_current_context()
    ti: Any = context["ti"]
    is_overdue = (
        ti.next_method
        and task.execution_timeout
        and ti.start_date
        and datetime.now(UTC) - ti.start_date >= task.execution_timeout
    )
    return context if is_overdue else None
