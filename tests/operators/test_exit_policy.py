"""What becomes of a run when a try ends before it: the whole exit policy, as a table."""

import itertools

import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred

from airflow_provider_flowengine.operators.exit_policy import Ending, classify_ending, exit_policy
from airflow_provider_flowengine.operators.interrupt import Interrupted
from airflow_provider_flowengine.protocol import errors

# By whether the user has ended the task, whether it's the last try, whether a later try reconnects:
#                 user                        nobody
#                 last         not last       last         not last
#                 yes   no     yes   no       yes   no     yes    no
TABLE = """
    run_ended     -     -      -     -        -     -      -      -
    timed_out     stop  stop   stop  stop     stop  stop   stop   stop
    interrupted   stop  stop   stop  stop     stop  stop   leave  stop
    run_lost      stop  stop   leave stop     stop  stop   leave  stop
    gave_up       stop  stop   leave stop     stop  stop   leave  stop
    unforeseen    leave stop   leave stop     leave stop   leave  stop
"""

ROWS = [line.split() for line in TABLE.strip().splitlines()]
COLUMNS = list(itertools.product((True, False), repeat=3))  # by_user, last_try, reconnects


@pytest.mark.parametrize(
    ("ending", "by_user", "last_try", "reconnects", "action"),
    [(name, *column, action) for name, *actions in ROWS for column, action in zip(COLUMNS, actions, strict=True)],
)
def test_each_way_to_end_has_one_action(ending, by_user, last_try, reconnects, action):
    row = exit_policy(Ending(ending), by_user=by_user, last_try=last_try, reconnects=reconnects)

    assert row.action.value == ("nothing" if action == "-" else action)
    assert row.reason or action == "-"


GIVEN_UP = (Ending.INTERRUPTED, Ending.RUN_LOST, Ending.GAVE_UP)


@pytest.mark.parametrize(
    ("endings", "by_user", "last_try", "reconnects", "reason"),
    [
        ([Ending.RUN_ENDED], False, True, True, ""),
        ([Ending.TIMED_OUT], False, False, True, "The time for the run is over"),
        ([Ending.INTERRUPTED], True, False, True, "The task was ended by the user"),
        (GIVEN_UP, False, True, True, "The last try gives up"),
        ((*GIVEN_UP, Ending.UNFORESEEN), False, False, True, "the next try will reconnect"),
        (
            (*GIVEN_UP, Ending.UNFORESEEN),
            False,
            False,
            False,
            "No later try can reconnect to this run, and a retry would start another one beside it",
        ),
        (
            [Ending.UNFORESEEN],
            False,
            True,
            True,
            "the error says nothing about the run; clear the task to reconnect to it",
        ),
    ],
)
def test_the_log_says_why(endings, by_user, last_try, reconnects, reason):
    for ending in endings:
        assert exit_policy(ending, by_user=by_user, last_try=last_try, reconnects=reconnects).reason == reason


def test_the_table_has_every_ending():
    assert {name for name, *_ in ROWS} == set(Ending)


def make(kind):
    return kind.__new__(kind)


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (AirflowTaskTimeout(), Ending.TIMED_OUT),
        (Interrupted(), Ending.INTERRUPTED),
        (make(errors.RunTimeoutError), Ending.TIMED_OUT),
        (make(errors.StatusUnavailableError), Ending.GAVE_UP),  # though it is a RunTimeoutError: the run may go on
        (make(errors.RunLostError), Ending.RUN_LOST),
        (make(errors.RunFailedError), Ending.RUN_ENDED),
        (make(errors.RunStoppedError), Ending.RUN_ENDED),
        (make(errors.ServiceUnavailableError), Ending.GAVE_UP),
        (make(errors.PipelineNotFoundError), Ending.GAVE_UP),
        (errors.ConfigurationError("no"), Ending.GAVE_UP),
        (KeyError("a bug"), Ending.UNFORESEEN),
        (RuntimeError("Airflow"), Ending.UNFORESEEN),
        (make(TaskDeferred), None),
        (KeyboardInterrupt(), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_what_a_try_raises_says_why_it_ends(error, ending):
    assert classify_ending(error) is ending
