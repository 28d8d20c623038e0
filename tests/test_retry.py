"""Which errors are worth another try."""

from importlib.metadata import version
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_flowengine import compat
from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.protocol import errors
from airflow_provider_flowengine.retry import RULES, default_retry_policy, fail_at_once, should_retry

AIRFLOW = tuple(int(part) for part in version("apache-airflow").split(".")[:2])
has_policies = pytest.mark.skipif(AIRFLOW < (3, 3), reason="Airflow before 3.3 has no retry policies")


def kinds(kind=errors.FlowEngineError):
    subclasses = [child for child in kind.__subclasses__() if not issubclass(child, AirflowFailException)]
    return {below for child in subclasses for below in (child, *kinds(child))}


def some(kind):
    """An error of a kind, whatever it says."""
    return kind.__new__(kind)


@pytest.mark.parametrize(
    "kind",
    [
        errors.ServiceUnavailableError,
        errors.UnexpectedResponseError,
        errors.StartUnconfirmedError,
        errors.StatusUnavailableError,
        errors.RunLostError,
    ],
)
def test_what_passes_by_itself_is_tried_again(kind):
    assert should_retry(some(kind), failed_runs="fail")


@pytest.mark.parametrize(
    "kind",
    [
        errors.ConfigurationError,
        errors.RequestRejectedError,
        errors.AccessDeniedError,
        errors.PipelineNotFoundError,
        errors.NodeNotFoundError,
        errors.PipelineExistsError,
        errors.AmbiguousRunError,
        errors.RunStoppedError,
    ],
)
def test_a_mistake_and_what_the_user_decided_fail_at_once(kind):
    assert not should_retry(some(kind), failed_runs="retry")


@pytest.mark.parametrize("kind", [errors.RunFailedError, errors.RunTimeoutError])
def test_a_failed_run_is_tried_again_by_choice(kind):
    assert should_retry(some(kind))
    assert not should_retry(some(kind), failed_runs="fail")


def test_what_is_not_ours_is_for_airflow_to_judge():
    assert should_retry(KeyError("x"), failed_runs="fail")


@pytest.mark.parametrize("kind", sorted(kinds() - {errors.RunError}, key=str))
def test_every_error_has_a_decision_and_no_later_one_is_more_special(kind):
    fitting = [rule.error for rule in RULES if issubclass(kind, rule.error)]

    assert fitting
    assert all(issubclass(fitting[0], known) for known in fitting)


def test_another_choice_is_refused():
    with pytest.raises(errors.ConfigurationError, match="failed_runs: 'maybe' must be one of retry, fail"):
        should_retry(KeyError(), failed_runs="maybe")


@pytest.mark.skipif(AIRFLOW >= (3, 3), reason="about an Airflow without retry policies")
def test_before_airflow_3_3_the_policy_says_what_there_is_instead():
    with pytest.raises(errors.ConfigurationError, match="should_retry"):
        default_retry_policy()


@has_policies
@pytest.mark.parametrize("choice", ["retry", "fail"])
@pytest.mark.parametrize("kind", sorted(kinds() - {errors.RunError}, key=str))
def test_the_policy_decides_as_the_function_does(kind, choice):
    decision = default_retry_policy(choice).evaluate(some(kind), 1, 3)

    assert decision.action.value == ("retry" if should_retry(some(kind), choice) else "fail")
    assert decision.reason


@has_policies
@pytest.mark.parametrize(
    ("outcome", "choice", "tries"), [("failed", "retry", 3), ("failed", "fail", 1), ("unknown pipeline", "retry", 1)]
)
def test_a_task_is_tried_as_often_as_its_policy_says(run_task, emulator, pipeline, outcome, choice, tries):
    one = pipeline(outcome=outcome) if outcome == "failed" else 4711

    task = run_task(
        FlowEngineStartPipelineOperator,
        pipeline_id=one,
        poll_interval=0.05,
        retries=2,
        retry_policy=default_retry_policy(choice),
    )

    assert (task.state, task.tries) == ("failed", tries)


