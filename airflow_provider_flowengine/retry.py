"""
Which errors are worth another try: one table, as a retry policy for Airflow 3.3 and later, and as a function for all.

What passes by itself is tried again, a mistake fails at once, and what becomes of a failed run is the DAG's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from airflow_provider_flowengine.protocol import errors
from airflow_provider_flowengine.protocol.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import RetryPolicy

Choice = Literal["retry", "fail"]

DECISIONS: tuple[tuple[type[errors.FlowEngineError], Choice | None, str], ...] = (
    # More special errors stand before more general ones: the first that fits decides. None is the DAG's choice.
    (errors.StatusUnavailableError, "retry", "FlowEngine gives no usable answer; the next try goes on with the run"),
    (errors.RunLostError, "retry", "the run can't be followed any more"),
    (errors.RunFailedError, None, "the run failed"),
    (errors.RunStoppedError, "fail", "somebody has stopped the run"),
    (errors.RunTimeoutError, None, "the run took too long"),
    (errors.EngineNotRunningError, "retry", "the gateway knows no way to the engine, which may be restarting"),
    (errors.ServiceUnavailableError, "retry", "FlowEngine can't be reached"),
    (errors.UnexpectedResponseError, "retry", "FlowEngine, or something before it, answers oddly"),
    (errors.StartUnconfirmedError, "retry", "it can't be known yet whether the start was taken; the next try looks"),
    (errors.TaskInterruptedError, "retry", "the task was ended before its run"),
    (errors.AmbiguousRunError, "fail", "several runs could be the task's; a person decides"),
    (errors.PipelineExistsError, "fail", "there is such a pipeline already"),
    (errors.NotFoundError, "fail", "there is no such thing"),
    (errors.RequestRejectedError, "fail", "FlowEngine refuses"),
    (errors.ConfigurationError, "fail", "the connection or an argument is wrong"),
)
"""An error, what is done about it, and why."""


def should_retry(error: BaseException, failed_runs: Choice = "retry") -> bool:
    """
    Say whether another try can help.

    :param error: what a task failed with; what isn't of this package is Airflow's to judge, and counts as yes.
    :param failed_runs: what to do about a run that failed or took too long, ``"retry"`` (default) or ``"fail"``.
    """
    _check(failed_runs)
    for kind, decision, _ in DECISIONS:
        if isinstance(error, kind):
            return (decision or failed_runs) == "retry"
    return True


def default_retry_policy(failed_runs: Choice = "retry") -> RetryPolicy:
    """
    Return a task's ``retry_policy`` for Airflow 3.3 and later.

    What passes by itself is tried again, a mistake fails at once. How often, and after which pause, the task's
    ``retries`` and ``retry_delay`` say as ever.

    :param failed_runs: what to do about a run that failed or took too long, ``"retry"`` (default) or ``"fail"``.
    :raises ConfigurationError: before Airflow 3.3, which has no retry policies.
    """
    _check(failed_runs)
    try:
        from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule
    except ImportError:
        raise ConfigurationError(
            "Retry policies need Airflow 3.3; before, ask should_retry(error) and raise AirflowFailException"
        ) from None
    return ExceptionRetryPolicy(
        [
            RetryRule(kind, RetryAction(decision or failed_runs), reason=f"{kind.__name__}: {why}")
            for kind, decision, why in DECISIONS
        ]
    )


def _check(failed_runs: str) -> None:
    if failed_runs not in get_args(Choice):
        raise ConfigurationError(f"failed_runs: {failed_runs!r} must be one of {', '.join(get_args(Choice))}")
