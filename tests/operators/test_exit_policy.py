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