@has_policies
@pytest.mark.parametrize(
    ("error", "at_once"),
    [(errors.NodeNotFoundError("no node"), True), (errors.ServiceUnavailableError("no answer"), False)],
)
def test_an_error_that_the_policy_fails_for_good_is_distinguished_from_one_that_it_retries(error, at_once):
    task = FlowEngineStartPipelineOperator(task_id="task", pipeline_id=1, retry_policy=default_retry_policy())
    ti = SimpleNamespace(task=task, try_number=1, max_tries=3)

    assert compat.is_non_retryable({"ti": ti}, error) is at_once


def test_an_error_that_airflow_itself_fails_for_good_is_reported():
    assert compat.is_non_retryable({}, AirflowFailException("no")) is True
    assert compat.is_non_retryable({}, errors.NodeNotFoundError("no node")) is False  # without a policy all are retried


class CountingPolicy:
    """A user's retry policy, which may have side effects."""

    def __init__(self, error=None):
        self.asked, self.error = 0, error

    def evaluate(self, exception, try_number, max_tries, context=None):
        self.asked += 1
        if self.error:
            raise self.error
        return SimpleNamespace(action=SimpleNamespace(value="fail"))


@pytest.mark.parametrize("failure", [None, OSError("the policy's own")])
def test_a_policy_is_asked_about_one_failure_once_and_airflow_gets_the_same_answer(failure):
    policy, error = CountingPolicy(failure), errors.ServiceUnavailableError("no answer")
    task = SimpleNamespace(retry_policy=policy)
    context = {"ti": SimpleNamespace(task=task, try_number=1, max_tries=3)}

    assert compat.is_non_retryable(context, error) is (failure is None)

    about_the_try = {"exception": error, "try_number": 1, "max_tries": 3, "context": context}
    if failure:
        with pytest.raises(OSError, match="own"):
            task.retry_policy.evaluate(**about_the_try)
    else:
        assert task.retry_policy.evaluate(**about_the_try).action.value == "fail"
    assert policy.asked == 1


# --- what fails at once -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "at_once"),
    [
        (errors.ConfigurationError("no"), True),
        (errors.PipelineNotFoundError("no"), True),
        (errors.NodeNotFoundError("no"), True),
        (errors.EngineNotFoundError("no"), True),
        (errors.RunNotFoundError("no"), True),
        (errors.PipelineExistsError("no"), True),
        (errors.AccessDeniedError("no"), True),
        (errors.RunStoppedError("no"), True),
        (errors.RequestRejectedError("no"), False),
        (errors.ServiceUnavailableError("no"), False),
        (errors.EngineNotRunningError("no"), False),
        (errors.UnexpectedResponseError("no"), False),
        (errors.RunFailedError("no"), False),
        (errors.RunTimeoutError("no"), False),
        (errors.StartUnconfirmedError("no", pipeline_id=1), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_mistake_and_a_run_that_somebody_stopped_fail_at_once(error, at_once):
    fail_at_once(error)

    assert isinstance(error, AirflowFailException) is at_once


def test_an_error_that_fails_at_once_keeps_its_type_and_data():
    run = SimpleNamespace(id=7)
    error = errors.RunStoppedError("Run 7 was stopped", run=run, run_url="http://x")
    fail_at_once(error)

    assert isinstance(error, errors.RunStoppedError)
    assert (str(error), error.run, error.run_url) == ("Run 7 was stopped See http://x", run, "http://x")
    assert (type(error).__name__, type(error).__module__) == ("RunStoppedError", errors.__name__)


def test_a_run_that_somebody_stopped_is_retried_where_that_is_asked_for():
    error = errors.RunStoppedError("Run 7 was stopped")
    fail_at_once(error, retry_stopped=True)

    assert not isinstance(error, AirflowFailException)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"pipeline_key": "chrun_model"}, errors.PipelineNotFoundError),
        ({"pipeline_key": "nightly", "job_params": {"trian": {"x": 1}}}, errors.NodeNotFoundError),
        ({"pipeline_key": "nightly", "flowengine_conn_id": "{{ '' }}"}, errors.ConfigurationError),
    ],
)
def test_a_task_with_a_mistake_is_tried_once_and_its_callback_sees_the_mistake(
    run_task, emulator, pipeline, arguments, kind
):
    pipeline("nightly", epochs=3)

    task = run_task(FlowEngineStartPipelineOperator, retries=3, **arguments)

    assert (task.state, task.tries) == ("failed", 1)
    assert isinstance(task.errors[-1], kind)
