"""A wait ends before its run does: the run is stopped if no try will reconnect to it, and left alone otherwise."""

import pytest


@pytest.mark.parametrize("variant", ["timeout", "execution_timeout"])
def test_the_time_is_over(begin, mode, variant):
    scenario = begin(mode, variant)
    scenario.waits()
    scenario.ends("failed", starts=1, stops=1, runs=["stopped"])


@pytest.mark.alone
def test_the_time_is_over_though_the_triggerer_was_restarted(begin, stack):
    scenario = begin("deferrable", "timeout")
    scenario.waits()
    stack.triggerer.end()
    stack.triggerer.start()
    scenario.ends("failed", starts=1, stops=1, runs=["stopped"])


def test_airflow_ends_the_deferral(begin, stack):
    scenario = begin("deferrable", "one_try")
    scenario.waits()
    overdue = "UPDATE task_instance SET trigger_timeout = ? WHERE dag_id = ? AND run_id = ?"
    stack.sql(overdue, "2020-01-01 00:00:00.000000", scenario.task.dag_id, scenario.task.run_id)
    scenario.ends("failed", starts=1, stops=1, runs=["stopped"])


@pytest.mark.alone
@pytest.mark.parametrize("stack", ["celery"], indirect=True)  # SQLite gives the next trigger the dead one's id
def test_the_trigger_breaks_down(begin, stack, flowengine):
    scenario = begin("deferrable")
    run = scenario.waits()
    stack.triggerer.end()
    [(trigger_id,)] = stack.sql(
        "SELECT trigger_id FROM task_instance WHERE dag_id = ? AND run_id = ?",
        *(scenario.task.dag_id, scenario.task.run_id),
    )
    stack.sql("UPDATE trigger SET classpath = 'no.such.Trigger' WHERE id = ?", trigger_id)
    stack.triggerer.start()
    scenario.waits(try_number=2)
    flowengine.finish(run)
    scenario.ends("success", starts=1, stops=0, runs=["succeeded"])
