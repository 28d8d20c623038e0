"""Pipelines that start by themselves: by interval, by cron, by message, turned on and off by the schedule calls."""

import pytest

from airflow_provider_flowengine.emulator.clock import Clock
from airflow_provider_flowengine.emulator.server import Emulator

from .conftest import START, node, pipeline

EVERY_MINUTE = {"runMode": "PERIODICAL", "interval": 1, "intervalUnit": "MINUTE"}


def turn(call, pipeline_id, on):
    query = {"once": "false"} if on else {}
    return call.data("POST", f"/pipeline/6/{pipeline_id}/{'start' if on else 'stop'}", {"data": " "}, **query)


def starts(call, pipeline_id):
    """When the runs began, in seconds after the test's start, oldest first, and how they came about."""
    rows = reversed(call.history(pipeline_id, 1, 100))
    return [(row["startTime"] / 1000 - START, row["triggerType"]) for row in rows]


def test_a_period_begins_when_the_schedule_is_turned_on(emulator, call):
    pipeline_id = call.create(node("a"), execution=EVERY_MINUTE)
    emulator.clock.advance(100)
    assert starts(call, pipeline_id) == []

    turn(call, pipeline_id, True)
    emulator.clock.advance(150)
    assert starts(call, pipeline_id) == [(160, "周期触发"), (220, "周期触发")]


def test_turned_off_it_starts_nothing_more(emulator, call):
    pipeline_id = call.create(node("a"), execution=EVERY_MINUTE)
    turn(call, pipeline_id, True)
    emulator.clock.advance(61)
    turn(call, pipeline_id, False)
    emulator.clock.advance(600)

    assert len(starts(call, pipeline_id)) == 1


@pytest.mark.parametrize(("unit", "length"), [("SECOND", 1), ("MINUTE", 60), ("HOUR", 3600), ("DAY", 86400)])
def test_an_interval_has_a_unit(emulator, call, unit, length):
    pipeline_id = call.create(node("a"), execution={"runMode": "PERIODICAL", "interval": 2, "intervalUnit": unit})
    turn(call, pipeline_id, True)
    emulator.clock.advance(2 * length)

    assert starts(call, pipeline_id) == [(2 * length, "周期触发")]


def test_cron_fires_in_the_emulators_zone(emulator, call):
    emulator.options.timezone = "Asia/Shanghai"  # where it is 10:22:09
    pipeline_id = call.create(node("a"), execution={"runMode": "CRONTAB", "cronExpression": "0 30 10 * * ?"})
    turn(call, pipeline_id, True)
    emulator.clock.advance(86400)

    assert starts(call, pipeline_id) == [(7 * 60 + 51, "定时触发")]


def test_a_message_starts_the_pipelines_that_listen_to_its_topic(emulator, call):
    listening = call.create(node("a"), execution={"runMode": "MESSAGE", "trigger": "ModelTrainFinishEvent"})
    also = call.create(node("a"), execution={"runMode": "MESSAGE", "triggerList": ["x", "ModelTrainFinishEvent"]})
    other = call.create(node("a"), execution={"runMode": "MESSAGE", "trigger": "x"})
    off = call.create(node("a"), execution={"runMode": "MESSAGE", "trigger": "ModelTrainFinishEvent"})
    single = call.create(node("a"), execution={"runMode": "SINGLE", "trigger": "ModelTrainFinishEvent"})
    for pipeline_id in (listening, also, other, single):
        turn(call, pipeline_id, True)

    assert call.control("POST", "/topics/ModelTrainFinishEvent").json() == {"runs": [1, 2]}
    assert starts(call, listening) == starts(call, also) == [(0, "消息触发")]
    assert starts(call, other) == starts(call, off) == starts(call, single) == []


def test_a_pipeline_that_runs_once_only_has_a_schedule_that_does_nothing(emulator, call):
    pipeline_id = call.create(node("a"))
    turn(call, pipeline_id, True)
    emulator.clock.advance(10**6)

    assert starts(call, pipeline_id) == []


