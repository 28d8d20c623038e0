"""Something dies while a run is under way: the run goes on untouched, is started once, and the task ends as it does."""

import signal
import time
from contextlib import contextmanager

import pytest

from .processes import is_gone, strike, until

KILL, TERM, STOP, CONT = signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGCONT

both_signals = pytest.mark.parametrize("sign", [KILL, TERM], ids=["KILL", "TERM"])
both_stacks = pytest.mark.parametrize("stack", ["local", "celery"], indirect=True)
on_celery = pytest.mark.parametrize("stack", ["celery"], indirect=True)


def succeeds_untouched(*scenarios):
    """End the one run of each, and see that it was started once and never stopped."""
    for scenario in scenarios:
        scenario.flowengine.finish(scenario.starts())
    for scenario in scenarios:
        scenario.ends("success", starts=1, stops=0, runs=["succeeded"])


@contextmanager
def down(process, sign, **how):
    """Strike a process down; start it again at the end."""
    try:
        process.end(sign, **how)
        yield
    finally:
        process.start()


def worker_of(scenario):
    """The Celery worker that executes a task."""
    return next(worker for worker in scenario.stack.workers if scenario.task.pid in worker.tree())


# --- while the run is waited for --------------------------------------------------------------------------------------


@both_stacks
@both_signals
def test_the_task_process_dies(begin, sign):
    scenario = begin("sync")
    scenario.waits()
    strike(scenario.task.pid, sign)
    scenario.waits(try_number=2)
    succeeds_untouched(scenario)


@both_stacks
@both_signals
def test_the_worker_process_above_the_task_dies(begin, sign):
    scenario = begin("sync")
    scenario.waits()
    strike(scenario.supervisor, sign)
    scenario.waits(try_number=2)
    succeeds_untouched(scenario)


@both_stacks
def test_the_worker_process_is_told_to_end_in_the_last_try(begin):
    scenario = begin("sync", "one_try")
    scenario.waits()
    strike(scenario.supervisor, TERM)
    scenario.ends("failed", starts=1, stops=1, runs=["stopped"])


@on_celery
@pytest.mark.alone
@both_signals
def test_a_whole_celery_worker_dies(begin, sign):
    scenario, deferred = begin("sync"), begin("deferrable")
    scenario.waits()
    deferred.waits()
    with down(worker_of(scenario), sign, whole_tree=True):
        scenario.waits(try_number=2)
        succeeds_untouched(scenario, deferred)


@both_stacks
@pytest.mark.alone
@both_signals
def test_the_triggerer_dies(begin, sign):
    scenarios = begin("sync"), begin("deferrable")
    for scenario in scenarios:
        scenario.waits()
    with down(scenarios[0].stack.triggerer, sign, whole_tree=sign is KILL):
        pass
    succeeds_untouched(*scenarios)


@both_stacks
@pytest.mark.alone
@both_signals
def test_the_scheduler_dies(begin, sign):
    scenarios = begin("sync"), begin("deferrable")
    for scenario in scenarios:
        scenario.waits()
    # Told to end, it first waits for its tasks, unless they are told too, as service managers do. Those also kill what
    # is left after a while, and must: a worker of LocalExecutor that ends while it holds the lock of their queue never
    # gives it back, and one whose task ends after that waits for the lock for ever, and the scheduler for that worker.
    with down(scenarios[0].stack.scheduler, sign, whole_tree=sign is TERM, kill_after=15):
        pass
    succeeds_untouched(*scenarios)


@both_signals
def test_flowengine_dies(begin, flowengine, sign):
    scenarios = begin("sync"), begin("deferrable")
    for scenario in scenarios:
        scenario.waits()
    flowengine.kill(sign)
    for scenario in scenarios:
        scenario.task.stays("running", "deferred", seconds=5)
    flowengine.start()
    succeeds_untouched(*scenarios)


# --- after FlowEngine has made the run, before the task knows it ------------------------------------------------------


@pytest.fixture
def starting(begin, flowengine):
    """Two tasks, one of each mode, whose runs are there while the answers to their starts are still to come."""
    flowengine.fail("start", kind="slow", where="after", seconds=25, times=2)
    scenarios = begin("sync"), begin("deferrable")
    for scenario in scenarios:
        scenario.starts()
    return scenarios


@both_signals
def test_the_task_process_dies_before_it_knows_the_run(starting, sign):
    for scenario in starting:
        strike(scenario.task.pid, sign)
    for scenario in starting:
        scenario.waits(try_number=2)
    succeeds_untouched(*starting)


@both_signals
def test_the_worker_process_dies_before_the_task_knows_the_run(starting, sign):
    for scenario in starting:
        strike(scenario.supervisor, sign)
    for scenario in starting:
        scenario.waits(try_number=2)
    succeeds_untouched(*starting)


@on_celery
@pytest.mark.alone
def test_all_celery_workers_die_before_the_tasks_know_their_runs(starting, stack):
    first, second = stack.workers
    with down(first, KILL, whole_tree=True), down(second, KILL, whole_tree=True):
        pass
    for scenario in starting:
        scenario.waits(try_number=2)
    succeeds_untouched(*starting)


@both_stacks
@pytest.mark.alone
def test_the_scheduler_dies_before_the_task_knows_the_run(starting, stack):
    with down(stack.scheduler, KILL):
        pass
    for scenario in starting:
        scenario.waits()
    succeeds_untouched(*starting)


@both_signals
def test_flowengine_dies_before_the_task_knows_the_run(starting, flowengine, sign):
    flowengine.kill(sign)
    flowengine.start()
    for scenario in starting:
        scenario.waits()
    succeeds_untouched(*starting)


# --- not dead after all -----------------------------------------------------------------------------------------------


@contextmanager
def asleep(*pids):
    """Let processes sleep, as those of a suspended machine do."""
    try:
        for pid in pids:
            strike(pid, STOP)
        yield
    finally:
        for pid in pids:
            strike(pid, CONT)


@both_stacks
def test_a_worker_that_was_thought_dead_wakes_up(begin):
    scenario = begin("sync")
    scenario.waits()
    stale = scenario.task.pid
    with asleep(scenario.supervisor):
        scenario.waits(try_number=2)
    until(lambda: is_gone(stale), 60, "The stale try goes on")
    scenario.task.stays("running", seconds=5)
    succeeds_untouched(scenario)
    assert scenario.task.try_number == 2


def test_a_machine_that_was_thought_dead_wakes_up_after_its_time_for_the_run(begin):
    scenario = begin("sync", "long_timeout")
    scenario.waits()
    stale, began = scenario.task.pid, time.monotonic()
    with asleep(scenario.supervisor, stale):
        scenario.waits(try_number=2)
        time.sleep(max(0.0, began + 52 - time.monotonic()))
    until(lambda: is_gone(stale), 60, "The stale try goes on")
    succeeds_untouched(scenario)
    assert scenario.task.try_number == 2


@pytest.mark.alone
def test_a_scheduler_that_stands_still_while_a_task_is_deferred_and_resumed(begin, flowengine, stack):
    scenario = begin("deferrable")
    scenario.task.until("running")
    with asleep(stack.scheduler.pid):
        scenario.task.until("deferred")
        flowengine.finish(scenario.starts())
        scenario.task.until("scheduled")
    # The scheduler may take the end of the first process for the second's, and fail the try. A retry takes the result.
    scenario.ends("success", starts=1, stops=0, runs=["succeeded"])
