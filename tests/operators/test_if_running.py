"""What a start does if a run of the pipeline is already running."""

import threading
import time

import pytest

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.protocol.errors import PipelineBusyError, RunTimeoutError


@pytest.fixture
def busy(emulator, pipeline, let_runs_end_at_once):
    """A pipeline whose run 1, which somebody else has started, goes on; the next ones end at once."""
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    let_runs_end_at_once(pipeline_id)
    return pipeline_id


@pytest.fixture
def start(run_task, busy):
    def start(if_running, **arguments):
        return run_task(
            FlowEngineStartPipelineOperator, pipeline_id=busy, poll_interval=0.05, if_running=if_running, **arguments
        )

    return start


def state(emulator, run_id):
    return emulator.engine.run(run_id).state(emulator.clock.now())


def finish_once_started_or_waited_for(emulator, run_id):
    def finish():
        while emulator.count("history") + emulator.count("run") < 3:
            time.sleep(0.01)
        emulator.engine.finish(run_id)

    threading.Thread(target=finish, daemon=True).start()


def test_start_starts_another_one(start, emulator, deferrable):
    task = start("start", deferrable=deferrable)

    assert (task.state, task.returned, state(emulator, 1)) == ("success", 2, "running")


def test_reuse_reconnects_to_it(start, emulator, log, deferrable):
    finish_once_started_or_waited_for(emulator, 1)
    task = start("reuse", deferrable=deferrable)

    assert (task.state, task.returned, emulator.count("start")) == ("success", 1, 0)
    assert "Run 1 of pipeline 1 is running already" in log.ours


def test_reuse_starts_a_new_one_beside_a_run_that_is_being_stopped(start, emulator):
    emulator.options.stop_seconds = 60
    emulator.engine.stop(1)

    assert start("reuse").returned == 2


def test_wait_starts_once_none_is_running(start, emulator, log, deferrable):
    finish_once_started_or_waited_for(emulator, 1)
    task = start("wait", deferrable=deferrable)

    assert (task.state, task.returned) == ("success", 2)
    assert (state(emulator, 1), emulator.count("stop")) == ("succeeded", 0)
    assert emulator.engine.run(1).ends_at <= emulator.engine.run(2).started
    assert task.xcoms["flowengine_run"]["run_id"] == 2
    assert "waiting until it has ended, since if_running is wait" in log.ours


def test_wait_ends_at_the_timeout_and_stops_nothing(start, emulator, deferrable):
    task = start("wait", timeout=0.5, deferrable=deferrable)

    assert isinstance(task.errors[-1], RunTimeoutError)
    assert (emulator.count("start"), emulator.count("stop"), state(emulator, 1)) == (0, 0, "running")


def test_skip_skips_the_task(start, emulator, deferrable):
    task = start("skip", deferrable=deferrable)

    assert (task.state, emulator.count("start")) == ("skipped", 0)


@pytest.mark.parametrize("stop_seconds", [0, 0.3])
def test_stop_stops_it_and_then_starts(start, emulator, deferrable, stop_seconds):
    emulator.options.stop_seconds = stop_seconds
    task = start("stop", deferrable=deferrable)

    assert (task.state, task.returned) == ("success", 2)
    assert (state(emulator, 1), emulator.count("stop")) == ("stopped", 1)


def test_fail_fails_and_names_it(start, emulator, deferrable):
    task = start("fail", deferrable=deferrable)

    assert isinstance(task.errors[-1], PipelineBusyError)
    assert [run.id for run in task.errors[-1].runs] == [1]
    assert task.error.startswith(
        "The pipeline is running already, and if_running is fail: run 1 of pipeline 1, started"
    )
    assert emulator.count("start") == 0


@pytest.mark.parametrize("if_running", ["reuse", "wait", "skip", "stop", "fail"])
def test_if_none_is_running_it_is_started(run_task, emulator, pipeline, if_running):
    pipeline_id = pipeline()
    emulator.engine.start(pipeline_id)

    assert run_task(FlowEngineStartPipelineOperator, pipeline_id=pipeline_id, if_running=if_running).returned == 2


@pytest.mark.needs_task_state_store
def test_an_earlier_trys_own_run_is_not_meant(run_task, emulator, pipeline, let_runs_end_at_once):
    emulator.options.stop_seconds = 60  # the first try's run, which took too long, is still stopping
    pipeline_id = pipeline(duration="forever")
    task = run_task(
        FlowEngineStartPipelineOperator,
        pipeline_id=pipeline_id,
        if_running="skip",
        timeout=1,
        retries=1,
        poll_interval=0.05,
        between_tries=lambda: let_runs_end_at_once(pipeline_id),
    )

    assert (task.state, task.returned, task.tries) == ("success", 2, 2)


@pytest.mark.parametrize("if_running", ["wait", "skip"])
def test_two_starters_that_look_at_the_same_moment_may_still_meet(run_task, emulator, pipeline, if_running):
    """It is looked at just before the start; what another starter does in between no client can see."""
    pipeline_id = pipeline(duration=0.2)

    def start_by_hand():
        while not emulator.count("history"):
            time.sleep(0.001)
        emulator.engine.start(pipeline_id)

    threading.Thread(target=start_by_hand, daemon=True).start()
    task = run_task(
        FlowEngineStartPipelineOperator,
        pipeline_id=pipeline_id,
        if_running=if_running,
        poll_interval=0.05,
        start_confirmation_timeout=1,
    )

    assert task.state in ("success", "failed", "skipped")
    assert emulator.count("start") <= 1
    assert emulator.count("stop") == 0