def test_runs_started_by_hand_say_so(emulator, call):
    pipeline_id = call.create(node("a"), execution=EVERY_MINUTE)
    turn(call, pipeline_id, True)
    emulator.clock.advance(90)
    call.start(pipeline_id)

    assert starts(call, pipeline_id) == [(60, "周期触发"), (90, "手动触发")]


@pytest.mark.parametrize(
    ("execution", "why"),
    [
        ({"runMode": "PERIODICAL", "interval": 0}, "interval 0"),
        ({"runMode": "CRONTAB", "cronExpression": "0 0 12 * * *"}, "exactly one of day of month and day of week"),
        ({"runMode": "CRONTAB", "cronExpression": None}, "has 0 fields"),
        ({"runMode": "WEEKLY"}, "unknown runMode 'WEEKLY'; known: SINGLE, PERIODICAL, CRONTAB, MESSAGE"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_when_the_pipeline_is_created_or_changed(call, execution, why):
    pipeline_id = call.create(node("a"))
    bad = pipeline(node("a"), execution=execution)

    assert why in call.refusal("POST", "/pipeline/template/6/create", bad)
    assert why in call.refusal("PUT", "/pipeline/template/6/update", {**bad, "id": pipeline_id})
    assert len(call.data("GET", "/pipeline/6/list")) == 1


@pytest.mark.parametrize("cron", ["0 0 0 30 2 ?", "0 0 12 1 1 ? 1999"])
def test_a_schedule_that_never_fires_cant_be_turned_on(call, cron):
    pipeline_id = call.create(node("a"), execution={"runMode": "CRONTAB", "cronExpression": cron})

    refusal = call.refusal("POST", f"/pipeline/6/{pipeline_id}/start", {"data": " "}, once="false")
    assert refusal == f"cron expression '{cron}' will never fire"
    (latest,) = call.control("GET", f"/latest?pipeline={pipeline_id}").json()
    assert latest["scheduled"] is False


def test_a_schedule_that_is_on_cant_be_changed_to_one_that_never_fires(call):
    pipeline_id = call.create(node("a"), execution=EVERY_MINUTE)
    turn(call, pipeline_id, True)
    never = pipeline(node("a"), execution={"runMode": "CRONTAB", "cronExpression": "0 0 0 30 2 ?"})

    assert "will never fire" in call.refusal("PUT", "/pipeline/template/6/update", {**never, "id": pipeline_id})


def test_a_changed_schedule_counts_from_the_change(emulator, call):
    pipeline_id = call.create(node("a"), execution=EVERY_MINUTE)
    turn(call, pipeline_id, True)
    emulator.clock.advance(30)
    changed = call.data("GET", f"/pipeline/template/6/{pipeline_id}/get")
    changed["data"]["executionConfig"]["interval"] = 5
    call.data("PUT", "/pipeline/template/6/update", changed)
    emulator.clock.advance(400)

    assert starts(call, pipeline_id) == [(330, "周期触发")]


def test_what_a_schedule_misses_while_the_kernel_is_down_is_skipped(tmp_path):
    db = str(tmp_path / "state.db")
    with Emulator(db=db, clock=Clock(START)) as emulator:
        pipeline = emulator.engine.create_pipeline({"data": {"nodes": [], "executionConfig": EVERY_MINUTE}})
        emulator.engine.set_schedule(pipeline.id, True)

    with Emulator(db=db, clock=Clock(START + 3600)) as emulator:
        emulator.clock.advance(60)
        runs, total = emulator.engine.runs(pipeline.id)

        assert (total, runs[0].started) == (1, START + 3660)


def test_time_advanced_very_far_doesnt_start_runs_without_end(emulator, call):
    pipeline_id = call.create(execution={"runMode": "PERIODICAL", "interval": 1, "intervalUnit": "SECOND"})
    turn(call, pipeline_id, True)
    emulator.clock.advance(10**9)

    assert call.data("GET", f"/pipeline/{pipeline_id}/historyList", page=1, size=1)["total"] == 10_000
    emulator.clock.advance(2)
    assert call.data("GET", f"/pipeline/{pipeline_id}/historyList", page=1, size=1)["total"] == 10_002
