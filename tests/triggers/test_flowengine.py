"""The trigger: what Airflow keeps of it, the event that it fires, and what it does when a person ends its task."""

import asyncio
import json
import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from airflow_provider_flowengine.triggers.flowengine import FlowEnginePipelineRunTrigger

TASK = SimpleNamespace(dag_id="train", task_id="start", run_id="manual", map_index=-1)


@pytest.fixture
def trigger(emulator):
    """Build a trigger as a task defers to it, which has resolved the engine already."""

    def trigger(**arguments):
        return FlowEnginePipelineRunTrigger(
            **{
                "flowengine_conn_id": "flowengine_default",
                "engine_key": "demo",
                "engine_url": "/engine/15/cess-data-3",
                "engine_id": 6,
                "pipeline_id": 1,
                "run_id": 1,
                "poll_interval": 0.05,
                "run_url": "http://gw/run/{run_id}",
                **arguments,
            }
        )

    return trigger


async def fired(trigger):
    """The trigger's one event, as it comes back from Airflow's database."""
    events = [event async for event in trigger.run()]
    (payload,) = [json.loads(json.dumps(event.payload)) for event in events]
    return payload


@pytest.mark.parametrize("task_instance", [TASK, None], ids=["in a triggerer", "in dag.test()"])
async def test_a_triggerer_gets_no_event_before_the_scheduler_has_seen_the_deferral(
    trigger, emulator, pipeline, monkeypatch, task_instance
):
    monkeypatch.setattr("airflow_provider_flowengine.triggers.flowengine.MIN_DEFERRAL", 2.0)
    emulator.engine.start(pipeline(duration=0.1))
    waiting = trigger(writes_progress=False)
    waiting.task_instance = task_instance
    began = time.monotonic()
    event = await fired(waiting)

    assert event["outcome"] == "ended"
    assert task_instance is None or time.monotonic() - began >= 2.0


def test_airflow_can_keep_it_and_build_it_again(trigger):
    first = trigger(deadline=1800000000.5, pre_resume_run={"run_id": 1, "pipeline_id": 1, "status": "failed"})
    name, kwargs = first.serialize()
    again = FlowEnginePipelineRunTrigger(**json.loads(json.dumps(kwargs)))

    assert name == "airflow_provider_flowengine.triggers.flowengine.FlowEnginePipelineRunTrigger"
    assert again.serialize() == (name, kwargs)


def test_building_it_reads_no_connection_and_asks_nothing(trigger, emulator):
    trigger(flowengine_conn_id="there_is_no_such_connection")

    assert emulator.calls() == []


@pytest.mark.parametrize("outcome", ["succeeded", "failed", "stopped"])
async def test_it_fires_when_the_run_has_ended_and_says_how(trigger, emulator, pipeline, outcome):
    emulator.engine.start(pipeline(duration="forever"))
    threading.Timer(0.2, emulator.engine.finish, [1, outcome]).start()
    event = await fired(trigger())

    assert event["outcome"] == "ended"
    assert (event["run"]["run_id"], event["run"]["state"]) == (1, outcome)


async def test_ids_are_taken_as_digits_too(trigger, emulator, pipeline):
    emulator.engine.start(pipeline())
    event = await fired(trigger(engine_id="6", pipeline_id="1", run_id="1", deadline=time.time() + 5))

    assert event["outcome"] == "ended"


async def test_it_does_not_repeat_the_handshake(trigger, emulator, pipeline):
    emulator.engine.start(pipeline())
    await fired(trigger())

    assert {call["name"] for call in emulator.calls()} == {"history"}


async def test_triggers_of_one_pipeline_share_their_polls(trigger, emulator, pipeline):
    pipeline_id = pipeline(duration=0.5)
    for _ in range(20):
        emulator.engine.start(pipeline_id)
    began = time.monotonic()
    events = await asyncio.gather(*(fired(trigger(run_id=run_id, poll_interval=0.1)) for run_id in range(1, 21)))
    took = time.monotonic() - began

    assert sorted(event["run"]["run_id"] for event in events) == list(range(1, 21))
    assert emulator.count("history") <= 2 * took / 0.1  # one look an interval, and not twenty


