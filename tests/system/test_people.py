"""A person ends a task or clears it: its run is stopped, once, and a stopped run never becomes a success."""

import pytest

from .processes import until

both_stacks = pytest.mark.parametrize("stack", ["local", "celery"], indirect=True)


@both_stacks
@pytest.mark.parametrize(
    ("act", "state"),
    [
        (lambda task: task.mark("failed"), "failed"),
        (lambda task: task.mark("success"), "success"),
        (lambda task: task.fail_dag_run(), "failed"),
    ],
    ids=["marks it failed", "marks it success", "fails its DAG run"],
)
def test_somebody_ends_the_task(begin, mode, act, state):
    scenario = begin(mode)
    scenario.waits()
    act(scenario.task)
    scenario.ends(state, starts=1, stops=1, runs=["stopped"])


@both_stacks
def test_somebody_clears_the_task_while_its_run_goes_on(begin, flowengine, mode):
    scenario = begin(mode)
    first = scenario.waits()
    scenario.task.clear()
    until(lambda: len(scenario.seen().runs) == 2, 90, scenario.task.describe)
    assert scenario.seen().runs[first] in ("stopping", "stopped"), "the old run goes first"
    flowengine.finish(scenario.waits(try_number=2))
    scenario.ends("success", starts=2, stops=1, runs=["stopped", "succeeded"])


def test_somebody_clears_a_succeeded_task(begin, flowengine, mode):
    scenario = begin(mode)
    flowengine.finish(scenario.waits())
    scenario.task.ends()
    scenario.task.clear()
    flowengine.finish(scenario.waits(try_number=2))
    scenario.ends("success", starts=2, stops=0, runs=["succeeded", "succeeded"])


def test_somebody_clears_a_failed_task(begin, flowengine, mode):
    scenario = begin(mode, "one_try")
    flowengine.finish(scenario.waits(), "failed")
    scenario.task.ends()
    scenario.task.clear()
    flowengine.finish(scenario.waits(try_number=2))
    scenario.ends("success", starts=2, stops=0, runs=["failed", "succeeded"])


def test_somebody_ends_a_task_that_keeps_its_run(begin, flowengine, mode):
    scenario = begin(mode, "keep")
    run = scenario.waits()
    scenario.task.mark("failed")
    scenario.task.ends()
    scenario.task.stays("failed", seconds=10)
    flowengine.finish(run)
    scenario.ends("failed", starts=1, stops=0, runs=["succeeded"])


def test_somebody_ends_the_task_before_it_knows_its_run(begin, flowengine, mode):
    flowengine.fail("start", kind="slow", where="after", seconds=25)
    scenario = begin(mode)
    scenario.starts()
    scenario.task.mark("failed")
    scenario.ends("failed", starts=1, stops=1, runs=["stopped"])


def test_flowengine_is_out_of_order_when_the_run_is_to_be_stopped(begin, flowengine, mode):
    scenario = begin(mode)
    scenario.waits()
    flowengine.fail("stop", kind="status", status=503)
    scenario.task.mark("failed")
    scenario.ends("failed", starts=1, stops=2, runs=["stopped"])


def test_the_run_ends_while_it_is_being_stopped(begin, flowengine, mode):
    scenario = begin(mode)
    run = scenario.waits()
    flowengine.fail("stop", kind="slow", seconds=2)
    scenario.task.mark("failed")
    until(lambda: scenario.seen().stops, 60, scenario.task.describe)
    flowengine.finish(run)
    scenario.ends("failed", starts=1, stops=1, runs=["succeeded"])


# --- no person, but a run's own end -----------------------------------------------------------------------------------


def test_a_run_fails_and_is_retried(begin, flowengine, mode):
    scenario = begin(mode)
    flowengine.finish(scenario.waits(), "failed")
    until(lambda: len(scenario.seen().runs) == 2, 90, scenario.task.describe)
    flowengine.finish(scenario.waits(try_number=2))
    scenario.ends("success", starts=2, stops=0, runs=["failed", "succeeded"])


def test_a_run_fails_and_is_resumed(begin, flowengine, mode):
    scenario = begin(mode, "resume")
    run = scenario.waits()
    flowengine.finish(run, "failed")
    scenario.waits(try_number=2)
    flowengine.until_run(scenario.pipeline, run, "running", describe=scenario.task.describe)
    flowengine.finish(run)
    scenario.ends("success", starts=1, stops=0, runs=["succeeded"])


def test_somebody_stops_the_run_in_flowengine(begin, flowengine, mode):
    scenario = begin(mode, "one_try")
    flowengine.finish(scenario.waits(), "stopped")
    scenario.ends("failed", starts=1, stops=0, runs=["stopped"])
