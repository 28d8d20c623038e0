"""The judge objects to what must never be: a campaign that finds nothing has looked."""

from dataclasses import replace

import pytest

from .airflow import Strike
from .case import Case
from .play import play


def kinds(airflow):
    return {kind for kind, _ in airflow.judge.violations}


@pytest.mark.parametrize("deferrable", [False, True], ids=["sync", "deferrable"])
def test_a_run_that_is_started_beside_another_one_is_a_duplicate(deferrable):
    crash = Strike("crash", at="done start pipeline")
    airflow = play(Case(deferrable=deferrable, strikes=(crash,), durable=False, duration=2000))

    assert kinds(airflow) == {"duplicate"}


def test_a_run_that_nobody_watches_any_more_is_a_loss():
    case = Case(wait_for_completion=False, duration=2000)
    airflow = play(case)
    assert kinds(airflow) == set()

    airflow.judge.case = replace(case, wait_for_completion=True)
    airflow.judge.close()

    assert kinds(airflow) == {"loss"}


def test_a_stop_without_a_reason_is_a_wrong_one():
    airflow = play(Case(strikes=(Strike("fail", seconds=30),)))
    assert kinds(airflow) == set()

    airflow = play(Case())
    airflow.judge.stop_asked(airflow.flowengine.ours[0])

    assert kinds(airflow) == {"wrong stop"}


def test_a_stop_of_a_colleagues_run_is_a_wrong_one():
    airflow = play(Case(colleagues=((5, None),), strikes=(Strike("fail", seconds=30),)))
    assert kinds(airflow) == set()

    (colleagues,) = {4, 5} - set(airflow.flowengine.ours)
    airflow.judge.stop_asked(colleagues)

    assert kinds(airflow) == {"wrong stop"}


@pytest.mark.parametrize("returned", [3, None, "4x"])
def test_a_success_with_a_run_that_isnt_the_tasks_own_is_a_loss(returned):
    airflow = play(Case(older=3))
    airflow.judge.task_succeeded(returned)

    assert kinds(airflow) == {"loss"}