async def test_it_waits_for_a_run_to_come(trigger, emulator, pipeline):
    pipeline_id = pipeline()
    emulator.engine.add_history(pipeline_id, [emulator.clock.now() - 3600])
    threading.Timer(0.2, emulator.engine.start, [pipeline_id]).start()
    event = await fired(trigger(run_id=None, started_after=datetime.now(UTC).isoformat()))

    assert event["run"]["run_id"] == 2
    assert event["run_url"] == "http://gw/run/2"


async def test_its_deadline_is_a_moment_and_says_timeout(trigger, emulator, pipeline):
    emulator.engine.start(pipeline(duration="forever"))
    event = await fired(trigger(deadline=time.time() + 0.2))

    assert event["outcome"] == "timeout"
    assert event["run"]["run_id"] == 1
    assert "run 1 of pipeline 1 was still running (status running)" in event["message"]


async def test_a_server_that_is_silent_for_too_long_says_unreachable(trigger, emulator, pipeline):
    emulator.engine.start(pipeline(duration="forever"))
    emulator.fail("history", status=502, times=100)
    event = await fired(trigger(unreachable_timeout=0.01))

    assert event["outcome"] == "unreachable"
    assert "Run 1 of pipeline 1 may still be running; no answer for " in event["message"]


async def test_a_poll_that_fails_is_followed_by_another_one(trigger, emulator, pipeline):
    emulator.engine.start(pipeline())
    emulator.fail("history", kind="reset")

    assert (await fired(trigger()))["outcome"] == "ended"


async def test_a_run_that_was_resumed_has_not_ended_as_it_had_before(trigger, emulator, pipeline):
    pipeline_id = pipeline(outcome="failed")
    emulator.engine.start(pipeline_id)
    before = (await fired(trigger()))["run"]
    # The history still tells of the end before the resume; so the trigger goes on, until its deadline here.
    event = await fired(trigger(pre_resume_run=before, deadline=time.time() + 0.2, started_at=time.time()))

    assert event["outcome"] == "timeout"


# --- a person ends the task -------------------------------------------------------------------------------------------


async def test_it_stops_the_run_when_the_user_ends_the_task(trigger, emulator, pipeline):
    emulator.engine.start(pipeline(duration="forever"))
    await trigger().on_kill()

    assert emulator.count("stop") == 1
    assert emulator.engine.run(1).stopping


async def test_it_stops_the_run_though_airflow_cancels_it_again_and_again(trigger, emulator, pipeline):
    emulator.engine.start(pipeline(duration="forever"))
    emulator.fail("stop", kind="status", status=503)
    killing = asyncio.create_task(trigger().on_kill())
    while not killing.done():
        await asyncio.sleep(0.1)
        killing.cancel()

    assert emulator.count("stop") == 2
    assert emulator.engine.run(1).stopping


async def test_it_leaves_the_run_alone_if_cancel_on_kill_is_off(trigger, emulator, pipeline):
    emulator.engine.start(pipeline(duration="forever"))
    await trigger(cancel_on_kill=False).on_kill()

    assert emulator.calls() == []


async def test_a_run_that_has_ended_needs_no_stop(trigger, emulator, pipeline):
    emulator.engine.start(pipeline())
    await trigger().on_kill()

    assert emulator.count("stop") == 0


async def test_a_stop_that_fails_is_logged_with_where_to_look(trigger, emulator, pipeline, log):
    emulator.options.refuse_stop = "没有权限"
    emulator.engine.start(pipeline(duration="forever"))
    await trigger(run_url="http://gw/run/1").on_kill()

    assert "Run 1 could not be stopped and may still be running: http://gw/run/1" in log.text
    assert "没有权限" in log.text


async def test_a_stop_without_its_connection_is_logged_with_where_to_look(trigger, airflow_db, log):
    await trigger(flowengine_conn_id="nix", run_url="http://gw/run/1").on_kill()

    assert "Run 1 could not be stopped and may still be running: http://gw/run/1" in log.text
    assert "Airflow has no connection 'nix'" in log.text


async def test_being_cancelled_stops_no_run(trigger, emulator, pipeline):
    # A triggerer that shuts down, or hands a trigger to another one, cancels it.
    emulator.engine.start(pipeline(duration="forever"))
    waiting = asyncio.create_task(fired(trigger()))
    while not emulator.count("history"):
        await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait({waiting})

    assert waiting.cancelled()
    assert emulator.count("stop") == 0
