"""What becomes of a task's run, and what the task says, when a try ends before the run does."""

import pytest

from airflow_provider_flowengine.operators.checkpoint import CheckpointStore
from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineResumePipelineRunOperator,
)
from airflow_provider_flowengine.protocol.monitor import RunMonitor

needs_task_state_store = pytest.mark.needs_task_state_store


@pytest.fixture
def clear(monkeypatch):
    """Do to the task what a clear does: Airflow raises its ``max_tries``."""

    def clear():
        made = CheckpointStore.__init__

        def cleared(self, *args):
            made(self, *args)
            self.max_tries += 1

        monkeypatch.setattr(CheckpointStore, "__init__", cleared)

    return clear


def kinds(task):
    """Return the names of the errors that the tries have failed with: of their classes, some of which are derived."""
    return [type(error).__name__ for error in task.errors]


# --- whose run it is --------------------------------------------------------------------------------------------------


@needs_task_state_store
def test_a_try_that_resumes_another_run_leaves_the_earlier_ones_alone(run_task, emulator, pipeline):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    emulator.fail("history", "run", status=500, skip=1, times=100)
    task = run_task(
        FlowEngineResumePipelineRunOperator,
        pipeline_id=pipeline_id,
        run_id="{{ ti.try_number }}",  # run 1, then run 2, which isn't there
        poll_interval=0.05,
        unreachable_timeout=0.01,
        retries=1,
        between_tries=emulator.faults.clear,
    )

    assert kinds(task) == ["StatusUnavailableError", "RunNotFoundError"]
    assert emulator.count("stop") == 0


@needs_task_state_store
def test_a_run_that_was_delivered_is_left_alone_by_a_try_that_fails_before_it_starts(start, emulator, pipeline, clear):
    pipeline("nightly", duration="forever")

    def fail_after_delivery(context, result):
        raise OSError("no lineage backend")

    task = start(
        pipeline_key="{{ 'nightly' if ti.try_number == 1 else 'gone' }}",
        wait_for_completion=False,
        post_execute=fail_after_delivery,
        retries=1,
        between_tries=clear,
    )

    assert kinds(task) == ["OSError", "PipelineNotFoundError"]
    assert (emulator.count("start"), emulator.count("stop")) == (1, 0)


# --- what hides nothing -----------------------------------------------------------------------------------------------


def test_a_stop_that_is_refused_hides_nothing_of_why_the_run_was_to_be_stopped(
    start, emulator, pipeline, log, deferrable
):
    emulator.options.refuse_stop = "没有权限"
    task = start(pipeline_id=pipeline(duration="forever"), timeout=0.3, deferrable=deferrable)

    assert kinds(task) == ["RunTimeoutError"]
    assert "Run 1 could not be stopped and may still be running" in log.ours
    assert "没有权限" in log.ours
    assert task.error.startswith("The timeout of 0.3 s is over")
    assert "The run could not be stopped and may still be running" in task.error


@needs_task_state_store
def test_a_run_that_was_stopped_though_the_stop_was_refused_is_not_blamed_on_somebody_else(start, emulator, pipeline):
    emulator.fail("stop", kind="envelope", where="after")

    task = start(pipeline_id=pipeline(duration="forever"), timeout=0.3, retries=1)

    assert kinds(task) == ["RunTimeoutError", "RunTimeoutError"]
    assert emulator.count("start") == 2


@needs_task_state_store
def test_a_run_whose_stop_is_refused_is_reconnected_to_by_the_next_try(start, emulator, pipeline):
    emulator.options.refuse_stop = "没有权限"

    task = start(pipeline_id=pipeline(duration="forever"), timeout=0.3, retries=1)

    assert kinds(task) == ["RunTimeoutError", "RunTimeoutError"]
    assert emulator.count("start") == 1


# --- errors that nobody has foreseen ----------------------------------------------------------------------------------


@pytest.fixture
def bug(monkeypatch):
    """Plant a bug in what a try does while it waits."""

    def fail(self, now):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(RunMonitor, "delay", fail)


@needs_task_state_store
def test_a_bug_leaves_the_run_to_a_clear_even_in_the_last_try(start, emulator, pipeline, bug, log):
    task = start(pipeline_id=pipeline(duration="forever"))

    assert kinds(task) == ["ZeroDivisionError"]
    assert emulator.count("stop") == 0
    assert "Leaving run 1 of pipeline 1 running; the error says nothing about the run; clear the task" in log.ours
    assert task.link
    assert task.link in log.ours.split("clear the task to reconnect to it")[1]


def test_a_bug_stops_the_run_if_no_later_try_could_reconnect_to_it(start, emulator, pipeline, bug, log):
    task = start(pipeline_id=pipeline(duration="forever"), durable=False)

    assert kinds(task) == ["ZeroDivisionError"]
    assert emulator.count("stop") == 1
    assert emulator.engine.run(1).stopping
    assert "No later try can reconnect to this run" in log.ours
