"""The operators that stop runs, and that resume one."""

import pytest

from airflow_provider_flowengine.operators.flowengine import (
    FlowEngineResumePipelineRunOperator,
    FlowEngineStopPipelineRunOperator,
)
from airflow_provider_flowengine.protocol.errors import (
    RequestRejectedError,
    RunFailedError,
    RunNotFoundError,
    RunTimeoutError,
)


def state(emulator, run_id):
    return emulator.engine.run(run_id).state(emulator.clock.now())


# --- stop -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def stop(run_task):
    def stop(**arguments):
        return run_task(FlowEngineStopPipelineRunOperator, **{"poll_interval": 0.05, **arguments})

    return stop


def test_all_running_runs_are_stopped_and_waited_for(stop, emulator, pipeline):
    emulator.options.stop_seconds = 0.2
    pipeline_id = pipeline(duration="forever")
    for _ in range(3):
        emulator.engine.start(pipeline_id)
    emulator.engine.finish(2)
    task = stop(pipeline_id=pipeline_id)

    assert (task.state, sorted(task.returned)) == ("success", [1, 3])
    assert [state(emulator, run_id) for run_id in (1, 2, 3)] == ["stopped", "succeeded", "stopped"]


def test_one_run_is_stopped_and_the_others_keep_running(stop, emulator, pipeline):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    emulator.engine.start(pipeline_id)
    task = stop(pipeline_key="nightly", run_id="{{ dag_run.conf['run'] }}", conf={"run": 1})

    assert task.returned == [1]
    assert (state(emulator, 1), state(emulator, 2)) == ("stopped", "running")


def test_without_waiting_it_ends_while_the_run_is_stopping(stop, emulator, pipeline):
    emulator.options.stop_seconds = 60
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    task = stop(pipeline_id=pipeline_id, wait_for_completion=False)

    assert task.returned == [1]
    assert state(emulator, 1) == "stopping"


def test_a_run_that_has_ended_needs_no_stop(stop, emulator, pipeline, log):
    pipeline_id = pipeline()
    emulator.engine.start(pipeline_id)
    task = stop(pipeline_id=pipeline_id, run_id=1)

    assert (task.state, task.returned) == ("success", [])
    assert emulator.count("stop") == 0


def test_a_run_of_an_unrecognized_status_is_stopped_with_the_others(stop, emulator, pipeline):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    emulator.options.words = {"running": "WARMING_UP"}
    task = stop(pipeline_id=pipeline_id)

    assert task.returned == [1]
    assert state(emulator, 1) == "stopped"


def test_if_nothing_runs_nothing_is_stopped(stop, emulator, pipeline, log):
    task = stop(pipeline_id=pipeline())

    assert (task.state, task.returned) == ("success", [])
    assert "No run of pipeline 1 needs a stop." in log.ours


def test_a_stop_that_is_refused_fails_the_task(stop, emulator, pipeline):
    emulator.options.refuse_stop = "没有权限"
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    task = stop(pipeline_id=pipeline_id)

    assert isinstance(task.errors[-1], RequestRejectedError)
    assert "FlowEngine refused to stop run 1: 没有权限" in task.error


def test_a_run_that_does_not_stop_in_time_fails_the_task(stop, emulator, pipeline):
    emulator.options.stop_seconds = 60
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    task = stop(pipeline_id=pipeline_id, timeout=0.2)

    assert isinstance(task.errors[-1], RunTimeoutError)
    assert "run 1 of pipeline 1 was still running (status stopping)" in task.error


def test_a_run_of_another_pipeline_is_left_alone(stop, emulator, pipeline):
    first, second = pipeline("first"), pipeline("second", duration="forever")
    emulator.engine.start(second)
    task = stop(pipeline_id=first, run_id=1)

    assert isinstance(task.errors[-1], RunNotFoundError)
    assert (state(emulator, 1), emulator.count("stop")) == ("running", 0)


def test_a_run_id_that_comes_to_nothing_doesnt_mean_all_runs(dag, run, emulator, pipeline):
    from airflow.providers.common.compat.sdk import task

    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)

    @task
    def nothing():
        return None

    with dag:
        FlowEngineStopPipelineRunOperator(task_id="stop", pipeline_id=pipeline_id, run_id=nothing())
    tasks = run(dag)

    assert "run_id has rendered to None" in tasks["stop"].error
    assert (state(emulator, 1), emulator.count("stop")) == ("running", 0)


def test_a_run_that_is_stopping_already_is_waited_for(stop, emulator, pipeline):
    emulator.options.stop_seconds = 0.5
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    emulator.engine.stop(1)
    task = stop(pipeline_id=pipeline_id)

    assert (task.state, task.returned) == ("success", [])
    assert state(emulator, 1) == "stopped"


