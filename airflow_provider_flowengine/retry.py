"""
Which errors are worth a retry: one table, for all operators, as a retry policy (Airflow 3.3 and later), as a function.

What passes by itself is retried. A mistake fails at once on every Airflow, and so does a run that was stopped in
FlowEngine. What becomes of a failed run, and of a refused request, is the DAG's choice.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_flowengine.protocol import errors
from airflow_provider_flowengine.protocol.arguments import check_choice
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import RetryPolicy

Choice = Literal["retry", "fail"]


class Rule(NamedTuple):
    """
    What is done about one kind of error.

    :param error: the kind.
    :param decision: what :func:`default_retry_policy` does; None is the DAG's choice.
    :param at_once: whether operators fail at once, whatever retries are left, with or without a retry policy.
    :param reason: why.
    """

    error: type[errors.FlowEngineError]
    decision: Choice | None
    at_once: bool
    reason: str


RULES: tuple[Rule, ...] = (
    # More special errors stand before more general ones: the first that fits decides.
    Rule(errors.StatusUnavailableError, "retry", False, "FlowEngine gives no usable answer; the retry reconnects"),
    Rule(errors.RunLostError, "retry", False, "the run cannot be followed any more"),
    Rule(errors.RunFailedError, None, False, "the run failed"),
    Rule(errors.RunStoppedError, "fail", True, "the run was stopped in FlowEngine"),
    Rule(errors.RunTimeoutError, None, False, "the run took too long"),
    Rule(errors.EngineNotRunningError, "retry", False, "the gateway finds no engine, which may be restarting"),
    Rule(errors.ServiceUnavailableError, "retry", False, "FlowEngine cannot be reached"),
    Rule(errors.UnexpectedResponseError, "retry", False, "FlowEngine, or something in front of it, answers oddly"),
    Rule(errors.StartUnconfirmedError, "retry", False, "the start may have been processed; the retry looks for it"),
    Rule(errors.TaskInterruptedError, "retry", False, "the task was ended before its run"),
    Rule(errors.PipelineBusyError, "retry", False, "a run of the pipeline is active, and will end"),
    Rule(errors.AmbiguousRunError, "fail", True, "several runs could be the task's; the user decides"),
    Rule(errors.PipelineExistsError, "fail", True, "there is such a pipeline already"),
    Rule(errors.NotFoundError, "fail", True, "there is no such thing"),
    Rule(errors.AccessDeniedError, "fail", True, "FlowEngine refuses this user or access key"),
    Rule(errors.RequestRejectedError, "fail", False, "FlowEngine refuses"),
    Rule(errors.ConfigurationError, "fail", True, "the connection or an argument is wrong"),
)
"""Every kind of error, and what is done about it."""


def _rule_of(error: BaseException) -> Rule | None:
    return next((rule for rule in RULES if isinstance(error, rule.error)), None)


def should_retry(error: BaseException, failed_runs: Choice = "retry") -> bool:
    """
    Say whether a retry can help.

    :param error: what a task failed with; what isn't of this package is Airflow's to judge, and counts as yes.
    :param failed_runs: what to do about a run that failed or took too long, ``"retry"`` (default) or ``"fail"``.
    """
    check_choice("failed_runs", failed_runs, get_args(Choice))
    rule = _rule_of(error)
    return rule is None or (rule.decision or failed_runs) == "retry"


def fail_at_once(error: errors.FlowEngineError, *, retry_stopped: bool = False) -> None:
    """
    Make an error one that Airflow doesn't retry, if no retry can mend it.

    It keeps its type, its data and its traceback, and becomes an ``AirflowFailException`` besides: so Airflow fails the
    task at once, and callbacks see what they expect.

    :param error: what a task fails with.
    :param retry_stopped: whether to retry after a run was stopped in FlowEngine, default False.
    """
    rule = _rule_of(error)
    if rule is None or not rule.at_once or (retry_stopped and isinstance(error, errors.RunStoppedError)):
        return
    if not isinstance(error, AirflowFailException):
        error.__class__ = _failing_at_once(type(error))


@contextmanager
def failing_at_once() -> Iterator[None]:
    """Let mistakes fail the task at once (:func:`fail_at_once`)."""
    try:
        yield
    except errors.FlowEngineError as error:
        fail_at_once(error)
        raise


_FAILING_AT_ONCE: dict[type[errors.FlowEngineError], type[errors.FlowEngineError]] = {}


def _failing_at_once(kind: type[errors.FlowEngineError]) -> type[errors.FlowEngineError]:
    """Return a kind of error that is an AirflowFailException too, with the name of the kind itself."""
    if kind not in _FAILING_AT_ONCE:
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
        _FAILING_AT_ONCE[kind] = type(kind.__name__, (kind, AirflowFailException), names)
    return _FAILING_AT_ONCE[kind]


def default_retry_policy(failed_runs: Choice = "retry") -> RetryPolicy:
    """
    Return a task's ``retry_policy`` for Airflow 3.3 and later.

    What passes by itself is retried, a mistake fails at once. How often, and after which pause, the task's
    ``retries`` and ``retry_delay`` say as ever.

    :param failed_runs: what to do about a run that failed or took too long, ``"retry"`` (default) or ``"fail"``.
    :raises ConfigurationError: before Airflow 3.3, which has no retry policies.
    """
    check_choice("failed_runs", failed_runs, get_args(Choice))
    try:
        from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
    except ImportError:
        raise ConfigurationError(
            "Retry policies need Airflow 3.3; before, ask should_retry(error) and raise AirflowFailException"
        ) from None
    return ExceptionRetryPolicy(
        [
            RetryRule(
                rule.error,
                RetryAction(rule.decision or failed_runs),
                reason=f"{rule.error.__name__}: {rule.reason}",
            )
            for rule in RULES
        ]
    )
