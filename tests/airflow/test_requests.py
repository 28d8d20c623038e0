"""How many requests a task sends: two to find the engine, one before the start, the start, and one a poll."""

import pytest

from airflow_provider_flowengine.operators.flowengine import FlowEngineStartPipelineOperator
from airflow_provider_flowengine.sensors.flowengine import FlowEnginePipelineRunSensor

HANDSHAKE = ["engine_url", "engine_id"]
INTERVAL = 0.1


def names(emulator):
    return [call["name"] for call in emulator.calls()]


def assert_only_looks(calls):
    """Check that these are polls of the run, no more than one an interval; the first comes at once."""
    moments = [call["at"] for call in calls]

    assert {call["name"] for call in calls} <= {"history", "run"}
    assert len(calls) <= 3 + (moments[-1] - moments[0]) / INTERVAL


def test_a_start_and_wait_sends_four_requests_and_one_for_each_poll(run_task, emulator, pipeline, deferrable):
    run_task(
        FlowEngineStartPipelineOperator,
        pipeline_id=pipeline(duration=0.5),
        poll_interval=INTERVAL,
        deferrable=deferrable,
    )

    assert names(emulator)[:4] == [*HANDSHAKE, "history", "start"]
    assert_only_looks(emulator.calls()[4:])


def test_job_params_cost_one_more_in_which_they_are_checked(run_task, emulator, pipeline, deferrable):
    run_task(
        FlowEngineStartPipelineOperator,
        pipeline_id=pipeline(duration=0.5, epochs=1),
        job_params={"train": {"epochs": 5}},
        poll_interval=INTERVAL,
        deferrable=deferrable,
    )

    assert names(emulator)[:5] == [*HANDSHAKE, "get", "history", "start"]
    assert_only_looks(emulator.calls()[5:])


@pytest.fixture
def other_id(pipeline):
    """Let no run have its pipeline's id: an answer with that id may mean the pipeline."""
    pipeline()


@pytest.mark.usefixtures("other_id")
def test_a_run_that_is_over_at_once_is_polled_once(run_task, emulator, pipeline, deferrable):
    run_task(FlowEngineStartPipelineOperator, pipeline_id=pipeline(), deferrable=deferrable)

    assert names(emulator) == [*HANDSHAKE, "history", "start", "history"]


@pytest.mark.usefixtures("other_id")
def test_a_failed_run_costs_one_more_request_for_its_nodes(run_task, emulator, pipeline, deferrable):
    run_task(FlowEngineStartPipelineOperator, pipeline_id=pipeline(outcome="failed"), deferrable=deferrable)

    assert names(emulator) == [*HANDSHAKE, "history", "start", "history", "run"]


def test_a_sensor_sends_the_handshake_and_one_request_for_each_poll(run_task, emulator, pipeline, deferrable):
    emulator.engine.start(pipeline(duration=0.5))
    run_task(FlowEnginePipelineRunSensor, pipeline_id=1, run_id=1, poke_interval=INTERVAL, deferrable=deferrable)

    assert names(emulator)[:2] == HANDSHAKE
    assert_only_looks(emulator.calls()[2:])