def test_more_runs_than_a_page_holds_are_all_stopped(stop, emulator, pipeline):
    emulator.options.stop_seconds = 0
    pipeline_id = pipeline(duration="forever")
    for _ in range(120):
        emulator.engine.start(pipeline_id)
    task = stop(pipeline_id=pipeline_id, wait_for_completion=False)

    assert len(task.returned) == 120


def test_a_run_that_may_not_be_stopped_keeps_no_other_from_being_stopped(stop, emulator, pipeline, log):
    pipeline_id = pipeline(duration="forever")
    for _ in range(3):
        emulator.engine.start(pipeline_id)
    emulator.fail("stop", kind="envelope", times=1)
    task = stop(pipeline_id=pipeline_id)

    assert isinstance(task.errors[-1], RequestRejectedError)
    assert sorted(state(emulator, run_id) for run_id in (1, 2, 3)) == ["running", "stopped", "stopped"]
    assert "Not stopped: runs 3 of pipeline 1." in log.ours


def test_all_running_may_be_decided_by_a_template(stop, emulator, pipeline):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    task = stop(pipeline_id=pipeline_id, all_running="{{ dag_run.conf['all'] }}", conf={"all": False})

    assert task.error == "Give run_id, or leave all_running on; run_id has rendered to None"
    assert state(emulator, 1) == "running"


# --- resume -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def resume(run_task):
    def resume(**arguments):
        return run_task(FlowEngineResumePipelineRunOperator, **{"poll_interval": 0.05, **arguments})

    return resume


def test_a_failed_run_is_resumed_under_its_id(resume, emulator, pipeline, deferrable):
    pipeline_id = pipeline(outcome="failed_once")
    emulator.engine.start(pipeline_id)
    task = resume(pipeline_id=pipeline_id, run_id="1", deferrable=deferrable)

    assert (task.state, task.returned) == ("success", 1)
    assert (emulator.count("start"), emulator.count("resume")) == (0, 1)
    assert task.link == emulator.run_url(pipeline_id, 1) or task.link.startswith(emulator.url)


def test_a_stopped_run_is_resumed_too(resume, emulator, pipeline, deferrable):
    emulator.options.stop_seconds = 0
    pipeline_id = pipeline(duration=0.3)
    emulator.engine.start(pipeline_id)
    emulator.engine.stop(1)
    task = resume(pipeline_id=pipeline_id, run_id=1, deferrable=deferrable)

    assert (task.state, task.returned) == ("success", 1)


def test_a_run_that_is_still_stopping_is_resumed_once_it_has_stopped(resume, emulator, pipeline):
    emulator.options.stop_seconds = 1
    pipeline_id = pipeline(duration=0.2)
    emulator.engine.start(pipeline_id)
    emulator.engine.stop(1)
    task = resume(pipeline_id=pipeline_id, run_id=1)

    assert task.returned == 1
    assert emulator.count("resume") == 1


def test_a_run_that_is_already_running_is_only_waited_for(resume, emulator, pipeline, after_polls, log, deferrable):
    pipeline_id = pipeline(duration="forever")
    emulator.engine.start(pipeline_id)
    after_polls(2, emulator.engine.finish, 1)
    task = resume(pipeline_id=pipeline_id, run_id=1, deferrable=deferrable)

    assert (task.state, task.returned) == ("success", 1)
    assert emulator.count("resume") == 0
    assert "is running already" in log.ours


def test_a_resumed_run_that_fails_again_fails_the_task(resume, emulator, pipeline, deferrable):
    pipeline_id = pipeline(duration=0.2, outcome="failed", message="no data")
    emulator.engine.start(pipeline_id)
    emulator.clock.advance(1)
    task = resume(pipeline_id=pipeline_id, run_id=1, deferrable=deferrable)

    assert isinstance(task.errors[-1], RunFailedError)
    assert "no data" in task.error
    assert emulator.count("resume") == 1


def test_a_run_that_succeeded_cannot_be_resumed(resume, emulator, pipeline):
    pipeline_id = pipeline()
    emulator.engine.start(pipeline_id)
    task = resume(pipeline_id=pipeline_id, run_id=1)

    assert isinstance(task.errors[-1], RequestRejectedError)
    assert "can't be resumed" in task.error


def test_a_run_that_is_not_in_the_history_cannot_be_resumed(resume, emulator, pipeline):
    task = resume(pipeline_id=pipeline(), run_id=77)

    assert isinstance(task.errors[-1], RunNotFoundError)
    assert "The history of pipeline 1 has no run 77" in task.error
    assert emulator.count("resume") == 0
